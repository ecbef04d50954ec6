"""Memory in a debug session on every Python that is here, 3.8 to 3.15, each with three debugpys: the last 1.6, one of the
middle, and the newest that supports it. Start, snapshot twice, diff, references, stop.

The cells run two at a time. A cell whose session debugpy cannot hold by itself, without Basilisk, is skipped, and says
so. The table is printed at the end of the run; docs/memory-session.md has one."""

import concurrent.futures
import os
import subprocess

import pytest

import memory
from conftest import PYTHON, REPO, Editors, report
from memory import A_TURN, LEAKS, THE_LEAK

MINORS = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15"]
DEBUGPYS = ["1.6", "1.8.0", "newest"]
STEPS = ("start", "snapshot", "snapshot again", "diff", "references", "stop")
CELLS = [(minor, debugpy) for debugpy in DEBUGPYS for minor in MINORS]
rows = {}


def alone(editors, python, adapter, folder):
    """The same session without us: a stop, an expression, another stop. Raises where debugpy cannot do that."""
    editor = editors.spawn(adapter)
    memory.launch(editor, python=python, stop_at=A_TURN, cwd=folder)
    assert editor.evaluate_at_stop("1 + 1") == "2"
    assert editor.request("evaluate", {"expression": "1 + 1", "context": "hover"}) is not None
    memory.next_stop(editor)


def tracked(editors, minor, python, adapter, folder, done, to_the_end):
    editor = editors.through(adapter=adapter)
    memory.launch(editor, python=python, stop_at=A_TURN, cwd=folder)
    told = editor.events("output", lambda body: body.get("category") == "telemetry" and body["output"] == "debugpy")
    done["debugpy"] = told[0]["data"]["packageVersion"].replace("+0.gd1111111", "")
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
    if not to_the_end:
        return
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


def reason_of(error):
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def in_a_session(folder, work, *arguments):
    editors = Editors(folder)
    try:
        work(editors, *arguments)
    except BaseException:
        editors.close(strict=False)
        raise
    editors.close()


def run_cell(minor, debugpy, python, place, folder):
    """None, or why it is skipped."""
    adapter = [PYTHON, os.path.join(place, "debugpy", "adapter")]
    done = rows.setdefault((minor, debugpy), {})
    try:
        in_a_session(folder, tracked, minor, python, adapter, folder, done, debugpy == "newest")
        return None
    except Exception as error:  # is it debugpy's, or ours?
        failure = error
    try:
        in_a_session(folder, alone, python, adapter, folder)
    except Exception as error:
        rows[minor, debugpy] = {"start": "skipped: debugpy alone fails: " + reason_of(error)}
        return "debugpy %s on Python %s fails without Basilisk: %s" % (debugpy, minor, reason_of(error))
    raise failure


@pytest.fixture(scope="session")
def older_debugpys():
    """(minor version, "1.6" or the whole version) -> its folder."""
    text = subprocess.run([os.path.join(REPO, "tests", "support", "pythons"), "--older"], stdout=subprocess.PIPE,
                          check=True).stdout
    found = {}
    for line in text.decode().splitlines():
        minor, version, folder = line.split("\t")
        found[minor, "1.6" if version.startswith("1.6.") else version] = folder
    return found


@pytest.fixture(scope="module")
def cells(request, pythons, older_debugpys, tmp_path_factory):
    """What comes of each cell that this run wants."""
    wanted = [item.callspec.params for item in request.session.items if item.module is request.module]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        coming = {}
        for cell in wanted:
            minor, debugpy = cell["minor"], cell["debugpy"]
            python, place = pythons[minor]
            place = place if debugpy == "newest" else older_debugpys.get((minor, debugpy))
            if python and place:
                folder = tmp_path_factory.mktemp("cell")
                coming[minor, debugpy] = pool.submit(run_cell, minor, debugpy, python, place, folder)
        yield coming
        for future in coming.values():
            future.cancel()


@pytest.mark.parametrize("minor, debugpy", CELLS)
def test_start_snapshot_twice_diff_references_stop(minor, debugpy, cells, pythons):
    python, why = pythons[minor]
    if not python:
        pytest.skip("%s: %s" % (minor, why))
    if (minor, debugpy) not in cells:
        pytest.skip("no debugpy %s for %s: tests/support/pythons --make brings it" % (debugpy, minor))
    skipped = cells[minor, debugpy].result()
    if skipped:
        pytest.skip(skipped)


@pytest.fixture(scope="module", autouse=True)
def table(pythons):
    yield
    columns = STEPS + ("definite",)
    report("Memory, by Python and debugpy (fixtures/leaks.py in a debug session): " + ", ".join(columns))
    for minor in MINORS:
        for debugpy in DEBUGPYS:
            done = rows.get((minor, debugpy))
            if done is None:
                continue
            texts = [done.get(what, "" if what == "definite" and debugpy != "newest" else "failed") for what in columns]
            report("  %-6s %-12s %s" % (minor, done.get("debugpy", debugpy), done["start"] if done.get("start", "").startswith("skipped")
                                        else "  ".join("%-10s" % text for text in texts)))
