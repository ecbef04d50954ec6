"""`basilisk record` by what it asks of the kernel (strace): by default nothing is stopped or written into, and a sample is
one read."""

import os
import re
import shutil
import subprocess

import pytest

from conftest import BASILISK, REPO, report
from recording import SUMMARY, about

BUSY = os.path.join(REPO, "tests", "engine", "fixtures", "busy.py")
LEARNT = 1200  # samples after which it has seen enough of a thread (docs/sampling.md: a thousand), and some to spare
TRACED = ("ptrace,process_vm_readv,process_vm_writev,pread64,preadv,preadv2,pwrite64,pwritev,pwritev2,open,openat,openat2,"
          "rename,kill,tkill,tgkill,rt_sigqueueinfo,rt_tgsigqueueinfo,pidfd_send_signal,pidfd_getfd")
MINORS = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15"]


class Trace:
    """The system calls of a recording, as strace wrote them: "1234 name(arguments) = result"."""

    def __init__(self, path):
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        # one that another thread's call came between is in two lines: only its beginning has the arguments
        self.calls = re.findall(r"^\d+ +(\w+)\((.*)$", text, re.M)

    def named(self, *names):
        return [arguments for name, arguments in self.calls if name in names]

    def opened(self, path):
        return [arguments for arguments in self.named("open", "openat", "openat2") if '"%s"' % path in arguments]

    def after(self, name, text):
        """What follows the first call of that name with that text in its arguments."""
        at = next(i for i, (one, arguments) in enumerate(self.calls) if one == name and text in arguments)
        rest = object.__new__(Trace)
        rest.calls = self.calls[at + 1:]
        return rest


@pytest.fixture
def traced(pythons, background, tmp_path):
    strace = shutil.which("strace")
    if not strace:
        pytest.skip("no strace")

    def record(minor, *options):
        python, reason = pythons[minor]
        if not python:
            pytest.skip(reason)
        program = background.start([python, BUSY, "recurse"])  # one thread at work, 21 frames
        assert program.stdout.readline() == b"ready\n"
        command = [BASILISK, "record", "-p", str(program.pid), "-r", "1000", "-f", "speedscope", "-o", "out", *options]
        done = subprocess.run([strace, "-f", "-qq", "--seccomp-bpf", "-e", "trace=" + TRACED, "-e", "signal=none", "-s", "256",
                               "-o", "calls", *command], cwd=str(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=120)
        assert done.returncode == 0 and SUMMARY.search(done.stderr.decode()), done.stderr
        assert program.poll() is None
        return Trace(str(tmp_path / "calls")), program.pid

    return record


def leaves_alone(trace, pid):
    assert trace.named("ptrace") == [] and trace.named("process_vm_writev") == []
    opened = trace.opened("/proc/%d/mem" % pid)
    assert opened and all("O_RDONLY" in arguments and not re.search("O_RDWR|O_WRONLY", arguments) for arguments in opened)
    assert trace.named("pwrite64", "pwritev", "pwritev2", "pidfd_getfd") == []
    signals = trace.named("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal")
    assert [one for one in signals if not re.search(r", 0(, |\))", one)] == []  # to ask whether one lives is no signal
    return True


@pytest.mark.parametrize("minor", MINORS)
def test_reading_stops_nothing_writes_nothing_and_is_one_call_a_sample(minor, traced, tmp_path):
    trace, pid = traced(minor, "-d", "3", "--no-ticks", "--every", "0.25")
    assert leaves_alone(trace, pid)
    whole = about(str(tmp_path / "out"))
    assert whole["method"] == "read"
    learnt = number = 0
    while learnt < LEARNT:
        number += 1
        if not os.path.exists(str(tmp_path / ("out-%d" % number))):
            pytest.skip("%d samples in all: this machine is too busy to tell" % learnt)
        learnt += about(str(tmp_path / ("out-%d" % number)))["sweeps"]
    later = trace.after("rename", '"out-%d"' % number)
    samples = whole["sweeps"] - learnt
    memory = re.search(r"\) = (\d+)$", trace.opened("/proc/%d/mem" % pid)[-1]).group(1)
    words = len([one for one in later.named("pread64") if one.startswith(memory + ", ")])
    reads = len(later.named("process_vm_readv"))
    if samples < 200:
        pytest.skip("%d samples after those that it learns from: this machine is too busy to tell" % samples)
    report("record of %s, read: %d samples, %.3f process_vm_readv and %.3f reads of /proc/PID/mem each" %
           (minor, samples, reads / samples, words / samples))
    assert reads > 0 and reads + words <= 1.25 * samples, (reads, words, samples)


@pytest.mark.skipif(os.geteuid() != 0, reason="eBPF needs root here")
@pytest.mark.parametrize("minor", MINORS)
def test_ticks_stop_nothing_and_write_nothing(minor, traced, tmp_path):
    trace, pid = traced(minor, "-d", "1")
    assert leaves_alone(trace, pid)
    assert about(str(tmp_path / "out"))["method"] == "tick"
