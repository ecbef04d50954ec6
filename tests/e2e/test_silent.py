"""A session that does not opt in is the session that debugpy gives: the same messages, byte for byte."""

import os
import re
import subprocess
import threading

import pytest

import traffic
from conftest import FIXTURES, PYTHON, debugpy_that_listens, fixture_path, free_port, line_of

WALK = fixture_path("walk.py")


def walk(editor):
    """From the first stop to the end, with most of what an editor asks for."""
    thread = editor.wait_stopped()["threadId"]
    editor.request("threads")
    editor.request("modules", {})
    frames = editor.request("stackTrace", {"threadId": thread, "startFrame": 0, "levels": 20})["stackFrames"]
    scopes = editor.request("scopes", {"frameId": frames[0]["id"]})["scopes"]
    editor.request("variables", {"variablesReference": scopes[0]["variablesReference"]})
    for context in ("watch", "hover", "repl", "clipboard"):
        editor.ask("evaluate", {"expression": "doubled", "frameId": frames[0]["id"], "context": context})
        editor.ask("evaluate", {"expression": "no_such_name", "frameId": frames[0]["id"], "context": context})
    editor.ask("evaluate", {"expression": "/not a command of ours", "frameId": frames[0]["id"], "context": "repl"})
    editor.ask("completions", {"text": "doub", "column": 5, "frameId": frames[0]["id"]})
    editor.ask("setVariable", {"variablesReference": scopes[0]["variablesReference"], "name": "doubled", "value": "7"})
    editor.ask("noSuchRequest", {"a": [1, {"b": None}]})
    mark = editor.here()
    editor.request("next", {"threadId": thread})
    editor.wait_stopped(after=mark)
    editor.set_breakpoints(WALK, [])
    mark = editor.here()
    editor.request("stepIn", {"threadId": thread})
    editor.wait_stopped(after=mark)
    editor.request("continue", {"threadId": thread})
    editor.wait_event("terminated")


def end(editor):
    editor.disconnect()
    editor.wait_event("debugpySockets")


WALK_LAUNCH = {"program": WALK, "python": PYTHON, "breakpoints": {WALK: [line_of(WALK, "# inner")]}}


def launch_internal(editor, folder):
    editor.launch(console="internalConsole", **WALK_LAUNCH)
    walk(editor)


def launch_integrated(editor, folder):
    editor.launch(console="integratedTerminal", **WALK_LAUNCH)
    walk(editor)


def launch_integrated_redirected(editor, folder):
    editor.launch(console="integratedTerminal", redirectOutput=True, **WALK_LAUNCH)
    walk(editor)


def launch_external(editor, folder):
    editor.launch(console="externalTerminal", **WALK_LAUNCH)
    walk(editor)


def launch_stop_on_entry(editor, folder):
    editor.launch(WALK, python=PYTHON, stopOnEntry=True)
    editor.wait_stopped()
    editor.resume()
    editor.wait_event("terminated")


def launch_no_debug(editor, folder):
    editor.launch(WALK, python=PYTHON, noDebug=True)
    editor.wait_event("terminated")


def launch_no_debug_terminal(editor, folder):
    editor.launch(WALK, python=PYTHON, noDebug=True, console="integratedTerminal")
    editor.wait_event("terminated")


def launch_module(editor, folder):
    editor.launch(module="walk", cwd=FIXTURES, python=PYTHON,
                  breakpoints={WALK: [line_of(WALK, "# inner")]})
    walk(editor)


def launch_code(editor, folder):
    editor.launch(code=["import sys", "print('code', sys.argv)"], args=["a b", "\u00e4"], python=PYTHON)
    editor.wait_event("terminated")


def launch_odd_output(editor, folder):
    editor.launch(fixture_path("unicode.py"), python=PYTHON,
                  breakpoints={fixture_path("unicode.py"): [line_of(fixture_path("unicode.py"), "# the end")]})
    editor.wait_stopped()
    editor.evaluate_at_stop("text")
    editor.evaluate_at_stop("number")
    editor.evaluate_at_stop("'\\udcff lone'", context="repl")
    editor.resume()
    editor.wait_event("terminated")


def launch_crash(editor, folder):
    editor.launch(fixture_path("crash.py"), args=["exit", "--seconds", "0"], python=PYTHON)
    editor.wait_event("terminated")


def launch_terminated_by_editor(editor, folder):
    editor.launch(fixture_path("sleeper.py"), python=PYTHON)
    editor.wait_event("output", lambda body: "ready" in body["output"])
    editor.request("terminate")
    editor.wait_event("terminated")


def launch_fails_for_a_missing_program(editor, folder):
    refused = editor.ask("launch", {"type": "python", "request": "launch", "name": "x", "python": PYTHON,
                                    "program": os.path.join(folder, "there_is_none.py")})
    if refused["success"]:
        editor.wait_event("terminated")


SESSIONS = [launch_internal, launch_integrated, launch_integrated_redirected, launch_external, launch_stop_on_entry,
            launch_no_debug, launch_no_debug_terminal, launch_module, launch_code, launch_odd_output, launch_crash,
            launch_terminated_by_editor]


def run(editor, session, folder):
    editor.initialize()
    session(editor, str(folder))
    printed = [terminal.finished_output() for terminal in editor.terminals]
    end(editor)
    editor.hang_up()
    editor.wait_closed()
    return dict(traffic.summary(editor), terminals=printed)


def same(left, right):
    found = traffic.differences(left, right)
    if left["terminals"] != right["terminals"]:
        found.append("terminals differ: %r and %r" % (left["terminals"], right["terminals"]))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.__name__)
def test_a_session_that_does_not_opt_in_has_the_same_messages_as_without_basilisk(session, editors, tmp_path):
    plain = editors.direct()
    expected = run(plain, session, tmp_path)
    proxied = editors.through()
    found = run(proxied, session, tmp_path)
    # PIDs that programs print are part of their output.
    if session is launch_terminated_by_editor:
        for picture in (expected, found):
            picture["output"] = {key: re.sub(r"\d+", "N", text) for key, text in picture["output"].items()}
    # pydevd's copies of stdout and stderr write word by word, and a terminal mixes them as they come.
    if session is launch_integrated_redirected:
        for picture in (expected, found):
            picture["terminals"] = [sorted(text) for text in picture["terminals"]]
    # Without a debugger `process` is the launcher's word and may come after the end of a short program.
    if session in (launch_no_debug, launch_no_debug_terminal):
        for picture in (expected, found):
            picture["course"].sort()
    same(expected, found)
    assert traffic.sequence_problem(plain) is None
    assert traffic.sequence_problem(proxied) is None


def test_an_attach_by_connect_to_a_running_debugpy_has_the_same_messages(editors, background, tmp_path):
    pictures = []
    for proxied in (False, True):
        program, port = debugpy_that_listens(background, WALK)
        if proxied:
            editor = editors.through("--connect", "127.0.0.1:%d" % port)
        else:
            editor = editors.connect("127.0.0.1", port)
        editor.initialize()
        editor.attach(breakpoints={WALK: [line_of(WALK, "# inner")]})
        walk(editor)
        editor.disconnect()
        pictures.append(dict(traffic.summary(editor), terminals=[]))
        assert traffic.sequence_problem(editor) is None
        program.wait(10)
    same(*pictures)


def test_an_attach_by_listen_has_the_same_messages(editors, background):
    pictures = []
    for proxied in (False, True):
        editor = editors.through() if proxied else editors.direct()
        editor.initialize()
        port = free_port()

        def start_program():
            editor.wait_event("debugpyWaitingForServer")
            background.start([PYTHON, "-m", "debugpy", "--connect", "127.0.0.1:%d" % port, "--wait-for-client", WALK],
                             stdout=subprocess.DEVNULL)

        threading.Thread(target=start_program, daemon=True).start()
        editor.attach(breakpoints={WALK: [line_of(WALK, "# inner")]}, listen={"host": "127.0.0.1", "port": port})
        walk(editor)
        editor.disconnect()
        pictures.append(dict(traffic.summary(editor), terminals=[]))
        assert traffic.sequence_problem(editor) is None
    same(*pictures)


@pytest.mark.parametrize("starts", [False, True], ids=["debugpyAttach", "startDebugging"])
def test_a_session_with_a_subprocess_has_the_same_messages_and_so_has_the_childs(starts, editors):
    parents, children = [], []
    for proxied in (False, True):
        editor = editors.through() if proxied else editors.direct()
        editor.initialize(supportsStartDebuggingRequest=starts)
        editor.launch(fixture_path("children.py"), args=["subprocess", "--seconds", "0.2"], python=PYTHON)
        child = editor.wait_child()
        child.wait_event("terminated")
        editor.wait_event("terminated")
        editor.disconnect()
        assert child.configuration["connect"]["host"] == "127.0.0.1"
        for client, pictures in ((editor, parents), (child, children)):
            picture = dict(traffic.summary(client), terminals=[])
            picture["output"] = {key: re.sub(r"\d+", "N", text) for key, text in picture["output"].items()}
            pictures.append(picture)
    same(*parents)
    same(*children)
