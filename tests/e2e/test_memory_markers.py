"""Payload markers: what a program prints behind one, or an editor hands in, is as if the request had that answer."""

import json

import pytest

import memory
from conftest import PYTHON

SITE = {"path": "/src/app.py", "line": 7, "bytes": 1000, "count": 10}
PAYLOADS = {
    "MEM": {"sites": [SITE, {"path": "/src/app.py", "line": 9, "bytes": 5000}], "rssBytes": 9000000,
            "types": [{"type": "app.Order", "count": 3}]},
    "GC": {"collected": 12, "uncollectable": 1, "freedTracedBytes": 500},
    "OBJECTS": {"types": [{"type": "app.Order", "count": 3, "bytes": 144}]},
    "REFS": {"nodes": [{"id": "0x1", "type": "list", "bytes": 56, "retainedBytes": 99}], "edges": []},
}


def text_of(kind, payload=None):
    return "__BASILISK_%s__ %s\n" % (kind, json.dumps(PAYLOADS[kind] if payload is None else payload))


def begun(editors, tmp_path, **more):
    editor = editors.through()
    memory.launch(editor, cwd=tmp_path, **more)
    return editor


def hand_in(editor, output, **more):
    return memory.ask(editor, "ingest", dict(more, output=output))


@pytest.mark.parametrize("kind", sorted(PAYLOADS))
def test_what_is_handed_in_is_answered_as_the_request_whose_marker_it_carries(kind, editors, tmp_path):
    editor = begun(editors, tmp_path)
    body = hand_in(editor, "some words\n" + text_of(kind) + "more\n")
    assert body["sessionId"] == "mem-1"
    if kind == "MEM":
        assert body["number"] == 1 and body["tracedBytes"] == 6000
        assert [site["line"] for site in body["sites"]] == [9, 7]
    elif kind == "GC":
        assert (body["collected"], body["uncollectable"], body["freedTracedBytes"]) == (12, 1, 500)
    elif kind == "OBJECTS":
        assert body["types"] == [{"type": "app.Order", "count": 3, "bytes": 144}]
    else:
        assert body["nodes"] == PAYLOADS["REFS"]["nodes"]


def test_snapshots_that_were_handed_in_can_be_compared(editors, tmp_path):
    editor = begun(editors, tmp_path)
    for turn in range(4):
        hand_in(editor, text_of("MEM", {"sites": [dict(SITE, bytes=100000 * (turn + 1))], "workMilliseconds": 1000 * turn}))
    diff = memory.ask(editor, "diff")
    assert diff["leaks"][0]["growthBytes"] == 100000 and diff["leaks"][0]["band"] in ("medium", "high")
    assert hand_in(editor, text_of("DIFF", {"from": 1, "to": 4}))["from"] == 1


def test_what_the_program_prints_is_taken_out_and_becomes_an_event(editors, tmp_path):
    program = tmp_path / "prints.py"
    program.write_text("import json\nprint('before')\n" + "".join(
        "print(%r)\n" % text_of(kind).strip() for kind in sorted(PAYLOADS)) + "print('after')\n")
    editor = editors.through()
    editor.initialize()
    editor.request("basilisk.status")
    editor.launch(str(program), python=PYTHON, cwd=str(tmp_path))
    editor.wait_event("terminated")
    assert editor.output("stdout") == "before\nafter\n"
    dap_kinds = {body["kind"] for body in editor.events("basilisk.memory")}
    assert dap_kinds == {"snapshot", "gc", "census", "graph"}
    snapshot = editor.events("basilisk.memory", lambda body: body["kind"] == "snapshot")[0]
    assert snapshot["sites"][0]["bytes"] == 5000
    assert "app.py:9" in memory.said(editor)


def test_a_broken_payload_that_the_program_prints_is_told_in_the_console(editors, tmp_path):
    program = tmp_path / "prints.py"
    program.write_text("print('__BASILISK_MEM__ {\"sites\": 7}')\nprint('after')\n")
    editor = editors.through()
    editor.initialize()
    editor.request("basilisk.status")
    editor.launch(str(program), python=PYTHON, cwd=str(tmp_path))
    editor.wait_event("terminated")
    assert "The payload of __BASILISK_MEM__ is not as it should be" in memory.said(editor)
    assert not editor.events("basilisk.memory")


@pytest.mark.parametrize("output,message", [
    ("no marker here", "No marker in payload"),
    ("__BASILISK_MEM__", "is no JSON"),
    ("__BASILISK_MEM__ {\"sites\": [", "is no JSON"),
    ("__BASILISK_MEM__ {} trailing", "is no JSON"),
    ("__BASILISK_MEM__ []", "it is no object"),
    ("__BASILISK_MEM__ {}", "`sites` is no list"),
    ("__BASILISK_MEM__ {\"sites\": [{\"path\": \"/a.py\", \"line\": 0, \"bytes\": 1}]}", "path, line and bytes"),
    ("__BASILISK_MEM__ {\"sites\": [{\"path\": \"/a.py\", \"line\": 1, \"bytes\": -1}]}", "path, line and bytes"),
    ("__BASILISK_GC__ {\"collected\": \"many\"}", "`collected`"),
    ("__BASILISK_OBJECTS__ {\"types\": [1]}", "type and count"),
    ("__BASILISK_REFS__ {\"nodes\": 1}", "`nodes` and `edges`"),
    ("__BASILISK_DIFF__ {\"from\": 1}", "Take at least two snapshots"),
    ("__BASILISK_MEM__ {\"sites\": [" + "[" * 200 + "]" * 200 + "]}", "is no JSON"),
    ("__BASILISK_MEM__ {\"x\": \"" + "x" * (1 << 20) + "\"}", "over 1 MiB"),
], ids=lambda text: text[:40])
def test_what_is_wrong_with_a_payload_is_said_and_changes_nothing(output, message, editors, tmp_path):
    editor = begun(editors, tmp_path)
    assert message in memory.refused(editor, "ingest", {"output": output})
    assert memory.refused(editor, "snapshot").startswith("Memory is not tracked")  # no tracking was made of it
    hand_in(editor, text_of("MEM"))
    assert message in memory.refused(editor, "ingest", {"output": output})
    assert memory.refused(editor, "diff").startswith("Take at least two snapshots")
    assert hand_in(editor, text_of("MEM"))["number"] == 2


def test_one_mebibyte_is_taken(editors, tmp_path):
    editor = begun(editors, tmp_path)
    rows = [{"path": "/src/%d.py" % number, "line": 1, "bytes": number + 1} for number in range(15000)]
    text = json.dumps({"sites": rows})
    text = text[:-1] + " " * ((1 << 20) - len(text)) + "}"
    assert len(text) == 1 << 20
    assert len(hand_in(editor, "__BASILISK_MEM__" + text)["sites"]) == 100
