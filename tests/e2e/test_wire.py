"""Bytes: what passes is what came in, however it arrives."""

import base64
import json
import os
import re
import threading

import pytest

import dap
from conftest import PYTHON, REPO

FAKE = [PYTHON, os.path.join(REPO, "tests", "support", "fake_adapter.py")]


@pytest.fixture
def editor(editors):
    one = editors.through(adapter=FAKE)
    one.initialize()
    one.wait_event("initialized")
    return one


def raw_request(seq, command, body_text):
    raw = ('{"seq":%d,"type":"request","command":"%s","arguments":%s}' % (seq, command, body_text)).encode()
    return b"Content-Length: %d\r\n\r\n" % len(raw) + raw


def pending(editor, seq, command):
    """Expects an answer to what is sent as bytes."""
    one = dap.Pending(editor, seq, command)
    with editor._changed:
        editor._pending[seq] = one
    return one


ODD = '{"text":"a\\/b \\u0000 \\udcff \\ud83d\\udc0d","big":123456789012345678901234567890,"a":1,"a":2,"f":1.0e+2,"deep":%s}' % (
    "[" * 200 + "]" * 200)


def test_odd_json_passes_as_the_bytes_that_came_in(editor):
    text = '{"seq": 77, "type": "event", "event": "odd", "body": %s}' % ODD
    raw = text.encode()
    editor.send("bytes", {"base64": base64.b64encode(b"Content-Length: %d\r\n\r\n" % len(raw) + raw).decode()})
    message = editor.wait_message("event", "odd")
    assert message.raw == raw
    editor._pending.clear()


def test_any_seq_is_passed_on_and_answered(editor):
    for seq in (0, -5, 100000, 4 * 10**12, 2**30, 2**30 + 1, 2**31):
        waiting = pending(editor, seq, "echo")
        editor.send_bytes(raw_request(seq, "echo", "{}"))
        assert waiting.wait_response(5)["request_seq"] == seq


def test_a_message_may_come_byte_by_byte(editor):
    waiting = pending(editor, 500, "echo")
    for byte in raw_request(500, "echo", '{"a":"\\u00e4"}'):
        editor.send_bytes(bytes([byte]))
    assert waiting.wait(5)["arguments"] == {"a": "\u00e4"}
    assert editor.request("dribble")["arguments"] == {}


def test_many_messages_may_come_in_one_read(editor):
    waiting = [pending(editor, 1000 + number, "echo") for number in range(500)]
    editor.send_bytes(b"".join(raw_request(1000 + number, "echo", '{"n":%d}' % number) for number in range(500)))
    assert [one.wait(10)["arguments"]["n"] for one in waiting] == list(range(500))


def test_a_header_may_have_a_content_type(editor):
    waiting = pending(editor, 600, "echo")
    raw = raw_request(600, "echo", "{}")
    head, _, body = raw.partition(b"\r\n\r\n")
    editor.send_bytes(b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\n" + head + b"\r\n\r\n" + body)
    assert waiting.wait_response(5)["success"]


def test_events_pass_all_and_in_order(editor):
    flood = editor.send("flood", {"events": 20000})
    flood.wait(60)
    texts = [body["output"] for body in editor.events("output")]
    assert texts == ["line %d\n" % number for number in range(20000)]


def test_a_large_message_passes_whole_and_is_not_collected(editor):
    size = 64 << 20
    editor.request("big", {"bytes": size}, timeout=120)
    assert len(editor.events("output")[-1]["output"]) == size
    with open("/proc/%d/status" % editor.process.pid) as file:
        peak_kb = int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1))
    if "asan" not in os.environ.get("BASILISK", ""):
        assert peak_kb <= 12 * 1024


def test_an_editor_that_does_not_read_stops_the_adapter_and_not_the_proxy(editors):
    client = dap.Client.spawn  # a client of our own, whose reader waits until it is let go
    del client
    editor = editors.through(adapter=FAKE)
    editor.initialize()
    gate = threading.Event()
    take = editor._take

    def slow(header, raw):
        gate.wait(30)
        take(header, raw)

    editor._take = slow
    flood = editor.send("flood", {"events": 200000})
    # While nothing is read, memory stays bounded: 200,000 events are 20 MB.
    def resident_kb():
        with open("/proc/%d/status" % editor.process.pid) as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))
    worst = max(resident_kb() for _ in range(2000))
    gate.set()
    flood.wait(120)
    assert len(editor.events("output")) == 200000
    if "asan" not in os.environ.get("BASILISK", ""):
        assert worst <= 12 * 1024


def test_a_reverse_request_reaches_the_editor_and_its_answer_the_adapter(editor):
    body = editor.request("ask", {"command": "runInTerminal", "arguments": {"args": ["/bin/true"], "cwd": "/", "kind": "integrated"}})
    assert body["success"] and body["body"]["processId"] > 0


MALFORMED = {
    "no header": b"hello, world\r\n\r\n",
    "no length": b"Content-Type: x\r\n\r\n{}",
    "a length that is no number": b"Content-Length: many\r\n\r\n{}",
    "a negative length": b"Content-Length: -1\r\n\r\n{}",
    "a length beyond all": b"Content-Length: 99999999999999999999\r\n\r\n{}",
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a header without end": b"Content-Length: 2" + b" " * 8192,
}


@pytest.mark.parametrize("what", sorted(MALFORMED))
def test_malformed_input_from_the_editor_ends_the_session_with_a_clear_error(what, editors):
    editor = editors.through(adapter=FAKE)
    editor.initialize()
    editor.send_bytes(MALFORMED[what])
    editor.wait_closed(6)
    editor.process.wait(6)
    said = editor.stderr.decode() + editor.output()
    assert said.strip(), "it must say why"
    dap.wait_until(lambda: not editor.left_processes(), 5, "the adapter's end")


@pytest.mark.parametrize("what", sorted(MALFORMED))
def test_malformed_input_from_the_adapter_ends_the_session_with_a_clear_error(what, editors):
    editor = editors.through(adapter=FAKE)
    editor.initialize()
    held = editor.send("bytes", {"base64": base64.b64encode(MALFORMED[what]).decode()})
    try:
        held.wait_response(6)
    except dap.DapError:
        pass
    editor.hang_up()
    editor.process.wait(6)
    said = editor.stderr.decode() + editor.output() + json.dumps(held.response)
    assert said.strip() not in ("", "null"), "it must say why"
    dap.wait_until(lambda: not editor.left_processes(), 5, "the adapter's end")


def test_json_that_is_broken_passes_or_ends_the_session_but_never_hangs(editors):
    editor = editors.through(adapter=FAKE)
    editor.initialize()
    raw = b'{"seq": 9, "type": "event", "event": "x", "body": {"a": }'
    editor.send("bytes", {"base64": base64.b64encode(b"Content-Length: %d\r\n\r\n" % len(raw) + raw).decode()})
    editor._wait(lambda: editor.violations or editor.closed_by_peer, 5, "the broken message or an end")
    editor.violations.clear()
