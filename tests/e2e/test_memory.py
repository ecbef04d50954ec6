"""Memory in a debug session: each command, running and stopped, asked for by request and in the console."""

import json
import os
import signal
import stat

import pytest

import memory
from conftest import PYTHON, fixture_path, line_of
from memory import A_TURN, LEAKS, THE_LEAK


@pytest.mark.parametrize("stands", [False, True], ids=["running", "stopped"])
def test_every_command_as_a_request(stands, editors, tmp_path):
    editor = editors.through()
    memory.launch(editor, stop_at=A_TURN if stands else None, cwd=tmp_path)
    started = memory.ask(editor, "start")
    assert started["sessionId"] == "mem-1" and started["foreign"] is False
    assert started["pid"] == editor.wait_event("process")["systemProcessId"]
    for number in (1, 2, 3):
        snapshot = memory.ask(editor, "snapshot", {"sessionId": started["sessionId"]})
        assert snapshot["number"] == number
        if stands and number < 3:
            memory.next_stop(editor)
    assert snapshot["tracedBytes"] > 0 and snapshot["rssBytes"] > snapshot["tracedBytes"]
    path = snapshot["paths"]["heapprofile"]
    assert os.path.dirname(path) == str(tmp_path / "basilisk-profiles")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path) as file:
        assert json.load(file)["head"]["children"]
    diff = memory.ask(editor, "diff", {"from": 1, "to": 3})
    assert (diff["from"], diff["to"]) == (1, 3)
    graph = memory.ask(editor, "references", {"type": "Order"})
    assert any(edge["label"] == "global kept" for edge in graph["edges"]), graph["edges"]
    assert memory.ask(editor, "gcCollect")["uncollectable"] == 0
    types = {row["type"]: row for row in memory.ask(editor, "objects")["types"]}
    assert types["__main__.Order"]["count"] > 0
    assert memory.ask(editor, "stop") == {"sessionId": "mem-1"}
    assert editor.request("threads")["threads"]
    assert "Memory is not tracked any more" in memory.refused(editor, "snapshot")


@pytest.mark.parametrize("stands", [False, True], ids=["running", "stopped"])
def test_every_command_in_the_console(stands, editors, tmp_path):
    editor = editors.through()
    memory.launch(editor, stop_at=A_TURN if stands else None, cwd=tmp_path)
    words = {}
    for command in ("start", "snapshot", "snapshot", "diff", "references", "gcCollect", "objects", "stop"):
        mark = editor.here()
        answer = editor.console(memory.CONSOLE[command])
        assert answer["success"], answer
        words[command] = memory.said(editor, mark) + answer["body"]["result"]
        if stands and command == "snapshot":
            memory.next_stop(editor)
    assert "Tracking the memory of process" in words["start"]
    assert "Memory snapshot 2:" in words["snapshot"] and "leaks.py:" in words["snapshot"]
    assert "Memory from snapshot 1 to 2" in words["diff"] and "leaks.py:" in words["diff"]
    assert "global kept -> list" in words["references"]
    assert "objects collected" in words["gcCollect"]
    assert "__main__.Order" in words["objects"]
    lines = [body for body in editor.events("output") if body.get("source", {}).get("path") == LEAKS]
    assert {body["line"] for body in lines} & {THE_LEAK, line_of(LEAKS, "self.lines =")}


def test_a_steady_leak_reads_low_medium_high_and_definite_with_its_line_and_its_holder(editors, tmp_path):
    editor = editors.through()
    memory.launch(editor, memory=True, stop_at=A_TURN, cwd=tmp_path)
    bands = []
    for number in range(1, 6):
        memory.ask(editor, "snapshot")
        if number > 1:
            leak = memory.leak_of(memory.ask(editor, "diff"), THE_LEAK)
            bands.append(leak["band"])
        memory.next_stop(editor)
    assert bands[0] == "low" and bands[1] == "medium" and bands[-1] == "definite", bands
    assert leak["confidence"] >= 95 and "kept.append" in leak["text"]
    assert leak["holder"] == "list __main__.kept"
    assert leak["reasons"][0].startswith("all of it (") and leak["reasons"][0].endswith(
        " objects) hangs on list __main__.kept, which grows"), leak["reasons"]
    items = [item for body in editor.events("basilisk.diagnostics") if body["uri"].endswith("/leaks.py")
             for item in body["diagnostics"] if item["range"]["start"]["line"] == THE_LEAK - 1]
    assert leak["reasons"][0] in items[-1]["message"]
    mark = editor.here()
    assert editor.console("/memdiff 4 5")["success"]
    assert leak["reasons"][0] + "\n" in memory.said(editor, mark)
    tops = [row["line"] for row in memory.ask(editor, "diff")["leaks"][:2]]
    assert THE_LEAK in tops


def test_a_diff_over_few_intervals_says_that_more_would_tell_more(editors, tmp_path):
    editor = editors.through()
    memory.launch(editor, memory=True, stop_at=A_TURN, cwd=tmp_path)
    memory.ask(editor, "snapshot")
    hints, said = [], []
    for _ in range(3):
        memory.next_stop(editor)
        memory.ask(editor, "snapshot")
        hints.append(memory.ask(editor, "diff").get("hint", ""))
        mark = editor.here()
        assert editor.console("/memdiff")["success"]
        said.append(memory.said(editor, mark))
    assert hints[0].startswith("One interval tells little") and "/memsnap" in hints[0]
    assert hints[1].startswith("Two intervals") and hints[2] == ""
    assert hints[0] + "\n" in said[0] and hints[1] + "\n" in said[1] and "interval tells little" not in said[2]
    assert "hint" not in memory.ask(editor, "diff", {"from": 1, "to": 2})  # new snapshots say nothing about old ones
    memory.ask(editor, "stop")
    assert "hint" not in memory.ask(editor, "diff")


def test_tracking_by_configuration_begins_before_the_first_line(editors, tmp_path):
    program = tmp_path / "early.py"
    program.write_text("kept = bytearray(3_000_000)  # the first line\nprint('there')\nkept[0]  # a stop\n")
    editor = editors.through()
    memory.launch(editor, str(program), [], memory=True, stop_at=3, cwd=tmp_path)
    site = memory.ask(editor, "snapshot")["sites"][0]
    assert (site["path"], site["line"]) == (str(program), 1) and site["bytes"] >= 3_000_000


@pytest.mark.parametrize("how", ["end", "exception", "exit", "sigterm", "killed by another", "disconnect", "terminate"])
def test_a_last_snapshot_is_taken_when_the_program_ends(how, editors, tmp_path):
    editor = editors.through()
    lives = how in ("killed by another", "disconnect", "terminate")
    memory.launch(editor, args=["100000"] if lives else ["15", "--end", "" if how == "end" else how], memory=True, cwd=tmp_path)
    memory.ask(editor, "snapshot")
    if how == "killed by another":
        # As soon as it is its own: before, there is nothing to say.
        os.kill(editor.wait_event("process")["systemProcessId"], signal.SIGTERM)
    if how == "disconnect":
        editor.disconnect()
    elif how == "terminate":
        editor.request("terminate")
        editor.wait_event("terminated")
    else:
        editor.wait_event("terminated")
    last = editor.events("basilisk.memory", lambda body: body["kind"] == "snapshot")[-1]
    assert last.get("atExit") is True and last["number"] == 2
    assert os.path.exists(last["paths"]["heapprofile"])
    kinds = [m.json.get("body", {}).get("kind") or m.json["event"] for m in editor.messages if m.side == "adapter" and
             m.json.get("event") in ("basilisk.memory", "terminated")]
    if "terminated" in kinds:
        assert kinds.index("terminated") > kinds.index("diff"), kinds
    if how in ("end", "exception", "exit", "sigterm", "killed by another"):
        codes = {"end": 0, "exception": 1, "exit": 3}
        assert editor.events("exited")[0]["exitCode"] == codes.get(how, 241)  # -15 & 255: as without us
    assert "when the program ended" in memory.said(editor)


def test_after_the_end_its_snapshots_can_still_be_compared_and_nothing_else(editors, tmp_path):
    editor = editors.through()
    memory.launch(editor, args=["10"], memory=True, cwd=tmp_path)
    editor.wait_event("terminated")
    if len(editor.events("basilisk.memory", lambda body: body["kind"] == "snapshot")) < 2:
        assert "Take at least two snapshots" in memory.refused(editor, "diff")
    assert "ended" in memory.refused(editor, "snapshot")
    assert "ended" in memory.refused(editor, "references", {"type": "Order"})


def test_autopilot_takes_a_snapshot_at_each_stop_and_compares_with_the_last_stop_there(editors, tmp_path):
    editor = editors.through()
    memory.launch(editor, memory={"autopilot": True}, stop_at=A_TURN, cwd=tmp_path)
    for number in (1, 2, 3):
        taken = editor.wait_event("basilisk.memory", lambda body: body["kind"] == "snapshot" and body["number"] == number)
        if number > 1:
            diff = editor.wait_event("basilisk.memory", lambda body: body["kind"] == "diff" and body["to"] == number)
            assert diff["place"] == {"path": LEAKS, "line": A_TURN} and diff["from"] == number - 1
            assert "the next stop" in diff["hint"]
            assert memory.leak_of(diff, THE_LEAK)["growthBytes"] > 0
        if number < 3:
            memory.next_stop(editor)
    assert "both at leaks.py:%d" % A_TURN in memory.said(editor)
    assert taken["sites"]


def test_a_census_comes_by_itself_when_asked_for(editors, tmp_path):
    editor = editors.through()
    memory.launch(editor, cwd=tmp_path)
    memory.ask(editor, "start", {"censusSeconds": 0.2})
    census, mark = [], 0
    for _ in range(2):
        census.append(editor.wait_event("basilisk.memory", lambda body: body["kind"] == "census" and any(
            row["type"] == "__main__.Order" for row in body["types"]), after=mark))
        mark = editor.here()
    counts = [{row["type"]: row["count"] for row in one["types"]}["__main__.Order"] for one in census]
    assert counts[1] > counts[0] and census[1]["t"] > census[0]["t"]


def test_the_memory_preset_profiles_and_tracks(editors, tmp_path):
    editor = editors.through()
    editor.initialize(supportsBasiliskEvents=True)
    editor.launch(LEAKS, args=["100000", "--pause", "0"], python=PYTHON, cwd=str(tmp_path), basilisk={"profile": "memory"})
    editor.wait_event("basilisk.heat")
    status = editor.request("basilisk.status")
    assert status["profiling"]["sampleRate"] == 50 and status["memory"]["sessionId"] == "mem-1"


def test_diagnostics_of_memory_stand_beside_those_of_the_profile_and_each_goes_when_its_session_ends(editors, tmp_path):
    editor = editors.through()
    editor.initialize(supportsBasiliskEvents=True)
    editor.launch(LEAKS, args=["100000", "--pause", "0"], python=PYTHON, cwd=str(tmp_path), basilisk={"profile": True})
    memory.ask(editor, "start")

    def codes():
        events = [body for body in editor.events("basilisk.diagnostics") if body["uri"].endswith("/leaks.py")]
        return {item["code"] for item in events[-1]["diagnostics"]} if events else set()

    for _ in range(5):
        mark = editor.here()
        editor.wait_event("basilisk.heat", after=mark)
        memory.ask(editor, "snapshot")
    memory.ask(editor, "diff")
    assert "BSK-PROF-MEM" in codes() and {"BSK-PROF-LINE", "BSK-PROF-FUNC"} & codes(), codes()
    mark = editor.here()
    editor.wait_event("basilisk.heat", after=mark)
    assert "BSK-PROF-MEM" in codes()
    editor.request("basilisk.profiler.stop")
    assert codes() == {"BSK-PROF-MEM"}
    items = [body for body in editor.events("basilisk.diagnostics") if body["uri"].endswith("/leaks.py")][-1]["diagnostics"]
    assert THE_LEAK - 1 in {item["range"]["start"]["line"] for item in items}
    memory.ask(editor, "stop")
    assert codes() == set()


def test_diagnostics_are_gone_when_the_program_has_ended(editors, tmp_path):
    editor = editors.through()
    memory.launch(editor, args=["4"], memory=True, stop_at=A_TURN, cwd=tmp_path)
    for _ in range(3):
        memory.ask(editor, "snapshot")
        memory.next_stop(editor)
    memory.ask(editor, "snapshot")
    memory.ask(editor, "diff")
    assert [body for body in editor.events("basilisk.diagnostics") if body["diagnostics"]]
    editor.resume()
    editor.wait_event("terminated")
    last = {body["uri"]: body["diagnostics"] for body in editor.events("basilisk.diagnostics")}
    assert not [uri for uri, items in last.items() if items]


def test_inspect_looks_into_a_node_until_the_program_goes_on(editors, tmp_path):
    editor = editors.through()
    memory.launch(editor, memory=True, stop_at=A_TURN, cwd=tmp_path)
    graph = memory.ask(editor, "references", {"expression": "kept[0]"})
    node = next(node for node in graph["nodes"] if node["type"] == "Order")
    assert "Order object" in node["repr"]
    inside = memory.ask(editor, "inspect", {"graph": graph["graph"], "id": node["id"]})
    assert {row["label"] for row in inside["referents"]} >= {".number", ".lines"}
    memory.next_stop(editor)
    assert "has gone on" in memory.refused(editor, "inspect", {"graph": graph["graph"], "id": node["id"]})
    assert "Unknown graph" in memory.refused(editor, "inspect", {"graph": 99, "id": node["id"]})


def test_each_error_says_what_to_do_next(editors, tmp_path):
    editor = editors.through()
    editor.initialize(supportsBasiliskEvents=True)
    assert memory.refused(editor, "start").startswith("No debug session")
    editor.launch(LEAKS, args=["100000"], python=PYTHON, cwd=str(tmp_path))
    assert "/memleak" in memory.refused(editor, "snapshot")
    memory.ask(editor, "start")
    assert "tracked already" in memory.refused(editor, "start")
    assert memory.refused(editor, "diff").startswith("Take at least two snapshots")
    memory.ask(editor, "snapshot")
    assert memory.refused(editor, "diff").startswith("Take at least two snapshots")
    for command in ("snapshot", "diff", "references", "gcCollect", "objects", "stop", "ingest"):
        arguments = {"sessionId": "mem-99"}
        if command == "ingest":
            arguments["output"] = "__BASILISK_GC__ {\"collected\": 1}"
        assert memory.refused(editor, command, arguments).startswith("Unknown session"), command
    assert memory.refused(editor, "references", {"expression": "kept"}).startswith("Not paused")
    assert "NoSuchType" in memory.refused(editor, "references", {"type": "NoSuchType"})
    assert "frames" in memory.refused(editor, "start", {"frames": 0})
    assert "no numbers of snapshots" in editor.console("/memdiff one two")["message"]


def test_without_a_debugger_it_says_so(editors, tmp_path):
    editor = editors.through()
    editor.initialize(supportsBasiliskEvents=True)
    editor.launch(LEAKS, args=["100000"], python=PYTHON, cwd=str(tmp_path), noDebug=True)
    message = memory.refused(editor, "start")
    assert message.startswith("No debugger in this session") and "debugging" in message
    editor.wait_event("process")
    assert memory.refused(editor, "start").startswith("No debugger in this session")


def test_without_a_debugger_a_newer_python_is_tracked_all_the_same(editors, pythons, tmp_path):
    python, debugpy = pythons["3.14"]
    if not python:
        pytest.skip("3.14: " + debugpy)
    editor = editors.through(adapter=[PYTHON, os.path.join(debugpy, "debugpy", "adapter")])
    editor.initialize(supportsBasiliskEvents=True)
    editor.launch(LEAKS, args=["100000"], python=python, cwd=str(tmp_path), noDebug=True)
    # CPython 3.14 cannot run it while the program is inside namedtuple(), as many imports are for a moment.
    memory.has(editor, "ready")
    memory.ask(editor, "start")
    for _ in range(3):
        memory.ask(editor, "snapshot")
    assert memory.leak_of(memory.ask(editor, "diff"), THE_LEAK)["growthBytes"] > 0
    assert memory.ask(editor, "references", {"type": "Order"})["edges"]
    memory.ask(editor, "stop")


@pytest.mark.parametrize("how", ["end", "exception", "exit", "sigterm", "killed by another", "disconnect", "terminate"])
@pytest.mark.parametrize("minor", ["3.14", "3.15"])
def test_a_last_snapshot_is_taken_without_a_debugger_too(minor, how, editors, pythons, tmp_path):
    python, debugpy = pythons[minor]
    if not python:
        pytest.skip("%s: %s" % (minor, debugpy))
    editor = editors.through(adapter=[PYTHON, os.path.join(debugpy, "debugpy", "adapter")])
    editor.initialize(supportsBasiliskEvents=True)
    lives = how in ("killed by another", "disconnect", "terminate")
    go_on = tmp_path / "go on"
    editor.launch(LEAKS, args=["100000" if lives else "5", "--wait", str(go_on), "--end", "" if lives or how == "end" else how],
                  python=python, cwd=str(tmp_path), noDebug=True)
    memory.has(editor, "ready")
    memory.ask(editor, "start")
    memory.ask(editor, "snapshot")
    go_on.touch()
    if how == "killed by another":
        os.kill(editor.wait_event("process")["systemProcessId"], signal.SIGTERM)
    if how == "disconnect":
        editor.disconnect()
    elif how == "terminate":
        editor.request("terminate")
        editor.wait_event("terminated")
    else:
        editor.wait_event("terminated")
    last = editor.events("basilisk.memory", lambda body: body["kind"] == "snapshot")[-1]
    assert last.get("atExit") is True and last["number"] == 2
    if not lives:
        assert {THE_LEAK, line_of(LEAKS, "self.lines =")} <= {site["line"] for site in last["sites"] if site["path"] == LEAKS}
    if how not in ("disconnect", "terminate"):
        assert editor.events("exited")[0]["exitCode"] == {"end": 0, "exception": 1, "exit": 3}.get(how, 241)


def test_help_and_completions_know_the_commands(editors, tmp_path):
    editor = editors.through()
    memory.launch(editor, cwd=tmp_path)
    text = editor.console("/basilisk")["body"]["result"]
    for word in memory.CONSOLE.values():
        assert word.split()[0] in text
    targets = editor.request("completions", {"text": "/mem", "column": 5})["targets"]
    assert {target["label"] for target in targets} == {word.split()[0] for word in memory.CONSOLE.values()}


def test_more_frames_tell_how_the_line_was_reached(editors, tmp_path):
    editor = editors.through()
    memory.launch(editor, memory={"frames": 5}, stop_at=A_TURN, cwd=tmp_path)
    for _ in range(3):
        memory.ask(editor, "snapshot")
        memory.next_stop(editor)
    memory.ask(editor, "snapshot")
    leak = memory.leak_of(memory.ask(editor, "diff"), line_of(LEAKS, "self.lines ="))
    assert leak["stackFrom"] == "traced" and len(leak["stack"]) >= 3
    assert THE_LEAK in {frame["line"] for frame in leak["stack"]}


def test_a_child_session_is_tracked_for_itself(editors, tmp_path):
    program = tmp_path / "parent.py"
    program.write_text("import subprocess, sys\nsubprocess.run([sys.executable, %r, '100000'])\n" % LEAKS)
    editor = editors.through()
    memory.launch(editor, str(program), [], memory=True, cwd=tmp_path, subProcess=True)
    child = editor.wait_child()
    started = memory.ask(child, "start")
    assert started["sessionId"] == "mem-2"
    assert memory.leak_of({"leaks": memory.ask(child, "snapshot")["sites"]}, THE_LEAK)
    assert memory.ask(editor, "snapshot")["sessionId"] == "mem-1"
    assert memory.ask(editor, "snapshot", {"sessionId": "mem-2"})["sessionId"] == "mem-2"


def test_of_more_than_32_trackings_the_first_is_forgotten(editors, tmp_path):
    editor = editors.through()
    memory.launch(editor, fixture_path("sleeper.py"), ["60"], cwd=tmp_path)
    for number in range(1, 34):
        assert memory.ask(editor, "start")["sessionId"] == "mem-%d" % number
        memory.ask(editor, "stop")
    assert memory.refused(editor, "diff", {"sessionId": "mem-1"}).startswith("Unknown session")
    assert memory.refused(editor, "diff", {"sessionId": "mem-2"}).startswith("Take at least two")
