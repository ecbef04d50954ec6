"""One call site that calls Python functions and C functions of 20 to 100 nanoseconds in turn."""

import math

from common import count, start


def py_one(x):
    return x


def py_two(x):
    return x + 1


def py_three(x):
    return x * 3 & 7


def run_p():
    callees = [py_one, abs, py_two, math.sqrt, py_three, hash, py_one, float, py_three, math.floor]
    while True:
        for _ in range(50):
            for callee in callees:
                callee(5)
        count[0] += 1


start()
run_p()
