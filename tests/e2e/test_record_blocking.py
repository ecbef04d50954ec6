"""`basilisk record --blocking`: threads that run are stopped for their sample. The program goes on, ends as it would,
and nothing of it stands still afterwards, however the recording ends."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import dap
import profiles
from conftest import BASILISK, PYTHON
from recording import (  # noqa: F401
    about, exists_soon, finish, line_of, names, nothing_is_left, record, speedscope, start,
)

OUT = ["-f", "speedscope", "-o", "out"]
STOPS = re.compile(r"^stops: (\d+)  stopped: ([\d.]+) s of ([\d.]+) s  longest stop: (\d+) us$", re.M)

THREADS = """
import sys, threading, time
def spin():
    while True: sum(range(50))
def wait(): time.sleep(1000)
for work in (spin, spin, wait): threading.Thread(target=work, daemon=True).start()
print('up', flush=True)
spin()
"""

# Ends in the middle of stops, with threads that run and threads that are only just being made.
ENDS = """
import os, sys, threading, time
def spin():
    while True: sum(range(50))
def make():
    while True: threading.Thread(target=sum, args=(range(1000),)).start()
for work in (spin, spin, make): threading.Thread(target=work, daemon=True).start()
end = time.monotonic() + 0.25
while time.monotonic() < end: sum(range(50))
how = sys.argv[1]
if how == 'kill': os.kill(os.getpid(), 9)
os._exit(int(how))
"""

# Each goes on as another program out of a thread that is not its first one.
EXECS = """
import os, sys, threading, time
def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end: sum(range(50))
def become(left):
    spin(0.1)
    os.execv(sys.executable, [sys.executable, '-S', __file__, str(left)])
left = int(sys.argv[1])
if left: threading.Thread(target=become, args=(left - 1,)).start()
spin(1 if left else 0.3)
sys.exit(5)
"""


def states(pid):
    for tid in os.listdir("/proc/%d/task" % pid):
        try:
            with open("/proc/%d/task/%s/stat" % (pid, tid)) as file:
                yield file.read().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            pass


def tracers(pid):
    for tid in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/status" % (pid, tid)) as file:
            yield int(re.search(r"^TracerPid:\s+(\d+)", file.read(), re.M)[1])


def turns(pid):
    with open("/proc/%d/schedstat" % pid) as file:
        return int(file.read().split()[0])


def goes_on(pid):
    """Nobody holds it, none of its threads is stopped, and it works."""
    assert set(tracers(pid)) == {0}
    assert not {"t", "T"} & set(states(pid))
    before = turns(pid)
    dap.wait_until(lambda: turns(pid) > before, what="a program that goes on")


@pytest.fixture
def busy(background):
    process = background.start([PYTHON, "-c", THREADS])
    assert line_of(process.stdout) == "up"
    return process


def test_the_profile_says_how_it_was_made_and_what_it_cost(busy, tmp_path):
    done = record("-p", busy.pid, "--blocking", "-d", "1", "-r", "200", *OUT, cwd=tmp_path)
    assert done.code == 0, done.err
    stops, stopped, seconds, longest = STOPS.search(done.err).groups()
    said = profiles.check_speedscope(str(tmp_path / "out"))["basilisk"]
    assert said["method"] == "stop" and said["stopped"] == int(stops) > 20
    assert 0 < said["stoppedSeconds"] < said["seconds"] and abs(said["stoppedSeconds"] - float(stopped)) < 0.001
    assert said["stoppedSeconds"] / said["stopped"] <= said["longestStopSeconds"] < 1
    assert abs(said["longestStopSeconds"] - int(longest) / 1e6) < 0.000002
    assert (said["filled"], said["unread"]) == (0, 0)
    assert "spin" in names(speedscope(str(tmp_path / "out")))
    goes_on(busy.pid)


def test_without_it_nothing_is_stopped(busy, tmp_path):
    done = record("-p", busy.pid, "--no-ticks", "-d", "0.5", *OUT, cwd=tmp_path)
    said = about(str(tmp_path / "out"))
    assert said["method"] == "read" and said["stopped"] == 0 and "stoppedSeconds" not in said
    assert not STOPS.search(done.err)


@pytest.mark.parametrize("how,code", [("0", 0), ("3", 3), ("255", 255), ("kill", 137)])
def test_how_a_program_ended_is_passed_on(how, code, tmp_path):
    for _ in range(4):
        done = record("--blocking", "-r", "2000", *OUT, "--", PYTHON, "-c", ENDS, how, cwd=tmp_path, timeout=60)
        assert done.code == code, done.err
        assert about(str(tmp_path / "out"))["stopped"] > 0


def test_a_program_of_somebody_else_ends_for_that_one(background, tmp_path):
    for how, code in (("4", 4), ("kill", -9)) * 2:
        process = background.start([PYTHON, "-c", ENDS, how])
        recorder = start("--blocking", "-r", "2000", "-p", process.pid, *OUT, cwd=tmp_path)
        assert process.wait(timeout=30) == code
        finish(recorder)


def test_a_program_that_becomes_another_out_of_any_thread(tmp_path):
    (tmp_path / "execs.py").write_text(EXECS)
    done = record("--blocking", "-r", "2000", *OUT, "--", PYTHON, "-S", "execs.py", "5", cwd=tmp_path, timeout=60)
    assert done.code == 5, done.err


def test_a_recorder_that_is_killed_leaves_nothing_stopped(busy, tmp_path):
    for i in range(10):
        recorder = start("-p", busy.pid, "--blocking", "-r", "5000", "-d", "60", *OUT, cwd=tmp_path)
        exists_soon(tmp_path / "out", recorder)
        time.sleep(0.0013 * i)  # another moment of a stop each time
        recorder.kill()
        recorder.wait()
        goes_on(busy.pid)
        os.unlink(str(tmp_path / "out"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_recorder_that_is_asked_to_end_leaves_nothing_stopped(number, busy, tmp_path):
    recorder = start("-p", busy.pid, "--blocking", "-r", "5000", *OUT, cwd=tmp_path)
    exists_soon(tmp_path / "out", recorder)
    recorder.send_signal(number)
    assert finish(recorder).code == 0
    goes_on(busy.pid)


def test_no_signal_is_lost(background, tmp_path):
    process = background.start([PYTHON, "-c", "import signal\ncount = 0\ndef on(*_):\n    global count\n    count += 1\n"
                                "    print(count, flush=True)\nsignal.signal(signal.SIGUSR1, on)\nprint('up', flush=True)\n"
                                "while True: sum(range(50))"])
    assert line_of(process.stdout) == "up"
    recorder = start("-p", process.pid, "--blocking", "-r", "5000", *OUT, cwd=tmp_path)
    exists_soon(tmp_path / "out", recorder)
    for i in range(1, 201):
        process.send_signal(signal.SIGUSR1)
        assert line_of(process.stdout) == str(i)
    recorder.send_signal(signal.SIGINT)
    assert finish(recorder).code == 0
    goes_on(process.pid)


def test_a_stopped_program_stays_stopped(busy, tmp_path):
    recorder = start("-p", busy.pid, "--blocking", "-r", "500", *OUT, cwd=tmp_path)
    exists_soon(tmp_path / "out", recorder)
    busy.send_signal(signal.SIGSTOP)
    dap.wait_until(lambda: set(states(busy.pid)) == {"T"}, what="a program that is stopped by its user")
    recorder.send_signal(signal.SIGINT)
    assert finish(recorder).code == 0
    assert set(states(busy.pid)) == {"T"}
    busy.send_signal(signal.SIGCONT)
    dap.wait_until(lambda: "R" in states(busy.pid), what="a program that goes on")


def test_another_tracer_is_named(busy, tmp_path):
    strace = shutil.which("strace")
    if not strace:
        pytest.skip("no strace to hold the process with")
    tracer = subprocess.Popen([strace, "-f", "-o", os.devnull, "-p", str(busy.pid)], stderr=subprocess.DEVNULL)
    try:
        dap.wait_until(lambda: 0 not in set(tracers(busy.pid)), what="a tracer")
        done = record("-p", busy.pid, "--blocking", "-d", "1", *OUT, cwd=tmp_path)
        assert done.code == 1 and "held by process %d (%s" % (tracer.pid, strace) in done.err, done.err
        assert not (tmp_path / "out").exists()
        assert record("-p", busy.pid, "--no-ticks", "-d", "0.5", *OUT, cwd=tmp_path).code == 0
    finally:
        tracer.terminate()
        tracer.wait()
    goes_on(busy.pid)


def test_every_python_of_this_machine(pythons, tmp_path):
    for minor, (python, _) in pythons.items():
        if not python:
            continue
        done = record("--blocking", "-r", "500", *OUT, "--", python, "-c",
                      "def inner():\n    return sum(range(200))\ndef outer():\n    for i in range(60000): inner()\nouter()\n",
                      cwd=tmp_path)
        assert done.code == 0, (minor, done.err)
        document = profiles.check_speedscope(str(tmp_path / "out"))
        assert {"inner", "outer", "<module>"} <= names(document), minor
        assert (document["basilisk"]["filled"], document["basilisk"]["unread"]) == (0, 0), minor


def test_children_are_stopped_too(tmp_path):
    done = record("--blocking", "-s", "-r", "500", *OUT, "--", PYTHON, "-c",
                  "import multiprocessing, time\n"
                  "def child():\n    end = time.process_time() + 0.6\n    while time.process_time() < end: sum(range(50))\n"
                  "if True:\n    context = multiprocessing.get_context('fork')\n"
                  "    some = [context.Process(target=child) for _ in range(3)]\n"
                  "    for one in some: one.start()\n    for one in some: one.join()\n"
                  "    print([one.exitcode for one in some])\n", cwd=tmp_path, timeout=60)
    assert done.code == 0 and done.out == "[0, 0, 0]\n", done.err
    assert "child" in names(speedscope(str(tmp_path / "out")))


def test_the_help_says_what_it_costs():
    text = subprocess.run([BASILISK, "record", "--help"], stdout=subprocess.PIPE, check=True).stdout.decode()
    assert "EINTR" in re.search(r"--blocking\s+.*\n?.*", text)[0]
