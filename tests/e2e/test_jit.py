"""CPython's own compiler (3.13 and later, where it was built with one and PYTHON_JIT=1): functions are right, lines are
those whose place was stored last, and every format that has a place for it says so."""

import json
import os
import subprocess

import pytest

from recording import nothing_is_left, record  # noqa: F401

# Works for a second and a half.
PROGRAM = """
import time
def hot(n):
    a = b = 0
    for i in range(n):
        a = a + i & 1023
        b = b * 3 + a & 1023
        a = a + b & 1023
    return a
def cold():
    return sum([1, 2])
def main():
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        hot(100000)
        cold()
main()
"""


def with_a_jit(pythons):
    found = []
    for version, (python, _) in pythons.items():
        asked = python and subprocess.run([python, "-c", "import sys; print(sys._jit.is_enabled())"],
                                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                          env=dict(os.environ, PYTHON_JIT="1")).stdout.strip()
        if asked == "True":
            found.append(python)
    if not found:
        pytest.skip("no CPython here was built with its JIT")
    return found


def about(python, jit, script, folder, *options):
    path = folder / "out.json"
    run = record("-r", 1000, "-f", "speedscope", "-o", path, *options, "--", python, script,
                 env=dict(os.environ, PYTHON_JIT=jit))
    assert run.code == 0, run.err
    with open(path) as file:
        profile = json.load(file)
    return run, profile["basilisk"], profile


@pytest.mark.parametrize("options", [(), ("--no-ticks",)], ids=["as it chooses", "read"])
def test_lines_of_compiled_functions_are_said_to_be_early(pythons, tmp_path, options):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    for python in with_a_jit(pythons):
        run, said, profile = about(python, "1", script, tmp_path, *options)
        assert said["jitFunctions"] >= 1
        assert "compiled by Python's JIT" in run.err
        lines = {frame["line"] for frame in profile["shared"]["frames"] if frame["name"] == "hot"}
        assert lines and lines <= set(range(3, 10))  # of the function, whichever
        assert run.summary["samples"] > 100
        plain, said, _ = about(python, "0", script, tmp_path, *options)
        assert "jitFunctions" not in said
        assert "JIT" not in plain.err
