"""Generators whose calls name nobody: by keyword, by *, of changed functions, of new ones, by C, from pairs of lines."""

from common import count, start


class Pair:
    def __init__(self, x):
        self.x = x

    @property
    def left(self):
        return self.x + 1

    @property
    def right(self):
        return self.x + 2

    def __getitem__(self, x):
        return x + 3

    def add(self, x):
        return x + 4

    def take(self, x):
        return x + 5


def first(x=0, **more):
    for i in range(3):
        x += i
    return x


def second(x=0, **more):
    for i in range(3):
        x += i
    return x


def third(x=0):
    for i in range(3):
        x += i
    return x


def fourth(x=0):
    for i in range(3):
        x += i
    return x


third.__defaults__ = (1,)
fourth.__code__ = fourth.__code__


def by_keyword(n):
    for i in range(n):
        first(x=i)
        second(x=i)
        yield i


def by_star(n):
    for i in range(n):
        some = (i,)
        first(*some)
        second(*some)
        yield i


def of_changed(n):
    for i in range(n):
        third(i)
        fourth(i)
        yield i


def of_new(n):
    for i in range(n):
        def one(x):
            return x + i

        def other(x):
            return x - i
        one(1)
        other(1)
        yield i


def of_bound(n):
    pair = Pair(1)
    add, take = pair.add, pair.take
    for i in range(n):
        add(i)
        take(i)
        yield i


def of_objects(n):
    pair = Pair(1)
    for i in range(n):
        pair.left
        pair.right
        pair[i]
        Pair(i)
        yield i


def by_c(n):
    some = (1, 2, 3)
    for i in range(n):
        max(some, key=third)
        max(some, key=fourth)
        yield i


def run_u():
    while True:
        for kind in (by_keyword, by_star, of_changed, of_new, of_bound, of_objects, by_c):
            for _ in kind(1000):
                pass
            all(kind(30))
            sum(kind(40))
        count[0] += 1


start()
run_u()
