"""A start that nobody waits for any more, because C code held the GIL: it must not begin later without an owner."""

import json

import pytest

import conftest
import dap
import memory
from conftest import fixture_path

HOLDS_GIL = fixture_path("holds_gil.py")


def state_of(text):
    return json.loads(next(line for line in reversed(text.splitlines()) if line.startswith("{")))


def test_a_start_that_is_answered_too_late_is_taken_back(editors, tmp_path):
    editor = editors.through()
    go_on = tmp_path / "go on"
    memory.launch(editor, HOLDS_GIL, ["18", str(go_on)], cwd=tmp_path)
    memory.has(editor, "holds it")
    before = state_of(editor.output("stdout"))
    waiting = editor.send("basilisk.memory.start")
    queued = editor.send("basilisk.memory.snapshot")
    refused = waiting.wait_response(timeout=30)
    assert not refused["success"] and "did not answer in time" in refused["message"]
    assert "Memory is not tracked" in queued.wait_response(timeout=2)["message"]
    assert "has not answered since" in memory.refused(editor, "start")
    assert "memory" not in editor.request("basilisk.status")
    memory.has(editor, "let go")
    # The program says how it finds itself, until it is as before or its time is up.
    memory.has(editor, "as before")
    assert state_of(editor.output("stdout").split("as before")[0]) == before
    go_on.touch()


def test_it_can_be_started_again_once_the_program_goes_on(editors, tmp_path):
    editor = editors.through()
    go_on = tmp_path / "go on"
    memory.launch(editor, HOLDS_GIL, ["17", str(go_on)], cwd=tmp_path)
    memory.has(editor, "holds it")
    assert "did not answer in time" in editor.send("basilisk.memory.start").wait_response(timeout=30)["message"]
    memory.has(editor, "as before")
    started = []

    def starts():
        response = editor.ask("basilisk.memory.start")
        started.append(response)
        return response["success"]

    dap.wait_until(starts, what="tracking")
    for _ in range(2):
        assert memory.ask(editor, "snapshot")["tracedBytes"] > 0
    assert memory.ask(editor, "stop")


@pytest.mark.parametrize("how", ["attached", "launched"])
def test_a_session_that_ends_before_the_answer_leaves_nothing_in_the_program(how, editors, tmp_path, background):
    go_on, log = tmp_path / "go on", tmp_path / "log"
    editor = editors.through()
    arguments = ["2", str(go_on), str(log)]
    if how == "attached":
        process, port = conftest.debugpy_that_listens(background, HOLDS_GIL, *arguments, cwd=str(tmp_path))
        editor.initialize(supportsBasiliskEvents=True)
        editor.attach(connect={"host": "127.0.0.1", "port": port})
    else:
        memory.launch(editor, HOLDS_GIL, arguments, cwd=tmp_path)
    dap.wait_until(lambda: log.exists() and "holds it" in log.read_text(), what="the GIL held")
    editor.send("basilisk.memory.start")
    editor.send("disconnect", {"terminateDebuggee": False})
    dap.wait_until(lambda: "as before" in log.read_text() or "otherwise" in log.read_text(), timeout=30, what="its state")
    assert "as before" in log.read_text(), log.read_text()
    go_on.touch()
