"""Unequal short calls, three deep: from 0.05 to 10 microseconds, called in turn by two callers of their own."""

from common import count, start


def brief(x):
    return x


def longer(x):
    for _ in range(8):
        x += 1
    return x


def longest(x):
    for _ in range(200):
        x += 1
    return x


def quick(x):
    return brief(x) + brief(x)


def mixed(x):
    brief(x)
    longer(x)
    return brief(x)


def slow(x):
    longer(x)
    return longest(x)


def run_h():
    while True:
        for i in range(50):
            quick(i)
            quick(i)
            mixed(i)
            slow(i)
            mixed(i)
        count[0] += 1


start()
run_h()
