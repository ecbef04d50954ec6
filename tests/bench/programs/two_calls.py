"""Generators with two calls each, on lines of their own, from functions that run two: nothing may change lines."""

from common import count, start


def first(x):
    return x + 1


def second(x):
    return x + 2


def rows(n):
    for i in range(n):
        a = first(i)
        b = second(a)
        yield b


def in_turn(n):
    i = 0
    while i < n:
        yield second(i)
        yield first(i)
        i += 1


def nested(n):
    for _ in range(n):
        yield sum(rows(3))
        yield max(in_turn(2))


def by_c():
    sum(rows(6))
    max(in_turn(3))


def by_c_for_long():
    sum(rows(300))
    max(in_turn(150))


def by_c_nested():
    sum(nested(4))
    for x in nested(2):
        first(x)


def by_loop():
    for x in rows(6):
        first(x)
    for x in in_turn(3):
        second(x)


def run_k():
    while True:
        for _ in range(20):
            by_c()
            by_loop()
            by_c_nested()
        by_c_for_long()
        count[0] += 1


start()
run_k()
