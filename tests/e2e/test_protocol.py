"""The schemas of docs/protocol are strict about what DESIGN.md promises, and say what they mean.

That real traffic fits them is checked after every test (conftest.Editors.close)."""

import copy

import jsonschema
import pytest

import protocol

PROFILE = {
    "sessionId": "1", "samples": 10, "errors": 0, "torn": 0, "seconds": 1.5,
    "paths": {"speedscope": "/tmp/a.speedscope.json", "cpuprofile": "/tmp/a.cpuprofile",
              "flamegraph": "/tmp/a.svg", "markdown": "/tmp/a.md"},
    "top": [{"function": "f", "path": "/a.py", "line": 1, "selfPercent": 60.5, "totalPercent": 100}],
}
STATUS = {
    "profiling": {"sessionId": "1", "pid": 1, "sampleRate": 100}, "pid": 1, "version": "0.1.0",
    "commands": [{"request": "basilisk.status", "console": "/basilisk"}],
}
SIDE = {"path": "/tmp/a.svg", "format": "flamegraph", "name": "a.py", "python": "3.13.0", "commit": "", "samples": 9}
POSITION = {"line": 0, "character": 0}
SITE = {"path": "/a.py", "line": 1, "function": "f", "bytes": 10, "count": 2}
TYPE = {"type": "dict", "count": 1, "bytes": 64}
SNAPSHOT = {
    "sessionId": "mem-1", "number": 1, "tracedBytes": 10, "peakBytes": 20, "rssBytes": 30, "truncated": True,
    "gc": {"0": {"collected": 1, "uncollectable": 0}}, "paths": {"heapprofile": "/tmp/a.heapprofile"},
    "sites": [SITE], "types": [TYPE],
}
LEAK = {
    "path": "/a.py", "line": 1, "function": "f", "growthBytes": -1, "confidence": 40, "band": "medium", "reasons": ["grew"],
    "stack": [{"path": "/a.py", "line": 1, "function": "f"}], "stackFrom": "traced",
}
DIFF = {"sessionId": "mem-1", "from": 1, "to": 2, "leaks": [LEAK]}
GRAPH = {
    "sessionId": "mem-1", "graph": 1, "cycles": [["0x1"]], "roots": ["0x1"],
    "nodes": [{"id": "0x1", "type": "dict", "bytes": 64, "retainedBytes": 64, "repr": "{}"}],
    "edges": [{"from": "0x1", "to": "0x1", "label": "[0]"}],
}
COLLECTED = {"sessionId": "mem-1", "collected": 1, "uncollectable": 0, "freedTracedBytes": -1, "freedRssBytes": 0}
OBJECTS = {"sessionId": "mem-1", "rssBytes": 30, "types": [TYPE]}
EXAMPLES = {
    "basilisk.profiler.start.arguments": {"pid": 1, "preset": "default", "sampleRate": 100, "includeNative": False,
                                          "subprocesses": True},
    "basilisk.profiler.start.response": {"sessionId": "1", "pid": 1, "sampleRate": 100},
    "basilisk.profiler.snapshot.arguments": {"sessionId": "1"},
    "basilisk.profiler.snapshot.response": PROFILE,
    "basilisk.profiler.stop.arguments": {"sessionId": "1"},
    "basilisk.profiler.stop.response": PROFILE,
    "basilisk.profiler.compare.arguments": {"baseline": "a.svg", "candidate": "b.svg"},
    "basilisk.profiler.compare.response": {
        "baseline": SIDE, "candidate": SIDE, "significantFunctions": 1, "visiblePoints": 1.5,
        "functions": [{"function": "f", "path": "/a.py", "selfBefore": 10, "selfAfter": 12.5, "delta": 2.5,
                       "significant": True, "totalBefore": 10, "totalAfter": 12.5, "totalDelta": 2.5,
                       "totalSignificant": True}]},
    "basilisk.profile.event": dict(PROFILE, reason="stopped"),
    "basilisk.processes.arguments": {},
    "basilisk.processes.response": {"processes": [{"pid": 1, "python": "/usr/bin/python3", "version": "3.11.2",
                                                   "commandLine": "python3 a.py", "cpuPercent": 12.5, "reason": "no"}]},
    "basilisk.status.arguments": {},
    "basilisk.status.response": STATUS,
    "basilisk.status.event": STATUS,
    "basilisk.heat.event": {"version": 1, "files": [{
        "path": "/a.py", "lines": [{"line": 1, "percent": 1.5, "samples": 3, "level": "cool"}],
        "functions": [{"name": "f", "line": 1, "percent": 2.5, "level": "warm"}]}]},
    "basilisk.diagnostics.event": {"uri": "file:///a.py", "diagnostics": [{
        "range": {"start": POSITION, "end": POSITION}, "severity": 2, "code": "BSK-PROF-LINE", "source": "basilisk",
        "message": "1.5 %, 3 samples"}]},
    "basilisk.memory.start.arguments": {"frames": 1, "censusSeconds": 1.5, "autopilot": True},
    "basilisk.memory.start.response": {"sessionId": "mem-1"},
    "basilisk.memory.snapshot.arguments": {"sessionId": "mem-1"},
    "basilisk.memory.snapshot.response": SNAPSHOT,
    "basilisk.memory.diff.arguments": {"sessionId": "mem-1", "from": 1, "to": 2},
    "basilisk.memory.diff.response": DIFF,
    "basilisk.memory.references.arguments": {"type": "Order", "expression": "x", "path": "/a.py", "line": 1},
    "basilisk.memory.references.response": GRAPH,
    "basilisk.memory.inspect.arguments": {"graph": 1, "id": "0x1"},
    "basilisk.memory.inspect.response": {"type": "dict", "bytes": 64, "repr": "{}", "referents": [
        {"label": "[0]", "type": "int", "bytes": 28, "id": "0x2"}]},
    "basilisk.memory.gcCollect.arguments": {"sessionId": "mem-1"},
    "basilisk.memory.gcCollect.response": COLLECTED,
    "basilisk.memory.objects.arguments": {"sessionId": "mem-1"},
    "basilisk.memory.objects.response": OBJECTS,
    "basilisk.memory.stop.arguments": {"sessionId": "mem-1"},
    "basilisk.memory.stop.response": {"sessionId": "mem-1"},
    "basilisk.memory.ingest.arguments": {"sessionId": "mem-1", "output": "__BASILISK_MEM__ {}"},
    "basilisk.memory.ingest.response": COLLECTED,
    "basilisk.memory.event": dict(OBJECTS, kind="census", t=1.5),
    "payload": {"MEM": {"sites": [{"path": "/a.py", "line": 1, "bytes": 10}]}, "DIFF": {"from": 1, "to": 2},
                "GC": {"collected": 1}, "REFS": {"nodes": [], "edges": []}, "OBJECTS": {"types": []}},
    "launch.basilisk": {"profile": {"preset": "default"}, "memory": True},
    "error": {"error": {"id": 1, "format": "No debug session", "showUser": True}},
}
# What DESIGN.md marks with "?" may be missing.
OPTIONAL = {
    "basilisk.memory.start.arguments": ["frames", "censusSeconds", "autopilot"],
    "basilisk.memory.snapshot.arguments": ["sessionId"],
    "basilisk.memory.snapshot.response": ["truncated", "paths.heapprofile", "gc.0"],
    "basilisk.memory.diff.arguments": ["sessionId", "from", "to"],
    "basilisk.memory.diff.response": ["leaks.0.stack", "leaks.0.stackFrom"],
    "basilisk.memory.references.arguments": ["type", "expression", "path", "line"],
    "basilisk.memory.references.response": ["nodes.0.repr", "graph", "cycles", "roots"],
    "basilisk.memory.inspect.response": ["repr", "referents.0.id"],
    "basilisk.memory.gcCollect.arguments": ["sessionId"],
    "basilisk.memory.objects.arguments": ["sessionId"],
    "basilisk.memory.stop.arguments": ["sessionId"],
    "basilisk.memory.ingest.arguments": ["sessionId"],
    "payload": ["MEM", "DIFF", "DIFF.from", "DIFF.to", "GC", "REFS", "OBJECTS"],
    "basilisk.profiler.start.arguments": ["pid", "preset", "sampleRate", "includeNative", "subprocesses"],
    "basilisk.profiler.snapshot.arguments": ["sessionId"],
    "basilisk.profiler.stop.arguments": ["sessionId"],
    "basilisk.processes.response": ["processes.0.reason"],
    "basilisk.status.response": ["profiling", "commands.0.console"],
    "basilisk.status.event": ["profiling", "commands.0.console"],
    "launch.basilisk": ["profile", "memory", "profile.preset"],
}
FORMATS = ("paths.speedscope", "paths.cpuprofile", "paths.flamegraph", "paths.markdown")  # a format that could not be written is missing
PROFILES = ("basilisk.profiler.snapshot.response", "basilisk.profiler.stop.response", "basilisk.profile.event")


def places(value, at=()):
    """Every key of every object in the value, as a path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield at + (key,)
            yield from places(inner, at + (key,))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, at + (index,))


def holder(value, place):
    for key in place[:-1]:
        value = value[key]
    return value


def is_optional(name, place):
    text = ".".join(map(str, place))
    return text in OPTIONAL.get(name, []) or (name in PROFILES and text in FORMATS)


CASES = [(name, place) for name, example in sorted(EXAMPLES.items()) for place in places(example)]


def test_there_is_an_example_for_each_schema_and_each_is_valid():
    assert sorted(EXAMPLES) == protocol.names()
    for name, example in EXAMPLES.items():
        jsonschema.Draft202012Validator.check_schema(protocol.schema(name))
        assert protocol.problems_of(name, example) == []


@pytest.mark.parametrize("name,place", CASES, ids=lambda value: value if isinstance(value, str) else ".".join(map(str, value)))
def test_a_schema_fails_when_a_field_is_taken_away_or_has_another_type(name, place):
    without = copy.deepcopy(EXAMPLES[name])
    del holder(without, place)[place[-1]]
    if is_optional(name, place):
        assert protocol.problems_of(name, without) == []
    else:
        assert protocol.problems_of(name, without) != []
    other = copy.deepcopy(EXAMPLES[name])
    was = holder(other, place)[place[-1]]
    holder(other, place)[place[-1]] = {"of": "another type"} if isinstance(was, list) else ["of another type"]
    assert protocol.problems_of(name, other) != []


def test_a_value_out_of_its_range_is_refused():
    for name, example in [
        ("basilisk.heat.event", {"version": 1, "files": [{"path": "relative.py", "lines": [], "functions": []}]}),
        ("basilisk.heat.event", {"version": 1, "files": [{"path": "/a.py", "functions": [], "lines": [
            {"line": 0, "percent": 1, "samples": 1, "level": "cool"}]}]}),
        ("basilisk.heat.event", {"version": 1, "files": [{"path": "/a.py", "functions": [], "lines": [
            {"line": 1, "percent": 101, "samples": 1, "level": "cool"}]}]}),
        ("basilisk.heat.event", {"version": 1, "files": [{"path": "/a.py", "functions": [], "lines": [
            {"line": 1, "percent": 1, "samples": 1, "level": "tepid"}]}]}),
        ("basilisk.profiler.start.arguments", {"sampleRate": 0}),
        ("basilisk.profiler.start.arguments", {"sampleRate": 10001}),
        ("error", {"error": {"id": 1, "format": "x", "showUser": False}}),
    ]:
        assert protocol.problems_of(name, example) != [], example
