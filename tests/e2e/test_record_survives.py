"""A profile survives: whatever happens to `basilisk record`, its file is whole, and not a second old."""

import os
import random
import resource
import signal
import subprocess
import time

import pytest

import profiles
from conftest import BASILISK, report
from recording import BUSY, PYTHON_C, about, exists_soon, finish, line_of, nothing_is_left, record, start  # noqa: F401

KILLS = int(os.environ.get("BASILISK_KILLS", "50"))
AT_ONCE = 10
OUT = ["-f", "speedscope", "-o", "out"]


@pytest.fixture
def busy(background):
    process = background.start([*PYTHON_C, BUSY % 1000])
    line_of(process.stdout)
    return process


def test_killed_at_any_moment_it_leaves_a_valid_file_that_misses_a_second_at_most(busy, tmp_path):
    lot, missing, empty = random.Random(4), [], 0
    for _ in range(KILLS // AT_ONCE):
        runs = []
        for number in range(AT_ONCE):
            folder = tmp_path / str(number)
            folder.mkdir(exist_ok=True)
            (folder / "out").write_text("{}")
            begun = time.monotonic()
            process = start("-p", busy.pid, "-r", "50", *OUT, cwd=folder, stderr=subprocess.DEVNULL)
            runs.append((begun + lot.uniform(0.05, 4.0), begun, process, folder))
        for moment, begun, process, folder in sorted(runs, key=lambda run: run[0]):
            time.sleep(max(0, moment - time.monotonic()))
            process.kill()
            process.communicate()
            age = time.monotonic() - begun
            if (folder / "out").read_text() == "{}":  # killed before its first file: the one before is whole
                empty += 1
                missing.append(age)
            else:
                profiles.check_speedscope(str(folder / "out"))
                missing.append(age - about(str(folder / "out"))["seconds"])
            assert all(name == "out" or name.endswith(".draft") for name in os.listdir(str(folder)))
    report("record: %d kills, missing at most %.2f s, in the mean %.2f s; %d before the first file"
           % (len(missing), max(missing), sum(missing) / len(missing), empty))
    # With what ten processes that start at once on a loaded machine wait for their turn.
    assert max(missing) < 1.5 and sorted(missing)[len(missing) // 2] < 0.8, missing


def test_drafts_of_the_dead_are_cleared_away(busy, tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / (".out.%d.draft" % dead.pid)).write_text("half")
    (tmp_path / (".out.%d.draft" % os.getpid())).write_text("of one that lives")
    (tmp_path / (".other.%d.draft" % dead.pid)).write_text("of another file")
    (tmp_path / (".out.%d.draft" % dead.pid)).rename(tmp_path / ".old")
    (tmp_path / (".out.%d.draft" % dead.pid)).write_text("young")
    done = record("-p", busy.pid, "-d", "0.4", *OUT, cwd=tmp_path)
    assert done.code == 0, done.err
    assert (tmp_path / (".out.%d.draft" % dead.pid)).exists()  # of a PID that another container may have
    (tmp_path / ".old").rename(tmp_path / (".out.%d.draft" % dead.pid))
    for name in os.listdir(str(tmp_path)):
        os.utime(str(tmp_path / name), (0, 0))
    done = record("-p", busy.pid, "-d", "0.4", *OUT, cwd=tmp_path)
    assert done.code == 0, done.err
    assert sorted(os.listdir(str(tmp_path))) == sorted([
        ".other.%d.draft" % dead.pid, ".out.%d.draft" % os.getpid(), "out"])


def test_a_machine_that_slept(busy, tmp_path):
    process = start("-p", busy.pid, *OUT, "--no-ticks", cwd=tmp_path)  # the kernel's ticks go on
    exists_soon(tmp_path / "out", process)
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(2)  # what is tested is that time passes
    os.kill(process.pid, signal.SIGCONT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.code == 0, done.err
    made = profiles.check_speedscope(str(tmp_path / "out"))["basilisk"]
    assert made["seconds"] > 2.2 and made["missed"] >= 150
    assert busy.poll() is None


def test_a_target_that_is_killed_is_written(background, tmp_path):
    program = background.start([*PYTHON_C, BUSY % 1000])
    line_of(program.stdout)
    process = start("-p", program.pid, *OUT, cwd=tmp_path)
    exists_soon(tmp_path / "out", process)
    program.kill()
    done = finish(process)
    assert done.code == 0 and about(str(tmp_path / "out"))["reason"] == "the program ended", done.err


DEEP = """
import time
def step(n, names):
    if n:
        return names[n % 7](n - 1, names)
    end = time.process_time() + 0.004
    while time.process_time() < end: sum(range(100))
made = {}
for i in range(7): exec("def deep_function_number_%d(n, names):\\n    return step(n, names)" % i, globals(), made)
print('up', flush=True)
while True:
    for n in range(3, 400): step(n, list(made.values()))
"""


@pytest.fixture
def growing(background):
    """Its profile grows by many new stacks each second."""
    process = background.start([*PYTHON_C, "import sys; sys.setrecursionlimit(5000)\n" + DEEP])
    line_of(process.stdout)
    return process


def test_a_full_disk_keeps_what_was_written_before(growing, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(disk)], stderr=subprocess.PIPE)
    if mounted.returncode:
        pytest.skip("no small file system can be mounted: %s" % mounted.stderr.decode().strip())
    process = start("-p", growing.pid, "-r", "200", *OUT, cwd=disk)
    try:
        assert "No space left on device" in line_of(process.stderr)  # it goes on: there may be room again
        process.send_signal(signal.SIGINT)
        done = finish(process)
        assert done.code == 1 and "No space left on device" in done.err, done.err
        assert "out is whole, and lacks the end" in done.err
        assert os.listdir(str(disk)) == ["out"]
        profiles.check_speedscope(str(disk / "out"))
    finally:
        process.kill()  # its folder is there
        process.wait()
        subprocess.run(["umount", str(disk)], check=True)


def test_a_file_size_limit_is_an_error_and_no_half_file(growing, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
    process = start("-p", growing.pid, "-r", "200", "-d", "1", *OUT, cwd=tmp_path, preexec_fn=limit)
    done = finish(process)
    assert done.code == 1 and "File too large" in done.err, done.err
    for name in os.listdir(str(tmp_path)):
        assert name == "out"
        profiles.check_speedscope(str(tmp_path / name))


def test_a_folder_that_vanishes_is_an_error(busy, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    process = start("-p", busy.pid, "-f", "speedscope", "-o", "folder/out", cwd=tmp_path)
    exists_soon(folder / "out", process)
    (folder / "out").unlink()
    while True:
        try:
            folder.rmdir()
            break
        except OSError:  # a draft or the next early file is in it
            for name in os.listdir(str(folder)):
                try:
                    (folder / name).unlink()
                except OSError:
                    pass
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.code == 1 and "Output directory not writable" in done.err, done.err
    assert os.listdir(str(tmp_path)) == []
