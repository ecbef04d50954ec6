"""Memory in a debug session on every Python that is here, 3.8 to 3.15: start, snapshot twice, diff, references, stop.

The table is printed at the end of the run."""

import os

import pytest

import memory
from conftest import PYTHON, report
from memory import A_TURN, LEAKS, THE_LEAK

MINORS = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15"]
STEPS = ("start", "snapshot", "snapshot again", "diff", "references", "stop")
rows = {}


@pytest.mark.parametrize("minor", MINORS)
def test_start_snapshot_twice_diff_references_stop(minor, editors, pythons, tmp_path):
    python, debugpy = pythons[minor]
    done = rows.setdefault(minor, {})
    if not python:
        pytest.skip("%s: %s" % (minor, debugpy))
    editor = editors.through(adapter=[PYTHON, os.path.join(debugpy, "debugpy", "adapter")])
    memory.launch(editor, python=python, stop_at=A_TURN, cwd=tmp_path)
    assert memory.ask(editor, "start")["python"].startswith(minor + ".")
    done["start"] = "ok"
    memory.next_stop(editor)
    memory.ask(editor, "snapshot")
    done["snapshot"] = "ok"
    memory.next_stop(editor)
    memory.ask(editor, "snapshot")
    done["snapshot again"] = "ok"
    leak = memory.leak_of(memory.ask(editor, "diff"), THE_LEAK)
    assert leak["growthBytes"] > 0 and leak["band"] == "low"
    done["diff"] = "%d" % leak["confidence"]
    graph = memory.ask(editor, "references", {"type": "Order"})
    assert any(edge["label"] == "global kept" for edge in graph["edges"]), graph["edges"]
    done["references"] = "%d ways" % len(graph["edges"])
    memory.ask(editor, "stop")
    done["stop"] = "ok"
    assert {body["threadId"] for body in editor.events("thread")} == {1}
    # The last one: what held it is named, with certainty, after some more.
    memory.ask(editor, "start")
    for _ in range(4):
        memory.next_stop(editor)
        memory.ask(editor, "snapshot")
        if editor.request("basilisk.status")["memory"]["snapshots"] > 1:
            diff = memory.ask(editor, "diff")
    leak = memory.leak_of(diff, THE_LEAK)
    assert leak["band"] == "definite", leak
    done["definite"] = "%d" % leak["confidence"]


@pytest.fixture(scope="module", autouse=True)
def table(pythons):
    yield
    columns = STEPS + ("definite",)
    report("Memory, by Python (fixtures/leaks.py in a debug session): " + ", ".join(columns))
    for minor in MINORS:
        if minor in rows:
            python, reason = pythons[minor]
            texts = [rows[minor].get(what, "failed") for what in columns]
            report("  %-6s %s" % (minor, "  ".join("%-10s" % text for text in texts) if python else "skipped: " + reason))
