"""basilisk.profiler.compare and /profdiff in a debug session: what shifted between two profiles."""

import os
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
    assert "+3.00* small  (a.py)" in lines and "10000 samples" in lines
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
                            ({"baseline": 7, "candidate": good}, "must be the path"),
                            ({"baseline": "", "candidate": good}, "must be the path")]:
        assert says in refused(running, "basilisk.profiler.compare", arguments)
    assert "takes two profiles" in running.console("/profdiff one")["message"]
    assert "takes two profiles" in running.console("/profdiff one two three")["message"]
    assert running.request("threads")["threads"]  # the debug session goes on
