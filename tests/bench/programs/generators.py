"""Generators: nested `yield from`, loops over generators, a generator expression, a generator that is closed early."""

from common import count, start


def numbers(n):
    for i in range(n):
        yield i


def doubled(n):
    for i in numbers(n):
        yield twice(i)


def twice(x):
    return x * 2


def inner(n):
    yield from numbers(n)
    return n


def middle(n):
    yield from inner(n)
    yield from doubled(n)


def outer(n):
    yield from middle(n)


def by_yield_from():
    total = 0
    for i in outer(6):
        total += twice(i)
    return total


def by_loop():
    total = 0
    for i in doubled(6):
        total += i
    return total


def by_expression():
    return sum(twice(i) for i in numbers(6))


def by_half():
    for i in doubled(100):
        if i > 6:
            return i


def run_g():
    while True:
        for _ in range(20):
            by_yield_from()
            by_loop()
            by_expression()
            by_half()
        count[0] += 1


start()
run_g()
