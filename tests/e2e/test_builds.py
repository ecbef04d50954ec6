"""Every build of CPython, and every place where one may run: found, named, and read right.

Each test parks a Python in parked(), called by main(), and asks `basilisk dump` for its stack. docs/builds.md has the
table of what is tested by what. Builds that this machine has not are skipped by name; tests/support/builds brings
those that Debian has.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import textwrap
import time
import zipfile

import pytest

from conftest import BASILISK, REPO

CACHE = os.environ.get("BASILISK_CACHE") or (
    "/var/cache/basilisk" if os.geteuid() == 0 else os.path.expanduser("~/.cache/basilisk"))
BUILDS = os.path.join(CACHE, "builds")
PARKED = textwrap.dedent("""\
    import os
    def parked():
        print("ready", os.getpid(), flush=True)
        os.read(0, 1)
    def main():
        parked()
    main()
    """)
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do that to a process")


def pythons():
    """minor -> executable, of what tests/support/pythons has."""
    lines = subprocess.run([os.path.join(REPO, "tests", "support", "pythons")], capture_output=True, text=True).stdout
    rows = [line.split("\t") for line in lines.splitlines()]
    return {row[0]: row[1] for row in rows if row[1] != "-"}


PYTHONS = pythons()
SOME = PYTHONS.get("3.11") or next(iter(PYTHONS.values()))
HERE = sorted(set(PYTHONS) - {"3.14", "3.15"}, key=lambda text: int(text.split(".")[1]))  # that need no chroot


class Target:
    """A Python that is parked, ended with the test."""

    def __init__(self, command, **options):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)
        self.ready = self.process.stdout.readline().split()
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def script(*command):
    return [*command, "-S", "-c", PARKED]


def dump(pid, *options):
    return subprocess.run([BASILISK, "dump", "-p", str(pid), *options], capture_output=True, text=True, timeout=20)


def names(pid):
    done = dump(pid, "--json")
    assert done.returncode == 0, done.stderr
    return [[frame["name"] for frame in thread["frames"]] for thread in json.loads(done.stdout)]


def expect_parked(target, version=None):
    assert target.ready[:1] == ["ready"], "it did not start"
    stacks = names(target.pid)
    assert any(stack[:2] == ["parked", "main"] for stack in stacks), stacks
    text = dump(target.pid).stdout
    if version:
        assert "Python v%s" % version in text, text
    return text


def version_of(python):
    return subprocess.run([python, "-S", "-c", "import sys; print(sys.version.split()[0])"], capture_output=True,
                          text=True).stdout.strip().rstrip("+")


def in_suite(program):
    """The command of a program that needs the C library of the newer suite: entered through a Python of it."""
    for minor in ("3.14", "3.15"):
        python = os.path.join(CACHE, "bin", "python" + minor)
        if os.path.exists(python):
            return [python, "-S", "-c", "import os, sys; os.execv(sys.argv[1], sys.argv[1:])", program]
    pytest.skip("no newer Debian suite here: tests/support/pythons --make")


# --- builds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minor", sorted(PYTHONS, key=lambda text: int(text.split(".")[1])))
def test_the_usual_build_of_each_version(minor):
    with Target(script(PYTHONS[minor])) as target:
        expect_parked(target, version_of(PYTHONS[minor]))


@pytest.mark.parametrize("python", ["/usr/bin/python3.11", "/usr/bin/python3.11d"])
def test_debians_builds(python):
    if not os.path.exists(python):
        pytest.skip("no " + python)
    with Target(script(python)) as target:
        expect_parked(target, version_of(python))


@pytest.mark.parametrize("build", ["python3.14d", "python3.15d", "python3.14-nopie", "python3.15-nopie"])
def test_debug_and_nopie_builds_of_a_newer_suite(build):
    program = os.path.join(BUILDS, "forky", build)
    if not os.path.exists(program):
        pytest.skip("no %s: tests/support/builds --make" % program)
    with Target(script(*in_suite(program))) as target:
        expect_parked(target, re.match(r"python(3\.\d+)", build).group(1) + ".")


@root_only
@pytest.mark.parametrize("minor", ["3.13", "3.14", "3.15"])
def test_the_usual_builds_of_a_newer_suite_are_without_pie(minor):
    """3.13 is here twice where pyenv has one too: that is what PYTHONS names then, and it is relocated."""
    python = os.path.join(CACHE, "bin", "python" + minor)
    if not os.path.exists(python):
        pytest.skip("no %s: tests/support/pythons --make" % python)
    with Target(script(python)) as target:
        expect_parked(target, minor + ".")
        with open("/proc/%d/exe" % target.pid, "rb") as file:
            kind = int.from_bytes(file.read(18)[16:], "little")
        assert kind == 2, "ET_EXEC: where it is 3, Debian's is PIE again, and docs/builds.md is to say so"


MUSL = ["3.11-musl", "3.13-musl"]
FREE_THREADED = ["3.13t", "3.14t", "3.15t"]
SPINNERS = textwrap.dedent("""\
    import sys, threading
    def work():
        while True:
            sum(i * i for i in range(1000))
    def alpha(): work()
    def beta(): work()
    for function in (alpha, beta):
        threading.Thread(target=function, name=function.__name__, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    """)


def made(build):
    """The program of a build that tests/support/builds --make-slow makes."""
    program = os.path.join(BUILDS, build, "bin", "python" + re.sub("-.*", "", build))
    if not os.path.exists(program):
        pytest.skip("no %s: tests/support/builds --make-slow (the archive may have no source of it)" % program)
    return program


@pytest.mark.parametrize("build", FREE_THREADED)
def test_free_threaded_builds(build):
    with Target(script(made(build))) as target:
        expect_parked(target, build[:-1] + ".")


@pytest.mark.parametrize("method", ["ticks", "--no-ticks"])
@pytest.mark.parametrize("build, gil", [(build, gil) for build in FREE_THREADED for gil in "01"]
                         + [(build, None) for build in MUSL])
def test_threads_of_other_builds_at_work(build, gil, method, tmp_path):
    """Free-threaded, all threads run at once, or in turn where the GIL is switched on after all; -g means attached."""
    folded = tmp_path / "out.folded"
    options = ["-X", "gil=" + gil] if gil else []
    with Target([made(build), "-S", *options, "-c", SPINNERS]) as target:
        assert target.ready == ["ready"]
        command = [BASILISK, "record", "-p", str(target.pid), "-d", "1", "-r", "200", "-f", "raw", "-g", "-o",
                   str(folded), "--hide-progress"]
        done = subprocess.run(command + [method] * (method != "ticks"), capture_output=True, text=True, timeout=60)
        states = json.loads(dump(target.pid, "--json").stdout)
    assert done.returncode == 0, done.stderr
    stacks = dict(line.rsplit(" ", 1) for line in folded.read_text().splitlines())
    shares = {name: sum(int(count) for stack, count in stacks.items() if "%s (<string>:" % name in stack)
              for name in ("alpha", "beta")}
    assert min(shares.values()) > sum(shares.values()) / 5 > 0, stacks
    # What is filled in, or could not be told, ends early.
    whole = sum(int(count) for stack, count in stacks.items() if "work (<string>:4)" in stack)
    assert whole >= 0.8 * sum(map(int, stacks.values())), stacks
    assert {thread["thread_name"] for thread in states} == {"MainThread", "alpha", "beta"}
    if gil:
        assert not any(thread["owns_gil"] for thread in states), "there it means nothing"


@pytest.mark.parametrize("build", MUSL)
def test_musl_builds(build):
    with Target(script(made(build))) as target:
        expect_parked(target, build.split("-")[0] + ".")


@pytest.mark.parametrize("build", MUSL)
def test_a_child_that_forked_on_musl(build):
    """3.11 then has the number of another thread in its thread state: the C library's descriptor tells."""
    code = PARKED[:PARKED.rindex("main()")] + textwrap.dedent("""\
        if os.fork() == 0:
            main()
        else:
            os.wait()
        """)
    with Target([made(build), "-S", "-c", code]) as target:
        target.pid = int(target.ready[1])
        expect_parked(target)


@pytest.mark.parametrize("build", MUSL)
def test_locals_on_musl(build):
    code = PARKED.replace("def parked():", "def parked(n=7, name='spam', **rest):\n    shelf = [1.5, None]")
    with Target([made(build), "-S", "-c", code]) as target:
        assert target.ready[0] == "ready"
        shown = json.loads(dump(target.pid, "--json", "-l").stdout)[0]["frames"][0]["locals"]
    assert {one["name"]: one["repr"] for one in shown} == {
        "n": "7", "name": "'spam'", "rest": "{}", "shelf": "[1.5, None]"}


@pytest.mark.parametrize("build", MUSL)
def test_a_command_on_musl(build, tmp_path):
    folded = tmp_path / "out.folded"
    code = "import time\ndef work():\n    while time.process_time() < 0.5: pass\nwork()"
    done = subprocess.run([BASILISK, "record", "-f", "raw", "-o", str(folded), "--", made(build), "-S", "-c", code],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "work (<string>:3)" in folded.read_text()


@pytest.mark.parametrize("minor", HERE)
def test_a_program_that_embeds_a_shared_python(minor, tmp_path):
    python = os.path.realpath(PYTHONS[minor])
    flags = os.path.join(os.path.dirname(python), "python%s-config" % minor)
    if not os.path.exists(flags):
        pytest.skip("no %s" % flags)
    flags = subprocess.run([flags, "--includes", "--embed", "--ldflags"], capture_output=True, text=True,
                           check=True).stdout.split()
    program = str(tmp_path / "spreadsheet")
    library = os.path.join(prefix_of(python), "lib")
    subprocess.run(["cc", os.path.join(REPO, "tests/engine/fixtures/embed.c"), "-o", program, *flags,
                    "-Wl,-rpath," + library], check=True)
    if "libpython" not in subprocess.run(["ldd", program], capture_output=True, text=True).stdout:
        pytest.skip("this python%s has no shared library" % minor)
    with Target([program], env={**os.environ, "PYTHONHOME": prefix_of(python)}) as target:
        assert minor + "." in expect_parked(target)


def test_gdb_which_embeds_a_python(tmp_path):
    if not shutil.which("gdb"):
        pytest.skip("no gdb")
    code = PARKED.replace('print("ready", os.getpid(), flush=True)', "os.write(1, b'ready\\n')")  # its stdout is gdb's
    (tmp_path / "script.gdb").write_text("python\n%send\n" % code)
    with Target(["gdb", "-q", "-nx", "-batch", "-x", str(tmp_path / "script.gdb")]) as target:
        if target.ready[:1] != ["ready"]:
            pytest.skip("this gdb has no Python")
        assert "/gdb)" in expect_parked(target)


def test_a_program_packed_by_pyinstaller(tmp_path):
    """One file, which unpacks its libpython and runs it in a child."""
    packer = os.path.join(BUILDS, "pyinstaller")
    if not os.path.isdir(packer):
        pytest.skip("no %s: tests/support/builds --make" % packer)
    if not library_of(SOME):
        pytest.skip("PyInstaller needs a Python with a shared library")
    (tmp_path / "app.py").write_text(PARKED)
    subprocess.run([SOME, "-m", "PyInstaller", "--onefile", "--log-level", "ERROR", "app.py"], check=True, cwd=tmp_path,
                   env={**os.environ, "PYTHONPATH": packer, "PYINSTALLER_CONFIG_DIR": str(tmp_path)}, timeout=300)
    with Target([str(tmp_path / "dist" / "app")]) as target:
        outer, target.pid = target.pid, int(target.ready[1])
        expect_parked(target, version_of(SOME))
        assert outer != target.pid and "Not a Python process" in dump(outer).stderr


def library_of(python):
    """The shared libpython that an executable is linked with, or None."""
    linked = subprocess.run(["ldd", os.path.realpath(python)], capture_output=True, text=True).stdout
    found = re.search(r"(/\S*libpython\S*)", linked)
    return found and found.group(1)


def prefix_of(python):
    return subprocess.run([python, "-S", "-c", "import sys; print(sys.base_prefix)"], capture_output=True,
                          text=True).stdout.strip()


@pytest.mark.parametrize("minor", HERE)
def test_stripped_of_every_symbol_that_is_not_needed_to_start(minor, tmp_path):
    copy, library = str(tmp_path / "python"), library_of(PYTHONS[minor])
    subprocess.run(["strip", "-s", "-o", copy, os.path.realpath(PYTHONS[minor])], check=True)
    if library:
        subprocess.run(["strip", "-s", "-o", str(tmp_path / os.path.basename(library)), library], check=True)
    with Target(script(copy), env={**os.environ, "PYTHONHOME": prefix_of(PYTHONS[minor]),
                                   "LD_LIBRARY_PATH": str(tmp_path)}) as target:
        with open("/proc/%d/maps" % target.pid, encoding="ascii") as file:
            assert not library or library not in file.read()
        expect_parked(target, version_of(PYTHONS[minor]))


def test_a_venv(tmp_path):
    subprocess.run([SOME, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    with Target(script(str(tmp_path / "venv/bin/python"))) as target:
        expect_parked(target)


@pytest.mark.parametrize("minor", sorted(PYTHONS, key=lambda text: int(text.split(".")[1])))
def test_threads_of_subinterpreters(minor):
    fixture = os.path.join(REPO, "tests/engine/fixtures/subinterpreters.py")
    with Target([PYTHONS[minor], "-S", fixture]) as target:
        assert target.ready == ["ready", "1", "2"]
        stacks, end = [], time.monotonic() + 10
        while stacks != ["inside", "inside", "outside"] and time.monotonic() < end:  # it says so just before
            stacks = sorted(stack[0] for stack in names(target.pid) if stack)
        assert stacks == ["inside", "inside", "outside"]


IN_TURN = textwrap.dedent("""\
    import time
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    def outside():
        end = time.process_time() + 0.1
        while time.process_time() < end: pass
    def enter(number):
        interpreters.run_string(number, "import time\\ndef inside():\\n    end = time.process_time() + 0.1\\n"
                                        "    while time.process_time() < end: pass\\ninside()")
    number = interpreters.create()
    for _ in range(8):
        outside()
        enter(number)
    """)


@pytest.mark.parametrize("method", ["ticks", "--no-ticks"])
@pytest.mark.parametrize("minor", sorted(PYTHONS, key=lambda text: int(text.split(".")[1])))
def test_a_thread_that_goes_into_a_subinterpreter_and_back(minor, method, tmp_path):
    """Once, and on a track of its own; up to 3.12 it counts for the caller."""
    folded = tmp_path / "out.folded"
    done = subprocess.run([BASILISK, "record", "-r", "500", "-f", "raw", "-t", "-o", str(folded), "--hide-progress",
                           *[method] * (method != "ticks"), "--", PYTHONS[minor], "-S", "-c", IN_TURN],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    outside = inside = both = 0
    for line in folded.read_text().splitlines():
        stack, count = line.rsplit(" ", 1)
        both += int(count)
        outside += int(count) if "outside (" in stack else 0
        if "inside (" in stack:
            assert "MainThread (interpreter 1)" in stack and "enter (" not in stack, stack
            inside += int(count)
        elif int(minor.split(".")[1]) <= 12 and "enter (" in stack:
            inside += int(count)
    assert inside + outside > 0.8 * both, folded.read_text()
    assert 0.35 < inside / (inside + outside) < 0.65, folded.read_text()


@pytest.mark.parametrize("how", ["zip", "pyc"])
def test_code_without_a_source_file(how, tmp_path):
    source = tmp_path / "app.py"
    source.write_text(PARKED)
    if how == "zip":
        where = tmp_path / "app.zip"
        with zipfile.ZipFile(where, "w") as archive:
            archive.write(source, "app.py")
        start = "import sys; sys.path.insert(0, %r); import app" % str(where)
    else:
        subprocess.run([SOME, "-c", "import py_compile; py_compile.compile(%r, %r)"
                        % (str(source), str(tmp_path / "only.pyc"))], check=True)
        start = "import sys; sys.path.insert(0, %r); import only" % str(tmp_path)
    source.unlink()
    with Target([SOME, "-S", "-c", start]) as target:
        assert "(app.py:4)" in expect_parked(target)


# --- places ------------------------------------------------------------------------------------------------------


@root_only
def test_another_mount_namespace(tmp_path):
    python = os.path.realpath(SOME)
    prefix = os.path.dirname(os.path.dirname(python))
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    command = 'mount --bind "$0" "$1" && cd / && exec "$1/bin/$2" -S -c "$3"'
    with Target(["unshare", "-m", "sh", "-c", command, prefix, str(hidden), os.path.basename(python), PARKED],
                env={**os.environ, "PYTHONHOME": prefix}) as target:
        assert not os.listdir(hidden), "the mount must not be seen from here"
        expect_parked(target, version_of(SOME))


@root_only
@pytest.mark.parametrize("minor", HERE)
def test_another_pid_namespace(minor):
    with Target(["unshare", "-p", "-f", *script(PYTHONS[minor])]) as target:
        assert target.ready == ["ready", "1"], "it is the first process of its namespace"
        with open("/proc/%d/task/%d/children" % (target.pid, target.pid), encoding="ascii") as file:
            target.pid = int(file.read())
        expect_parked(target, version_of(PYTHONS[minor]))


@root_only
def test_another_user(tmp_path):
    with Target(script("/usr/bin/python3.11"), user=65534) as target:
        expect_parked(target)


@pytest.mark.parametrize("minor", sorted(PYTHONS, key=lambda text: int(text.split(".")[1])))
def test_a_child_that_forked_without_exec(minor):
    code = PARKED[:PARKED.rindex("main()")] + textwrap.dedent("""\
        if os.fork() == 0:
            main()
        else:
            os.wait()
        """)
    with Target([PYTHONS[minor], "-S", "-c", code]) as target:
        target.pid = int(target.ready[1])
        expect_parked(target)


@pytest.mark.parametrize("how", ["stopped", "traced"])
def test_a_target_that_stands_already(how):
    with Target(script(SOME)) as target:
        tracer = None
        if how == "stopped":
            os.kill(target.pid, signal.SIGSTOP)
        elif shutil.which("gdb"):
            tracer = subprocess.Popen(["gdb", "-q", "-batch", "-p", str(target.pid), "-ex", "shell echo attached",
                                       "-ex", "shell sleep 30"], stdout=subprocess.PIPE, text=True,
                                      stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            while "attached" not in (line := tracer.stdout.readline()):
                assert line, "gdb ended"
        else:
            pytest.skip("no gdb to trace it")
        try:
            expect_parked(target)
        finally:
            if tracer:
                os.killpg(tracer.pid, signal.SIGKILL)
                tracer.wait()
                tracer.stdout.close()
            os.kill(target.pid, signal.SIGCONT)


def test_an_executable_that_was_deleted(tmp_path):
    copy, library = tmp_path / "python", library_of(SOME)
    shutil.copy(os.path.realpath(SOME), copy)
    if library:
        library = shutil.copy(library, tmp_path / os.path.basename(library))
    with Target(script(str(copy)), env={**os.environ, "PYTHONHOME": prefix_of(SOME),
                                        "LD_LIBRARY_PATH": str(tmp_path)}) as target:
        copy.unlink()
        if library:
            os.unlink(library)
        expect_parked(target, version_of(SOME))
        copy.write_text("something else, as an upgrade leaves it")
        expect_parked(target, version_of(SOME))


# --- what is not ours to read ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version, word", [("3.16", 0x031000F0), ("2.7", 0x020712F0), ("4.0", 0x040000F0)])
def test_a_version_that_is_not_known_is_named(version, word, tmp_path):
    python = PYTHONS.get("3.13")
    if not python or not library_of(python):
        pytest.skip("no Python 3.13 with a shared library")
    major, minor, micro = (int(part) for part in version_of(python).split("."))
    cookie = b"xdebugpy"
    mine = cookie + (major << 24 | minor << 16 | micro << 8 | 0xF0).to_bytes(8, "little")
    with open(library_of(python), "rb") as file:
        content = file.read()
    assert content.count(mine) == 1
    (tmp_path / os.path.basename(library_of(python))).write_bytes(
        content.replace(mine, cookie + word.to_bytes(8, "little")))
    with Target(script(python), env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}) as target:
        done = dump(target.pid)
        assert done.returncode == 1
        assert version in done.stderr and "3.8" in done.stderr, done.stderr


def test_pypy_is_named():
    program = os.path.join(BUILDS, "forky", "pypy", "usr", "bin", "pypy3.11")
    if not os.path.exists(program):
        pytest.skip("no PyPy: tests/support/builds --make")
    library = os.path.join(BUILDS, "forky", "pypy", "usr", "lib", "x86_64-linux-gnu")
    with Target(script(*in_suite(program)), env={**os.environ, "LD_LIBRARY_PATH": library}) as target:
        if not target.ready:
            pytest.skip("this PyPy does not start")
        done = dump(target.pid)
        assert done.returncode == 1
        assert re.search(r"PyPy \d+\.\d+", done.stderr), done.stderr


def test_a_program_of_32_bits_is_named(tmp_path):
    source = tmp_path / "small.s"
    source.write_text(textwrap.dedent("""\
        .globl _start
        _start:
            mov $4, %eax; mov $1, %ebx; mov $text, %ecx; mov $6, %edx; int $0x80
            mov $3, %eax; mov $0, %ebx; mov $room, %ecx; mov $1, %edx; int $0x80
            mov $1, %eax; mov $0, %ebx; int $0x80
        .data
        text: .ascii "ready\\n"
        room: .byte 0
        """))
    program = tmp_path / "small"
    built = subprocess.run("as --32 -o %s.o %s && ld -m elf_i386 -o %s %s.o" % (program, source, program, program),
                           shell=True, capture_output=True)
    if built.returncode != 0:
        pytest.skip("binutils here know no 32-bit x86")
    with Target([str(program)]) as target:
        if target.ready != ["ready"]:
            pytest.skip("this kernel runs no 32-bit programs")
        done = dump(target.pid)
        assert done.returncode == 1
        assert "32 bits" in done.stderr, done.stderr
