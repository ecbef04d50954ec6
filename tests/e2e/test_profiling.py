"""A profile in a debug session: from start to files."""

import os
import re
import stat
import time
import xml.etree.ElementTree

import pytest

import profiles
from conftest import PYTHON, REPO, fixture_path, line_of

SHARES = fixture_path("shares.py")
EXPECTED = {"heavy": 60, "medium": 25, "light": 10, "faint": 5}


def launch(editor, program=SHARES, seconds=4, start=None, arguments=(), **configuration):
    """Launches the program; the profile starts before its first line when `start` has its arguments."""
    begun = {}

    def begin(_):
        begun["at"] = time.monotonic()
        begun["answer"] = editor.send("basilisk.profiler.start", start)

    editor.initialize()
    editor.launch(program, args=["--seconds", str(seconds), *arguments], python=PYTHON,
                  before_done=begin if start is not None else None, **configuration)
    if start is not None:
        begun["body"] = begun["answer"].wait()
    return begun


def check_files(paths):
    for path in paths.values():
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        with open(os.path.join(os.path.dirname(path), ".gitignore")) as file:
            assert file.read().strip() == "*"
    assert re.fullmatch(r"shares-\d{8}-\d{6}(-\d+)?\.speedscope\.json", os.path.basename(paths["speedscope"]))
    stem = paths["speedscope"][:-len(".speedscope.json")]
    assert paths == {"speedscope": stem + ".speedscope.json", "cpuprofile": stem + ".cpuprofile",
                     "flamegraph": stem + ".svg", "markdown": stem + ".md"}
    svg = xml.etree.ElementTree.parse(paths["flamegraph"]).getroot()
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    with open(paths["markdown"], encoding="utf-8") as file:
        summary = file.read()
    assert "Profile of `shares.py`" in summary and "heavy" in summary and os.path.basename(stem) in summary
    assert len([line for line in summary.splitlines() if line]) == 10
    return profiles.check_speedscope(paths["speedscope"]), profiles.check_cpuprofile(paths["cpuprofile"])


def test_start_answers_with_the_process_and_the_rate_and_stop_with_the_profile(editors, tmp_path):
    editor = editors.through()
    begun = launch(editor, seconds=30, start={"sampleRate": 200}, cwd=str(tmp_path))
    assert begun["body"]["sampleRate"] == 200
    assert begun["body"]["pid"] == editor.wait_event("process")["systemProcessId"]
    editor.wait_event("basilisk.heat", lambda body: body["version"] >= 3)
    profile = editor.request("basilisk.profiler.stop")
    assert profile["sessionId"] == begun["body"]["sessionId"]
    assert profile["samples"] > 20  # of CPU time: a busy machine gives the program less of it
    for name, share in EXPECTED.items():
        assert abs(profiles.shares(profile)[name] - share) < 8, profile["top"]
    assert os.path.dirname(profile["paths"]["speedscope"]) == str(tmp_path / "basilisk-profiles")
    check_files(profile["paths"])
    assert editor.request("threads")["threads"]  # the debug session goes on


def test_the_first_heat_comes_within_a_second_and_a_half_and_then_at_least_once_a_second(editors, tmp_path):
    editor = editors.through()
    begun = launch(editor, seconds=5, start={}, cwd=str(tmp_path))
    editor.wait_event("basilisk.profile")
    started = begun["answer"].message.at
    times = [m.at for m in editor.messages if m.side == "adapter" and m.json.get("event") == "basilisk.heat"]
    ended = [m.at for m in editor.messages if m.json.get("event") == "basilisk.profile"][0]
    assert times[0] - started <= 1.5
    gaps = [after - before for before, after in zip([started] + times, times + [ended])]
    assert max(gaps[1:]) <= 1.3, gaps
    versions = [body["version"] for body in editor.events("basilisk.heat")]
    assert versions == sorted(set(versions))


def test_the_merged_heat_equals_the_final_profile(editors, tmp_path):
    editor = editors.through()
    launch(editor, seconds=30, start={"sampleRate": 200}, cwd=str(tmp_path))
    editor.wait_event("basilisk.heat", lambda body: body["version"] >= 4)
    profile = editor.request("basilisk.profiler.stop")
    heat = profiles.merged_heat(editor.events("basilisk.heat"))
    functions = {(path, one["name"]): one["percent"] for path, file in heat.items() for one in file["functions"]}
    final = {(row["path"], row["function"]): row["selfPercent"] for row in profile["top"]
             if row["selfPercent"] >= 2 and row["path"].startswith("/")}
    assert set(functions) == set(final)
    for key, percent in final.items():
        assert abs(functions[key] - percent) <= 0.1, (key, functions[key], percent)
    for file in heat.values():
        for line in file["lines"]:
            expected = next(level for least, level in
                            ((10, "critical"), (5, "hot"), (2, "warm"), (0, "cool")) if line["percent"] >= least)
            assert line["level"] == expected and line["percent"] >= 1


def test_diagnostics_say_what_is_hot_while_it_runs_and_are_gone_afterwards(editors, tmp_path):
    editor = editors.through()
    launch(editor, seconds=30, start={"sampleRate": 200}, cwd=str(tmp_path))
    editor.wait_event("basilisk.heat", lambda body: body["version"] >= 3)
    before = profiles.merged_diagnostics(editor.events("basilisk.diagnostics"))
    editor.request("basilisk.profiler.stop")
    # So early what the program imports is hot as well.
    items = next(items for uri, items in before.items() if profiles.uri_path(uri) == SHARES)
    source = open(SHARES, encoding="utf-8").read().splitlines()
    lines = {item["range"]["start"]["line"] + 1: item for item in items if item["code"] == "BSK-PROF-LINE"}
    heavy = line_of(SHARES, "def heavy") + 3
    assert heavy in lines
    text = source[heavy - 1]
    assert lines[heavy]["range"]["start"]["character"] == len(text) - len(text.lstrip())
    assert lines[heavy]["range"]["end"] == {"line": heavy - 1, "character": len(text)}
    assert "%" in lines[heavy]["message"] and "sample" in lines[heavy]["message"]
    functions = {item["range"]["start"]["line"] + 1 for item in items if item["code"] == "BSK-PROF-FUNC"}
    assert line_of(SHARES, "def heavy") in functions
    assert profiles.merged_diagnostics(editor.events("basilisk.diagnostics")) == {}


def test_the_summary_has_the_hottest_lines_as_output_that_can_be_clicked(editors, tmp_path):
    editor = editors.through()
    launch(editor, seconds=30, start={"sampleRate": 200}, cwd=str(tmp_path))
    editor.wait_event("basilisk.heat", lambda body: body["version"] >= 2)
    mark = editor.here()
    profile = editor.request("basilisk.profiler.stop")
    said = editor.events("output", lambda body: body.get("category", "console") in ("console", "important"), after=mark)
    lines = [body for body in said if body.get("source", {}).get("path") == SHARES and body.get("line")]
    assert 1 <= len([body for body in said if body.get("line")]) <= 10
    percents = [float(re.search(r"([\d.]+) ?%", body["output"]).group(1)) for body in lines]
    assert percents == sorted(percents, reverse=True)
    assert "heavy" in lines[0]["output"] and "critical" in lines[0]["output"]
    assert all(body["output"].endswith("\n") for body in said)
    text = "".join(body["output"] for body in said)
    assert re.search(r"samples: \d+ +errors: \d+ +torn: \d+ +rate: 200", text)
    for path in profile["paths"].values():
        assert path in text


def test_a_client_that_never_said_it_knows_custom_events_gets_none(editors, tmp_path):
    editor = editors.through()
    editor.initialize()
    editor.launch(SHARES, args=["--seconds", "3"], python=PYTHON, cwd=str(tmp_path))
    editor.wait_event("process")
    assert editor.console("/profile")["success"]
    editor.wait_event("terminated")
    assert not [m for m in editor.messages if str(m.json.get("event", "")).startswith("basilisk.")]
    assert "samples: " in editor.output("console")


def test_status_says_what_runs(editors, tmp_path):
    editor = editors.through()
    launch(editor, seconds=30, cwd=str(tmp_path))
    pid = editor.wait_event("process")["systemProcessId"]
    before = editor.request("basilisk.status")
    assert before["pid"] == pid and not before.get("profiling")
    assert {"basilisk.profiler.start", "basilisk.status"} <= {row["request"] for row in before["commands"]}
    mark = editor.here()
    editor.request("basilisk.profiler.start", {"preset": "lightweight"})
    assert editor.wait_event("basilisk.status", after=mark)["profiling"]["sampleRate"] == 25
    assert editor.request("basilisk.status")["profiling"]["pid"] == pid
    mark = editor.here()
    editor.request("basilisk.profiler.stop")
    editor.wait_event("basilisk.status", lambda body: not body.get("profiling"), after=mark)
    assert not editor.request("basilisk.status").get("profiling")


def test_processes_lists_the_debuggee_and_says_why_another_cannot_be_profiled(editors, tmp_path):
    editor = editors.through()
    launch(editor, seconds=30, cwd=str(tmp_path))
    pid = editor.wait_event("process")["systemProcessId"]
    rows = {row["pid"]: row for row in editor.request("basilisk.processes")["processes"]}
    assert rows[pid]["version"].startswith("%d.%d" % __import__("sys").version_info[:2])
    assert "shares.py" in rows[pid]["commandLine"] and not rows[pid].get("reason")
    assert rows[pid]["cpuPercent"] > 20


def test_a_snapshot_writes_the_profile_so_far_and_it_goes_on(editors, tmp_path):
    editor = editors.through()
    launch(editor, seconds=30, start={}, cwd=str(tmp_path))
    editor.wait_event("basilisk.heat")
    snapshot = editor.request("basilisk.profiler.snapshot")
    check_files(snapshot["paths"])
    mark = editor.here()
    editor.wait_event("basilisk.heat", after=mark)
    final = editor.request("basilisk.profiler.stop")
    assert final["samples"] > snapshot["samples"] > 0
    assert not set(final["paths"].values()) & set(snapshot["paths"].values())
    check_files(final["paths"])


@pytest.mark.parametrize("key,rate", [(True, 100), ("lightweight", 25), ({"sampleRate": 250}, 250),
                                      ({"preset": "lightweight", "sampleRate": 50}, 50)])
def test_the_launch_key_starts_a_profile_by_itself(key, rate, editors, tmp_path):
    editor = editors.through()
    launch(editor, seconds=2, basilisk={"profile": key}, cwd=str(tmp_path))
    profile = editor.wait_event("basilisk.profile")
    editor.wait_event("terminated")
    status = editor.events("basilisk.status", lambda body: body.get("profiling"))
    assert status and status[0]["profiling"]["sampleRate"] == rate
    assert profile["samples"] > 0.4 * rate * 2
    check_files(profile["paths"])


def test_the_launch_key_is_taken_out_before_the_adapter_sees_it(editors):
    fake = [PYTHON, os.path.join(REPO, "tests", "support", "fake_adapter.py")]
    editor = editors.through(adapter=fake)
    editor.initialize()
    arguments = {"program": "/x.py", "name": "\u00e4 \\ \"", "basilisk": {"profile": False}, "n": 12345678901234567890123}
    seen = editor.request("launch", arguments)["arguments"]
    assert seen == {key: value for key, value in arguments.items() if key != "basilisk"}


def test_a_profile_whose_program_ends_is_finished_and_written_before_terminated(editors, tmp_path):
    editor = editors.through()
    launch(editor, seconds=1.5, start={"sampleRate": 200}, cwd=str(tmp_path))
    editor.wait_event("terminated")
    names = [m.json.get("event") for m in editor.messages if m.side == "adapter"]
    assert names.index("basilisk.profile") < names.index("terminated")
    profile = editor.events("basilisk.profile")[0]
    assert "ended" in profile["reason"]
    assert profile["samples"] > 100
    check_files(profile["paths"])
    assert profiles.merged_diagnostics(editor.events("basilisk.diagnostics")) == {}
    assert "samples: " in editor.output("console")


@pytest.mark.parametrize("how", ["exception", "exit", "signal", "segfault"])
def test_a_profile_whose_program_crashes_is_written_too(how, editors, tmp_path):
    editor = editors.through()
    editor.initialize(supportsBasiliskEvents=True)
    editor.launch(fixture_path("crash.py"), args=[how, "--seconds", "2"], python=PYTHON, cwd=str(tmp_path),
                  basilisk={"profile": {"sampleRate": 200}})
    editor.wait_event("terminated")
    profile = editor.events("basilisk.profile")[0]
    assert profiles.shares(profile)["last_words"] > 80
    profiles.check_speedscope(profile["paths"]["speedscope"])
    profiles.check_cpuprofile(profile["paths"]["cpuprofile"])


def test_a_profile_is_written_when_the_editor_disconnects_and_when_it_vanishes(editors, tmp_path):
    for way in ("disconnect", "hang_up"):
        folder = tmp_path / way
        folder.mkdir()
        editor = editors.through()
        launch(editor, seconds=30, start={}, cwd=str(folder))
        editor.wait_event("basilisk.heat")
        getattr(editor, way)()
        if way == "disconnect":
            editor.hang_up()
        editor.process.wait(6)
        written = os.listdir(str(folder / "basilisk-profiles"))
        assert [name for name in written if name.endswith(".speedscope.json")], (way, written)


def test_time_at_a_breakpoint_is_not_run_time(editors, tmp_path):
    editor = editors.through()
    launch(editor, seconds=2, start={"sampleRate": 200}, cwd=str(tmp_path),
           breakpoints={SHARES: [line_of(SHARES, "# the middle")]})
    editor.wait_stopped()
    mark = editor.here()
    before = time.monotonic()
    # What an editor may take at a stop: nothing comes, until the time is up.
    with pytest.raises(AssertionError):
        editor.wait_event("continued", after=mark, timeout=3)
    stood = time.monotonic() - before
    editor.resume()
    profile = editor.wait_event("basilisk.profile")
    assert profile.get("cpuSeconds", 2) < 2.7
    assert "middle" not in profiles.shares(profile) or profiles.shares(profile)["middle"] < 2
    assert stood > 2.9


def test_a_program_that_sleeps_has_no_samples_and_is_told_why(editors, tmp_path):
    editor = editors.through()
    editor.initialize()
    editor.launch(fixture_path("sleeper.py"), args=["60"], python=PYTHON, cwd=str(tmp_path))
    editor.wait_event("output", lambda body: "ready" in body["output"])
    editor.request("basilisk.profiler.start")
    with pytest.raises(AssertionError):
        editor.wait_event("terminated", timeout=1.5)
    mark = editor.here()
    profile = editor.request("basilisk.profiler.stop")
    text = "".join(body["output"] for body in editor.events("output", after=mark))
    assert profile["samples"] <= 3
    if profile["samples"] == 0:
        assert "No samples" in text and ("sle" in text or "CPU" in text)


def test_threads_share_the_percent_and_idle_ones_have_none(editors, tmp_path):
    editor = editors.through()
    launch(editor, program=fixture_path("threads.py"), seconds=3, start={"sampleRate": 200}, cwd=str(tmp_path))
    profile = editor.wait_event("basilisk.profile")
    found = profiles.shares(profile)
    assert found["busy_work"] > 85
    assert found.get("idle_wait", 0) < 2 and found.get("wait", 0) < 5


def test_two_profiles_one_after_the_other_do_not_mix(editors, tmp_path):
    editor = editors.through()
    launch(editor, seconds=60, start={}, cwd=str(tmp_path))
    editor.wait_event("basilisk.heat")
    first = editor.request("basilisk.profiler.stop")
    mark = editor.here()
    second = editor.request("basilisk.profiler.start", {"sampleRate": 50})
    assert second["sessionId"] != first["sessionId"]
    editor.wait_event("basilisk.heat", after=mark)
    last = editor.request("basilisk.profiler.stop")
    assert last["seconds"] < 5 and set(last["paths"].values()).isdisjoint(first["paths"].values())
