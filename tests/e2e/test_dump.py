"""`basilisk dump`: as text and as JSON, beside py-spy's where there is one, and each way to fail."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

import dap
from conftest import BASILISK, PYTHON, fixture_path, line_of

WAITING = fixture_path("waiting.py")
MUTATING = fixture_path("mutating.py")

# What `py-spy dump --help` of 0.4.3 lists: long name -> (letter, takes a value)
PY_SPY = {
    "pid": ("p", True), "core": ("c", True), "full-filenames": (None, False), "locals": ("l", False), "json": ("j", False),
    "subprocesses": ("s", False), "native": ("n", False), "nonblocking": (None, False),
}


class Done:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout.decode(), done.stderr.decode()


def dump(*arguments, timeout=60, **options):
    return Done(subprocess.run([BASILISK, "dump", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               stdin=subprocess.DEVNULL, timeout=timeout, **options))


def start(background, *command, **options):
    """A program that has said "ready"."""
    options.setdefault("stdin", subprocess.PIPE)
    process = background.start(list(command), **options)
    line = process.stdout.readline()
    assert line == b"ready\n", line + process.stdout.read()
    return process


def states(pid):
    for tid in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/stat" % (pid, tid)) as file:
            yield file.read().rpartition(")")[2].split()[0]


def start_waiting(background, python=PYTHON, *arguments):
    """waiting.py, when all its threads sleep: it says that it is ready a little before."""
    process = start(background, python, WAITING, *arguments)
    dap.wait_until(lambda: set(states(process.pid)) == {"S"}, what="all threads asleep")
    return process


def py_spy():
    beside = os.path.join(os.path.dirname(sys.executable), "py-spy")
    found = os.environ.get("PY_SPY") or (beside if os.path.exists(beside) else shutil.which("py-spy"))
    if not found:
        pytest.skip("no py-spy: name one in $PY_SPY")
    if "0.4.3" not in subprocess.run([found, "--version"], stdout=subprocess.PIPE).stdout.decode():
        pytest.skip("%s is not py-spy 0.4.3" % found)
    return found


def all_of(pythons):
    found = [(minor, python) for minor, (python, _) in pythons.items() if python]
    assert found
    return found


# ---- the command line

def test_it_has_py_spys_options():
    text = subprocess.run([BASILISK, "dump", "--help"], stdout=subprocess.PIPE, check=True).stdout.decode()
    ours = {name: (letter or None, bool(value)) for letter, name, value in
            re.findall(r"^ +(?:-(\w), +)?--([\w-]+)( [A-Z]+)?  ", text, re.M)}
    assert {name: ours.get(name) for name in PY_SPY} == PY_SPY


def test_what_we_take_for_py_spys_options_is_what_its_help_says():
    text = subprocess.run([py_spy(), "dump", "--help"], stdout=subprocess.PIPE, check=True).stdout.decode()
    found = {name: (letter or None, bool(value)) for letter, name, value in
             re.findall(r"^ {2,6}(?:-(\w), )?--([\w-]+)(?:\.\.\.)?( <\w+>)?", text, re.M) if name != "help"}
    assert found == PY_SPY


@pytest.mark.parametrize("arguments, code, words", [
    ([], 2, "--pid"), (["-p", "x"], 2, "process id"), (["-p", "0"], 2, "process id"), (["4711"], 2, "4711"),
    (["-p", "1", "--every"], 2, "--every"), (["-p", str(os.getpid()), "-n"], 1, "native"),
    (["-p", "1", "--blocking", "--nonblocking"], 2, "opposites"), (["--core", "/nowhere"], 1, "/nowhere"), (["-p", "999999999"], 1, "Process not found"),
])
def test_bad_input_is_answered_in_one_sentence(arguments, code, words):
    done = dump(*arguments)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("basilisk: ") and words in done.err and done.err.count("\n") == 1


# ---- what it shows

def test_every_python_as_text(pythons, background):
    for minor, python in all_of(pythons):
        process = start_waiting(background, python)
        done = dump("-p", process.pid, "-l")
        assert (done.code, done.err) == (0, ""), minor
        lines = done.out.splitlines()
        assert lines[0].startswith("Process %d: " % process.pid) and lines[0].endswith("waiting.py")
        assert re.fullmatch(r"Python v%s\.\d+\S* \(/.*\)" % re.escape(minor), lines[1]), lines[1]
        assert lines[2] == "" and lines[3] == 'Thread %d (system call: read): "MainThread"' % process.pid
        assert "    main (waiting.py:%d)" % line_of(WAITING, "sys.stdin.read()") in lines
        begin = next(i for i, line in enumerate(lines) if line.endswith(' (idle): "f\u00e4den-0"'))
        at = lines.index("    wait (waiting.py:%d)" % line_of(WAITING, "release.wait()"), begin)
        assert lines[at + 1:at + 7] == [
            "        Arguments:",
            "            number: 0",
            "            flag: True",
            "            rest: ('rest',)",
            "            more: {'more': 1}",
            "        Locals:",
        ], minor
        local = dict(line.strip().split(": ", 1) for line in lines[at + 7:at + 12])
        assert local.pop("text") == "\"it's \u00e4 \U0001f40d\\n\""
        assert local.pop("nested") == r"{'list': [1, 2.5, None], 'tuple': (1,), 'set': {1}, b'bytes': bytearray(b'\x00')}"
        assert re.fullmatch("<__main__.Spam object at 0x[0-9a-f]+>", local.pop("spam"))
        assert local.pop("long") == "'" + "x" * 127 + "..."
        assert re.fullmatch("<function wait.<locals>.closes at 0x[0-9a-f]+>", local.pop("closes"))


def test_more_locals_show_more_of_each_value(background):
    process = start_waiting(background)
    for times in range(1, 11):
        done = dump("-p", process.pid, "-" + "l" * times)
        long = re.search(r"^            long: (.*)$", done.out, re.M).group(1)
        assert long == ("'" + "x" * 1000 + "'" if 128 * times >= 1002 else "'" + "x" * (128 * times - 1) + "...")
    assert "long:" not in dump("-p", process.pid).out


DEEP = """
import os, sys, typing
def deep():
    slices = parts = 1
    lists = []
    for _ in range(100000):
        slices, lists = slice(slices), [lists]
        parts = typing.ParamSpecArgs(parts) if sys.version_info >= (3, 12) else slice(parts)
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)  # Python itself may not survive freeing them
deep()
"""


def test_values_of_any_depth(pythons, background):
    for minor, python in all_of(pythons):
        process = start(background, python, "-c", DEEP)
        done = dump("-p", process.pid, *["-l"] * 200)
        assert (done.code, done.err) == (0, ""), minor
        found = dict(re.findall(r"^            (\w+): (.*)$", done.out, re.M))
        assert re.fullmatch(r"(slice\(None, ){100,}.*\.\.\.", found["slices"]), minor
        assert re.fullmatch(r"\[{100,}\.\.\.", found["lists"]) and found["parts"].endswith("..."), minor
        process.stdin.close()
        process.wait()


def test_full_filenames(background):
    process = start_waiting(background)
    assert "(%s:" % WAITING in dump("-p", process.pid, "--full-filenames").out
    package = start(background, PYTHON, "-c", "import concurrent.futures.thread as t\nprint('ready', flush=True)\n"
                    "t.ThreadPoolExecutor(1).submit(input).result()")
    dap.wait_until(lambda: " (concurrent/futures/thread.py:" in dump("-p", package.pid).out, what="a thread of the pool")
    assert "/concurrent/futures/thread.py:" in dump("-p", package.pid, "--full-filenames").out


def test_states(background):
    busy = start(background, PYTHON, "-c", "print('ready', flush=True)\nwhile True: pass")
    # Once it has written its line, for which it lets go of the GIL.
    dap.wait_until(lambda: re.search(r"^Thread %d \(active\+gil\)" % busy.pid, dump("-p", busy.pid).out, re.M),
                   what="a thread that holds the GIL")
    assert "(idle)" in dump("-p", start_waiting(background).pid).out


CALLS = {"MainThread": "system call: read", "reads": "system call: read", "receives": "system call: recvfrom",
         "accepts": "idle", "sleeps": "idle", "waits": "idle", "polls": "idle", "joins": "idle"}
WAITS = {"accepts": "accept4?", "sleeps": "(clock_)?nanosleep|p?select6?", "waits": "futex", "polls": "p?poll|restart_syscall",  # after a stop
         "joins": "wait4"}


@pytest.mark.parametrize("how", [[], ["--blocking"]], ids=["read", "stopped"])
def test_the_system_call_that_a_thread_sleeps_in(how, pythons, background):
    for minor, python in all_of(pythons):
        process = start(background, python, fixture_path("calls.py"))
        dap.wait_until(lambda: set(states(process.pid)) == {"S"}, what="all threads asleep")
        found = dict((name, state) for state, name in
                     re.findall(r'^Thread \d+ \((.*?)\): "(.*)"$', dump("-p", process.pid, *how).out, re.M))
        assert found == CALLS, minor
        for thread in json.loads(dump("-p", process.pid, "-j", *how).out):
            name = thread["thread_name"]
            assert thread["state"] == CALLS[name], minor
            expected = WAITS.get(name) or CALLS[name].rpartition(" ")[2]
            assert re.fullmatch(expected, thread["system_call"]), (minor, name, thread["system_call"])
            assert thread["active"] is False
        process.stdin.close()
        process.wait()


def test_what_runs_is_in_no_system_call(background):
    busy = start(background, PYTHON, "-c", "print('ready', flush=True)\nwhile True: pass")
    dap.wait_until(lambda: json.loads(dump("-p", busy.pid, "-j").out)[0]["state"] == "active+gil", what="a thread that runs")
    assert json.loads(dump("-p", busy.pid, "-j").out)[0]["system_call"] is None


def test_a_thread_that_waits_for_the_gil(background):
    two = start(background, PYTHON, "-c", "import threading\ndef spin():\n    while True: pass\n"
                "threading.Thread(target=spin, daemon=True).start()\nprint('ready', flush=True)\nspin()")

    def both():
        found = sorted(re.findall(r"^Thread \d+ \((.*?)\)", dump("-p", two.pid).out, re.M))
        return found == ["active+gil", "waiting for GIL"]
    dap.wait_until(both, what="one that has the GIL and one that waits for it")


BUSY = """
def work():
    first = second = 0
    print("ready", flush=True)
    while True:
        first += 1
        second += 1
        pair = (first, second)
work()
"""


def test_blocking_shows_values_of_one_moment(pythons, background):
    for minor, python in all_of(pythons):
        process = start(background, python, "-c", BUSY)
        for _ in range(5):
            done = dump("-p", process.pid, "-l", "--blocking")
            assert (done.code, done.err) == (0, ""), minor
            first, second = map(int, re.search(r"first: (\d+)\n +second: (\d+)\n", done.out).groups())
            assert first - second in (0, 1), minor
        dap.wait_until(lambda: "(active+gil)" in dump("-p", process.pid, "--blocking").out, what="a thread that holds the GIL")
        dap.wait_until(lambda: "R" in states(process.pid), what="a process that goes on")
        process.kill()


def test_blocking_waits_for_no_other_tracer(background):
    process = start_waiting(background)
    tracer = shutil.which("strace")
    if not tracer:
        pytest.skip("no strace to hold the process with")
    background.start([tracer, "-f", "-o", os.devnull, "-p", str(process.pid)])

    def is_traced():
        with open("/proc/%d/status" % process.pid) as file:
            return re.search(r"^TracerPid:\s+[1-9]", file.read(), re.M)
    dap.wait_until(is_traced, what="a tracer")
    done = dump("-p", process.pid, "--blocking")
    assert (done.code, done.out) == (1, "") and "strace" in done.err and "already" in done.err
    assert dump("-p", process.pid).code == 0  # without stopping it can be read


def test_blocking_loses_no_signal(background):
    process = start(background, PYTHON, "-c", "import signal, sys\ncount = 0\ndef on(*_):\n    global count\n    count += 1\n"
                    "    print(count, flush=True)\nsignal.signal(signal.SIGUSR1, on)\nprint('ready', flush=True)\n"
                    "while True: signal.pause()")
    for i in range(1, 21):
        stopped = subprocess.Popen([BASILISK, "dump", "-p", str(process.pid), "--blocking"], stdout=subprocess.DEVNULL)
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == b"%d\n" % i
        assert stopped.wait() == 0


def test_two_hundred_threads_by_name(background):
    process = start_waiting(background, PYTHON, "200")
    found = re.findall(r'^Thread (\d+) \((?:idle|system call: read)\): "(.*)"$', dump("-p", process.pid).out, re.M)
    assert sorted(name for _, name in found) == sorted(["MainThread"] + ["f\u00e4den-%d" % i for i in range(200)])
    assert len({tid for tid, _ in found}) == 201


def test_a_name_with_line_breaks_stays_one_line(background):
    process = start(background, PYTHON, "-c", "import threading\nthreading.current_thread().name = 'a\\nb\\x1b[31m'\n"
                    "print('ready', flush=True)\ninput()")
    assert '"a\\x0ab\\x1b[31m"\n' in dump("-p", process.pid).out


# ---- JSON

def keys(value, prefix=""):
    if isinstance(value, dict):
        return {prefix + key for key in value}.union(*[keys(v, prefix + key + ".") for key, v in value.items()])
    if isinstance(value, list):
        return set().union(*[keys(v, prefix) for v in value])
    return set()


def test_json_says_the_same(pythons, background):
    for minor, python in all_of(pythons):
        process = start_waiting(background, python)
        threads = json.loads(dump("-p", process.pid, "-j", "-l").out)
        main = next(t for t in threads if t["os_thread_id"] == process.pid)
        other = next(t for t in threads if t["thread_name"] == "f\u00e4den-0")
        assert (main["thread_name"], main["active"], main["pid"]) == ("MainThread", False, process.pid)
        assert main["thread_id"] > 0 and main["complete"] and main["process_info"] is None
        frame = next(f for f in other["frames"] if f["filename"] == WAITING)
        assert (frame["filename"], frame["short_filename"]) == (WAITING, "waiting.py")
        assert frame["line"] == line_of(WAITING, "release.wait()")
        found = {v["name"]: (v["arg"], v["repr"]) for v in frame["locals"]}
        assert found["number"] == (True, "0") and found["rest"] == (True, "('rest',)")
        assert found["text"][0] is False and all(v["addr"] for v in frame["locals"])
        assert json.loads(dump("-p", process.pid, "-j").out)[0]["frames"][0]["locals"] is None


def test_json_has_the_keys_of_py_spys(background):
    other = py_spy()
    process = start_waiting(background)
    for options in (["-j"], ["-j", "-l"]):
        done = subprocess.run([other, "dump", "-p", str(process.pid), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            pytest.skip("py-spy cannot read the process: %s" % done.stderr.decode().splitlines()[0])
        theirs, ours = json.loads(done.stdout), json.loads(dump("-p", process.pid, *options).out)
        assert keys(theirs) - keys(ours) == set()
        by_tid = {thread["os_thread_id"]: thread for thread in ours}
        assert len(theirs) == len(ours)
        for thread in theirs:
            mine = by_tid[thread["os_thread_id"]]
            for key in ("pid", "thread_id", "thread_name", "active", "owns_gil"):
                assert mine[key] == thread[key], key
            same = ("name", "filename", "short_filename", "line", "module")
            assert [[f[k] for k in same] for f in mine["frames"]] == [[f[k] for k in same] for f in thread["frames"]]
            for a_frame, mine_of_it in zip(thread["frames"], mine["frames"]):
                found = {v["name"] for v in mine_of_it["locals"] or []}
                assert {v["name"] for v in a_frame["locals"] or []} <= found


# ---- children

PARENT = """
import multiprocessing, subprocess, sys
def child(pipe):
    pipe.send(1)
    pipe.recv()
if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    here, there = multiprocessing.Pipe()
    forked = multiprocessing.Process(target=child, args=(there,), daemon=True)
    forked.start()
    here.recv()
    other = subprocess.Popen(["sleep", "1000"])
    again = subprocess.Popen([sys.executable, sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    again.stdout.readline()
    print("ready", flush=True)
    sys.stdin.read()
    other.kill()
    again.stdin.close()
"""


def test_children(background, tmp_path):
    program = tmp_path / "parent.py"
    program.write_text(PARENT)
    process = start(background, PYTHON, str(program), WAITING)
    done = dump("-p", process.pid, "-s")
    assert done.code == 0
    headers = re.findall(r"^Process (\d+): (.*)$", done.out, re.M)
    assert headers[0][0] == str(process.pid) and len(headers) == 4
    assert sum("waiting.py" in command.split()[1] for _, command in headers) == 1
    assert "Parent Process %d" % process.pid in done.out
    assert re.search(r"^Process \d+: sleep 1000\n(.*\n)*?Not a Python process", done.out, re.M)
    processes = json.loads(dump("-p", process.pid, "-s", "-j").out)
    assert [p["pid"] for p in processes] == [int(pid) for pid, _ in headers]
    assert [p["parent"] for p in processes] == [None] + [process.pid] * 3
    assert sum(bool(p["threads"]) for p in processes) == 3
    assert next(p for p in processes if p["command_line"] == "sleep 1000")["error"].startswith("Not a Python process")
    assert len(json.loads(dump("-p", process.pid, "-j").out)) == 1  # threads of the one
    process.stdin.close()
    process.wait()


# ---- what does not stand still

def test_a_program_that_changes_everything_all_the_time(pythons, background):
    for minor, python in all_of(pythons):
        process = start(background, python, MUTATING)
        for i in range(12):
            done = dump("-p", process.pid, "-lll", *(["-j"] if i % 2 else []))
            assert (done.code, done.err) == (0, ""), (minor, done.err)
            if i % 2:
                assert len(json.loads(done.out)) == 3
            else:
                assert done.out.count("\nThread ") == 3
        assert process.poll() is None
        process.kill()


def test_a_program_that_dies_meanwhile(background):
    for i in range(30):
        process = background.start([PYTHON, "-S", "-c", "import time\nprint('ready', flush=True)\nend = time.monotonic() + %f\n"
                                    "while time.monotonic() < end: pass" % (i * 0.002)])
        process.stdout.readline()
        done = dump("-p", process.pid, "-l")
        assert done.code in (0, 1)
        if done.code == 1:
            assert re.search("Process not found|Not a Python process|starting or ending", done.err), done.err
            assert done.out == ""
        process.wait()


def test_a_stopped_program_can_be_read(background):
    process = start_waiting(background)
    os.kill(process.pid, signal.SIGSTOP)
    assert "main (waiting.py:" in dump("-p", process.pid).out
    os.kill(process.pid, signal.SIGCONT)


# ---- not ours

def test_a_process_of_another_user(background):
    if os.geteuid() != 0:
        done = dump("-p", 1)
        assert (done.code, done.out) == (1, "") and "Permission denied" in done.err
        return
    process = start_waiting(background)
    copy = "/tmp/basilisk-of-nobody-%d" % os.getpid()  # the build folder may be one that others cannot enter
    shutil.copy(BASILISK, copy)
    try:
        done = subprocess.run([copy, "dump", "-p", str(process.pid)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              user=65534, group=65534, extra_groups=[])
    finally:
        os.unlink(copy)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"Permission denied" in done.stderr and done.stderr.count(b"\n") == 1


def test_a_process_in_another_namespace(background):
    enter = ["unshare", "--pid", "--mount-proc", "--fork", "--kill-child"]
    if subprocess.run(enter + ["true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("no namespace can be made here")
    outer = start(background, *enter, PYTHON, WAITING)
    with open("/proc/%d/task/%d/children" % (outer.pid, outer.pid)) as file:
        inner = int(file.read().split()[0])
    dap.wait_until(lambda: set(states(inner)) == {"S"}, what="all threads asleep")
    done = dump("-p", inner, "-l")
    assert done.code == 0, done.err
    assert re.search(r'^Thread %d \(system call: read\): "MainThread"' % inner, done.out, re.M)
    assert "            number: 0" in done.out
    outer.stdin.close()
    outer.wait()


KNOWN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "engine", "fixtures", "known.py")
CASES = ["nested", "init", "property", "generators", "genexpr", "comprehension", "asyncio", "through_c", "handler", "exec",
         "deep", "threads"]


def told_by_itself(process):
    """{tid: ["name:line", ...]}, innermost first, as known.py says of its threads."""
    threads, frames = {}, None
    for line in process.stdout:
        fields = line.decode().rstrip("\n").split("\t")
        if fields == [""]:
            return threads
        if len(fields) == 1:
            frames = threads.setdefault(int(fields[0].split()[1]), [])
        else:
            frames.append("%s:%s" % (fields[1], fields[3]))
    raise AssertionError("known.py ended")


@pytest.mark.parametrize("case", CASES)
def test_the_first_look_at_who_sleeps_is_right(background, pythons, case):
    for version, (python, _) in pythons.items():
        if not python:
            continue
        process = background.start([python, KNOWN, case], stdin=subprocess.PIPE)
        expected = told_by_itself(process)
        dap.wait_until(lambda: set(states(process.pid)) == {"S"}, what="all threads asleep")
        done = dump("-p", process.pid, "-j")
        assert done.code == 0, done.err
        threads = {thread["os_thread_id"]: thread for thread in json.loads(done.out)}
        for tid, frames in expected.items():
            found = ["%s:%s" % (frame["name"], frame["line"]) for frame in threads[tid]["frames"]]
            # park() has gone on by a statement or two since it told
            assert found[1:] == frames[1:] and found[0].split(":")[0] == frames[0].split(":")[0], (version, case)
            assert threads[tid]["complete"], (version, case)
        process.stdin.close()
        process.wait(10)
