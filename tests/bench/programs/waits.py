"""Seven threads of C callers that wait in the kernel: waits.py LIBRARY

Says "ready PID"; answers each line on its input with a line: for each wait its name, how often it was called and how
often it was interrupted.
"""

import ctypes
import os
import sys
import threading

KINDS = ["epoll_wait", "sigtimedwait", "poll", "select", "nanosleep", "futex", "read"]

library = ctypes.CDLL(os.path.abspath(sys.argv[1]))
calls = (ctypes.c_uint64 * len(KINDS))()
interrupted = (ctypes.c_uint64 * len(KINDS))()


def wait(kind):
    library.wait_for_ever(kind, ctypes.byref(calls, 8 * kind), ctypes.byref(interrupted, 8 * kind))


for kind in range(len(KINDS)):
    threading.Thread(target=wait, args=(kind,), daemon=True, name=KINDS[kind]).start()
print("ready", os.getpid(), flush=True)
for _ in sys.stdin:
    print(" ".join("%s %d %d" % (KINDS[i], calls[i], interrupted[i]) for i in range(len(KINDS))), flush=True)
