"""Programs and PIDs that a profiler is not made for: each is read right, or refused in words that are true."""

import json
import os
import signal
import subprocess
import textwrap
import time

import pytest

from conftest import BASILISK
from test_builds import PYTHONS, SOME, Target, dump

EACH = pytest.mark.parametrize("minor", sorted(PYTHONS, key=lambda text: int(text.split(".")[1])))


def record(*options, **more):
    return subprocess.run([BASILISK, "record", "--hide-progress", *map(str, options)], capture_output=True, text=True,
                          timeout=60, **more)


def parked(target):
    """It has said that it is ready, and sleeps in the read that comes next."""
    assert target.ready[:1] == ["ready"], "it did not start"
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with open("/proc/%d/stat" % target.pid, encoding="utf-8", errors="replace") as file:
            if file.read().rsplit(")", 1)[1].split()[0] == "S":
                return target.pid
        time.sleep(0.001)
    raise AssertionError("it does not sleep")


def folded(path):
    lines = [line.rsplit(" ", 1) for line in path.read_text(encoding="utf-8").splitlines()]
    return {stack: int(count) for stack, count in lines}


@EACH
def test_a_program_that_execs_all_the_time_is_never_gone(minor, tmp_path):
    (tmp_path / "again.py").write_text(textwrap.dedent("""\
        import os, sys
        if len(sys.argv) == 1:
            print("ready", os.getpid(), flush=True)
        for i in range(20000): pass
        os.execv(sys.executable, [sys.executable, "-S", sys.argv[0], "again"])
        """))
    with Target([PYTHONS[minor], "-S", str(tmp_path / "again.py")]) as target:
        try:
            for _ in range(100):
                done = dump(target.pid, "--json")
                assert done.returncode == 0, done.stderr
                assert all(frame["filename"] for thread in json.loads(done.stdout) for frame in thread["frames"])
        finally:
            target.process.kill()


@pytest.mark.parametrize("minor", sorted(set(PYTHONS) & {"3.8", "3.11", "3.13"}))
def test_threads_that_live_for_a_moment_are_no_errors(minor, tmp_path):
    code = textwrap.dedent("""\
        import threading
        def short():
            for i in range(2000): pass
        print("ready", flush=True)
        while True:
            threads = [threading.Thread(target=short) for _ in range(10)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
        """)
    with Target([PYTHONS[minor], "-S", "-c", code]) as target:
        try:
            done = record("-p", target.pid, "-d", 1, "--no-ticks", "-f", "raw", "-o", tmp_path / "out.folded")
        finally:
            target.process.kill()
    assert done.returncode == 0 and " errors: 0 " in done.stderr, done.stderr


@EACH
def test_a_relative_file_name_after_a_chdir(minor, tmp_path):
    """3.8 keeps the name of the script as it was given; the others tell the whole of it."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "app.py").write_text("import os\nos.chdir('elsewhere')\nprint('ready', flush=True)\nos.read(0, 1)\n")
    with Target([PYTHONS[minor], "-S", "app.py"], cwd=tmp_path, env={**os.environ, "PWD": str(tmp_path)}) as target:
        assert "(%s/app.py:4)" % tmp_path in dump(parked(target), "--full-filenames").stdout


@EACH
def test_names_of_any_characters(minor, tmp_path):
    code = textwrap.dedent("""\
        def inner():
            print("ready", flush=True)
            os.read(0, 1)
        import os
        code = compile("def f(): inner()", "/tmp/\\udcff\\ud800-\\u65e5\\U0001f40d.py", "exec")
        exec(code)
        f.__code__ = f.__code__.replace(co_name="a\\ud800b;<&>\\n\\U0001f40d")
        f()
        """)
    with Target([PYTHONS[minor], "-S", "-c", code]) as target:
        shown = dump(parked(target))
        threads = json.loads(dump(target.pid, "--json").stdout)
        done = record("-p", target.pid, "-d", "0.5", "-i", "-f", "raw", "-o", tmp_path / "out.folded")
    assert shown.returncode == 0 and done.returncode == 0, done.stderr
    names = [frame["name"] for frame in threads[0]["frames"]]
    assert names[0] == "inner" and len(names) == 3
    assert names[1] in ("a\ufffdb;<&>\n\U0001f40d", "f")  # the qualified name stays f
    assert any("inner" in stack and "\U0001f40d.py" in stack for stack in folded(tmp_path / "out.folded"))


@EACH
def test_a_frame_of_65536_locals(minor):
    code = textwrap.dedent("""\
        source = ["def wide():"] + [" v%d = %d" % (i, i) for i in range(65536)]
        source += [" import os", " print('ready', flush=True)", " os.read(0, 1)"]
        exec("\\n".join(source))
        wide()
        """)
    with Target([PYTHONS[minor], "-S", "-c", code]) as target:
        frame = json.loads(dump(parked(target), "--json", "-l").stdout)[0]["frames"][0]
    assert frame["name"] == "wide" and frame["line"] == 65540
    values = {one["name"]: one["repr"] for one in frame["locals"]}
    assert values["v0"] == "0" and len(values) > 60000
    assert all(value == name[1:] for name, value in values.items() if name.startswith("v"))


def test_pids_that_are_no_python():
    ended = subprocess.Popen(["true"])
    while open("/proc/%d/stat" % ended.pid).read().rsplit(")", 1)[1].split()[0] != "Z":
        time.sleep(0.001)
    cases = [(ended.pid, "Process not found"), (os.getppid(), None)]
    if os.path.exists("/proc/2/stat") and not os.path.exists("/proc/2/exe"):
        cases.append((2, "Not a Python process: 2 runs no program"))  # of the kernel
    for pid, words in cases:
        for done in (dump(pid), record("-p", pid, "-d", 1)):
            if words:
                assert done.returncode == 1 and words in done.stderr, done.stderr
                assert "another program" not in done.stderr
    ended.wait()
    for own in ("dump -p $$", "record -d 1 -p $$"):
        done = subprocess.run(["sh", "-c", "exec %s %s" % (BASILISK, own)], capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and "Not a Python process" in done.stderr, done.stderr


@pytest.mark.parametrize("method", ["ticks", "--no-ticks"])
def test_a_stopped_program_uses_no_time_and_says_so(method, tmp_path):
    code = "def work():\n    print('ready', flush=True)\n    while True: pass\nwork()"
    with Target([SOME, "-S", "-c", code]) as target:
        os.kill(target.pid, signal.SIGSTOP)
        try:
            done = record("-p", target.pid, "-d", 1, "-f", "raw", "-o", tmp_path / "out.folded",
                          *[method] * (method != "ticks"))
            assert done.returncode == 1 and "No samples: it used no CPU time" in done.stderr, done.stderr
            done = record("-p", target.pid, "-d", 1, "-i", "-f", "raw", "-o", tmp_path / "out.folded")
            assert done.returncode == 0 and any("work" in stack for stack in folded(tmp_path / "out.folded"))
        finally:
            os.kill(target.pid, signal.SIGKILL)
