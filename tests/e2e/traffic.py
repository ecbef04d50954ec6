"""What two runs of the same session have in common: messages without ports, PIDs, handles and timing.

The comparison is of the adapter's bytes (not of parsed JSON), with numbers that differ from run to run blanked out.
Between two runs against debugpy itself events and responses interleave differently and output is cut in other
places: so responses are compared in their order, the events of the session's course in theirs, output joined by
category, and all messages as a multiset.
"""

import collections
import re

BLANKS = [
    (re.compile(rb'^\{"seq": \d+, '), b"{"),
    (re.compile(rb'"request_seq": \d+'), b'"request_seq": S'),
    (re.compile(rb'"(systemProcessId|processId|subProcessId|pid|ppid)": \d+'), rb'"\1": P'),
    (re.compile(rb'"port": \d+'), b'"port": N'),
    (re.compile(rb'"(id|frameId|variablesReference|sourceReference|namedVariables)": [1-9]\d*'), rb'"\1": H'),
    (re.compile(rb"0x[0-9a-f]{6,}"), b"0xA"),
    (re.compile(rb"Subprocess \d+"), b"Subprocess P"),
    (re.compile(rb'"(\d{4,5})", "--"'), b'"PORT", "--"'),  # the launcher's argument in runInTerminal
    (re.compile(rb'127\.0\.0\.1:\d+'), b"127.0.0.1:N"),
    (re.compile(rb"\b\d+\.\d+ seconds"), b"T seconds"),
]
COURSE = ("initialized", "process", "stopped", "continued", "exited", "terminated", "debugpyAttach",
          "debugpyWaitingForServer")


def blank(raw):
    for pattern, text in BLANKS:
        raw = pattern.sub(text, raw)
    return raw


def summary(client, leave_out=()):
    """A comparable picture of what the adapter said."""
    messages, output, course, responses = collections.Counter(), collections.Counter(), [], []
    text = collections.defaultdict(str)
    for message in client.messages:
        if message.side != "adapter":
            continue
        body = message.json
        name = body.get("event") or body.get("command")
        if name in leave_out:
            continue
        if body["type"] == "event" and name == "output" and body["body"].get("category") != "telemetry":
            text[body["body"].get("category")] += body["body"]["output"]
            continue
        # Which of its sockets debugpy has already closed when it tells of them is chance.
        if name == "debugpySockets":
            continue
        messages[blank(message.raw)] += 1
        if body["type"] == "response":
            responses.append((name, body.get("success")))
        elif body["type"] == "event" and name in COURSE:
            course.append(name)
    del output
    return {"messages": messages, "output": dict(text), "course": course, "responses": responses}


def differences(left, right, names=("direct", "through basilisk")):
    """As sentences; nothing when the two are alike."""
    found = []
    for raw, count in (left["messages"] - right["messages"]).items():
        found.append("only %s (%d): %s" % (names[0], count, raw.decode("utf-8", "replace")[:600]))
    for raw, count in (right["messages"] - left["messages"]).items():
        found.append("only %s (%d): %s" % (names[1], count, raw.decode("utf-8", "replace")[:600]))
    for what in ("output", "course", "responses"):
        if left[what] != right[what]:
            found.append("%s differ:\n  %s: %r\n  %s: %r" % (what, names[0], left[what], names[1], right[what]))
    return found


def sequence_problem(client):
    """debugpy numbers its messages 1, 2, 3, ...: a number that is missing was swallowed, one too many is ours.

    Not in order always: debugpy's messaging takes a number and writes the message under its lock, but lets go of the
    lock between the two, so that two of its threads may write in the other order (1.8.22: 1, 2, 4, 3 on an attach).
    That Basilisk keeps the order it is given is tested with an adapter of the tests' (test_wire.py)."""
    numbers = [message.json["seq"] for message in client.messages if message.side == "adapter"]
    if sorted(numbers) != list(range(1, len(numbers) + 1)):
        return "the adapter's messages are numbered %s" % numbers
    return None
