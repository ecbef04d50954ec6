"""`basilisk dump --core`: a core file tells what the process told while it stood there; each way to fail."""

import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time

import pytest

import cores
import dap
from conftest import BASILISK, PYTHON, fixture_path
from test_dump import all_of, py_spy, start, start_waiting, states

KNOWN = os.path.join(os.path.dirname(fixture_path("")).rpartition("/")[0], "tests", "engine", "fixtures", "known.py")
SIGNAL = re.compile(r"^Signal .*\n", re.M)
EXECUTABLE = re.compile(r"^(Python v\S+) \(.*\)$", re.M)  # below a root of its own, as it saw it


class Done:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, text_of(done.stdout), text_of(done.stderr)


def text_of(data):
    return data.decode("utf-8", "surrogateescape")  # a broken core may claim any path


def dump(*arguments, timeout=60):
    return Done(subprocess.run([BASILISK, "dump", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               stdin=subprocess.DEVNULL, timeout=timeout))


def unlimited():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def core_of_kernel(background, folder, command, sleeps=True):
    """(core file, what `dump -p -l` said before, the root of the process) of a program that the kernel ended."""
    with open("/proc/sys/kernel/core_pattern") as file:
        pattern = file.read().strip()
    if "/" in pattern or pattern.startswith("|") or "%" in pattern:
        pytest.skip("core_pattern is %s: the kernel writes no core into the current folder" % pattern)
    process = start(background, *command, cwd=str(folder), preexec_fn=unlimited)
    if sleeps:
        wait_until_asleep(process.pid)
    before = dump("-p", process.pid, "-l")
    assert before.code == 0, before.err
    root = root_of(process.pid)
    process.send_signal(signal.SIGABRT)
    process.wait()
    found = [name for name in os.listdir(str(folder)) if name.startswith("core")]
    if not found:
        pytest.skip("the kernel wrote no core (a hard limit, or a file system that takes none)")
    return os.path.join(str(folder), found[0]), before.out, root


def wait_until_asleep(pid):
    dap.wait_until(lambda: set(states(pid)) == {"S"}, what="all threads asleep")


def root_of(pid):
    """What is / to the process, as we see it: its program lies in it."""
    with open("/proc/%d/maps" % pid) as file:
        ours = next(line.split(None, 5)[5].strip() for line in file if "/python3" in line)
    return ours[:ours.index("/usr/bin/")] if "/usr/bin/" in ours else ""


def core_of(process, path, **options):
    """Of a process that is stopped for it, and goes on."""
    if os.uname().machine != "x86_64":
        pytest.skip("tests/support/cores.py knows the registers of x86-64 alone")
    process.send_signal(signal.SIGSTOP)
    dap.wait_until(lambda: set(states(process.pid)) == {"T"}, what="all threads stopped")
    try:
        cores.write(process.pid, str(path), **options)
    finally:
        process.send_signal(signal.SIGCONT)
    wait_until_asleep(process.pid)
    return str(path)


def same(text):
    return EXECUTABLE.sub(r"\1", SIGNAL.sub("", text))


@pytest.fixture(scope="module")
def waiting_core(tmp_path_factory):
    """A core of waiting.py, as the writer of the tests makes it: (path, `dump -p -l`, `dump -p -l -j`)."""
    process = subprocess.Popen([PYTHON, fixture_path("waiting.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n"
        wait_until_asleep(process.pid)
        text, as_json = dump("-p", process.pid, "-l").out, dump("-p", process.pid, "-l", "-j").out
        yield core_of(process, tmp_path_factory.mktemp("core") / "core"), text, as_json
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


# ---- the same as of the live process

def test_a_core_of_the_kernel_says_what_the_process_said(pythons, background, tmp_path):
    for minor, python in all_of(pythons):
        folder = tmp_path / minor
        folder.mkdir()
        core, before, root = core_of_kernel(background, folder, [python, fixture_path("waiting.py"), "3"])
        done = dump("--core", core, "-l", *(["--sysroot", root] if root else []))
        assert (done.code, done.err) == (0, ""), minor
        assert same(done.out) == same(before), minor
        assert re.search(r"^Signal 6 SIGABRT in thread \d+$", done.out, re.M), minor
        os.unlink(core)


def test_a_core_of_a_stopped_process_says_what_the_process_said(pythons, background, tmp_path):
    for minor, python in all_of(pythons):
        process = start_waiting(background, python, "3")
        for options in (["-l"], ["-l", "-j"], ["-ll", "--full-filenames"]):
            before = dump("-p", process.pid, *options)
            done = dump("--core", core_of(process, tmp_path / minor), *options)
            assert (done.code, done.err) == (0, ""), minor
            assert same(done.out) == same(before.out), minor
        process.kill()
        os.unlink(str(tmp_path / minor))


def cases():
    with open(KNOWN) as file:
        text = file.read()
    return re.findall(r'^    "(\w+)": ', text[text.index("\nCASES"):], re.M)


def test_every_known_stack_is_in_its_core(pythons, background, tmp_path):
    assert len(cases()) > 10
    runs = [("%d.%d" % sys.version_info[:2], PYTHON, case) for case in cases()]
    runs += [(minor, python, case) for minor, python in all_of(pythons) for case in ("asyncio", "generators", "threads")]
    for minor, python, case in runs:
        process = background.start([python, KNOWN, case], stdin=subprocess.PIPE)
        truth, named = {}, int(minor[2:]) >= 11
        for line in iter(lambda: process.stdout.readline().decode().rstrip("\n"), ""):
            if line.startswith("thread "):
                frames = truth.setdefault(int(line.split()[1]), [])
            else:
                frames.append(line.split("\t"))
        wait_until_asleep(process.pid)
        done = dump("--core", core_of(process, tmp_path / "core"), "-j", "--full-filenames")
        assert (done.code, done.err) == (0, ""), (minor, case)
        found = {thread["os_thread_id"]: thread["frames"] for thread in json.loads(done.out)}
        for tid, frames in truth.items():
            told = [(frame["name"][:500], frame["filename"], str(frame["line"])) for frame in found[tid]]
            expected = [((qualname if named else name)[:500], path, line) for name, qualname, path, line in frames]
            assert told[-len(expected):] == expected, (minor, case)
            assert len(told) - len(expected) <= 1, (minor, case)  # park() itself, and the end of what it prints
        process.kill()


def test_states_and_the_calls_that_threads_sleep_in(background, tmp_path):
    core, before, root = core_of_kernel(background, tmp_path, [PYTHON, fixture_path("calls.py")])
    assert same(dump("--core", core, "-l").out) == same(before)
    threads = {thread["thread_name"]: thread for thread in json.loads(dump("--core", core, "-j").out)}
    assert threads["reads"]["system_call"] == "read" and threads["sleeps"]["state"] == "idle"


def test_who_crashed_holds_the_gil(background, tmp_path):
    with open("/proc/sys/kernel/core_pattern") as file:
        if file.read().strip() != "core":
            pytest.skip("the kernel writes no core into the current folder")
    process = background.start([PYTHON, "-c", "import ctypes\ndef crash():\n    ctypes.string_at(8)\ncrash()"],
                               cwd=str(tmp_path), preexec_fn=unlimited)
    process.wait()
    assert process.returncode == -signal.SIGSEGV
    core = next(tmp_path.glob("core*"))
    done = dump("--core", core)
    assert "\nSignal 11 SIGSEGV in thread %d\n" % process.pid in done.out
    assert "Thread %d (active+gil)\n    string_at (ctypes/__init__.py:" % process.pid in done.out
    assert "\n    crash (<string>:3)\n" in done.out
    assert [thread.get("signal") for thread in json.loads(dump("--core", core, "-j").out)] == [signal.SIGSEGV]


def test_who_waits_for_the_gil(pythons, background, tmp_path):
    program = ("import threading\ndef spin():\n    while True: pass\n"
               "[threading.Thread(target=spin, daemon=True).start() for _ in range(2)]\nprint('ready', flush=True)\nspin()")
    for minor, python in all_of(pythons):
        folder = tmp_path / minor
        folder.mkdir()
        for _ in range(10):  # who is just being handed it neither has it nor waits
            core, _, root = core_of_kernel(background, folder, [python, "-c", program], sleeps=False)
            done = dump("--core", core, *(["--sysroot", root] if root else []))
            os.unlink(core)
            found = sorted(re.findall(r"^Thread \d+ \((.*?)\)", done.out, re.M))
            assert len(found) == 3 and sum("+gil" in state for state in found) <= 1, (minor, done.out)
            spinning = done.out.count("    spin (<string>:3)\n")  # one may not have come as far
            if spinning == 3 and found == ["active+gil", "waiting for GIL", "waiting for GIL"]:
                break
        else:
            pytest.fail("%s: %s" % (minor, found))


def test_gcores_core(background, tmp_path):
    gcore = shutil.which("gcore")
    if not gcore:
        pytest.skip("no gcore")
    with open("/proc/cpuinfo") as file:
        if "amx_tile" in file.read():
            pytest.skip("gdb may kill its target on a processor with AMX")
    process = start_waiting(background)
    before = dump("-p", process.pid, "-l").out
    made = subprocess.run([gcore, "-o", str(tmp_path / "core"), str(process.pid)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=120)
    core = tmp_path / ("core.%d" % process.pid)
    if not core.exists():
        pytest.skip("gcore cannot: %s" % made.stdout.decode()[-200:])
    done = dump("--core", core, "-l")
    assert (done.code, done.err) == (0, "")
    assert same(done.out) == same(before)


def test_py_spys_stacks_of_the_same_core(background, tmp_path):
    other = py_spy()
    core, _, _ = core_of_kernel(background, tmp_path, [PYTHON, fixture_path("waiting.py"), "2"])
    theirs = subprocess.run([other, "dump", "--core", core, "-j"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if theirs.returncode != 0:
        pytest.skip("py-spy cannot read it: %s" % theirs.stderr.decode()[:200])
    mine = {thread["os_thread_id"]: thread for thread in json.loads(dump("--core", core, "-j").out)}
    theirs = json.loads(theirs.stdout)
    assert len(theirs) == len(mine) == 3
    for thread in theirs:
        of_it = mine[thread["os_thread_id"]]
        for key in ("thread_id", "thread_name", "owns_gil"):
            assert of_it[key] == thread[key]
        assert [(f["name"], f["filename"], f["line"]) for f in of_it["frames"]] == \
               [(f["name"], f["filename"], f["line"]) for f in thread["frames"]]


# ---- what is around it

def test_a_process_that_has_its_number_now_is_left_alone(background, tmp_path):
    process = start_waiting(background, PYTHON, "2")
    other = start(background, PYTHON, "-c", "print('ready', flush=True)\nwhile True: pass")
    before = dump("-p", process.pid, "-l").out
    core = core_of(process, tmp_path / "core", as_pid=other.pid)
    done = dump("--core", core, "-l")
    assert done.code == 0 and same(done.out) == same(before).replace("Process %d:" % process.pid, "Process %d:" % other.pid)
    tracer = shutil.which("strace")
    if not tracer:
        pytest.skip("no strace to see what it opens")
    subprocess.run([tracer, "-f", "-o", str(tmp_path / "calls"), BASILISK, "dump", "--core", core, "-l"],
                   stdout=subprocess.DEVNULL)
    calls = (tmp_path / "calls").read_text()
    assert core in calls and not re.search(r"/proc/\d|process_vm_readv|pidfd_open|clock_gettime\((?!CLOCK_)|ptrace", calls)


def test_files_that_are_gone_or_others(pythons, background, tmp_path):
    """A copy of a Python, so that it can be taken away; its library, where it has one, stays."""
    for minor, python in all_of(pythons):
        if os.path.realpath(python).endswith("sh") or open(python, "rb").read(4) != b"\x7fELF":
            continue
        root = tmp_path / minor
        folder = os.path.join(str(root), os.path.dirname(os.path.realpath(python)).lstrip("/"))
        os.makedirs(folder)
        process = start_waiting(background, python)
        before = dump("-p", process.pid, "-l").out
        mapped = {line.split(None, 5)[5].strip() for line in open("/proc/%d/maps" % process.pid) if line.count("/") > 0}
        for path in mapped:
            if path.startswith("/"):
                os.makedirs(os.path.dirname(str(root) + path), exist_ok=True)
                shutil.copy(path, str(root) + path)
        core = core_of(process, tmp_path / "core")
        assert same(dump("--core", core, "-l", "--sysroot", root).out) == same(before), minor
        likely = [path for path in mapped if "/libpython" in path] or [path for path in mapped if "/python3" in path]
        for spoil, words in ((os.unlink, "No such file"), (lambda p: shutil.copy("/bin/ls", p), "is not the file"),
                             (lambda p: open(p, "w").close(), "is not the file"),
                             (lambda p: (os.unlink(p), os.mkdir(p)), "is not the file")):
            spoil(str(root) + likely[0])
            done = dump("--core", core, "--sysroot", root)
            assert (done.code, done.out) == (1, ""), minor
            assert likely[0] in done.err and words in done.err and "--sysroot" in done.err, (minor, done.err)
        full = core_of(process, tmp_path / "core", keeps=cores.keeps_all)  # as coredump_filter 0x7f has it
        assert same(dump("--core", full, "-l", "--sysroot", "/nowhere").out) == same(before), minor
        process.kill()
        shutil.rmtree(str(root))


def test_the_whole_command_line(background, tmp_path):
    words = ["x y"] * 5 + [""] + ["z" * 2000]
    for more in ([], ["z" * 3000]):  # with those it is too long to be shown
        process = start(background, PYTHON, fixture_path("waiting.py"), "1", *words, *more)
        wait_until_asleep(process.pid)
        before = dump("-p", process.pid).out
        assert ("..." in before.splitlines()[0]) == bool(more)
        assert same(dump("--core", core_of(process, tmp_path / "core")).out) == same(before)


def test_a_relative_script_name(pythons, background, tmp_path):
    (tmp_path / "app.py").write_text("import os, sys\nprint('ready', flush=True)\nsys.stdin.read()\n")
    for minor, python in all_of(pythons):
        process = start(background, python, "app.py", cwd=str(tmp_path), env=dict(os.environ, PWD=str(tmp_path)))
        wait_until_asleep(process.pid)
        before = dump("-p", process.pid, "--full-filenames").out
        assert "(%s:3)" % (tmp_path / "app.py") in before
        assert same(dump("--core", core_of(process, tmp_path / "core"), "--full-filenames").out) == same(before), minor
        process.kill()


# ---- what is no core of a Python

@pytest.mark.parametrize("arguments, words", [
    (["-p", "1", "--core", "x"], "two targets"), (["--core", "x", "-s"], "--subprocesses"),
    (["--core", "x", "--blocking"], "--blocking"), (["-p", "1", "--sysroot", "/"], "--sysroot"), (["--core"], "--core"),
])
def test_options_that_do_not_go_together(arguments, words):
    done = dump(*arguments)
    assert (done.code, done.out) == (2, "") and words in done.err


def is_refused(path, *words, options=()):
    done = dump("--core", path, *options)
    assert (done.code, done.out) == (1, ""), done.err
    assert done.err.startswith("basilisk: ") and done.err.count("\n") == 1, done.err
    assert ": " in done.err[10:]  # and what to do next
    assert not words or any(word in done.err for word in words), done.err
    return done.err


def test_what_is_no_core(tmp_path, background):
    def made(content):
        path = tmp_path / "file"
        path.write_bytes(content)
        return path
    is_refused(tmp_path / "nowhere", "No such file")
    is_refused(tmp_path, "no regular file")
    is_refused("/dev/null", "no regular file")
    is_refused(made(b""), "is empty")
    is_refused(made(b"x"), "no ELF header")
    is_refused(made(b"text\n" * 1000), "no ELF header")
    is_refused(made(b"\x28\xb5\x2f\xfd" + bytes(100)), "zstd -d")
    is_refused(made(b"\x1f\x8b" + bytes(100)), "gzip -d")
    is_refused(made(b"\x7fELF"), "no ELF header")
    is_refused(made(b"\x7fELF" + bytes(100)), "header is broken")
    is_refused(made(b"\x7fELF\1\1\1" + bytes(9) + struct.pack("<HHI", 4, 3, 1) + bytes(28)), "32 bits")
    is_refused(made(b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHI", 4, 183, 1) + bytes(40)), "another processor")
    is_refused(made(b"\x7fELF\2\2\1" + bytes(9) + struct.pack(">HHI", 4, 62, 1) + bytes(40)), "another processor")
    is_refused(made(b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHI", 4, 62, 1) + bytes(40)), "no thread")
    is_refused("/bin/ls", "a program or a library")
    pipe = tmp_path / "pipe"
    os.mkfifo(str(pipe))
    is_refused(pipe, "no regular file")
    process = background.start(["sleep", "1000"])
    dap.wait_until(lambda: "nanosleep" in open("/proc/%d/wchan" % process.pid).read() or
                   open("/proc/%d/syscall" % process.pid).read()[0].isdigit(), what="sleep asleep")
    is_refused(core_of(process, tmp_path / "core"), "Not a Python process")


def test_a_core_that_was_cut(waiting_core, tmp_path):
    path, before, _ = waiting_core
    with open(path, "rb") as file:
        whole = file.read()
    pick = random.Random(4711)
    cut = tmp_path / "cut"
    sizes = [*range(0, 64, 7), 64, 65, 119, 120, 500, 4095, 4096, 8192, len(whole) - 1]
    sizes += [pick.randrange(64, 20000) for _ in range(30)] + [pick.randrange(len(whole)) for _ in range(60)]
    told = 0
    for size in sizes:
        cut.write_bytes(whole[:size])
        done = dump("--core", cut, "-l")
        if done.code == 0:
            told += 1
            assert "The core file is cut short: %d of %d bytes" % (size, len(whole)) in done.out
            assert "\nThread " in done.out
        else:
            is_refused(cut, "cut short", "is empty", "no ELF", "header is broken", "is broken")
    assert told > 0  # the last byte is of no stack


def test_garbage_in_the_headers_crashes_nothing(waiting_core, tmp_path):
    path, _, _ = waiting_core
    with open(path, "rb") as file:
        whole = bytearray(file.read())
    headers = struct.unpack_from("<H", whole, 56)[0]
    notes_at, notes_size = struct.unpack_from("<Q", whole, 64 + 8)[0], struct.unpack_from("<Q", whole, 64 + 32)[0]
    pick = random.Random(int(os.environ.get("BASILISK_SEED", "1")))
    places = ((0, 64), (64, 64 + 56 * headers), (notes_at, notes_at + notes_size), (notes_at, len(whole)))
    values = (0, 1, 0x7F, 0x80, 0xFF)
    broken, codes = tmp_path / "broken", set()
    for turn in range(int(os.environ.get("BASILISK_FLIPS", "200"))):
        copy = bytearray(whole)
        for _ in range(pick.choice((1, 3, 20, 300))):
            begin, end = places[pick.choice((0, 1, 1, 2, 2, 3))] if turn % 2 else pick.choice(places[1:])
            at = pick.randrange(begin, end)
            if pick.random() < 0.3:
                at -= at % 8
                copy[at:at + 8] = struct.pack("<q", pick.choice((-1, 0, 1, 1 << 62, -1 << 63, 1 << 40, 4096)))
            else:
                copy[at] = pick.choice(values) if pick.random() < 0.5 else pick.randrange(256)
        broken.write_bytes(copy)
        done = dump("--core", broken, "-l", *(["-j"] if turn % 3 == 0 else []))
        codes.add(done.code)
        assert done.code in (0, 1), (turn, done.code, done.err)
        assert done.code == 0 or (done.out == "" and done.err.startswith("basilisk: ") and done.err.count("\n") == 1)
        assert "Sanitizer" not in done.err and "runtime error" not in done.err, done.err
    assert codes == {0, 1}


def test_lists_that_claim_too_much(waiting_core, tmp_path):
    path, _, _ = waiting_core
    with open(path, "rb") as file:
        whole = bytearray(file.read())
    notes_at = struct.unpack_from("<Q", whole, 64 + 8)[0]
    broken = tmp_path / "broken"

    def claims(*changes):
        copy = bytearray(whole)
        for form, at, value in changes:
            struct.pack_into(form, copy, at, value)
        broken.write_bytes(copy)
        begin = time.monotonic()
        done = dump("--core", broken, "-l")
        assert done.code in (0, 1) and time.monotonic() - begin < 20, changes
        return done
    big = (2 ** 64 - 1, 2 ** 63 - 1, 2 ** 63, 2 ** 62, 2 ** 40)
    for value in big:
        for at in (32, 40, 64 + 8, 64 + 32, 64 + 56 + 8, 64 + 56 + 16, 64 + 56 + 32, 64 + 56 + 40):
            claims(("<Q", at, value))
        claims(("<Q", 64 + 56 + 16, value), ("<Q", 64 + 56 + 40, value), ("<Q", 64 + 56 + 32, value))
        file_note = whole.index(struct.pack("<I", cores.NT_FILE) + b"CORE", notes_at)
        for at in (file_note + 12, file_note + 20, file_note + 28, file_note + 36, file_note + 44):
            claims(("<Q", at, value))
    for value in (0, 1, 2, 0xFFFE, 0xFFFF):  # 0xFFFF: the number stands elsewhere
        claims(("<H", 56, value))
    claims(("<H", 56, 0xFFFF), ("<Q", 40, 64), ("<H", 58, 64))
    for at in range(notes_at, notes_at + 12, 4):
        for value in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFC):
            claims(("<I", at, value))
