"""Counted work in four functions, 60, 25, 10 and 5 percent, DEPTH frames deep: deep.py DEPTH

The four have the same body, and the count of its turns is the share. Rounds differ in length and order (the same in
every run), so that no steady sampler falls into step with them. Numbers
below 1,000 or above 2**30 cost less or more than others: there are none.
"""

import random
import sys

from common import arguments, count, start


def heavy(turns):
    total = 1000
    for i in range(1000, 1000 + turns):
        total += i * 3 % 7
    return total


def medium(turns):
    total = 1000
    for i in range(1000, 1000 + turns):
        total += i * 3 % 7
    return total


def light(turns):
    total = 1000
    for i in range(1000, 1000 + turns):
        total += i * 3 % 7
    return total


def faint(turns):
    total = 1000
    for i in range(1000, 1000 + turns):
        total += i * 3 % 7
    return total


def run():
    chance = random.Random(60251005)
    work = [(heavy, 60), (medium, 25), (light, 10), (faint, 5)]
    start(200)
    while True:
        chance.shuffle(work)
        unit = chance.randrange(250, 750)
        for function, share in work:
            function(share * unit)
        count[0] += unit


def down(frames):
    if frames > 0:
        down(frames - 1)
    else:
        run()


depth = int(arguments[0])
sys.setrecursionlimit(depth + 1000)
down(depth - 4)  # beside <module>, the last down(), run() and a leaf
