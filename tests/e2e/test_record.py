"""`basilisk record`: each option, each format, each error, beside what py-spy's own help says."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree

import pytest

import profiles
from conftest import BASILISK, PYTHON, fixture_path, report
from recording import (  # noqa: F401
    BUSY, FORMATS, PYTHON_C, about, exists_soon, finish, line_of, names, nothing_is_left, pprof_strings, raw,
    record, speedscope, start,
)

SHARES = fixture_path("shares.py")
THREADS = fixture_path("threads.py")

# What `py-spy record --help` of 0.4.3 lists: long name -> (letter, takes a value, default)
PY_SPY = {
    "pid": ("p", True, None), "full-filenames": (None, False, None), "output": ("o", True, None),
    "format": ("f", True, "flamegraph"), "duration": ("d", True, "unlimited"), "rate": ("r", True, "100"),
    "subprocesses": ("s", False, None), "function": ("F", False, None), "nolineno": (None, False, None),
    "threads": ("t", False, None), "gil": ("g", False, None), "idle": ("i", False, None), "native": ("n", False, None),
    "nonblocking": (None, False, None),
}
HIDDEN = {"hideprogress": (None, False), "capture": (None, False)}


def py_spys_options(text):
    found = {}
    for match in re.finditer(r"^ {2,6}(?:-(\w), )?--([\w-]+)( <\w+>)?((?:(?!^ {2,6}-).*\n)*)", text, re.M):
        letter, name, value, rest = match.groups()
        default = re.search(r"\[default: (\w+)\]", " ".join(rest.split()))
        if name != "help":
            found[name] = (letter, bool(value), default and default[1])
    return found


def our_options():
    text = subprocess.run([BASILISK, "record", "--help"], stdout=subprocess.PIPE, check=True).stdout.decode()
    return {name: (letter, bool(value)) for letter, name, value in
            re.findall(r"^ +(?:-(\w), )?--([\w-]+)( [A-Z]+)?  ", text, re.M)}


def test_it_has_py_spys_options():
    ours = our_options()
    for name, (letter, value, _) in PY_SPY.items():
        assert ours.get(name) == (letter or "", value), name
    for name, (letter, value) in HIDDEN.items():
        assert ours.get(name) == (letter or "", value), name


def test_what_we_take_for_py_spys_options_is_what_its_help_says():
    beside = os.path.join(os.path.dirname(sys.executable), "py-spy")
    py_spy = os.environ.get("PY_SPY") or (beside if os.path.exists(beside) else shutil.which("py-spy"))
    if not py_spy:
        pytest.skip("no py-spy: name one in $PY_SPY")
    if "0.4.3" not in subprocess.run([py_spy, "--version"], stdout=subprocess.PIPE).stdout.decode():
        pytest.skip("%s is not py-spy 0.4.3" % py_spy)
    text = subprocess.run([py_spy, "record", "--help"], stdout=subprocess.PIPE, check=True).stdout.decode()
    assert py_spys_options(text) == PY_SPY
    for name in HIDDEN:  # it takes these without listing them; with a process that is not there it goes no further
        done = subprocess.run([py_spy, "record", "--" + name, "--pid", "999999999"], stderr=subprocess.PIPE)
        assert b"unexpected argument" not in done.stderr, name


# ---- formats

def check_svg(path):
    root = xml.etree.ElementTree.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return "".join(root.itertext())


def about_svg(path):
    """What it says of itself, as about() has it of speedscope files."""
    metadata = xml.etree.ElementTree.parse(path).getroot().find("{http://www.w3.org/2000/svg}metadata")
    return json.loads(metadata.text)["basilisk"]


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_written_and_valid(name, tmp_path):
    done = record("-f", name, "-o", "out", "-r", "200", "--", PYTHON, SHARES, "--seconds", "1", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.summary["path"] == "out" and done.summary["samples"] > 20
    assert done.err.splitlines()[-2].startswith("samples: ") and done.err.splitlines()[-1]  # and how to look at it
    path = str(tmp_path / "out")
    assert sorted(os.listdir(str(tmp_path))) == ["out"]
    if name == "speedscope":
        assert "heavy" in names(profiles.check_speedscope(path))
    elif name == "cpuprofile":
        nodes = profiles.check_cpuprofile(path)["nodes"]
        assert "heavy" in {node["callFrame"]["functionName"] for node in nodes}
    elif name == "flamegraph":
        assert "heavy" in check_svg(path)
    elif name == "raw":
        assert any(stack[-1].startswith("heavy (shares.py:") for stack in raw(path)), raw(path)
    elif name == "chrometrace":
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        events = document["traceEvents"] if isinstance(document, dict) else document
        assert any(event["name"].startswith("heavy") for event in events) and all("ph" in event for event in events)
    else:
        assert "heavy" in pprof_strings(path)


def test_the_last_line_says_how_the_stacks_were_read_as_doctor_and_the_file_do(tmp_path):
    doctor = subprocess.run([BASILISK, "doctor", "--json"], stdout=subprocess.PIPE, timeout=60)
    ticks = [one["status"] for one in json.loads(doctor.stdout)["checks"] if one["check"] == "ticks"]
    default = "tick" if ticks == ["ok"] else "read"
    said = {"tick": "read at each thread's clock tick (eBPF)", "read": "read from outside, nothing stopped",
            "stop": "threads stopped for each sample"}
    for more, method in [([], default), (["--no-ticks"], "read"), (["--blocking"], "stop")]:
        done = record("-f", "speedscope", "-o", "out", *more, "--", PYTHON, SHARES, "--seconds", "1", cwd=tmp_path)
        assert done.code == 0, done.err
        assert about(str(tmp_path / "out"))["method"] == method, (more, ticks)
        assert done.err.splitlines()[-1] == said[method] + "; open it at https://www.speedscope.app"


def test_a_file_without_a_name_gets_one_and_is_a_flame_graph(tmp_path):
    done = record("--", PYTHON, SHARES, "--seconds", "0.4", cwd=tmp_path)
    assert done.code == 0, done.err
    assert re.fullmatch(r"basilisk-profiles/shares\.py-\d{8}-\d{6}\.svg", done.summary["path"])
    path = tmp_path / done.summary["path"]
    assert "heavy" in check_svg(str(path))
    assert os.stat(str(path)).st_mode & 0o777 == 0o600
    assert (tmp_path / "basilisk-profiles" / ".gitignore").read_text() == "*\n"


def test_an_unknown_format_lists_those_there_are(tmp_path):
    done = record("-f", "pdf", "-p", "1", cwd=tmp_path)
    assert done.code == 2
    for name in FORMATS:
        assert name in done.err


# ---- what is recorded

@pytest.fixture
def busy(background):
    """A program that works until the test ends."""
    process = background.start([*PYTHON_C, BUSY % 1000])
    line_of(process.stdout)
    return process


@pytest.mark.parametrize("spelled", [str, hex])
def test_a_process_by_its_id_for_so_many_seconds(spelled, busy, tmp_path):
    done = record("-p", spelled(busy.pid), "-d", "1", "-f", "speedscope", "-o", "out", cwd=tmp_path)
    assert done.code == 0, done.err
    assert 0.95 < about(str(tmp_path / "out"))["seconds"] < 2
    assert about(str(tmp_path / "out"))["sampleRate"] == 100
    assert busy.poll() is None


def test_rate_and_duration_are_kept(busy, tmp_path):
    done = record("--pid=%d" % busy.pid, "-r250", "--duration=0.5", "--format=speedscope", "-oout", cwd=tmp_path)
    assert done.code == 0, done.err
    made = about(str(tmp_path / "out"))
    assert made["sampleRate"] == 250 and 0.45 < made["seconds"] < 1.5


def test_no_moment_of_the_rate_is_lost_uncounted(busy, tmp_path):
    done = record("-p", busy.pid, "-r", "1000", "-d", "3", "--no-ticks", "-f", "speedscope", "-o", "out", cwd=tmp_path)
    assert done.code == 0, done.err
    made = about(str(tmp_path / "out"))
    assert made["method"] == "read" and made["seconds"] >= 3
    assert abs(made["sweeps"] + made["missed"] - 1000 * made["seconds"]) <= 0.01 * 1000 * made["seconds"], made
    assert done.summary["rate"] == pytest.approx(made["sweeps"] / made["seconds"], abs=1)  # what came
    report("record -r 1000 -d 3 --no-ticks: %d looks, %d missed in %.3f s" % (made["sweeps"], made["missed"], made["seconds"]))


def ticks_a_second(made):
    """Of CPU time: a thread's clock stands while it does not run."""
    return (made["samples"] + made["torn"]) / made["cpuSeconds"]


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="eBPF needs root here")


@root_only
@pytest.mark.parametrize("rate", [100, 1000, 20000])
def test_by_ticks_the_rate_that_is_told_is_that_of_the_ticks_that_came(rate, busy, tmp_path):
    done = record("-p", busy.pid, "-r", rate, "-d", "2", "-f", "speedscope", "-o", "out", cwd=tmp_path)
    assert done.code == 0, done.err
    made = about(str(tmp_path / "out"))
    assert made["method"] == "tick" and made["sampleRate"] == rate
    assert done.summary["rate"] == pytest.approx(ticks_a_second(made), rel=0.005), made
    report("record -r %d -d 2 by ticks: %.1f Hz came" % (rate, done.summary["rate"]))


@root_only
def test_by_ticks_the_rate_that_is_told_lacks_what_was_lost(background, tmp_path):
    """A recorder that stands still while the ring fills up: what finds no room there is lost, and was no sample."""
    text = ("import signal, time\nend = [None]\n"
            "def on(*_): end[0] = time.process_time() + 4\n"
            "signal.signal(signal.SIGUSR1, on)\nprint('ready', flush=True)\n"
            "while True:\n    sum(range(1000))\n"
            "    if end[0] and time.process_time() > end[0]:\n        end[0] = None\n        print('used', flush=True)\n")
    program = background.start([*PYTHON_C, text])
    assert line_of(program.stdout) == "ready"
    process = start("-p", program.pid, "-r", "20000", "-f", "speedscope", "-o", "out", cwd=tmp_path)
    exists_soon(tmp_path / "out", process)
    process.send_signal(signal.SIGSTOP)
    program.send_signal(signal.SIGUSR1)
    assert line_of(program.stdout) == "used"  # 4 s of CPU time: 80,000 ticks, and the ring takes 4 MiB
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.code == 0, done.err
    made = about(str(tmp_path / "out"))
    assert made["method"] == "tick" and made["errors"] > 10000, made
    assert done.summary["rate"] == pytest.approx(ticks_a_second(made), rel=0.005) and done.summary["rate"] < 17000, made


@root_only
def test_what_does_not_tick_has_no_part_in_the_rate(tmp_path):
    text = ("import subprocess, time\nother = subprocess.Popen(['sh', '-c', 'while :; do :; done'])\n"
            "end = time.process_time() + 1\nwhile time.process_time() < end: sum(range(1000))\nother.kill()\n")
    done = record("-s", "-r", "20000", "-f", "speedscope", "-o", "out", "--", *PYTHON_C, text, cwd=tmp_path)
    assert done.code == 0, done.err
    document = profiles.check_speedscope(str(tmp_path / "out"))
    made = document["basilisk"]
    assert made["method"] == "tick", made
    seconds = {True: 0, False: 0}
    for one in document["profiles"]:
        seconds["(not Python)" in one["name"]] += sum(one["weights"]) / 1e9
    assert seconds[True] > 0.1 and made["errors"] == 0, made
    ticks = made["samples"] + made["torn"] - 20000 * seconds[True]  # the others' are made of their CPU time
    assert done.summary["rate"] == pytest.approx(ticks / seconds[False], rel=0.005), (made, seconds)


def frames_of(tmp_path, busy, *options):
    done = record("-p", busy.pid, "-d", "0.6", "-r", "200", "-f", "raw", "-o", "out", *options, cwd=tmp_path)
    assert done.code == 0, done.err
    return done, raw(str(tmp_path / "out"))


@pytest.fixture
def program(background, tmp_path):
    """outer (line 5, or 6) calls inner in another folder; a second thread is named."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "inner.py").write_text("def inner(n):\n    total = 0\n    for i in range(n):\n        total += i\n    return total\n")
    (tmp_path / "app.py").write_text(
        "import sys, threading, time\nsys.path.insert(0, 'lib')\nimport inner as other\n"
        "def outer():\n    while True:\n        other.inner(20000)\n        other.inner(20000)\n"
        "threading.Thread(target=outer, name='second', daemon=True).start()\nprint('up', flush=True)\nouter()\n")
    process = background.start([PYTHON, "app.py"], cwd=str(tmp_path))
    line_of(process.stdout)
    return process


def test_lines_functions_and_threads(program, tmp_path):
    _, plain = frames_of(tmp_path, program)
    assert {re.sub(r".*:", "", stack[-2]) for stack in plain if stack[-1].startswith("inner")} == {"6)", "7)"}
    assert not any(frame.startswith("thread (") for stack in plain for frame in stack)

    _, found = frames_of(tmp_path, program, "-F")
    ends = {stack[-2:] for stack in found if stack[-1].startswith("inner")}
    assert ends == {("outer (app.py:4)", "inner (lib/inner.py:1)")}, found

    _, found = frames_of(tmp_path, program, "--nolineno")
    assert {stack[-2:] for stack in found if "inner" in stack[-1]} == {("outer (app.py)", "inner (lib/inner.py)")}, found

    _, found = frames_of(tmp_path, program, "--full-filenames", "--nolineno")
    assert any(stack[-1] == "inner (%s/lib/inner.py)" % tmp_path for stack in found), found

    _, found = frames_of(tmp_path, program, "-tF")
    assert all(stack[0].startswith("thread (") for stack in found), found
    assert "thread (%d): MainThread" % program.pid in {stack[0] for stack in found}
    assert any(re.fullmatch(r"thread \(\d+\)(: second)?", stack[0]) for stack in found), found
    assert len({stack[0] for stack in found}) == 2


def test_frames_by_their_paths(program, tmp_path):
    done, found = frames_of(tmp_path, program, "--only", "lib/", "--nolineno")
    assert set(found) == {("inner (inner.py)",)} or set(found) == {("inner (lib/inner.py)",)}, found
    done, found = frames_of(tmp_path, program, "--exclude", "inner.py", "--exclude", "threading.py", "--nolineno")
    assert all(stack[-1] == "outer (app.py)" for stack in found), found  # what inner used is outer's now
    done = record("-p", program.pid, "-d", "0.5", "-f", "raw", "-o", "none", "--only", "/nowhere", cwd=tmp_path)
    assert done.code == 1 and "No samples" in done.err and "--only" in done.err
    assert not (tmp_path / "none").exists()


def test_stretches_of_time_have_files_of_their_own(busy, tmp_path):
    done = record("-p", busy.pid, "-d", "1.7", "--every", "0.5", "-f", "speedscope", "-o", "all.json", cwd=tmp_path)
    assert done.code == 0, done.err
    files = sorted(file for file in os.listdir(str(tmp_path)) if file.startswith("all-"))
    assert len(files) in (3, 4) and files[0] == "all-1.json"
    parts = [profiles.check_speedscope(str(tmp_path / file))["basilisk"] for file in files]
    whole = profiles.check_speedscope(str(tmp_path / "all.json"))["basilisk"]
    assert sum(part["samples"] for part in parts) == whole["samples"]
    assert abs(sum(part["seconds"] for part in parts) - whole["seconds"]) < 0.05


FOLDED = {"raw": ".folded", "flamegraph": ".svg"}


@pytest.mark.parametrize("name", FOLDED)
def test_stretches_of_formats_that_only_count_add_up_too(name, busy, tmp_path):
    whole = "all" + FOLDED[name]
    done = record("-p", busy.pid, "-r", "200", "-d", "1.2", "--every", "0.5", "-f", name, "-o", whole, cwd=tmp_path)
    assert done.code == 0, done.err
    files = sorted(file for file in os.listdir(str(tmp_path)) if file.startswith("all-"))
    assert files in (["all-%d%s" % (i, FOLDED[name]) for i in (1, 2)], ["all-%d%s" % (i, FOLDED[name]) for i in (1, 2, 3)])

    def samples(file):
        if name == "raw":
            return sum(raw(str(tmp_path / file)).values())
        return about_svg(str(tmp_path / file))["samples"]

    assert sum(map(samples, files)) == samples(whole) == done.summary["samples"] > 0


@pytest.mark.parametrize("name", ["speedscope", *FOLDED])
@pytest.mark.parametrize("output", ["fifo", "/dev/stdout", "/dev/null"])
def test_stretches_beside_what_is_no_file_are_refused_before_anything_starts(output, name, tmp_path):
    os.mkfifo(str(tmp_path / "fifo"))  # that nobody reads: to open it would wait for ever
    done = record("--every", "0.1", "-f", name, "-o", output, "--", "touch", "started", cwd=tmp_path, timeout=30)
    assert done.code == 2 and done.out == "" and len(done.err.splitlines()) == 1, done.err
    assert "--every" in done.err and output in done.err and "name a regular file" in done.err
    assert os.listdir(str(tmp_path)) == ["fifo"]
    assert not [file for file in os.listdir("/dev") if file.startswith(("stdout-", "null-"))]


@pytest.mark.parametrize("how", ["fork", "spawn", "subprocess"])
def test_children_are_in_the_profile_when_asked_for(how, tmp_path):
    command = ["--", PYTHON, fixture_path("children.py"), how, "--seconds", "1"]
    done = record("-s", "-f", "speedscope", "-o", "out", *command, cwd=tmp_path)
    assert done.code == 0, done.err
    parent, child = re.search(r"parent (\d+) child (\d+)", done.out).groups()
    document = profiles.check_speedscope(str(tmp_path / "out"))
    assert {"parent_work", "child_work"} <= names(document)
    tracks = " ".join(profile["name"] for profile in document["profiles"])
    assert parent in tracks and child in tracks
    done = record("-f", "speedscope", "-o", "out", *command, cwd=tmp_path)
    assert "child_work" not in names(speedscope(str(tmp_path / "out")))


def test_a_pool_of_processes_and_what_becomes_another_program(tmp_path):
    (tmp_path / "pool.py").write_text(
        "import multiprocessing, os, sys, time\n"
        "def pooled(n):\n    end = time.process_time() + 0.4\n    while time.process_time() < end: sum(range(1000))\n    return os.getpid()\n"
        "def after():\n    end = time.process_time() + 0.4\n    while time.process_time() < end: sum(range(1000))\n"
        "if __name__ == '__main__':\n"
        "    if 'again' in sys.argv:\n        after()\n        sys.exit(0)\n"
        "    with multiprocessing.Pool(2) as pool: print(len(set(pool.map(pooled, range(4), 1))))\n"
        "    os.execv(sys.executable, [sys.executable, __file__, 'again'])\n")
    done = record("-s", "-f", "speedscope", "-o", "out", "--", PYTHON, "pool.py", cwd=tmp_path)
    assert done.code == 0, done.err
    assert {"pooled", "after"} <= names(speedscope(str(tmp_path / "out")))


def test_idle_and_gil_are_taken(busy, tmp_path):
    for option in ("-i", "-g", "--no-ticks", "--nonblocking"):
        done = record("-p", busy.pid, "-d", "0.5", "-f", "speedscope", "-o", "out", option, cwd=tmp_path)
        assert done.code == 0 and done.summary["samples"] > 0, (option, done.err)


def test_idle_shows_where_a_program_waits(background, tmp_path):
    sleeper = background.start([PYTHON, fixture_path("sleeper.py")])
    line_of(sleeper.stdout)
    done = record("-p", sleeper.pid, "-i", "-d", "1", "-f", "raw", "-o", "out", cwd=tmp_path)
    assert done.code == 0, done.err
    found = raw(str(tmp_path / "out"))
    assert list(found) == [("<module> (sleeper.py:8)",)] and found[("<module> (sleeper.py:8)",)] > 50


@pytest.mark.parametrize("how", [[], ["--no-ticks"], ["--idle"], ["--blocking"]], ids=["ticks", "read", "idle", "stopped"])
def test_time_in_system_calls_is_told(how, tmp_path):
    program = ("import os, threading, time\npipe, end = os.pipe()\n"
               "def write():\n    time.sleep(0.6)\n    os.write(end, b'x')\n"
               "def read():\n    while time.process_time() < 0.3: pass\n"
               "    threading.Thread(target=write).start()\n    os.read(pipe, 1)\n"
               "read()\nsum(range(3000000))\n")
    done = record("-r", "200", "-f", "speedscope", "-o", "out", *how, "--", PYTHON, "-c", program, cwd=tmp_path)
    assert done.code == 0, done.err
    said = about(str(tmp_path / "out"))
    assert 0.3 < said["systemCallSeconds"] < 1.0, said


def test_gil_counts_one_thread_at_a_time(background, tmp_path):
    threads = background.start([PYTHON, THREADS, "--busy", "3", "--idle", "0", "--seconds", "60"])
    document = {}
    for options in [], ["-g"]:
        done = record("-p", threads.pid, "-d", "1", "-f", "speedscope", "-o", "out", *options, cwd=tmp_path)
        assert done.code == 0, done.err
        document = about(str(tmp_path / "out"))
    assert 0 < document["gilSeconds"] <= document["seconds"] * 1.05


@pytest.mark.parametrize("how", [[], ["--no-ticks"]], ids=["ticks", "read"])
def test_samples_without_the_gil_are_not_counted_with_it(how, background, tmp_path):
    text = ("import hashlib, time\ndata = b'x' * (1 << 22)\nprint('ready', flush=True)\nend = time.monotonic() + 60\n"
            "while time.monotonic() < end:\n    hashlib.sha256(data).digest()\n    sum(range(100000))\n")
    target = background.start([*PYTHON_C, text])
    done = record("-p", target.pid, "-d", "1", "-r", "500", "-g", "-f", "raw", "-o", "out", *how, cwd=tmp_path)
    assert done.code == 0, done.err
    assert 0 < done.summary["samples"] < 450 and sum(raw(str(tmp_path / "out")).values()) == done.summary["samples"], done.err


# ---- where it goes

def test_a_link_stays_a_link_and_what_is_no_file_is_written_as_it_is(busy, tmp_path):
    (tmp_path / "real").write_text("before")
    (tmp_path / "link").symlink_to("real")
    done = record("-p", busy.pid, "-d", "0.4", "-f", "speedscope", "-o", "link", cwd=tmp_path)
    assert done.code == 0 and (tmp_path / "link").is_symlink(), done.err
    profiles.check_speedscope(str(tmp_path / "real"))
    done = record("-p", busy.pid, "-d", "0.4", "-f", "speedscope", "-o", "/dev/stdout", cwd=tmp_path)
    assert done.code == 0 and json.loads(done.out)["profiles"], done.err
    os.mkfifo(str(tmp_path / "fifo"))
    reader = subprocess.Popen(["cat", "fifo"], cwd=str(tmp_path), stdout=subprocess.PIPE)
    done = record("-p", busy.pid, "-d", "0.4", "-f", "speedscope", "-o", "fifo", cwd=tmp_path)
    assert json.loads(reader.communicate(timeout=30)[0])["profiles"]
    assert (tmp_path / "fifo").is_fifo()


@pytest.mark.parametrize("output, reason", [
    ("/nowhere/at/all/out.svg", "Output directory not writable"), ("{}", "is a folder"),
    ("{}/file/out.svg", "Output directory not writable"), ("x" * 300, "too long"),
])
def test_an_output_that_cannot_be_written_is_said_before_anything_starts(output, reason, busy, tmp_path):
    (tmp_path / "file").write_text("")
    done = record("-o", output.format(tmp_path), "--", "touch", "started", cwd=tmp_path)
    assert done.code == 1 and reason.lower() in done.err.lower(), done.err
    assert not (tmp_path / "started").exists()
    assert len(done.err.splitlines()) == 1


# ---- errors

@pytest.mark.parametrize("arguments, code, reason", [
    ([], 2, "--pid PID, or a command"), (["-p", "1", "--", "true"], 2, "not both"), (["--"], 2, "a command"),
    (["-p"], 2, "wants PID"), (["-p", "zero"], 2, "process id"), (["-p", "0"], 2, "process id"),
    (["-p", "-5"], 2, "process id"), (["-p", "0x"], 2, "process id"), (["-p", "4294967297"], 2, "process id"),
    (["-p", "1", "-r", "0"], 2, "whole number"), (["-p", "1", "-r", "many"], 2, "whole number"),
    (["-p", "1", "-d", "0"], 2, "seconds"), (["-p", "1", "-d", "nan"], 2, "seconds"),
    (["-p", "1", "-d", "-1"], 2, "seconds"), (["-p", "1", "--every", "no"], 2, "seconds"),
    (["-p", "1", "--nope"], 2, "no option"), (["-p", "1", "-Z"], 2, "no option"),
    (["-p", "1", "-F", "--nolineno"], 2, "together"), (["-p", "1", "--blocking", "--nonblocking"], 2, "together"),
    (["-p", "1", "-o", ""], 2, "wants FILE"), (["-p", "1", "--threads=yes"], 2, "no value"),
    (["-p", "999999999", "-o", "out"], 1, "Process not found"), (["-n", "-p", "1"], 1, "native"),
    (["-o", "out", "--", "no-such-program"], 1, "cannot start no-such-program"),
])
def test_errors_are_one_sentence(arguments, code, reason, tmp_path):
    done = record(*arguments, cwd=tmp_path)
    assert done.code == code and reason in done.err, done.err
    assert done.err.startswith("basilisk: ") and len(done.err.splitlines()) == 1 and done.out == ""
    assert os.listdir(str(tmp_path)) == []


def test_a_process_that_is_no_python(background, tmp_path):
    sleep = background.start(["sleep", "60"])
    done = record("-p", sleep.pid, cwd=tmp_path)
    assert done.code == 1 and "Not a Python process" in done.err
    assert os.listdir(str(tmp_path)) == []


def test_a_program_that_only_sleeps_has_no_samples(background, tmp_path):
    sleeper = background.start([PYTHON, fixture_path("sleeper.py")])
    line_of(sleeper.stdout)
    (tmp_path / "out").write_text("before")
    done = record("-p", sleeper.pid, "-d", "0.5", "-o", "out", cwd=tmp_path)
    assert done.code == 1 and "No samples" in done.err and "--idle" in done.err
    assert (tmp_path / "out").read_text() == "before"


# ---- a file of options

def test_options_from_a_file_and_the_command_line_wins(program, tmp_path):
    (tmp_path / "options").write_text(
        "# ours\n\nformat = raw\n  rate=50   # a comment\noutput = \"from file\"\nnolineno = true\nthreads = false\n"
        "exclude = \"inner.py\"\nduration = 0.5\r\n")
    done = record("--config", "options", "-p", program.pid, cwd=tmp_path)
    assert done.code == 0 and done.summary["path"] == "from file", done.err
    assert all(stack[-1] == "outer (app.py)" for stack in raw(str(tmp_path / "from file")))
    done = record("-p", program.pid, "-o", "other", "--config=options", "--exclude", "app.py", "--only", "nothing",
                  cwd=tmp_path)
    assert done.code == 1 and "No samples" in done.err


def lines_of(tmp_path):
    """How the stacks in "out" end: whether each line is told apart, summed by function, or left out."""
    ends = {re.sub(r"^inner \(.*\.py|\)$", "", stack[-1]) for stack in raw(str(tmp_path / "out")) if "inner" in stack[-1]}
    return "nolineno" if ends == {""} else "function" if ends == {":1"} else ends


def way_of(tmp_path):
    return {"stop": "blocking"}.get(about(str(tmp_path / "out"))["method"], "nonblocking")


OPPOSITES = [("function", "nolineno", "raw", lines_of), ("blocking", "nonblocking", "speedscope", way_of)]
OPPOSITES += [(other, one, name, told) for one, other, name, told in OPPOSITES]


@pytest.mark.parametrize("one, other, name, told", OPPOSITES)
def test_of_two_opposites_that_of_the_command_line_wins(one, other, name, told, program, tmp_path):
    (tmp_path / "options").write_text("rate = 200\n%s = true\n" % one)
    command = ["-p", program.pid, "-d", "0.6", "-f", name, "-o", "out", "--config", "options"]
    done = record(*command, cwd=tmp_path)
    assert done.code == 0 and told(tmp_path) == one, done.err
    done = record(*command, "--" + other, cwd=tmp_path)
    assert done.code == 0 and told(tmp_path) == other, done.err


@pytest.mark.parametrize("one, other", [row[:2] for row in OPPOSITES])
def test_two_opposites_in_one_place_are_an_error(one, other, tmp_path):
    (tmp_path / "options").write_text("rate = 200\n%s = true\n\n%s = true\n" % (one, other))
    done = record("-p", "1", "--config", "options", cwd=tmp_path)
    assert done.code == 2 and done.err.startswith("basilisk: options:4: --"), done.err
    assert "--%s " % one in done.err and " cannot be used together" in done.err and len(done.err.splitlines()) == 1
    for text in "", "%s = true\n" % one, "%s = false\n%s = true\n" % (one, other):
        (tmp_path / "options").write_text(text)
        done = record("-p", "1", "--config", "options", "--" + one, "--" + other, cwd=tmp_path)
        assert done.code == 2 and done.err.startswith("basilisk: --") and "cannot be used together" in done.err, done.err


def test_a_command_wins_over_a_pid_of_the_file(tmp_path):
    (tmp_path / "options").write_text("pid = 999999999\nformat = speedscope\n")
    done = record("--config", "options", "-o", "out", "--", *PYTHON_C, BUSY % 0.3, cwd=tmp_path)
    assert done.code == 0 and about(str(tmp_path / "out"))["samples"] > 0, done.err


@pytest.mark.parametrize("text, code, reason", [
    ("rate = 50\nrat = 3\n", 2, "options:2: there is no option rat"),
    ("rate\n", 2, "options:1: a line is `name = value`"), ("\n\nrate =\n", 2, "options:3: a value is missing"),
    ("rate = fast\n", 2, "options:1: --rate is a whole number"), ("threads = yes\n", 2, "options:1: it is true or false"),
    ("output = \"a\" b\n", 2, "options:1: a value is missing, or its quotes"), ("config = x\n", 2, "options:1: there is no option"),
    ("a = \0b\n", 1, "options is no text"), ("#" * 70000, 1, "options is larger"), (None, 1, "cannot read options"),
])
def test_a_file_of_options_that_is_wrong_says_where(text, code, reason, tmp_path):
    if text is not None:
        (tmp_path / "options").write_text(text)
    done = record("--config", "options", "-p", "1", cwd=tmp_path)
    assert done.code == code and reason in done.err and len(done.err.splitlines()) == 1, done.err


# ---- its end

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_recording_and_writes_it(number, busy, tmp_path):
    out = tmp_path / "out"
    process = start("-p", busy.pid, "-f", "speedscope", "-o", "out", cwd=tmp_path)
    exists_soon(out, process)
    process.send_signal(number)
    done = finish(process)
    assert done.code == 0, done.err
    assert profiles.check_speedscope(str(out))["basilisk"]["reason"] == "stopped"
    assert busy.poll() is None


def test_a_signal_that_a_shell_ignores_for_us_is_heard(busy, tmp_path):
    script = "\"$0\" record -p %d -f speedscope -o out 2>err & echo $!; wait $!" % busy.pid
    shell = subprocess.Popen(["sh", "-c", script, BASILISK], cwd=str(tmp_path), stdout=subprocess.PIPE)
    pid = int(line_of(shell.stdout))
    exists_soon(tmp_path / "out", shell)
    os.kill(pid, signal.SIGINT)
    assert shell.wait(30) == 0, (tmp_path / "err").read_text()
    shell.stdout.close()


def test_the_end_of_the_program_ends_a_recording(background, tmp_path):
    program = background.start([*PYTHON_C, BUSY % 1000])
    line_of(program.stdout)
    process = start("-p", program.pid, "-f", "speedscope", "-o", "out", cwd=tmp_path)
    exists_soon(tmp_path / "out", process)
    program.kill()
    program.wait()
    done = finish(process)
    assert done.code == 0, done.err
    assert profiles.check_speedscope(str(tmp_path / "out"))["basilisk"]["reason"] == "the program ended"


def test_it_says_when_too_much_is_missing(pythons, tmp_path):
    """Before 3.11 calls of a third of a microsecond cannot be read from outside; a slow stack can, from then on."""
    programs = os.path.join(os.path.dirname(__file__), os.pardir, "bench", "programs")
    old = [pythons[minor][0] for minor in ("3.8", "3.9", "3.10") if minor in pythons and pythons[minor][0]]
    new = [pythons[minor][0] for minor in ("3.11", "3.12", "3.13") if minor in pythons and pythons[minor][0]]
    if not old or not new:
        pytest.skip("there is no CPython before and after 3.11")
    for python, program in ((old[0], ["flutter.py"]), (new[-1], ["deep.py", "22"]), (new[-1], ["generators.py"])):
        done = record("--no-ticks", "-r", "500", "-d", "2", "-f", "speedscope", "-o", "out", "--", python, "-S",
                      os.path.join(programs, program[0]), *program[1:], cwd=tmp_path)
        assert done.code == 0, done.err
        told = profiles.check_speedscope(str(tmp_path / "out"))["basilisk"]
        # Who is held up stands still: on a busy machine little may be torn, or guessed.
        stacks = told["samples"] + told["torn"]
        torn = 10 * told["torn"] > stacks
        guessed = not torn and 4 * (told["filled"] + told["unread"]) > stacks
        assert ("changed while they were read" in done.err) == torn, done.err
        assert ("told in part by what is usual" in done.err) == guessed, done.err
        assert ("(as root, without --no-ticks)" in done.err) == (torn or guessed), done.err
