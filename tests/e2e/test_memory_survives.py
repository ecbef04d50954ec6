"""What memory tracking must not do to a program, and what a program may do to it."""

import json
import os
import signal

import pytest

import dap
import memory
from conftest import PYTHON, fixture_path, line_of
from memory import A_TURN

OWN_STATE = fixture_path("own_state.py")


def watched(editor, tmp_path, work, *arguments, **launch):
    """Runs fixtures/own_state.py, does `work` meanwhile, and returns what it saw before and after."""
    go_on = tmp_path / "go on"
    memory.launch(editor, OWN_STATE, [str(go_on), *arguments], cwd=tmp_path, **launch)
    memory.has(editor, "ready")
    work(editor)
    go_on.write_text("")
    editor.wait_event("terminated")
    line = next(text for text in editor.output("stdout").splitlines() if text.startswith("{"))
    seen = json.loads(line)
    return seen["before"], seen["after"]


def everything(editor):
    memory.ask(editor, "start")
    for _ in range(3):
        memory.ask(editor, "snapshot")
    memory.ask(editor, "diff")
    memory.ask(editor, "references", {"type": "list"})
    memory.ask(editor, "objects")
    memory.ask(editor, "gcCollect")
    memory.ask(editor, "stop")


def test_nothing_is_left_in_the_program(editors, tmp_path):
    before, after = watched(editors.through(), tmp_path, everything)
    for what in before:
        assert before[what] == after[what], what


@pytest.mark.parametrize("minor", ["3.14", "3.15"])
def test_nothing_is_left_without_a_debugger(minor, editors, pythons, tmp_path):
    python, debugpy = pythons[minor]
    if not python:
        pytest.skip("%s: %s" % (minor, debugpy))
    editor = editors.through(adapter=[PYTHON, os.path.join(debugpy, "debugpy", "adapter")])
    before, after = watched(editor, tmp_path, everything, python=python, noDebug=True)
    for what in before:
        assert before[what] == after[what], what


def test_what_the_program_has_patched_is_not_called(editors, tmp_path):
    before, after = watched(editors.through(), tmp_path, everything, "--patched")
    # debugpy's own evaluations call none of them either.
    assert after["calls"] == before["calls"]
    assert after == before


def test_the_programs_own_tracemalloc_stays_its_own(editors, tmp_path):
    def work(editor):
        assert memory.ask(editor, "start", {"frames": 1})["foreign"] is True
        first = memory.ask(editor, "snapshot")
        assert first["foreign"] is True and first["frames"] == 7
        memory.ask(editor, "snapshot")
        memory.ask(editor, "stop")

    before, after = watched(editors.through(), tmp_path, work, "--tracemalloc", "7")
    assert before["tracing"] == after["tracing"] == [True, 7]
    assert before == after


def test_while_it_is_tracked_only_one_module_is_there_and_no_thread(editors, tmp_path):
    def work(editor):
        memory.ask(editor, "start")
        memory.ask(editor, "snapshot")

    before, after = watched(editors.through(), tmp_path, work)
    assert set(after["modules"]) - set(before["modules"]) == {"_basilisk"}
    for what in ("builtins", "main", "gc", "threads", "trace", "calls"):
        assert before[what] == after[what], what


def test_the_editor_hears_of_no_thread_of_ours(editors, tmp_path):
    editor = editors.through()
    memory.launch(editor, cwd=tmp_path)
    memory.ask(editor, "start")
    for _ in range(3):
        memory.ask(editor, "snapshot")
    memory.ask(editor, "references", {"type": "list"})
    assert {body["threadId"] for body in editor.events("thread")} == {1}
    assert [thread["name"] for thread in editor.request("threads")["threads"]] == ["MainThread"]


def test_a_stop_that_holds_a_lock_which_a_del_wants_wedges_nothing(editors, tmp_path):
    program, go_on = fixture_path("held_lock.py"), tmp_path / "go on"
    editor = editors.through()
    memory.launch(editor, program, [str(go_on)], memory=True, stop_at=line_of(program, "# a stop"), cwd=tmp_path)
    memory.ask(editor, "snapshot")
    memory.ask(editor, "snapshot")
    memory.ask(editor, "diff")
    memory.ask(editor, "references", {"type": "Wants"})
    memory.ask(editor, "objects")
    # This alone runs the program's code, and it was asked for: it waits for the lock, on a thread of ours.
    waiting = editor.send("basilisk.memory.gcCollect")
    assert editor.request("threads", timeout=10)["threads"]
    assert editor.evaluate_at_stop("1 + 1") == "2"
    assert waiting.response is None
    editor.resume()
    assert waiting.wait()["collected"] >= 0
    go_on.touch()
    editor.wait_event("terminated")
    assert "freed 50 True" in editor.output("stdout")


def test_two_hundred_threads(editors, tmp_path):
    program, go_on = fixture_path("many_threads.py"), tmp_path / "go on"
    editor = editors.through()
    memory.launch(editor, program, [str(go_on)], memory=True, cwd=tmp_path)
    memory.has(editor, "ready")
    for _ in range(3):
        memory.ask(editor, "snapshot")
    leak = memory.leak_of(memory.ask(editor, "diff"), line_of(program, "# the leak"), program)
    assert leak["growthBytes"] > 0
    assert memory.ask(editor, "references", {"type": "Thread"})["targets"] >= 200
    go_on.write_text("")
    editor.wait_event("terminated")
    assert editor.events("exited")[0]["exitCode"] == 0


@pytest.mark.parametrize("folder", ["none", "not writable"])
def test_without_a_temporary_folder(folder, editors, tmp_path):
    there = tmp_path / "tmp"
    if folder != "none":
        there.mkdir(mode=0o500)
    editor = editors.through()
    memory.launch(editor, memory=True, stop_at=A_TURN, cwd=tmp_path, env={"TMPDIR": str(there)})
    for _ in range(2):
        memory.ask(editor, "snapshot")
    memory.ask(editor, "references", {"type": "Order"})
    assert memory.ask(editor, "diff")["leaks"]


def test_asyncio(editors, tmp_path):
    program = tmp_path / "tasks.py"
    program.write_text(
        "import asyncio\nkept = {}\n\nasync def one(number):\n    kept[number] = 'x' * 1000 + str(number)  # the leak\n"
        "    await asyncio.sleep(0)\n\nasync def main():\n    number = 0\n    while True:\n"
        "        await asyncio.gather(*(one(number + i) for i in range(50)))\n        number += 50\n"
        "        await asyncio.sleep(0.01)\n\nasyncio.run(main())\n")
    editor = editors.through()
    memory.launch(editor, str(program), [], memory=True, cwd=tmp_path)
    for _ in range(4):
        memory.ask(editor, "snapshot")
    assert memory.leak_of(memory.ask(editor, "diff"), 5, str(program))["growthBytes"] > 0


def test_c_code_that_holds_the_gil_is_waited_for(editors, tmp_path):
    program = tmp_path / "busy.py"
    program.write_text("import time\nnumbers = list(range(3_000_000))\nprint('ready', flush=True)\n"
                       "for _ in range(40):\n    sorted(numbers, key=None, reverse=True)\n    time.sleep(0)\n"
                       "print('done', flush=True)\ntime.sleep(60)\n")
    editor = editors.through()
    memory.launch(editor, str(program), [], memory=True, cwd=tmp_path)
    memory.has(editor, "ready")
    assert memory.ask(editor, "snapshot")["tracedBytes"] > 50_000_000


@pytest.mark.parametrize("command", ["snapshot", "references"])
def test_a_program_that_is_killed_in_the_middle(command, editors, tmp_path):
    editor = editors.through()
    memory.launch(editor, memory=True, cwd=tmp_path)
    memory.ask(editor, "snapshot")
    pid = editor.wait_event("process")["systemProcessId"]
    waiting = editor.send("basilisk.memory." + command, {"type": "list"} if command == "references" else None)
    os.kill(pid, signal.SIGKILL)
    response = waiting.wait_response()
    assert response["success"] or response["message"]
    editor.wait_event("terminated")
    assert "ended" in memory.refused(editor, "snapshot")


def test_an_adapter_that_is_killed_in_the_middle(editors, tmp_path):
    editor = editors.through()
    memory.launch(editor, memory=True, cwd=tmp_path)
    memory.ask(editor, "snapshot")
    waiting = editor.send("basilisk.memory.snapshot")
    adapter = next(pid for pid in editor.left_processes() if "debugpy" in dap.describe_pid(pid) and
                   "adapter" in dap.describe_pid(pid) and "basilisk" not in dap.describe_pid(pid).split()[1])
    os.kill(adapter, signal.SIGKILL)
    response = waiting.wait_response()
    assert response["success"] or response["message"]
    editor.wait_event("terminated")


@pytest.mark.parametrize("moment", ["idle", "in a snapshot"])
def test_an_editor_that_vanishes_leaves_nothing_behind(moment, editors, tmp_path):
    there = set(os.listdir("/tmp"))
    editor = editors.through()
    memory.launch(editor, memory=True, cwd=tmp_path)
    memory.ask(editor, "snapshot")
    if moment != "idle":
        editor.send("basilisk.memory.snapshot")
    editor.hang_up()
    editor.process.wait(6)
    dap.wait_until(lambda: not editor.left_processes(), what="everything gone")
    assert not [name for name in set(os.listdir("/tmp")) - there if name.startswith(".basilisk")]


def test_a_program_whose_code_wants_what_we_give_back(editors, tmp_path):
    """Stops tracemalloc itself: that is said, and it can be started again."""
    program = tmp_path / "stops.py"
    program.write_text("import time, tracemalloc\nprint('ready', flush=True)\ntime.sleep(0.01)  # a stop\ntracemalloc.stop()\n"
                       "print('stopped', flush=True)\ntime.sleep(60)\n")
    editor = editors.through()
    memory.launch(editor, str(program), [], memory=True, stop_at=3, cwd=tmp_path)
    memory.ask(editor, "snapshot")
    editor.resume()
    memory.has(editor, "stopped")
    assert "has stopped tracemalloc" in memory.refused(editor, "snapshot")


def test_the_program_does_not_wait_for_a_fork_of_ours(editors, tmp_path):
    """A forked child ends without a word of ours, with its collector as it was."""
    program = tmp_path / "forks.py"
    program.write_text(
        "import gc, os, sys, time\nprint('ready', flush=True)\n"
        "for _ in range(3):\n    pid = os.fork()\n    if pid == 0:\n"
        "        sys.exit(0 if gc.isenabled() else 9)\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n    time.sleep(0.01)\nprint('forked', flush=True)\n")
    editor = editors.through()
    memory.launch(editor, str(program), [], memory=True, cwd=tmp_path, subProcess=False)
    memory.has(editor, "ready")
    for _ in range(4):
        response = editor.ask("basilisk.memory.snapshot")
        if not response["success"]:
            break
    editor.wait_event("terminated")
    assert "forked" in editor.output("stdout"), editor.output()
