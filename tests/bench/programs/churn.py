"""Threads that start and end all the time, at most LIVE at once: churn.py LIVE"""

import _thread

from common import arguments, count, start, watch


def leaf(turns):
    total = 0
    for i in range(turns):
        total += i
    return total


def short(done):
    watch()
    leaf(500)
    leaf(500)
    done.release()


def run_s(live):
    locks = [_thread.allocate_lock() for _ in range(live)]
    while True:
        for lock in locks:
            lock.acquire()
            _thread.start_new_thread(short, (lock,))
            leaf(200)
        for lock in locks:
            lock.acquire()
            lock.release()
        count[0] += 1


start(4000)
run_s(int(arguments[0]))
