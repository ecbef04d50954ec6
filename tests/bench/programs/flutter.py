"""Many short calls in turn: each lasts some 0.05 to 0.3 microseconds. hot_a is only ever below run_a, and so on."""

from common import count, start


def hot_a(x):
    return x + 1


def hot_b(x):
    return x * 2


def hot_c(x):
    return x - 3


def run_a(x):
    return hot_a(x) + hot_a(x)


def run_b(x):
    y = hot_b(x)
    return hot_b(y)


def run_c(x):
    return hot_c(x)


def run_f():
    while True:
        for i in range(200):
            run_a(i)
            run_b(i)
            run_c(i)
        count[0] += 1


start()
run_f()
