"""The programs and the samplers of the benchmark, each run as a child and measured from outside.

Nothing outlives the process that imports this: every child asks the kernel to be killed with it, and stop() ends it.
"""

import contextlib
import ctypes
import mmap
import os
import re
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
FORKY = "/var/cache/basilisk/forky"  # of tests/support/pythons; has the C library that Austin's binary asks for
_libc = ctypes.CDLL(None)


def _child(core):
    """Runs in the child: it dies with us, and keeps to its core."""
    def prepare():
        _libc.prctl(1, signal.SIGKILL)
        if core is not None:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, {core})
    return prepare


def pythons():
    """{"3.13": path} of what tests/support/pythons finds."""
    text = subprocess.run([REPO + "/tests/support/pythons"], stdout=subprocess.PIPE, text=True, check=True).stdout
    rows = [line.split("\t") for line in text.splitlines()]
    return {row[0]: row[1] for row in rows if row[1] != "-"}


class Program:
    """One of programs/, working; `count()` is the work done so far."""

    def __init__(self, file, *arguments, python, core=0):
        self.file, self.arguments, self.python = file, arguments, python
        self.counter = tempfile.TemporaryFile()
        self.counter.truncate(8)
        self.memory = mmap.mmap(self.counter.fileno(), 8)
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1",
                           BENCH_COUNTER="/proc/%d/fd/%d" % (os.getpid(), self.counter.fileno()))
        self.process = subprocess.Popen([python, "-S", "%s/programs/%s" % (HERE, file), *arguments],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
                                        preexec_fn=_child(core), text=True)
        line = self.process.stdout.readline()
        if not line.startswith("ready"):
            self.stop()
            raise RuntimeError("%s does not start with %s" % (file, python))
        self.pid = self.process.pid
        time.sleep(0.1)  # past its start

    def count(self):
        return struct.unpack("Q", self.memory[:8])[0]

    def waited(self):
        """Seconds that its threads waited for a CPU while they could have run."""
        total = 0
        for tid in os.listdir("/proc/%d/task" % self.pid):
            with contextlib.suppress(OSError):
                with open("/proc/%d/task/%s/schedstat" % (self.pid, tid)) as file:
                    total += int(file.read().split()[1])
        return total / 1e9

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.memory.close()
        self.counter.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def peak_kb(pid):
    """Not rusage's, which still has what was resident in us before exec."""
    with contextlib.suppress(OSError):
        with open("/proc/%d/status" % pid) as file:
            for line in file:
                if line.startswith("VmHWM"):
                    return int(line.split()[1])
    return 0


class Run:
    """What one run of a tool was like."""

    def __init__(self, samples, errors, seconds, cpu, rss_kb, text):
        self.samples, self.errors, self.seconds, self.cpu = samples, errors, seconds, cpu
        self.rss_kb, self.text = rss_kb, text


class Tool:
    name = ""
    own_end = True  # it ends by itself after `seconds`

    def command(self, pid, hz, seconds, out):
        raise NotImplementedError

    def figures(self, text, hz, seconds, threads):
        """(samples of all threads, errors) of what it said."""
        raise NotImplementedError

    def leaves(self, path):
        """{function: samples on top} of the file it wrote."""
        result = {}
        with open(path, errors="replace") as file:
            for line in file:
                stack, _, number = line.rpartition(" ")
                leaf = stack.rpartition(";")[2].split(" (")[0]
                result[leaf] = result.get(leaf, 0) + int(number)
        return result

    def suits(self, minor):
        return True

    def start(self, pid, hz, seconds, out, core=1):
        return subprocess.Popen(self.command(pid, hz, seconds, out), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                stdin=subprocess.DEVNULL, preexec_fn=_child(core))

    def run(self, pid, hz, seconds, out=None, core=1, threads=1):
        """One run; at more than 2 kHz it is ended by SIGINT, since py-spy counts its seconds in samples."""
        with tempfile.TemporaryDirectory() as folder:
            path = out or os.path.join(folder, "out")
            cut = not self.own_end and hz > 2000
            process = self.start(pid, hz, 3600 if cut else seconds, path, core)
            begun, text, resident = time.monotonic(), b"", 0
            while True:
                ready, _, _ = select.select([process.stdout], [], [], 0.05)
                resident = max(resident, peak_kb(process.pid))
                if ready:
                    more = os.read(process.stdout.fileno(), 1 << 16)
                    if not more:
                        break
                    if not text and cut:
                        begun = time.monotonic()  # its first words: it is past its start
                    text += more
                if cut and text and time.monotonic() - begun > seconds:
                    process.send_signal(signal.SIGINT)
                    cut = False
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
            process.stdout.close()
            took = time.monotonic() - begun
            text = text.decode(errors="replace")
            text = re.sub("\x1b\\[[0-9;]*m", "", text)
            samples, errors = self.figures(text, hz, seconds, threads)
            return Run(samples, errors, took, usage.ru_utime + usage.ru_stime, resident, text)

    def cost(self, pid, hz, seconds, threads=1):
        """(CPU microseconds a sample, samples a second, errors in percent): the difference of two durations, so that
        what is done once is left out."""
        short = self.run(pid, hz, 1, threads=threads)
        long = self.run(pid, hz, 1 + seconds, threads=threads)
        samples = max(1, long.samples - short.samples)
        return ((long.cpu - short.cpu) * 1e6 / samples, samples / max(0.01, long.seconds - short.seconds),
                100 * long.errors / max(1, long.samples + long.errors))

    def settled_cost(self, pid, hz, seconds):
        """CPU microseconds a sample that was asked for, from its second second on."""
        def used():
            total = 0
            for tid in os.listdir("/proc/%d/task" % process.pid):
                with open("/proc/%d/task/%s/schedstat" % (process.pid, tid)) as file:
                    total += int(file.read().split()[0])
            return total

        with tempfile.TemporaryDirectory() as folder:
            process = self.start(pid, hz, 60, folder + "/out")
            time.sleep(1.5)
            before, begun = used(), time.monotonic()
            time.sleep(seconds)
            cost = (used() - before) / 1e3 / ((time.monotonic() - begun) * hz)
            process.send_signal(signal.SIGINT)
            process.communicate()
            return cost


class PySpy(Tool):
    name = "py-spy"
    own_end = False
    options = []

    def __init__(self, folder):
        self.path = folder + "/bin/py-spy"

    def command(self, pid, hz, seconds, out):
        return [self.path, "record", "-p", str(pid), "-r", str(hz), "-d", str(int(seconds)), "-f", "raw", "-o", out,
                *self.options]

    def figures(self, text, hz, seconds, threads):
        found = re.search(r"Samples: (\d+) Errors: (\d+)", text)
        if not found:
            raise RuntimeError(self.name + ": " + text[-300:])
        # Of several threads it counts each one's stack; but it ends after so many looks at all of them.
        samples = int(found[1]) if threads == 1 or hz > 2000 else int(hz * seconds)
        return samples, int(found[2])


class PySpyNonblocking(PySpy):
    name = "py-spy --nonblocking"
    options = ["--nonblocking"]


class Austin(Tool):
    name = "Austin"

    def __init__(self, folder):
        self.path = [folder + "/bin/austin"]
        loader = FORKY + "/usr/lib/x86_64-linux-gnu"
        if subprocess.run([*self.path, "--version"], capture_output=True).returncode != 0:
            self.path = [loader + "/ld-linux-x86-64.so.2", "--library-path", loader, *self.path]
        if subprocess.run([*self.path, "--version"], capture_output=True).returncode != 0:
            raise OSError("its binary wants a newer C library")

    def suits(self, minor):
        return 9 <= minor <= 14

    def command(self, pid, hz, seconds, out):
        return [*self.path, "-i", "%dus" % max(1, 1000000 // hz), "-x", str(int(seconds)), "-p", str(pid), "-o", out]

    def figures(self, text, hz, seconds, threads):
        found = re.search(r"(\d+)/(\d+)", text)
        if not found:
            raise RuntimeError("Austin: " + text[-300:])
        return int(found[2]) // threads, int(found[1]) // threads

    def leaves(self, path):
        """Of its own format, MOJO: events of a byte, numbers of 6 and then 7 bits a byte, strings up to a NUL."""
        with open(path, "rb") as file:
            data = file.read()
        at, strings, frames, result, leaf = 4, {}, {}, {}, None

        def number():
            nonlocal at
            byte = data[at]
            value, shift = byte & 63, 6
            at += 1
            while byte & 128:
                byte = data[at]
                value |= (byte & 127) << shift
                shift += 7
                at += 1
            return value

        def string():
            nonlocal at
            end = data.index(0, at)
            value = data[at:end].decode(errors="replace")
            at = end + 1
            return value

        while at < len(data):
            event = data[at]
            at += 1
            if event == 1:
                string(), string()
            elif event == 2:
                number(), number(), string()
                leaf = None
            elif event == 3:
                key, _, scope = number(), number(), number()
                number(), number(), number(), number()
                frames[key] = scope  # said once; the stack itself are the references, innermost last
            elif event == 5:
                leaf = number()
            elif event == 9:
                number()
                name = strings.get(frames.get(leaf), "?")
                result[name] = result.get(name, 0) + 1
            elif event == 11:
                key = number()
                strings[key] = string()
            elif event in (6,):
                string()
            elif event in (10, 12):
                number()
        return result


class Tachyon(Tool):
    name = "Tachyon"

    def __init__(self, python):
        self.python = python

    def suits(self, minor):
        return minor == 15

    def command(self, pid, hz, seconds, out):
        return [self.python, "-m", "profiling.sampling", "attach", "-a", "-r", str(hz), "-d", str(int(seconds)),
                "--collapsed", "-o", out, str(pid)]

    def figures(self, text, hz, seconds, threads):
        found = re.search(r"Captured ([\d,]+) samples", text)
        if not found:
            raise RuntimeError("Tachyon: " + text[-300:])
        samples = int(found[1].replace(",", ""))
        rate = re.search(r"Error rate: ([\d.]+)", text)
        return samples, int(samples * float(rate[1]) / 100) if rate else 0

    def leaves(self, path):
        result = {}
        with open(path, errors="replace") as file:
            for line in file:
                stack, _, number = line.rpartition(" ")
                leaf = stack.rpartition(";")[2].split(":")[1]
                result[leaf] = result.get(leaf, 0) + int(number)
        return result


class Basilisk(Tool):
    name = "Basilisk"
    how = "as it chooses"
    options = []

    def __init__(self, binary):
        self.path = binary
        if "basilisk record (" not in subprocess.run([binary, "record", "--help"], capture_output=True,
                                                     text=True).stdout:
            raise OSError("`basilisk record` is not there yet")

    def command(self, pid, hz, seconds, out):
        return [self.path, "record", "-p", str(pid), "-r", str(hz), "-d", str(int(seconds)), "-f", "raw", "-o", out,
                *self.options]

    def figures(self, text, hz, seconds, threads):
        found = re.search(r"samples: (\d+) +errors: (\d+) +torn: (\d+) +rate: ([\d.]+)", text)
        if not found:
            raise RuntimeError("Basilisk: " + text[-300:])
        # `samples` are stacks of threads that ran; the rate is of looks at all of them.
        return round(float(found[4]) * seconds), int(found[2]) + int(found[3])

    def leaves(self, path):
        result = {}
        with open(path, errors="replace") as file:
            for line in file:
                stack, _, number = line.rpartition(" ")
                leaf = stack.rpartition(";")[2].split(" (")[0]
                result[leaf] = result.get(leaf, 0) + int(number)
        return result


class BasiliskReading(Basilisk):
    how = "reading"
    options = ["--no-ticks"]


def ways(basilisk):
    """How it can get its samples here: by the kernel's clock ticks, where it would choose that, and by reading."""
    tools = [basilisk, BasiliskReading(basilisk.path)]
    with Program("deep.py", "22", python=next(iter(pythons().values()))) as program:
        if "clock tick" not in basilisk.run(program.pid, 100, 1).text:
            return tools[1:]
    basilisk.how = "by ticks (eBPF)"
    return tools


class ClockEvent:
    """The kernel's own event on each thread's CPU clock, and nothing that looks at it: what a tick costs by itself."""
    name = "the bare clock event"

    class Events:
        def __init__(self, pid, hz):
            software, cpu_clock, size, perf_event_open = 1, 0, 128, 298 if os.uname().machine == "x86_64" else 241
            self.fds = []
            for tid in os.listdir("/proc/%d/task" % pid):
                attributes = struct.pack("IIQQ", software, size, cpu_clock, 1000000000 // hz).ljust(size, b"\0")
                fd = _libc.syscall(perf_event_open, attributes, int(tid), -1, -1, 8)
                if fd >= 0:
                    self.fds.append(fd)

        def send_signal(self, _):
            for fd in self.fds:
                os.close(fd)

        def communicate(self):
            pass

    def start(self, pid, hz, seconds, out, core=1):
        return self.Events(pid, hz)

    @classmethod
    def where_allowed(cls):
        """[it], or nothing where the kernel does not let us have one."""
        events = cls.Events(os.getpid(), 100)
        events.send_signal(None)
        return [cls()] if events.fds else []


def install(folder):
    """The peers from PyPI, once."""
    wanted = open(HERE + "/requirements-peers.txt").read()
    stamp = folder + "/.made-from"
    if os.path.exists(stamp) and open(stamp).read() == wanted:
        return
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder + "/bin/pip", "install", "-q", "--disable-pip-version-check", "-r",
                    HERE + "/requirements-peers.txt"], check=True)
    with open(stamp, "w") as file:
        file.write(wanted)


def all_tools(build, found_pythons, folder):
    """([tools], [(name, why it is not there)])."""
    tools, missing = [], []
    try:
        tools.append(Basilisk(build + "/basilisk"))
    except OSError as error:
        missing.append(("Basilisk", str(error)))
    try:
        install(folder)
        for kind in (PySpy, PySpyNonblocking, Austin):
            try:
                tools.append(kind(folder))
            except OSError as error:
                missing.append((kind.name, str(error)))
    except (OSError, subprocess.CalledProcessError) as error:
        missing.append(("py-spy, Austin", "could not be installed: %s" % error))
    if "3.15" in found_pythons:
        tools.append(Tachyon(found_pythons["3.15"]))
    else:
        missing.append(("Tachyon", "no Python 3.15"))
    return tools, missing


def median(values):
    return statistics.median(values) if values else float("nan")
