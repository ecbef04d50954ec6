"""basilisk.profiler.compare and /profdiff in a debug session: what shifted between two profiles."""

import os
import re
import shutil

import pytest

from conftest import FIXTURES, PYTHON, fixture_path

SHARES = fixture_path("shares.py")
SPY = os.path.join(FIXTURES, "profiles", "py-spy-0.4.3")


def counted(path, shares, samples=10000):
    """A raw profile with these shares, in percent."""
    with open(path, "w") as file:
        for name, share in shares.items():
            file.write("<module> (/srv/a.py:1);%s (/srv/a.py:9) %d\n" % (name, share * samples / 100))
    return str(path)


@pytest.fixture
def running(editors, tmp_path):
    editor = editors.through()
    editor.initialize()
    editor.launch(SHARES, args=["--seconds", "60"], python=PYTHON, cwd=str(tmp_path))
    editor.wait_event("process")
    return editor


def said(editor, text):
    """The answer of a console command, and what it wrote into the console."""
    mark = editor.here()
    response = editor.console(text)
    assert response["success"], response
    lines = "".join(body["output"] for body in editor.events("output", after=mark))
    return response["body"]["result"], lines


def refused(editor, command, arguments=None):
    response = editor.ask(command, arguments)
    assert not response["success"], response
    assert response["body"]["error"]["showUser"] and response["message"]
    return response["message"]


def by_name(body):
    return {f["function"]: f for f in body["functions"]}


def test_two_files_are_compared(running, tmp_path):
    a = counted(tmp_path / "a.folded", {"big": 60, "middle": 35, "small": 5})
    b = counted(tmp_path / "b.folded", {"big": 60, "middle": 32, "small": 8})
    body = running.request("basilisk.profiler.compare", {"baseline": a, "candidate": b})
    small = by_name(body)["small"]
    assert (small["selfBefore"], small["selfAfter"], small["delta"], small["significant"]) == (5, 8, 3, True)
    assert small["path"] == "/srv/a.py" and not by_name(body)["big"]["significant"]
    assert body["baseline"] == {"path": a, "format": "raw", "name": "", "python": "", "commit": "", "samples": 10000}
    assert body["significantFunctions"] == 2
    # by name below the launch cwd; py-spy's flame graph, and a name with a blank
    shutil.copy(SPY + ".svg", tmp_path / "py spy.svg")
    body = running.request("basilisk.profiler.compare", {"baseline": "py spy.svg", "candidate": "py spy.svg"})
    assert body["candidate"]["path"] == str(tmp_path / "py spy.svg") and body["significantFunctions"] == 0
    answer, lines = said(running, '/profdiff a.folded "b.folded"')
    assert "2 functions shifted" in answer
    assert "before  a.folded, 10000 samples\nafter   b.folded, 10000 samples\n before   after   shift  percent of" in lines
    assert "   5.00    8.00   +3.00* small  (a.py)\n" in lines and "* more than noise\n" in lines
    assert "No shift is significant" in said(running, "/profdiff 'py spy.svg' \"py spy.svg\"")[0]
    assert running.request("threads")["threads"]


def test_without_names_the_last_two_profiles_of_the_session_are_compared(running, tmp_path):
    assert "no profile yet" in refused(running, "basilisk.profiler.compare")
    running.request("basilisk.profiler.start", {"sampleRate": 500})
    running.wait_event("basilisk.heat", lambda body: body["version"] >= 2)
    first = running.request("basilisk.profiler.snapshot")
    assert "one profile only" in refused(running, "basilisk.profiler.compare")
    assert "/profdiff A B" in running.console("/profdiff")["message"]
    running.wait_event("basilisk.heat", lambda body: body["version"] >= 4)
    last = running.request("basilisk.profiler.stop")
    body = running.request("basilisk.profiler.compare")
    assert body["baseline"]["path"] == first["paths"]["speedscope"]
    assert body["candidate"]["path"] == last["paths"]["speedscope"]
    assert body["baseline"]["python"] and body["candidate"]["name"] == "shares.py"
    assert 35 < by_name(body)["heavy"]["selfAfter"] < 85 and not by_name(body)["faint"]["significant"]
    answer, lines = said(running, "/profdiff")
    assert "heavy  (shares.py)" in lines and os.path.basename(first["paths"]["speedscope"]) in lines
    # by the name of a set in the output directory, and each of its formats
    name = os.path.basename(first["paths"]["speedscope"])[:-len(".speedscope.json")]
    for format, path in last["paths"].items():
        if format in ("speedscope", "cpuprofile", "flamegraph"):
            other = running.request("basilisk.profiler.compare",
                                    {"baseline": name, "candidate": os.path.basename(path)})
            assert other["candidate"]["format"] == format and other["candidate"]["path"] == path
            assert 35 < by_name(other)["heavy"]["selfAfter"] < 85


def test_profiles_of_the_session_are_compared_by_their_numbers(running):
    assert "this session has written none yet" in running.console("/profdiff 1 2")["message"]
    running.request("basilisk.profiler.start", {"sampleRate": 500})
    written = []
    for number in (1, 2):
        running.wait_event("basilisk.heat", lambda body: body["version"] >= 2 * number)
        written.append(running.request("basilisk.profiler.snapshot"))
        assert written[-1]["number"] == number
    answer = said(running, "/profstop")[0]
    assert answer.startswith("Profile 3: ") and answer.endswith(". /profdiff 2 3 compares it with the one before")
    answer, lines = said(running, "/profdiff 1 3")
    first = os.path.basename(written[0]["paths"]["speedscope"])
    assert re.search(r"^before  profile 1, %s, \d+ samples\nafter   profile 3, .*, \d+ samples\n" % re.escape(first), lines)
    assert re.search(r"^ +[\d.]+ +[\d.]+ +[+-][\d.]+[ *] heavy  \(shares.py\)$", lines, re.M), lines
    assert "profile 2, " in said(running, "/profdiff")[1] and "profile 3, " in said(running, "/profdiff")[1]
    body = running.request("basilisk.profiler.compare", {"baseline": 2, "candidate": 1})
    assert (body["baseline"]["number"], body["candidate"]["number"]) == (2, 1)
    assert body["baseline"]["path"] == written[1]["paths"]["speedscope"]
    # a number and a file; a file that is called as a number is
    path = written[0]["paths"]["speedscope"]
    body = running.request("basilisk.profiler.compare", {"baseline": path, "candidate": 2})
    assert "number" not in body["baseline"] and body["candidate"]["number"] == 2
    shutil.copy(path, os.path.join(os.path.dirname(path), "7"))
    assert "before  7, " in said(running, "/profdiff ./7 2")[1]
    for text, says in [("/profdiff 1 4", "There is no profile 4: this session has written 1 to 3"),
                       ("/profdiff 0 1", "There is no profile 0"), ("/profdiff 2", "/profdiff 1 3")]:
        assert says in running.console(text)["message"]
    assert "There is no profile 9" in refused(running, "basilisk.profiler.compare", {"baseline": 9, "candidate": 1})


def test_a_profile_without_samples_is_told_from_one_with_few(editors, tmp_path):
    """A program that sleeps until it is told to work, in a file that appears."""
    (tmp_path / "app.py").write_text("import os, time\nwhile not os.path.exists('go'): time.sleep(0.05)\n"
                                     "while True: sum(range(1000))\n")
    editor = editors.through()
    editor.initialize()
    editor.launch(str(tmp_path / "app.py"), python=PYTHON, cwd=str(tmp_path))
    editor.wait_event("process")
    # a moment each: whether the sleeper used a sample's worth of CPU is not in our hands
    quiet = []
    for _ in range(2):
        assert editor.console("/profile 1")["success"]
        quiet.append(editor.request("basilisk.profiler.stop"))
    if all(body["samples"] == 0 for body in quiet):
        assert "No samples: none of this session's profiles has any" in editor.console("/profdiff")["message"]
    for body in quiet:
        if body["samples"] == 0:
            text = editor.console("/profdiff %d %d" % (body["number"], body["number"]))["message"]
            assert text.startswith("No samples in profile %d" % body["number"])
            name = os.path.basename(body["paths"]["speedscope"])
            assert "No samples" in editor.console("/profdiff %s %s" % (name, name))["message"]
    editor.console("/profile")
    (tmp_path / "go").write_text("")
    for version in (2, 4):
        editor.wait_event("basilisk.heat", lambda body: body["version"] >= version)
        editor.request("basilisk.profiler.snapshot")
    editor.console("/profstop")
    lines = said(editor, "/profdiff")[1]
    assert "profile 4, " in lines and "profile 5, " in lines and "<module>" in lines


def test_few_samples_are_said_to_be_few(running, tmp_path):
    for name, count in (("one", 1), ("four", 4)):
        (tmp_path / name).write_text("<module> (/srv/a.py:1) %d\n" % count)
    (tmp_path / "crumbs").write_text("".join("f%d (/srv/a.py:1) 1\n" % i for i in range(200)))
    lines = said(running, "/profdiff one four")[1]
    assert "before  one, 1 sample\n" in lines and "These are too few samples to tell a shift from noise" in lines
    lines = said(running, "/profdiff crumbs crumbs")[1]
    assert "No function has 1 percent of the time in either.\n" in lines and "percent of the time in the function" not in lines


def test_what_cannot_be_compared_is_said(running, tmp_path):
    good = counted(tmp_path / "good", {"f": 100})
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "diary").write_text("Dear diary\n")
    (tmp_path / "cut.svg").write_bytes(open(SPY + ".svg", "rb").read()[:5000])
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(200 << 20)
    for name, says in [("missing", "There is no file missing"), ("/no/where", "There is no file /no/where"),
                       (str(tmp_path), "is no file"), ("pipe", "is no file"), ("empty", "the file is empty"),
                       ("diary", "this is no profile"), ("cut.svg", "the SVG is cut"), ("huge", "larger than 128 MiB")]:
        for pair in [{"baseline": name, "candidate": good}, {"baseline": good, "candidate": name}]:
            assert says in refused(running, "basilisk.profiler.compare", pair), name
    for arguments, says in [({"baseline": good}, "takes two profiles"), ({"candidate": good}, "takes two profiles"),
                            ({"baseline": 1.5, "candidate": good}, "must be the path"),
                            ({"baseline": True, "candidate": good}, "must be the path"),
                            ({"baseline": 7, "candidate": good}, "There is no profile 7"),
                            ({"baseline": "", "candidate": good}, "must be the path")]:
        assert says in refused(running, "basilisk.profiler.compare", arguments)
    assert "takes two profiles" in running.console("/profdiff one")["message"]
    assert "takes two profiles" in running.console("/profdiff one two three")["message"]
    assert running.request("threads")["threads"]  # the debug session goes on
