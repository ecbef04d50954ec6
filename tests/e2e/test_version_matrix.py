"""Known shares of CPU time, found in a debug session on every Python that is here: 3.8 to 3.15.

fixtures/shares.py measures its own shares (thread CPU time) and prints them; the profile must agree within three
points, with 4,000 samples. The table is printed at the end of the run."""

import json
import os
import time

import pytest

import profiles
from conftest import PYTHON, fixture_path, line_of, report

SHARES = fixture_path("shares.py")
RATE = 1000
SAMPLES = 4000
MINORS = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15"]
NAMES = ("heavy", "medium", "light", "faint")
TOLERANCE = 3.0


def profile_of(editors, minor, pythons, tmp_path, swap=False, stop_s=0):
    python, debugpy = pythons[minor]
    if not python:
        pytest.skip("%s: %s" % (minor, debugpy))
    adapter = [PYTHON, os.path.join(debugpy, "debugpy", "adapter")]
    editor = editors.through(adapter=adapter)
    editor.initialize()
    seconds = SAMPLES / RATE
    arguments = ["--seconds", str(seconds), "--report"] + (["--swap"] if swap else [])
    breakpoints = {SHARES: [line_of(SHARES, "# the middle")]} if stop_s else None
    editor.launch(SHARES, args=arguments, python=python, cwd=str(tmp_path), breakpoints=breakpoints,
                  basilisk={"profile": {"sampleRate": RATE}})
    stood = 0.0
    if stop_s:
        editor.wait_stopped(timeout=60)
        begun = time.monotonic()
        mark = editor.here()
        with pytest.raises(AssertionError):  # nothing comes while it stands
            editor.wait_event("terminated", after=mark, timeout=stop_s)
        stood = time.monotonic() - begun
        editor.resume()
    editor.wait_event("terminated", timeout=120)
    profile = editor.events("basilisk.profile")[0]
    line = next(text for text in editor.output("stdout").splitlines() if text.startswith("{"))
    truth = json.loads(line)
    assert truth["python"].startswith(minor + ".")
    return profile, truth, stood


def verdict(profile, truth):
    found = profiles.shares(profile)
    worst = max(abs(found.get(name, 0) - truth["shares"][name]) for name in NAMES)
    return worst, "  ".join("%s %4.1f" % (name, found.get(name, 0)) for name in NAMES)


rows = {}


def note(minor, what, text):
    rows.setdefault(minor, {})[what] = text


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("what", ["shares", "swapped", "5 s stop"])
def test_the_shares_are_found_within_three_points(minor, what, editors, pythons, tmp_path):
    note(minor, what, "skipped" if not pythons[minor][0] else "failed")
    profile, truth, stood = profile_of(editors, minor, pythons, tmp_path, swap=what == "swapped",
                                       stop_s=5 if what == "5 s stop" else 0)
    worst, text = verdict(profile, truth)
    note(minor, what, "off by %.1f (%d, %d errors)" % (worst, profile["samples"], profile["errors"]))
    assert worst <= TOLERANCE, text
    # The program works for 4 s of CPU time; on a loaded machine a sample may come late, never twice.
    assert profile["samples"] >= 0.8 * SAMPLES, profile
    expected = {"heavy": 5, "faint": 60} if what == "swapped" else {"heavy": 60, "faint": 5}
    for name, share in expected.items():
        assert abs(profiles.shares(profile)[name] - share) < 6
    if stood:
        # What passed at the breakpoint is in no function's time: the CPU time is the program's own.
        assert abs(profile.get("cpuSeconds", truth["seconds"]) - truth["seconds"]) <= 0.1 * truth["seconds"] + 0.5


@pytest.fixture(scope="module", autouse=True)
def table(pythons):
    yield
    if not rows:
        return
    columns = ["shares", "swapped", "5 s stop"]
    report("Version matrix: fixtures/shares.py in a debug session at %d Hz, points off the program's own measure (samples, errors)" % RATE)
    report("  %-6s %-26s %-26s %-26s" % ("Python", *columns))
    for minor in MINORS:
        if minor in rows:
            python, reason = pythons[minor]
            texts = [rows[minor].get(what, "") for what in columns]
            report("  %-6s %s" % (minor, "  ".join("%-25s" % text for text in texts) if python else "skipped: " + reason))
