"""`basilisk record -- CMD`: CMD's input, output, signals and exit code are its own; and the terminal around it."""

import os
import re
import signal
import subprocess
import sys

import pytest

import profiles
from conftest import BASILISK, PYTHON, fixture_path, report
from recording import (  # noqa: F401
    BUSY, PYTHON_C, SUMMARY, Terminal, about, exists_soon, finish, line_of, names, nothing_is_left, plain,
    record, start,
)

OUT = ["-f", "speedscope", "-o", "out"]
ENDLESS = ("import sys\nprint('up', flush=True)\nwhile True:\n    sum(range(1000))\n")
HANDLES = ("import os, signal, sys, time\n"
           "got = []\n"
           "def on(number, frame): got.append(number)\n"
           "ending = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}\n"
           "for number in ending | {signal.SIGUSR1, signal.SIGUSR2}: signal.signal(number, on)\n"
           "print('up', os.getpid(), flush=True)\n"
           "end = time.monotonic() + 60\n"
           "while time.monotonic() < end and not ending & set(got): sum(range(1000))\n"
           "late = time.monotonic() + 0.5\n"  # a second copy of the signal would come in this time
           "while time.monotonic() < late: sum(range(1000))\n"
           "print(sorted(int(number) for number in got), flush=True)\nsys.exit(7)\n")


# ---- input, output, exit codes

def test_input_output_and_exit_code_are_the_programs(tmp_path):
    text = ("import sys, time\ndata = sys.stdin.buffer.read()\nend = time.process_time() + 0.3\n"
            "while time.process_time() < end: sum(range(1000))\n"
            "sys.stdout.buffer.write(data[::-1]); sys.stderr.write('to stderr\\n'); sys.exit(23)\n")
    done = record(*OUT, "--", *PYTHON_C, text, cwd=tmp_path, input=b"\x00abc\xff" * 20000)
    assert done.code == 23
    assert done.out.encode("latin-1", "replace") and len(done.out) == 5 * 20000
    assert "to stderr\n" in done.err and SUMMARY.search(done.err)
    profiles.check_speedscope(str(tmp_path / "out"))


def test_a_command_needs_no_dashes(tmp_path):
    (tmp_path / "app.py").write_text("import sys\n" + BUSY % 0.3 + "print(sys.argv[1:])\n")
    done = record(*OUT, PYTHON, "app.py", "-r", "7", "--threads", cwd=tmp_path)  # CMD's own options
    assert done.code == 0 and "['-r', '7', '--threads']" in done.out, done.err
    made = about(str(tmp_path / "out"))
    assert made["sampleRate"] == 100 and made["name"] == "app.py"


@pytest.mark.parametrize("text, code", [
    ("sys.exit(0)", 0), ("sys.exit(1)", 1), ("sys.exit(255)", 255), ("raise ValueError", 1),
    ("os.kill(os.getpid(), signal.SIGKILL)", 128 + 9), ("os.kill(os.getpid(), signal.SIGSEGV)", 128 + 11),
])
def test_each_exit_code(text, code, tmp_path):
    done = record(*OUT, "--", *PYTHON_C, "import os, signal, sys\n" + BUSY % 0.2 + text, cwd=tmp_path)
    assert done.code == code, done.err
    assert done.summary


@pytest.mark.parametrize("command, code", [
    (["true"], 0), (["sh", "-c", "exit 9"], 9), (["sh", "-c", "kill -TERM $$; sleep 9"], 128 + 15),
])
def test_what_is_no_python_is_said_and_its_exit_code_passed_on(command, code, tmp_path):
    done = record(*OUT, "--", *command, cwd=tmp_path)
    assert done.code == code
    assert "nothing was recorded" in done.err and command[0] in done.err and str(code) in done.err
    assert os.listdir(str(tmp_path)) == []


def test_a_python_that_ends_at_once_keeps_its_exit_code(tmp_path):
    for code in (0, 5) * 3:
        done = record(*OUT, "--", PYTHON, "-S", "-E", "-c", "raise SystemExit(%d)" % code, cwd=tmp_path)
        assert done.code == code
        assert "nothing was recorded" in done.err or "No samples" in done.err or done.summary


def test_a_python_below_a_wrapper_is_the_one_that_is_recorded(tmp_path):
    (tmp_path / "run.sh").write_text("sleep 0.2\n'%s' '%s' --seconds 0.4\nexit 4\n" % (PYTHON, fixture_path("shares.py")))
    done = record(*OUT, "--", "sh", "run.sh", cwd=tmp_path)
    assert done.code == 4 and done.summary["samples"] > 0, done.err
    assert about(str(tmp_path / "out"))["name"] == "shares.py"


def test_captured_output_is_shown_only_if_the_program_fails(tmp_path):
    done = record(*OUT, "--capture", "--", *PYTHON_C, BUSY % 0.2, cwd=tmp_path)
    assert done.code == 0 and "busy" not in done.out + done.err
    done = record(*OUT, "--capture", "--", *PYTHON_C, BUSY % 0.2 + "raise ValueError('why')", cwd=tmp_path)
    assert done.code == 1 and "busy" in done.err and "ValueError: why" in done.err and done.out == ""


def test_every_python_of_this_machine(pythons, tmp_path):
    recorded = []
    for minor, (python, _) in pythons.items():
        if not python:
            continue
        done = record(*OUT, "-d", "unlimited", "--", python, fixture_path("shares.py"), "--seconds", "0.3", cwd=tmp_path)
        assert done.code == 0, (minor, done.err)
        document = profiles.check_speedscope(str(tmp_path / "out"))
        assert document["basilisk"]["python"].startswith(minor) and "heavy" in names(document)
        recorded.append(minor)
    assert recorded
    report("record -- CMD: Python %s" % ", ".join(recorded))


# ---- signals

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_to_us_reaches_the_program_once(number, tmp_path):
    process = start(*OUT, "--", *PYTHON_C, HANDLES, cwd=tmp_path)
    line_of(process.stdout)
    exists_soon(tmp_path / "out", process)
    process.send_signal(number)
    done = finish(process)
    assert done.code == 7, done.err
    assert done.out.strip() == "[%d]" % number
    assert about(str(tmp_path / "out"))["reason"] == "stopped"


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_that_ends_the_program_is_its_exit_code(number, tmp_path):
    text = "import resource, signal\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"  # SIGQUIT would leave a core
    text += "signal.signal(%d, signal.SIG_DFL)\n" % number + ENDLESS  # without Python's own KeyboardInterrupt
    process = start(*OUT, "--", *PYTHON_C, text, cwd=tmp_path)
    line_of(process.stdout)
    exists_soon(tmp_path / "out", process)
    process.send_signal(number)
    done = finish(process)
    assert done.code == 128 + number and done.summary["samples"] > 0, done.err
    assert profiles.check_speedscope(str(tmp_path / "out"))["basilisk"]["reason"] == "stopped"


def test_a_users_signal_goes_through_and_the_recording_goes_on(tmp_path):
    process = start(*OUT, "--", *PYTHON_C, HANDLES, cwd=tmp_path)
    program = int(line_of(process.stdout).split()[1])
    exists_soon(tmp_path / "out", process)
    process.send_signal(signal.SIGUSR1)
    process.send_signal(signal.SIGUSR2)
    while number_of_pending(process.pid) or number_of_pending(program):
        pass
    os.kill(program, signal.SIGTERM)
    done = finish(process)
    assert done.code == 7, done.err
    assert done.out.strip() == str(sorted([int(signal.SIGUSR1), int(signal.SIGUSR2), int(signal.SIGTERM)]))
    assert about(str(tmp_path / "out"))["reason"] == "the program ended"


def number_of_pending(pid):
    with open("/proc/%d/status" % pid) as file:
        return sum(int(value, 16) for value in re.findall(r"(?:Shd|Sig)Pnd:\s+(\w+)", file.read()))


def test_time_is_up_for_the_program_too(tmp_path):
    process = start(*OUT, "-d", "0.7", "--", *PYTHON_C, ENDLESS, cwd=tmp_path)
    done = finish(process, 30)
    assert done.code == 0, done.err  # it died of what we sent it, and of nothing else
    assert 0.65 < about(str(tmp_path / "out"))["seconds"] < 2
    late = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\n" + ENDLESS
    done = record(*OUT, "-d", "0.7", "--", *PYTHON_C, late, cwd=tmp_path)
    assert done.code == 3, done.err
    done = record(*OUT, "-d", "0.5", "--", "sleep", "60", cwd=tmp_path, timeout=30)
    assert done.code == 1 and "Not a Python process" in done.err


def test_a_program_that_goes_on_after_its_recording_is_waited_for(tmp_path):
    text = ("import signal, sys, time\ngot = []\nsignal.signal(signal.SIGTERM, lambda *_: got.append(1))\n"
            "print('up', flush=True)\nwhile not got: sum(range(1000))\nsys.stdin.read()\nsys.exit(6)\n")
    process = start(*OUT, "--", *PYTHON_C, text, cwd=tmp_path, stdin=subprocess.PIPE)
    line_of(process.stdout)
    exists_soon(tmp_path / "out", process)
    process.send_signal(signal.SIGTERM)
    said = ""
    while "goes on" not in said:
        said = line_of(process.stderr)
    assert re.search(r"\(PID \d+\) goes on; its end is waited for", said)
    assert about(str(tmp_path / "out"))["reason"] == "stopped"
    done = finish(process)  # closes its input
    assert done.code == 6


# ---- a terminal

def test_ctrl_c_reaches_the_program_once_and_ends_the_recording(tmp_path):
    terminal = Terminal([BASILISK, "record", *OUT, "--", PYTHON, "-c", HANDLES], cwd=str(tmp_path))
    terminal.wait_for(b"up ")
    exists_soon(tmp_path / "out", terminal.process)
    terminal.type(b"\x03")
    code, shown = terminal.end()
    assert code == 7, shown
    assert "[%d]" % signal.SIGINT in shown and SUMMARY.search(plain(shown)), shown
    assert about(str(tmp_path / "out"))["reason"] == "stopped"


def test_ctrl_c_of_a_program_that_runs_already(background, tmp_path):
    busy = background.start([*PYTHON_C, BUSY % 1000])
    line_of(busy.stdout)
    terminal = Terminal([BASILISK, "record", *OUT, "-p", str(busy.pid)], cwd=str(tmp_path))
    terminal.wait_for(b"Ctrl-C ends it")
    exists_soon(tmp_path / "out", terminal.process)
    terminal.type(b"\x03")
    code, shown = terminal.end()
    assert code == 0 and SUMMARY.search(plain(shown)), shown
    assert busy.poll() is None


@pytest.mark.parametrize("columns", [20, 80, 200])
def test_progress_is_one_line_that_goes_away(columns, background, tmp_path):
    busy = background.start([*PYTHON_C, BUSY % 1000])
    line_of(busy.stdout)
    terminal = Terminal([BASILISK, "record", *OUT, "-d", "1.2", "-p", str(busy.pid)], columns, cwd=str(tmp_path))
    code, shown = terminal.end()
    assert code == 0, shown
    progress, _, rest = shown.rpartition("\r\x1b[K")
    assert progress.count("\r\x1b[Krecording") >= 2 and "\n" not in progress
    assert all(len(line) < columns for line in re.split(r"\r(?:\x1b\[K)?", progress))
    assert rest.replace("\r", "").startswith("samples: ")


@pytest.mark.parametrize("option", [["--hide-progress"], ["--hideprogress"], []])
def test_no_progress_where_none_is_wanted(option, background, tmp_path):
    busy = background.start([*PYTHON_C, BUSY % 1000])
    line_of(busy.stdout)
    command = [BASILISK, "record", *OUT, "-d", "0.6", "-p", str(busy.pid), *option]
    if option:
        code, shown = Terminal(command, cwd=str(tmp_path)).end()
    else:  # no terminal
        done = record(*command[2:], cwd=tmp_path)
        code, shown = done.code, done.err
    assert code == 0 and "recording" not in shown and "\x1b" not in shown, shown


def test_progress_on_a_terminal_that_is_stdout_alone(background, tmp_path):
    busy = background.start([*PYTHON_C, BUSY % 1000])
    line_of(busy.stdout)
    terminal = Terminal([BASILISK, "record", *OUT, "-d", "0.6", "-p", str(busy.pid)], stderr=subprocess.PIPE,
                        cwd=str(tmp_path))
    err = terminal.process.stderr.read().decode()
    terminal.process.stderr.close()
    code, shown = terminal.end()
    assert code == 0 and SUMMARY.search(err) and "\x1b" not in err
    assert "recording" in shown and shown.endswith("\r\x1b[K")


def test_a_closed_stderr_does_not_harm(background, tmp_path):
    busy = background.start([*PYTHON_C, BUSY % 1000])
    line_of(busy.stdout)
    process = subprocess.Popen([BASILISK, "record", *OUT, "-d", "0.5", "-p", str(busy.pid)], cwd=str(tmp_path),
                               stderr=subprocess.PIPE)
    process.stderr.close()
    assert process.wait(30) == 0
    profiles.check_speedscope(str(tmp_path / "out"))
