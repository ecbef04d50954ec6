"""A heap of ten million blocks, with the budget of a usual stop: 2 s of the program's CPU time, 256 MiB."""

import pytest

import memory
from conftest import line_of

PROGRAM = """\
from itertools import repeat
kept = []

def fill(number):
    kept.append(list(map(bytes, repeat(2, number))))  # the line

fill(1000)
print("few", flush=True)  # a stop
fill(10_000_000)
print("many", flush=True)  # a stop
kept.pop()
fill(1000)
print("few again", flush=True)  # a stop
"""
MIB = 1 << 20


def available_bytes():
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))


def peak_bytes(pid):
    with open("/proc/%d/status" % pid) as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def forget_peak(pid):
    with open("/proc/%d/clear_refs" % pid, "w") as file:
        file.write("5")


def next_stop(editor):
    mark = editor.here()
    editor.resume()
    editor.wait_stopped(after=mark, timeout=120)


def test_ten_million_blocks_are_answered_within_the_budget(editors, tmp_path):
    if available_bytes() < 6 << 30:
        pytest.skip("less than 6 GiB of memory are free: ten million tracked blocks take 2")
    program = tmp_path / "many.py"
    program.write_text(PROGRAM)
    stops = [number for number, line in enumerate(PROGRAM.splitlines(), 1) if "# a stop" in line]
    line = line_of(str(program), "# the line")
    editor = editors.through()
    editor.initialize(supportsBasiliskEvents=True)
    editor.launch(str(program), cwd=str(tmp_path), breakpoints={str(program): stops}, basilisk={"memory": True})
    editor.wait_stopped()
    pid = editor.wait_event("process")["systemProcessId"]
    assert memory.ask(editor, "snapshot")["truncated"] is False
    next_stop(editor)

    forget_peak(pid)
    before = peak_bytes(pid)
    many = memory.ask(editor, "snapshot")
    assert peak_bytes(pid) - before <= 256 * MIB
    # The budget is two seconds; a machine that is shared takes some more for the part that is not cut.
    assert many["stoppedSeconds"] <= 3.0
    assert many["truncated"] is True and "estimated from" in many["missing"] and many["types"]
    site = many["sites"][0]
    assert (site["path"], site["line"]) == (str(program), line) and "growthBytes" not in site
    assert site["count"] == pytest.approx(10_000_000, rel=0.02)
    assert site["bytes"] == pytest.approx(many["tracedBytes"], rel=0.02)
    assert sum(one["bytes"] for one in many["sites"]) + many["restBytes"] + many["debuggerBytes"] <= many["tracedBytes"]
    # What was estimated is not growth.
    diff = memory.ask(editor, "diff")
    assert diff["leaks"] == [] and "estimated" in diff["missing"] and diff["tracedGrowthBytes"] > 400_000_000
    mark = editor.here()
    text = editor.console("/memdiff")["body"]["result"]
    assert "estimated" in memory.said(editor, mark) + text
    forget_peak(pid)
    before = peak_bytes(pid)
    graph = memory.ask(editor, "references", {"type": "list"})
    assert graph["truncated"] > 9_000_000 and graph["edges"]
    assert peak_bytes(pid) - before <= 512 * MIB

    next_stop(editor)
    again = memory.ask(editor, "snapshot")
    assert again["truncated"] is False
    leak = memory.leak_of(memory.ask(editor, "diff", {"from": 1, "to": 3}), line, str(program))
    assert leak is None or leak["growthBytes"] < MIB
