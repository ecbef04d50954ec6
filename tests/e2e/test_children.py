"""Child processes: their debug sessions come through Basilisk, and they are in the same profile."""

import os
import re
import time

import pytest

import profiles
from conftest import PYTHON, fixture_path

CHILDREN = fixture_path("children.py")


def launch(editor, how, folder, **more):
    editor.launch(CHILDREN, args=[how, "--seconds", "4"], python=PYTHON, cwd=str(folder), **more)
    said = editor.wait_event("output", lambda body: "child" in body["output"] or "parent" in editor.output("stdout"))
    del said
    editor._wait(lambda: re.search(r"parent (\d+) child (\d+)", editor.output("stdout")), 30, "the PIDs")
    return [int(number) for number in re.search(r"parent (\d+) child (\d+)", editor.output("stdout")).groups()]


@pytest.mark.parametrize("how", ["fork", "spawn", "subprocess"])
@pytest.mark.parametrize("debugged", [True, False], ids=["debugged", "not debugged"])
def test_a_child_joins_the_profile_within_a_second(how, debugged, editors, tmp_path):
    editor = editors.through()
    editor.initialize(supportsStartDebuggingRequest=True)
    launch(editor, how, tmp_path, basilisk={"profile": {"sampleRate": 200}}, subProcess=debugged)
    born = time.monotonic()
    editor.wait_event("basilisk.heat", lambda body: any(one["name"] == "child_work" for file in body["files"]
                                                        for one in file["functions"]))
    assert time.monotonic() - born < 3.0  # within a second in the profile, and then pushed, and warm
    profile = editor.wait_event("basilisk.profile", timeout=60)
    found = profiles.shares(profile)
    assert abs(found["child_work"] - 50) < 10 and abs(found["parent_work"] - 50) < 10, found


def test_a_child_stands_in_the_profile_under_its_pid(editors, tmp_path):
    editor = editors.through()
    editor.initialize(supportsBasiliskEvents=True)
    parent, child = launch(editor, "subprocess", tmp_path, basilisk={"profile": True})
    profile = editor.wait_event("basilisk.profile", timeout=60)
    for format in ("speedscope", "cpuprofile", "flamegraph"):
        with open(profile["paths"][format], encoding="utf-8") as file:
            text = file.read()
        assert str(child) in text and str(parent) in text, format


def test_without_subprocesses_only_the_parent_is_profiled(editors, tmp_path):
    editor = editors.through()
    editor.initialize()
    launch(editor, "subprocess", tmp_path, basilisk={"profile": {"subprocesses": False}}, subProcess=False)
    found = profiles.shares(editor.wait_event("basilisk.profile", timeout=60))
    assert "child_work" not in found and found["parent_work"] > 80


@pytest.mark.parametrize("starts", [False, True], ids=["debugpyAttach", "startDebugging"])
def test_a_child_session_of_a_session_that_opted_in_comes_through_basilisk(starts, editors, tmp_path):
    editor = editors.through()
    editor.initialize(supportsStartDebuggingRequest=starts)
    line = next(n for n, text in enumerate(open(CHILDREN), 1) if "child_work(options.seconds)" in text)
    editor._child_hook = lambda child: child.set_breakpoints(CHILDREN, [line])
    _, child_pid = launch(editor, "subprocess", tmp_path, basilisk={"profile": True})
    child = editor.wait_child()
    thread = child.wait_stopped()["threadId"]
    assert child.events("process")[0]["systemProcessId"] == child_pid
    # What only Basilisk can answer, answered in the child's session: of the one profile.
    status = child.request("basilisk.status")
    assert status["profiling"]["sessionId"]
    assert "Already profiling" in child.refusal("basilisk.profiler.start")["message"]
    child.request("continue", {"threadId": thread})
    child.wait_event("terminated")
    editor.wait_event("terminated", timeout=60)
    assert profiles.shares(editor.events("basilisk.profile")[0]).get("child_work", 0) > 30


def test_a_child_at_a_breakpoint_is_not_counted_while_it_stands(editors, tmp_path):
    editor = editors.through()
    editor.initialize(supportsStartDebuggingRequest=True)
    line = next(n for n, text in enumerate(open(CHILDREN), 1) if "child_work(options.seconds)" in text)
    editor._child_hook = lambda child: child.set_breakpoints(CHILDREN, [line])
    launch(editor, "subprocess", tmp_path, basilisk={"profile": True})
    child = editor.wait_child()
    thread = child.wait_stopped()["threadId"]
    # The parent goes on being profiled.
    mark = editor.here()
    editor.wait_event("basilisk.heat", after=mark)
    child.request("continue", {"threadId": thread})
    editor.wait_event("terminated", timeout=60)


def test_a_restart_by_disconnect_is_a_new_session_with_a_new_process(editors, tmp_path):
    pids = []
    for again in (True, False):
        editor = editors.through()
        editor.initialize()
        editor.launch(fixture_path("shares.py"), args=["--seconds", "60"], python=PYTHON, cwd=str(tmp_path),
                      basilisk={"profile": True})
        editor.wait_event("basilisk.heat")
        pids.append(editor.events("process")[0]["systemProcessId"])
        assert editor.disconnect(restart=again, terminateDebuggee=True)["success"]
        editor.hang_up()
        editor.process.wait(6)
        assert not os.path.exists("/proc/%d" % pids[-1])
    assert pids[0] != pids[1]
    assert len([name for name in os.listdir(str(tmp_path / "basilisk-profiles")) if name.endswith(".cpuprofile")]) == 2
