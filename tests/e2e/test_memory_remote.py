"""`basilisk memory -p PID`: snapshots, diffs and references of a program that nobody debugs (PEP 768)."""

import json
import os
import re
import signal
import subprocess

import pytest

import dap
from conftest import BASILISK, PYTHON
from recording import Terminal

PROGRAM = '''
import os, sys, threading, time
class Node:
    def __init__(self):
        self.x = bytes(200)
cache = []
def step():
    cache.append(Node())  # site
def work():
    while True:
        step()
        time.sleep(0.002)
print("ready", os.getpid(), flush=True)
'''
BUSY = PROGRAM + "work()\n"
# Its main thread waits in C until its standard input ends; then it says what was done to it.
BLOCKED = PROGRAM + '''
sys.stdin.read(1)
for i in range(100000):
    pass
print("_basilisk" in sys.modules, flush=True)
sys.stdin.read()
'''
BLOCKED_MAIN = PROGRAM + "threading.Thread(target=work, daemon=True).start()\n" + BLOCKED[len(PROGRAM):]


def start(background, python, text, tmp_path, **options):
    path = tmp_path / "program.py"
    path.write_text(text)
    process = background.start([python, str(path)], stdin=subprocess.PIPE, **options)
    word, pid = process.stdout.readline().split()
    assert word == b"ready"
    process.inside = int(pid)
    return process


@pytest.fixture(params=["3.14", "3.15"])
def new_python(request, pythons):
    python, reason = pythons[request.param]
    if not python:
        pytest.skip("%s: %s" % (request.param, reason))
    return python


def memory(*arguments, timeout=120):
    return subprocess.run([BASILISK, "memory", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=timeout)


def left_in_tmp():
    return [name for name in os.listdir("/tmp") if name.startswith(".basilisk-")]


def test_references_show_the_planted_holder(background, tmp_path, new_python):
    program = start(background, new_python, BUSY, tmp_path)
    before = left_in_tmp()
    done = memory("references", "-p", program.inside, "--type", "Node", "--json")
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)
    assert "global cache" in [edge["label"] for edge in body["edges"]]
    types = {node["id"]: node["type"] for node in body["nodes"]}
    assert types[body["edges"][0]["to"]]
    assert len(body["nodes"]) <= 200 and body["roots"]
    text = memory("references", "-p", program.inside, "--type", "Node").stdout.decode()
    assert "module __main__\n  global cache -> list" in text
    assert left_in_tmp() == before


def test_a_leak_is_definite_after_some_rounds_and_tracking_stops(background, tmp_path, new_python):
    program = start(background, new_python, BUSY, tmp_path)
    done = memory("diff", "-p", program.inside, "-d", 1, "-n", 3, "--json")
    assert done.returncode == 0, done.stderr
    line = BUSY.split("# site")[0].count("\n") + 1
    leaks = {leak["line"]: leak for leak in json.loads(done.stdout)["leaks"]}
    assert leaks[line]["band"] == "definite", leaks
    assert leaks[line]["reasons"][0].endswith("hangs on list __main__.cache, which grows"), leaks[line]
    snapshot = memory("snapshot", "-p", program.inside, "--json")
    assert line in [site["line"] for site in json.loads(snapshot.stdout)["sites"][:5]], snapshot.stderr
    site = "%s:%d" % (tmp_path / "program.py", line)
    assert b"global cache -> list" in memory("references", "-p", program.inside, "--site", site).stdout
    assert b"has stopped" in memory("stop", "-p", program.inside).stdout
    assert b"nothing was stopped" in memory("stop", "-p", program.inside).stdout


def test_a_target_in_c_code_is_told_in_words_and_nothing_runs_later(background, tmp_path, new_python):
    program = start(background, new_python, BLOCKED, tmp_path)
    before = left_in_tmp()
    done = memory("references", "-p", program.inside, "--type", "Node", "--timeout", 1)
    assert done.returncode == 1
    assert b"waits in a system call" in done.stderr and b"nothing will be" in done.stderr
    assert left_in_tmp() == before
    program.stdin.write(b"x")
    program.stdin.flush()
    assert program.stdout.readline() == b"False\n"


def test_another_thread_listens_when_the_main_one_does_not(background, tmp_path, new_python):
    program = start(background, new_python, BLOCKED_MAIN, tmp_path)
    done = memory("references", "-p", program.inside, "--type", "Node")
    assert done.returncode == 0, done.stderr
    assert b"global cache -> list" in done.stdout
    program.stdin.write(b"x")
    program.stdin.flush()
    assert program.stdout.readline() == b"False\n"  # nothing is left, and nothing runs late


def test_switched_off_is_said(background, tmp_path, new_python):
    off = dict(os.environ, PYTHON_DISABLE_REMOTE_DEBUG="1")
    program = start(background, new_python, BUSY, tmp_path, env=off)
    done = memory("snapshot", "-p", program.inside)
    assert done.returncode == 1
    assert b"Remote debugging is switched off in process %d" % program.inside in done.stderr
    assert b"PYTHON_DISABLE_REMOTE_DEBUG" in done.stderr


def test_an_interrupt_withdraws(background, tmp_path, new_python):
    program = start(background, new_python, BLOCKED, tmp_path)
    before = left_in_tmp()
    process = background.start([BASILISK, "memory", "references", "-p", str(program.inside), "--type", "Node",
                                "--timeout", "60"], stderr=subprocess.PIPE)
    dap.wait_until(lambda: left_in_tmp() != before, what="a script that waits")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 1
    assert left_in_tmp() == before
    program.stdin.write(b"x")
    program.stdin.flush()
    assert program.stdout.readline() == b"False\n"


def test_a_target_that_ends_leaves_nothing_in_tmp(background, tmp_path, new_python):
    program = start(background, new_python, BLOCKED, tmp_path)
    before = left_in_tmp()
    process = background.start([BASILISK, "memory", "references", "-p", str(program.inside), "--type", "Node",
                                "--timeout", "60"], stderr=subprocess.PIPE)
    dap.wait_until(lambda: left_in_tmp() != before, what="a script that waits")
    os.kill(program.inside, signal.SIGKILL)
    assert process.wait(timeout=20) == 1
    assert left_in_tmp() == before


def diff_in_a_terminal(program, *options, tmp_path):
    return Terminal([BASILISK, "memory", "diff", "-p", str(program.inside), *options], cwd=str(tmp_path))


def test_ctrl_c_ends_the_waiting_and_what_there_is_is_written(background, tmp_path, new_python):
    program = start(background, new_python, BUSY, tmp_path)
    terminal = diff_in_a_terminal(program, "-d", "600", "-n", "5", tmp_path=tmp_path)
    terminal.wait_for(b"snapshot 2 of 6 in ")
    terminal.type(b"\x03")
    code, shown = terminal.end()
    assert code == 0, shown
    progress, _, rest = shown.rpartition("\r\x1b[K")
    assert "snapshot 1 of 6" in progress and "\n" not in progress
    assert "Snapshot 1 to 2: " in rest and "leak?" in rest, rest
    assert "basilisk memory stop -p %d" % program.inside in rest
    assert program.poll() is None


def test_a_second_ctrl_c_does_not_wait_for_the_last_snapshot(background, tmp_path, new_python):
    program = start(background, new_python, BUSY, tmp_path)
    terminal = diff_in_a_terminal(program, "-d", "600", "--timeout", "600", tmp_path=tmp_path)
    terminal.wait_for(b"snapshot 2 of 4 in ")
    os.kill(program.inside, signal.SIGSTOP)
    terminal.type(b"\x03")
    terminal.wait_for(b"snapshot 2 of 4  ")
    terminal.type(b"\x03")
    code, shown = terminal.end()
    os.kill(program.inside, signal.SIGCONT)
    assert code == 1 and "Interrupted" in shown, shown


def test_what_was_found_before_the_program_ended_is_written(background, tmp_path, new_python):
    program = start(background, new_python, BUSY, tmp_path)
    terminal = diff_in_a_terminal(program, "-d", "2", tmp_path=tmp_path)
    terminal.wait_for(b"snapshot 3 of 4 in ")
    os.kill(program.inside, signal.SIGKILL)
    code, shown = terminal.end()
    assert code == 1 and "Snapshot 1 to 2: " in shown and "not found" in shown, shown


@pytest.mark.parametrize("columns", [20, 80])
def test_a_terminal_says_what_is_waited_for_in_one_line(columns, background, tmp_path, new_python):
    program = start(background, new_python, BLOCKED, tmp_path)
    command = [BASILISK, "memory", "snapshot", "-p", str(program.inside), "--timeout", "1"]
    code, shown = Terminal(command, columns, cwd=str(tmp_path)).end()
    assert code == 1
    progress, _, rest = shown.rpartition("\r\x1b[K")
    lines = re.split(r"\r(?:\x1b\[K)?", progress)
    assert sum(line.startswith("waiting for ") for line in lines) >= 2 and "\n" not in progress, shown
    assert all(len(line) < columns for line in lines)
    assert rest.startswith("basilisk: Process %d ran no Python code" % program.inside)


def test_no_progress_where_there_is_no_terminal(background, tmp_path, new_python):
    program = start(background, new_python, BUSY, tmp_path)
    done = memory("diff", "-p", program.inside, "-d", 1, "-n", 1)
    assert done.returncode == 0 and done.stderr == b"", done.stderr
    assert b"Snapshot 1 to 2: +" in done.stdout


def test_an_older_python_is_told_what_to_do(background, tmp_path):
    program = start(background, PYTHON, BUSY, tmp_path)
    done = memory("snapshot", "-p", program.inside)
    assert done.returncode == 1
    assert b"needs 3.14" in done.stderr and b"debug session" in done.stderr


@pytest.mark.parametrize("arguments, what", [
    ([], b"needs one of"), (["snapshot"], b"needs --pid"), (["other", "-p", "1"], b"needs one of"),
    (["references", "-p", "1"], b"--type or --site"), (["references", "-p", "1", "--site", "x"], b"PATH:LINE"),
])
def test_wrong_usage_is_two(arguments, what):
    done = memory(*arguments)
    assert done.returncode == 2 and what in done.stderr


def test_no_such_process():
    done = memory("snapshot", "-p", 2 ** 22 - 1)
    assert done.returncode == 1 and b"not found" in done.stderr
