"""THREADS threads, of which BUSY work and the others wait for an event: many.py THREADS BUSY"""

import threading

from common import arguments, count, start


def busy_leaf(turns):
    total = 0
    for i in range(turns):
        total += i * 3 % 7
    return total


def busy():
    while True:
        busy_leaf(3000)
        count[0] += 1


def waits(event):
    event.wait()


threads, working = int(arguments[0]), int(arguments[1])
never = threading.Event()
start(1000)
for i in range(threads - working):
    threading.Thread(target=waits, args=(never,), daemon=True, name="idle-%d" % i).start()
for i in range(working - 1):
    threading.Thread(target=busy, daemon=True, name="busy-%d" % i).start()
busy()
