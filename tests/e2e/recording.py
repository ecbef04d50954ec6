"""Runs of `basilisk record`, and what is in the files that they write."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from conftest import BASILISK

SUMMARY = re.compile(r"^samples: (\d+)  errors: (\d+)  torn: (\d+)  rate: ([\d.]+) Hz  wrote: (.+)$", re.M)
FORMATS = {"flamegraph": ".svg", "raw": None, "speedscope": ".speedscope.json", "chrometrace": None,
           "cpuprofile": ".cpuprofile", "pprof": None}


class Run:
    def __init__(self, done):
        self.code = done.returncode
        self.out = done.stdout.decode(errors="replace")
        self.err = done.stderr.decode(errors="replace")
        found = SUMMARY.search(self.err)
        self.summary = found and dict(zip(("samples", "errors", "torn", "rate", "path"),
                                          [int(found[1]), int(found[2]), int(found[3]), float(found[4]), found[5]]))


def record(*arguments, cwd=None, input=None, timeout=120, **options):
    """Runs to its end."""
    return Run(subprocess.run([BASILISK, "record", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              cwd=cwd and str(cwd), input=input, timeout=timeout, **options))


started = []


def start(*arguments, cwd=None, **options):
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    process = subprocess.Popen([BASILISK, "record", *map(str, arguments)], cwd=cwd and str(cwd), **options)
    started.append(process)
    return process


@pytest.fixture(autouse=True)
def nothing_is_left():
    """Import it: what a failed test left running is ended, the programs of `record` with it."""
    yield
    while started:
        process = started.pop()
        if process.poll() is None:
            with open("/proc/%d/task/%d/children" % (process.pid, process.pid)) as file:
                children = [int(pid) for pid in file.read().split()]
            for pid in children + [process.pid]:
                os.kill(pid, signal.SIGKILL)
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()


def finish(process, timeout=60):
    out, err = process.communicate(timeout=timeout)
    return Run(subprocess.CompletedProcess([], process.returncode, out or b"", err or b""))


def exists_soon(path, process):
    """Waits for the first early file: it records, and has samples."""
    end = time.monotonic() + 60
    while not os.path.exists(str(path)) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    assert os.path.exists(str(path)), "no early file"


def plain(shown):
    """A terminal's text with a line for each time that a line was begun anew."""
    return shown.replace("\r\x1b[K", "\n").replace("\r", "")


def line_of(stream):
    line = stream.readline().decode()
    assert line, "it ended before it said a line"
    return line.strip()


# ---- files

def raw(path):
    """stack (a tuple of frames, outermost first) -> samples"""
    found = {}
    with open(path, encoding="utf-8") as file:
        for line in file.read().splitlines():
            stack, _, count = line.rpartition(" ")
            assert stack and int(count) > 0, line
            found[tuple(stack.split(";"))] = found.get(tuple(stack.split(";")), 0) + int(count)
    return found


def speedscope(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def about(path):
    return speedscope(path)["basilisk"]


def names(document):
    return {frame["name"] for frame in document["shared"]["frames"]}


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def pprof_strings(path):
    """The string table of a pprof file: field 6 of the message Profile."""
    with gzip.open(path) as file:
        data = file.read()
    strings, at = [], 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            _, at = varint(data, at)
            continue
        assert key & 7 == 2, "a field of wire type %d" % (key & 7)
        size, at = varint(data, at)
        if key >> 3 == 6:
            strings.append(data[at:at + size].decode())
        at += size
    assert at == len(data) and strings and strings[0] == ""
    return strings


# ---- a terminal

class Terminal:
    """A command on a terminal of its own, with all that it shows."""

    def __init__(self, command, columns=100, stdout=None, stderr=None, **options):
        import fcntl
        import pty
        import struct
        import termios
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

        def begin():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(command, stdin=slave, stdout=stdout or slave, stderr=stderr or slave,
                                        preexec_fn=begin, **options)
        started.append(self.process)
        os.close(slave)
        self.shown = b""
        self.news = threading.Condition()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        while True:
            try:
                piece = os.read(self.master, 65536)
            except OSError:  # its last process is gone
                piece = b""
            with self.news:
                self.shown += piece
                if not piece:
                    self.shown += b"\0"
                self.news.notify_all()
            if not piece:
                return

    def wait_for(self, what, timeout=30):
        with self.news:
            assert self.news.wait_for(lambda: what in self.shown or self.shown.endswith(b"\0"), timeout), self.shown
            assert what in self.shown, self.shown

    def type(self, text):
        os.write(self.master, text)

    def end(self, timeout=60):
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise
        self.reader.join(10)
        os.close(self.master)
        return self.process.returncode, self.shown.rstrip(b"\0").decode()


PYTHON_C = [sys.executable, "-c"]
BUSY = "import time\nprint('busy', flush=True)\nend = time.process_time() + %s\nwhile time.process_time() < end: sum(range(1000))\n"
