"""The user's program does not notice Basilisk: what it prints is the same, byte for byte."""

import os

import pytest

from conftest import PYTHON, fixture_path

NOISE = fixture_path("noise.py")
TURNS = 150


def session(editor, console, profiled, folder):
    """Runs the program, and with `profiled` a profile and a hundred hidden requests beside it; returns what it
    printed."""
    editor.initialize()
    key = {"basilisk": {"profile": True}} if profiled else {}
    editor.launch(NOISE, args=["--turns", str(TURNS)], python=PYTHON, console=console, cwd=str(folder), **key)
    if profiled:
        for _ in range(50):
            # Each asks the debuggee who it is; one is answered before the next is sent.
            editor.ask("basilisk.status", timeout=20)
            editor.ask("basilisk.profiler.stop", timeout=20)
            editor.ask("basilisk.profiler.start", timeout=20)
    editor.wait_event("terminated", timeout=60)
    if editor.terminals:
        return editor.terminals[0].finished_output()
    return {category: editor.output(category) for category in ("stdout", "stderr")}


@pytest.mark.parametrize("console", ["internalConsole", "integratedTerminal"])
def test_output_and_warnings_are_the_same_with_a_profile_and_a_hundred_hidden_requests(console, editors, tmp_path):
    plain = session(editors.direct(), console, False, tmp_path)
    profiled = editors.through()
    found = session(profiled, console, True, tmp_path)
    if console == "internalConsole":
        assert found == plain
        assert ("warning %d\n" % (TURNS - 1)).strip() in found["stderr"]
    else:
        # Two streams meet in one terminal: what each says, and how often, must be equal.
        assert sorted(found.split(b"\r\n")) == sorted(plain.split(b"\r\n"))
    allowed = ("telemetry", "stdout", "stderr", "console", None)
    others = [body for body in profiled.events("output") if body.get("category") not in allowed]
    assert others == [], "debugpy's own words about an evaluation must not be seen"
    assert "base64" not in profiled.output()


def test_a_user_whose_breakpoint_is_hit_sees_only_that_stop(editors, tmp_path):
    path = fixture_path("walk.py")
    editor = editors.through()
    editor.initialize()
    editor.launch(path, python=PYTHON, cwd=str(tmp_path), basilisk={"profile": True}, breakpoints={path: [9]})
    for count in range(1, 4):
        mark = editor.here()
        if count == 1:
            editor.wait_stopped()
        editor.request("basilisk.status")
        editor.resume()
        editor.wait_message("event", "stopped" if count < 3 else "terminated", after=mark)
    assert len(editor.events("stopped")) == 3
    assert {body["reason"] for body in editor.events("stopped")} == {"breakpoint"}
    assert {body.get("threadId") for body in editor.events("thread")} == {1}


def test_warnings_are_not_swallowed_while_a_profile_starts_and_stops(editors, tmp_path):
    editor = editors.through()
    found = session(editor, "internalConsole", True, tmp_path)
    for turn in range(TURNS):
        assert found["stderr"].count("UserWarning: warning %d\n" % turn) == 1, turn


def test_a_marker_that_the_program_prints_passes_unchanged_in_a_session_that_did_not_opt_in(editors):
    editor = editors.through()
    editor.initialize()
    editor.launch(fixture_path("marker.py"), args=["5"], python=PYTHON)
    editor.wait_event("terminated")
    text = editor.output("stdout")
    assert "__BASILISK_MEM__ {" in text
    assert text.startswith("before the marker\n") and text.endswith("after the marker, __BASILISK is no marker\n")


@pytest.mark.parametrize("pieces", ["1", "7"])
def test_a_marked_line_is_cut_out_in_a_session_that_opted_in_and_nothing_else_is(pieces, editors):
    editor = editors.through()
    editor.initialize(supportsBasiliskEvents=True)
    editor.request("basilisk.status")
    editor.launch(fixture_path("marker.py"), args=[pieces], python=PYTHON)
    editor.wait_event("terminated")
    assert editor.output("stdout") == "before the marker\nafter the marker, __BASILISK is no marker\n"


def test_output_beyond_ascii_arrives_unchanged_in_a_session_that_opted_in(editors):
    texts = []
    for proxied in (False, True):
        editor = editors.through() if proxied else editors.direct()
        editor.initialize()
        if proxied:
            editor.request("basilisk.status")
        editor.launch(fixture_path("unicode.py"), python=PYTHON)
        editor.wait_event("terminated")
        # The bytes, since a lone surrogate or a NUL may be written in more ways than one.
        texts.append(b"".join(m.raw.partition(b'"output": "')[2].rpartition(b'"')[0] for m in editor.messages
                              if m.side == "adapter" and m.json.get("event") == "output"
                              and m.json["body"].get("category") == "stdout"))
    assert texts[0] == texts[1]
    assert b"\\udcff" in texts[1]
