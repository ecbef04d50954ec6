"""`basilisk record -s`: children of every kind in one profile, those that are no Python by their names."""

import json
import os
import re
import time

import pytest

import dap
import profiles
from conftest import PYTHON
from recording import (  # noqa: F401
    about, exists_soon, finish, line_of, names, nothing_is_left, raw, record, speedscope, start,
)

OUT = ["-f", "speedscope", "-o", "out"]
WORK = "def work(seconds):\n    import time\n    end = time.process_time() + seconds\n    while time.process_time() < end: sum(range(1000))\n"
# A C program that works would have to be built: a shell's loop is one as well.
# A second of work or more: one that lives for less than two looks for children may be missed (docs/record.md).
SHELL = "i=0; while [ $i -lt 1200000 ]; do i=$((i+1)); done"


def seconds_of(document):
    """name of a frame -> CPU seconds that it has by itself, all tracks together"""
    found = {}
    unit = {"nanoseconds": 1e9, "microseconds": 1e6, "milliseconds": 1e3, "seconds": 1.0}
    for profile in document["profiles"]:
        for sample, weight in zip(profile["samples"], profile["weights"]):
            if sample:
                name = document["shared"]["frames"][sample[-1]]["name"]
                found[name] = found.get(name, 0) + weight / unit[profile["unit"]]
    return found


def children_cpu():
    times = os.times()
    return times.children_user + times.children_system


def tracks(document):
    return [profile["name"] for profile in document["profiles"]]


@pytest.mark.parametrize("more", [["--no-ticks"], []], ids=["read", "ticks"])
def test_a_child_that_is_no_python_is_a_track_with_its_cpu_time(more, tmp_path):
    (tmp_path / "app.py").write_text(WORK + "import resource, subprocess, sys\nchild = subprocess.Popen(['sh', '-c', sys.argv[1]])\n"
                                     "work(0.5)\nchild.wait()\nused = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
                                     "print(child.pid, used.ru_utime + used.ru_stime)\n")
    done = record("-s", *more, "-r", "200", *OUT, "--", PYTHON, "app.py", SHELL, cwd=tmp_path)
    assert done.code == 0, done.err
    pid, used = done.out.split()
    document = profiles.check_speedscope(str(tmp_path / "out"))
    found = seconds_of(document)
    assert [name for name in tracks(document) if "PID %s)" % pid in name and "sh" in name], tracks(document)
    # What it used between the last look and its end is nobody's.
    assert abs(found["(not Python: sh)"] - float(used)) < 0.1 + 0.1 * float(used), (found, used)
    assert 0.3 < found["work"] < 0.6, found  # until the first sample of a Python that starts it is nobody's
    assert re.search(r"^1 process was no Python: sh \(PID %s, [\d.]+ s\)$" % pid, done.err, re.M), done.err
    assert document["basilisk"]["errors"] <= 60  # a Python that starts has no frame yet, and a busy machine lets it wait


def test_a_child_that_sleeps_is_there_too(tmp_path):
    done = record("-s", "-r", "100", "-f", "chrometrace", "-o", "out", "--", PYTHON, "-c",
                  WORK + "import subprocess\nwith subprocess.Popen(['sleep', '0.7']): work(0.7)\n", cwd=tmp_path)
    assert done.code == 0, done.err
    assert re.search(r"^1 process was no Python: sleep \(PID \d+, 0\.\d+ s\)$", done.err, re.M), done.err
    with open(str(tmp_path / "out")) as file:
        assert "sleep" in file.read()


@pytest.mark.parametrize("more", [["--no-ticks"], []], ids=["read", "ticks"])
def test_a_child_that_sleeps_all_the_time_is_a_track_of_none(more, background, tmp_path):
    program = background.start([PYTHON, "-c", WORK + "import subprocess\nwith subprocess.Popen(['sleep', '60']) as child:\n"
                                "    print(child.pid, flush=True)\n    while child.poll() is None: work(0.1)\n"])
    child = int(line_of(program.stdout))
    # until it is in its own sleep (a program that starts waits for its files, too): what it used to get there is not
    # the recording's; nanosleep and clock_nanosleep of x86-64 and arm64
    dap.wait_until(lambda: "sleep\n" == open("/proc/%d/comm" % child).read()
                   and open("/proc/%d/syscall" % child).read().split()[0] in ("35", "230", "101", "115"), what="the child's sleep")
    for name in ("speedscope", "chrometrace"):
        done = record("-p", program.pid, "-s", *more, "-d", "1", "-f", name, "-o", name, cwd=tmp_path)
        assert done.code == 0, done.err
        assert re.search(r"^1 process was no Python: sleep \(PID %d, 0\.000 s\)$" % child, done.err, re.M), done.err
    document = profiles.check_speedscope(str(tmp_path / "speedscope"))
    mine = [profile for profile in document["profiles"] if "sleep (PID %d) (not Python)" % child in profile["name"]]
    assert [(profile["samples"], profile["weights"], profile["endValue"]) for profile in mine] == [([], [], 0)], tracks(document)
    assert document["profiles"][document["activeProfileIndex"]]["weights"]
    with open(str(tmp_path / "chrometrace")) as file:
        events = json.load(file)
    events = events["traceEvents"] if isinstance(events, dict) else events
    assert [event for event in events if event["name"] == "process_name" and event["pid"] == child
            and "sleep" in event["args"]["name"]], events[:20]
    os.kill(child, 9)


def test_a_recording_that_saw_only_sleepers_names_them(tmp_path):
    done = record("-s", "-r", "100", *OUT, "--", PYTHON, "-c", "import subprocess; subprocess.run(['sleep', '1'])", cwd=tmp_path)
    if done.summary:  # the start of the Python was seen
        assert "no Python: sleep" in done.err
    else:
        lines = done.err.splitlines()
        assert lines[0].startswith("1 process was no Python: sleep (PID ") and lines[1].startswith("basilisk: No samples"), done.err


def test_they_are_in_a_file_of_stacks_by_their_samples(tmp_path):
    done = record("-s", "-r", "200", "-f", "raw", "-o", "out", "--", PYTHON, "-c",
                  WORK + "import subprocess, sys\nchild = subprocess.Popen(['sh', '-c', sys.argv[1]])\nwork(0.3)\nchild.wait()\n",
                  SHELL, cwd=tmp_path)
    assert done.code == 0, done.err
    found = {stack[-1]: count for stack, count in raw(str(tmp_path / "out")).items() if "not Python" in stack[-1]}
    assert list(found) == ["(not Python: sh)"] and found["(not Python: sh)"] > 10, found


def test_without_children_nothing_of_them_is_told(tmp_path):
    done = record("-r", "100", *OUT, "--", PYTHON, "-c", WORK + "import subprocess\nwith subprocess.Popen(['sleep', '0.5']): work(0.5)\n",
                  cwd=tmp_path)
    assert done.code == 0 and "no Python" not in done.err
    assert not [name for name in names(speedscope(str(tmp_path / "out"))) if "not Python" in name]


@pytest.mark.parametrize("more", [["--no-ticks"], []], ids=["read", "ticks"])
def test_a_child_that_becomes_another_program_and_a_python_again(more, tmp_path):
    (tmp_path / "first.py").write_text(WORK + "import os, sys\nif __name__ == '__main__':\n    work(0.6)\n    first = 1\n"
                                       "    os.execvp('sh', ['sh', '-c', sys.argv[1] + '; exec \"$0\" second.py', sys.executable])\n")
    (tmp_path / "second.py").write_text(WORK.replace("work", "second_work") + "second_work(0.8)\n")
    (tmp_path / "app.py").write_text("import resource, subprocess, sys\nchild = subprocess.Popen([sys.executable, 'first.py', sys.argv[1]])\n"
                                     "child.wait()\nused = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
                                     "print(child.pid, used.ru_utime + used.ru_stime)\n")
    done = record("-s", *more, "-r", "200", *OUT, "--", PYTHON, "app.py", SHELL, cwd=tmp_path)
    assert done.code == 0, done.err
    pid, used = done.out.split()
    document = profiles.check_speedscope(str(tmp_path / "out"))
    found = seconds_of(document)
    assert 0.4 < found["work"] < 0.75 and 0.5 < found["second_work"] < 0.95 and found["(not Python: sh)"] > 0.05, found
    # Nothing counts twice: all of its time is told once, but for what passes unseen at each change.
    of_child = [profile for profile in document["profiles"] if "PID %s)" % pid in profile["name"]]
    told = sum(sum(profile["weights"]) / {"microseconds": 1e6, "nanoseconds": 1e9, "milliseconds": 1e3}[profile["unit"]]
               for profile in of_child)
    assert float(used) - 0.7 < told < float(used) + 0.05, (told, used)
    assert len(of_child) >= 3, tracks(document)


def test_a_child_that_ran_before_has_only_what_it_used_since(background, tmp_path):
    program = background.start([PYTHON, "-c", WORK + "import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', sys.argv[1]], "
                                "stdin=subprocess.PIPE, stdout=subprocess.PIPE)\nchild.stdout.readline()\nprint('up', flush=True)\n"
                                "while True: work(1)\n", WORK + "import os\nparent = os.getppid()\nwork(2)\nprint('worked', flush=True)\n"
                                "while os.getppid() == parent: work(1)\n"])
    assert line_of(program.stdout) == "up"
    done = record("-p", program.pid, "-s", "--no-ticks", "-r", "200", "-d", "1", *OUT, cwd=tmp_path)
    assert done.code == 0, done.err
    assert sum(seconds_of(speedscope(str(tmp_path / "out"))).values()) < 2.3


def test_what_is_left_behind_does_not_keep_a_recording_going(background, tmp_path):
    program = background.start([PYTHON, "-c", WORK + "import subprocess, sys\nchild = subprocess.Popen(['sh', '-c', 'while :; do :; done'])\n"
                                "print(child.pid, flush=True)\nwhile True: work(1)\n"])
    child = int(line_of(program.stdout))
    try:
        recorder = start("-p", program.pid, "-s", "--no-ticks", *OUT, cwd=tmp_path)
        exists_soon(tmp_path / "out", recorder)
        dap.wait_until(lambda: "not Python" in " ".join(tracks(speedscope(str(tmp_path / "out")))), what="its child")
        program.kill()
        done = finish(recorder, timeout=20)
        assert done.code == 0 and about(str(tmp_path / "out"))["reason"] == "the program ended"
    finally:
        os.kill(child, 9)


@pytest.mark.parametrize("more", [["--no-ticks"], [], ["--blocking"]], ids=["read", "ticks", "stopped"])
def test_children_that_die_while_they_are_read_are_ends_and_no_errors(more, tmp_path):
    done = record("-s", *more, "-r", "1000", *OUT, "--", PYTHON, "-c",
                  "import os, signal, time\n"
                  "def spin():\n    while True: sum(range(100))\n"
                  "begin = time.monotonic()\n"
                  "while time.monotonic() - begin < 3:\n"
                  "    some = []\n"
                  "    for _ in range(8):\n"
                  "        pid = os.fork()\n"
                  "        if pid == 0: spin()\n"
                  "        some.append(pid)\n"
                  "    time.sleep(1.2)\n"
                  "    for pid in some:\n        os.kill(pid, signal.SIGKILL)\n        os.waitpid(pid, 0)\n"
                  "print('all', flush=True)\n", cwd=tmp_path, timeout=90)
    assert done.code == 0 and done.out == "all\n", done.err
    said = profiles.check_speedscope(str(tmp_path / "out"))["basilisk"]
    assert said["samples"] > 5 and said["errors"] <= 5 + said["samples"] / 100, said
    assert "spin" in names(speedscope(str(tmp_path / "out")))


def test_hundreds_of_programs_that_live_for_a_moment(tmp_path):
    done = record("-s", "-r", "200", "--no-ticks", *OUT, "--", PYTHON, "-c",
                  WORK + "import subprocess\nfor _ in range(150): subprocess.run(['true'])\nwork(0.3)\n", cwd=tmp_path, timeout=90)
    assert done.code == 0, done.err
    said = about(str(tmp_path / "out"))  # a Python that starts has no frame yet, for as long as the machine lets it
    assert said["errors"] <= 40 and said["torn"] <= said["samples"] / 10, said
