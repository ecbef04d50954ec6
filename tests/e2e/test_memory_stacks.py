"""How a leaking line was reached: told by the CPU profile that runs beside the memory session."""

import json

import pytest

import memory
from conftest import PYTHON, fixture_path, line_of

CALLERS = fixture_path("callers.py")
THE_LEAK = line_of(CALLERS, "# the leak")
MOSTLY = line_of(CALLERS, "# calls it mostly")


def launch(editor, folder, **key):
    editor.initialize(supportsBasiliskEvents=True)
    editor.launch(CALLERS, args=["100000"], python=PYTHON, cwd=str(folder), basilisk=key)
    memory.has(editor, "ready")


def sampled(editor, least=2):
    """Waits until the profile has pushed heat of the leaking line."""
    editor.wait_event("basilisk.heat", lambda body: body["version"] >= least and any(
        line["line"] == THE_LEAK for file in body["files"] for line in file["lines"]))


def diffs(editor, count):
    """One snapshot, then `count` intervals with work in them; the last diff."""
    for number in range(count + 1):
        if number:
            mark = editor.here()
            editor.wait_event("basilisk.heat", after=mark)
        taken = memory.ask(editor, "snapshot")
    return taken, memory.ask(editor, "diff")


def places(stack):
    return [(frame["function"], frame["line"]) for frame in stack]


def way_to(node, line, above=()):
    """The nodes above the one of this line in the program, outermost first; None: it is not there."""
    frame = node["callFrame"]
    if frame["lineNumber"] + 1 == line and frame["url"].endswith("/callers.py") and node["selfSize"]:
        return above
    for child in node["children"]:
        found = way_to(child, line, above + (frame,))
        if found is not None:
            return found
    return None


def test_a_running_profile_tells_who_called_the_leaking_line(editors, tmp_path):
    editor = editors.through()
    launch(editor, tmp_path, profile={"sampleRate": 200}, memory=True)
    sampled(editor)
    taken, diff = diffs(editor, 3)
    leak = memory.leak_of(diff, THE_LEAK, CALLERS)
    assert leak["stackFrom"] == "inferred" and leak["stackSamples"] > 0
    assert leak["stack"][0]["line"] == THE_LEAK and leak["stack"][0]["path"] == CALLERS
    assert ("often", MOSTLY) in places(leak["stack"]) and places(leak["stack"])[-1][0] == "<module>"
    site = next(site for site in taken["sites"] if (site["path"], site["line"]) == (CALLERS, THE_LEAK))
    assert site["stackFrom"] == "inferred" and site["stackSamples"] <= leak["stackSamples"]
    with open(taken["paths"]["heapprofile"]) as file:
        above = way_to(json.load(file)["head"], THE_LEAK)
    assert ("often", MOSTLY - 1) in [(frame["functionName"], frame["lineNumber"]) for frame in above]
    mark = editor.here()
    assert editor.console("/memdiff")["success"]
    said = memory.said(editor, mark)
    assert "called from often (callers.py:%d) from main (callers.py:" % MOSTLY in said, said
    assert "(inferred, " in said and " samples)" in said, said


def test_without_a_profile_no_stack_is_made_up(editors, tmp_path):
    editor = editors.through()
    launch(editor, tmp_path, memory=True)
    for _ in range(3):
        taken = memory.ask(editor, "snapshot")
    diff = memory.ask(editor, "diff")
    assert all("stackFrom" not in row for row in diff["leaks"] + taken["sites"])


def test_a_line_that_the_sampler_never_saw_has_no_stack(editors, tmp_path):
    editor = editors.through()
    launch(editor, tmp_path, profile=True, memory=True)
    sampled(editor)
    taken, _ = diffs(editor, 1)
    seen = {(site["path"], site["line"]): site.get("stackSamples") for site in taken["sites"]}
    assert seen[(CALLERS, THE_LEAK)] and None in seen.values()


def test_while_it_stands_at_a_breakpoint_the_profile_still_tells(editors, tmp_path):
    editor = editors.through()
    launch(editor, tmp_path, profile={"sampleRate": 200}, memory=True)
    sampled(editor)
    mark = editor.here()
    editor.request("pause", {"threadId": 1})
    editor.wait_stopped(after=mark)
    for _ in range(2):
        taken = memory.ask(editor, "snapshot")
    site = next(site for site in taken["sites"] if (site["path"], site["line"]) == (CALLERS, THE_LEAK))
    assert site["stackFrom"] == "inferred"


def test_the_last_snapshot_has_the_stacks_of_the_profile_that_ends_with_it(editors, tmp_path):
    editor = editors.through()
    editor.initialize(supportsBasiliskEvents=True)
    editor.launch(CALLERS, args=["100"], python=PYTHON, cwd=str(tmp_path),
                  basilisk={"profile": {"sampleRate": 200}, "memory": True})
    editor.wait_event("terminated")
    last = editor.events("basilisk.memory", lambda body: body["kind"] == "snapshot")[-1]
    assert last["atExit"] is True
    site = next(site for site in last["sites"] if (site["path"], site["line"]) == (CALLERS, THE_LEAK))
    assert site["stackFrom"] == "inferred" and ("often", MOSTLY) in places(site["stack"])


@pytest.mark.parametrize("order", ["profile first", "memory first"])
def test_both_can_be_stopped_in_either_order(order, editors, tmp_path):
    editor = editors.through()
    launch(editor, tmp_path, profile={"sampleRate": 200}, memory=True)
    sampled(editor)
    waiting = [editor.send("basilisk.memory.snapshot") for _ in range(3)]
    stops = ["basilisk.profiler.stop", "basilisk.memory.stop"]
    for command in stops if order == "profile first" else reversed(stops):
        editor.request(command, timeout=60)
    assert [one.wait()["number"] for one in waiting] == [1, 2, 3]


def test_a_profile_that_begins_after_memory_knows_the_debugger_and_our_dumps_from_the_program(editors, tmp_path):
    editor = editors.through()
    launch(editor, tmp_path, memory=True)
    editor.request("basilisk.profiler.start", {"sampleRate": 200})
    for _ in range(3):
        memory.ask(editor, "snapshot")
    sampled(editor)
    profile = editor.request("basilisk.profiler.stop")
    strange = [row for row in profile["top"] if "pydevd" in row["path"] or "debugpy" in row["path"] or
               row["path"].startswith("<basilisk>")]
    assert profile["top"] and not strange, strange
