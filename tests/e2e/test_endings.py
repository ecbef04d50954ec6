"""However a session ends, five seconds later nothing is left that Basilisk or the adapter started."""

import os
import signal

import pytest

import dap
from conftest import BASILISK, PYTHON, debugpy_that_listens, fixture_path

LEFT_S = 5.0


def kill(pid, how=signal.SIGKILL):
    os.kill(pid, how)


def processes(editor):
    """Who is who among what the session started: "proxy", "adapter", "launcher", "debuggee"."""
    found = {}
    for pid in editor.left_processes():
        line = dap.describe_pid(pid)
        if line.split(": ", 1)[1].startswith(BASILISK):
            found["proxy"] = pid
        elif "debugpy.adapter" in line or "debugpy/adapter" in line:
            found["adapter"] = pid
        elif "debugpy/launcher " in line:
            found["launcher"] = pid
        elif "sleeper.py" in line or "shares.py" in line:
            found["debuggee"] = pid
    return found


def nothing_left(editor):
    dap.wait_until(lambda: not editor.left_processes(), LEFT_S,
                   "an end of all processes: %s" % [dap.describe_pid(pid) for pid in editor.left_processes()])


def running(editors, console="internalConsole", profiled=False, folder=None, program="sleeper.py"):
    editor = editors.through()
    editor.initialize()
    key = {"basilisk": {"profile": {"outputDirectory": str(folder)}}} if profiled else {}
    editor.launch(fixture_path(program), python=PYTHON, console=console, **key)
    editor.wait_event("process")
    dap.wait_until(lambda: "debuggee" in processes(editor), what="a debuggee")
    return editor


CONSOLES = ["internalConsole", "integratedTerminal"]


@pytest.mark.parametrize("console", CONSOLES)
@pytest.mark.parametrize("profiled", [False, True], ids=["plain", "profiled"])
@pytest.mark.parametrize("first", ["proxy", "adapter", "debuggee", "launcher", "editor"])
def test_nothing_is_left_when_one_is_killed(first, profiled, console, editors, tmp_path):
    editor = running(editors, console, profiled, tmp_path, "shares.py" if profiled else "sleeper.py")
    if first == "editor":
        editor.hang_up()
    else:
        kill(processes(editor)[first])
        if first in ("debuggee", "launcher"):
            editor.wait_event("terminated")
            editor.disconnect()
            editor.hang_up()
        else:
            editor.wait_closed(LEFT_S)
            editor.hang_up()
    nothing_left(editor)


@pytest.mark.parametrize("profiled", [False, True], ids=["plain", "profiled"])
def test_nothing_is_left_after_a_disconnect(profiled, editors, tmp_path):
    editor = running(editors, profiled=profiled, folder=tmp_path)
    assert editor.disconnect(terminateDebuggee=True)["success"]
    editor.hang_up()
    nothing_left(editor)


def test_nothing_is_left_after_a_terminate(editors):
    editor = running(editors)
    editor.request("terminate")
    editor.wait_event("terminated")
    editor.disconnect()
    editor.hang_up()
    nothing_left(editor)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_nothing_is_left_when_the_proxy_is_asked_to_end(how, editors):
    editor = running(editors)
    kill(editor.process.pid, how)
    editor.wait_closed(LEFT_S)
    nothing_left(editor)


def test_the_editor_is_told_when_the_adapter_dies(editors):
    editor = running(editors)
    kill(processes(editor)["adapter"])
    editor.wait_event("terminated", timeout=5)


def test_a_request_under_way_is_answered_when_the_adapter_dies(editors):
    editor = editors.through(adapter=[PYTHON, os.path.join(os.path.dirname(dap.__file__), "fake_adapter.py")])
    editor.initialize()
    held = editor.send("hold")
    editor.send("die", {"code": 3})
    response = held.wait_response(5)
    assert not response["success"] and response["message"]


def test_the_debuggee_lives_on_after_a_disconnect_that_says_so(editors, background, tmp_path):
    program, port = debugpy_that_listens(background, fixture_path("shares.py"), "--seconds", "60", cwd=str(tmp_path))
    editor = editors.through("--connect", "127.0.0.1:%d" % port)
    editor.initialize()
    editor.attach(basilisk={"profile": True})
    editor.wait_event("basilisk.heat")
    assert editor.disconnect(terminateDebuggee=False)["success"]
    editor.hang_up()
    nothing_left(editor)
    assert program.poll() is None


def test_an_attached_debuggee_lives_on_when_the_proxy_is_killed(editors, background, tmp_path):
    program, port = debugpy_that_listens(background, fixture_path("shares.py"), "--seconds", "60", cwd=str(tmp_path))
    editor = editors.through("--connect", "127.0.0.1:%d" % port)
    editor.initialize()
    editor.attach()
    kill(editor.process.pid)
    editor.wait_closed(LEFT_S)
    assert program.poll() is None


def test_the_proxy_ends_when_the_editor_vanishes_before_it_said_a_word(editors):
    editor = editors.through()
    editor.hang_up()
    editor.process.wait(LEFT_S)
    nothing_left(editor)
