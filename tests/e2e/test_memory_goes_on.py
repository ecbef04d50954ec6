"""No operation of memory leaves a program standing, or anything in it, whichever way its session ends meanwhile."""

import pytest

import conftest
import dap
import memory
from conftest import fixture_path, line_of

GOES_ON = fixture_path("goes_on.py")
A_STOP = line_of(GOES_ON, "# a stop")
IN_FLIGHT = {"snapshot": None, "diff": None, "references": {"type": "list"}, "references by expression": {"expression": "kept[0]"},
             "objects": None, "gcCollect": None, "stop": None, "nothing": None}


def attached_and_standing(editors, background, tmp_path, *arguments):
    process, port = conftest.debugpy_that_listens(background, GOES_ON, str(tmp_path / "go on"), str(tmp_path / "log"), *arguments,
                                                  cwd=str(tmp_path))
    editor = editors.through()
    editor.initialize(supportsBasiliskEvents=True)
    editor.attach(connect={"host": "127.0.0.1", "port": port}, breakpoints={GOES_ON: [A_STOP]})
    editor.wait_stopped()
    memory.ask(editor, "start")
    memory.ask(editor, "snapshot")
    memory.ask(editor, "snapshot")
    return editor, process


def finds_itself(tmp_path):
    log = tmp_path / "log"
    dap.wait_until(lambda: log.exists() and ("as before" in log.read_text() or "otherwise" in log.read_text()), timeout=40,
                   what="the program to go on")
    (tmp_path / "go on").touch()
    return log.read_text().split("\n")[1]


@pytest.mark.parametrize("what", IN_FLIGHT)
def test_a_disconnect_while_it_stands(what, editors, background, tmp_path):
    editor, _ = attached_and_standing(editors, background, tmp_path)
    if what != "nothing":
        editor.send("basilisk.memory." + what.split()[0], IN_FLIGHT[what])
    editor.send("disconnect", {"terminateDebuggee": False})
    assert finds_itself(tmp_path) == "as before"


@pytest.mark.parametrize("what", ["snapshot", "references"])
def test_an_editor_that_vanishes_while_it_stands(what, editors, background, tmp_path):
    editor, _ = attached_and_standing(editors, background, tmp_path)
    editor.send("basilisk.memory." + what, IN_FLIGHT[what])
    editor.hang_up()
    assert finds_itself(tmp_path) == "as before"


def test_a_last_snapshot_that_fails_takes_tracking_back(editors, background, tmp_path):
    editor, _ = attached_and_standing(editors, background, tmp_path)
    editor.evaluate_at_stop("__import__('_tracemalloc').__dict__.update(get_traced_memory=None)")
    assert "'NoneType' object is not callable" in memory.refused(editor, "snapshot")
    editor.send("disconnect", {"terminateDebuggee": False})
    assert finds_itself(tmp_path) == "as before"


@pytest.mark.parametrize("how", ["disconnects", "disconnects and hangs up"])
def test_a_collection_that_waits_for_the_programs_lock_does_not_outlive_the_session(how, editors, background, tmp_path):
    editor, _ = attached_and_standing(editors, background, tmp_path, "--lock")
    editor.send("basilisk.memory.gcCollect")
    assert editor.request("threads")["threads"]
    editor.send("disconnect", {"terminateDebuggee": False})
    if how != "disconnects":
        editor.hang_up()
    assert finds_itself(tmp_path) == "as before"


@pytest.mark.parametrize("what", ["snapshot", "references"])
def test_a_continue_while_it_is_under_way(what, editors, background, tmp_path):
    editor, _ = attached_and_standing(editors, background, tmp_path)
    waiting = editor.send("basilisk.memory." + what, IN_FLIGHT[what])
    editor.resume()
    assert waiting.wait_response()["success"]
    memory.ask(editor, "stop")
    assert finds_itself(tmp_path) == "as before"
