"""What the programs of the benchmark share: saying that they work, counting work, and writing down what is legal.

    PROGRAM.py ...            works without end; says "ready PID" when it begins
    PROGRAM.py ... legal      works under sys.setprofile until nothing new turns up, and prints each call path that the
                              interpreter itself went through: the set of stacks that can exist, lines included

`count[0]` is the work done, a 64-bit number; it lies in the file that BENCH_COUNTER names, where that is set, so that
somebody else can read how fast the program is.

What `legal` prints, fields parted by tabs, callers by the line that calls, outermost first:

    code  NUMBER  name  last part of the file's path  first line  every line that has code, by commas
    path  1 when seen in the last calls, else 0  NUMBER:LINE NUMBER:LINE ... NUMBER
    make  NUMBER  LINE  NUMBER   this line makes that generator or coroutine: the new frame stands there for a moment, on
                                 its first line, and no profile function hears of it
    end
"""

import dis
import inspect
import mmap
import os
import sys
import threading

CALLS = 20000  # without a new path, after which the set is held to be whole


def _counter():
    name = os.environ.get("BENCH_COUNTER")
    if not name:
        return memoryview(bytearray(8)).cast("Q")
    with open(name, "r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")


count = _counter()
legal = len(sys.argv) > 1 and sys.argv[-1] == "legal"
arguments = sys.argv[1:-1] if legal else sys.argv[1:]
GENERATORS = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR

_codes = {}
_seen = {}
_state = {"calls": 0, "newest": 0, "wanted": CALLS}
_lock = threading.Lock()


def _watch(frame, event, _):
    if event not in ("call", "return"):  # what is closed by an exception is not called on every version
        return
    path = [(frame.f_code, 0)]
    outer = frame.f_back
    while outer is not None:
        path.append((outer.f_code, outer.f_lineno))
        outer = outer.f_back
    with _lock:
        _state["calls"] += 1
        key = tuple(path)
        if key not in _seen:
            _state["newest"] = _state["calls"]
        _seen[key] = _state["calls"]
        if _state["calls"] - _state["newest"] >= _state["wanted"]:
            sys.setprofile(None)
            _say()


def _makes():
    """Who may make which generator: by the names that a line loads, and the code that it carries."""
    if sys.version_info < (3, 11):
        return  # the new frame is not linked to its caller there
    by_name = {}
    for code in _codes:
        if code.co_flags & GENERATORS:
            by_name.setdefault(code.co_name, []).append(code)
    for code in _codes:
        line = 0
        for instruction in dis.get_instructions(code):
            line = instruction.positions.lineno or line
            name = getattr(instruction.argval, "co_name", instruction.argval)
            for made in by_name.get(name, []) if isinstance(name, str) else []:
                yield "make\t%d\t%d\t%d" % (_codes[code], line, _codes[made])


def _say():
    out = []
    for path, call in _seen.items():
        words = []
        for code, line in reversed(path):
            if code not in _codes:
                _codes[code] = len(_codes)
                lines = {start for _, start in dis.findlinestarts(code) if start}
                if hasattr(code, "co_lines"):
                    lines.update(line for _, _, line in code.co_lines() if line)
                lines.add(code.co_firstlineno)
                out.append("code\t%d\t%s\t%s\t%d\t%s" % (
                    _codes[code], code.co_name, os.path.basename(code.co_filename), code.co_firstlineno,
                    ",".join(map(str, sorted(lines)))))
            words.append("%d:%d" % (_codes[code], line) if line else "%d" % _codes[code])
        recent = call > _state["calls"] - _state["wanted"]
        out.append("path\t%d\t%s" % (recent, " ".join(words)))
    out.extend(sorted(set(_makes())))
    out.append("end\n")
    data = "\n".join(out).encode()
    while data:
        data = data[os.write(1, data):]
    os._exit(0)


def watch():
    """To be called first in a thread that `threading` did not start."""
    if legal:
        sys.setprofile(_watch)


def start(calls=CALLS):
    """The work begins after this. `calls`: fewer where each takes long and little differs."""
    if legal:
        _state["wanted"] = calls
        threading.setprofile(_watch)
        sys.setprofile(_watch)
    else:
        os.write(1, b"ready %d\n" % os.getpid())
