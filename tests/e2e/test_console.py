"""The console commands, which work in every editor that can evaluate."""

import pytest

from conftest import PYTHON, fixture_path

SHARES = fixture_path("shares.py")


@pytest.fixture
def running(editors, tmp_path):
    editor = editors.through()
    editor.initialize()
    editor.launch(SHARES, args=["--seconds", "60"], python=PYTHON, cwd=str(tmp_path))
    editor.wait_event("process")
    return editor


def said(response):
    assert response["success"], response
    return response["body"]["result"]


def test_a_profile_is_taken_by_console_commands_alone(running):
    assert "100 Hz" in said(running.console("/profile"))
    assert not running.console("/profile")["success"]
    mark = running.here()
    with pytest.raises(AssertionError):
        running.wait_event("terminated", timeout=1.0)
    assert "samples" in said(running.console("/profsnapshot"))
    assert "samples" in said(running.console("/profstop"))
    text = "".join(body["output"] for body in running.events("output", after=mark))
    assert "heavy" in text and ".cpuprofile" in text
    assert running.request("threads")["threads"]


@pytest.mark.parametrize("text,rate", [("/profile 50", "50 Hz"), ("/profile lightweight", "25 Hz"), ("  /profile   250 ", "250 Hz")])
def test_profile_takes_a_rate_or_a_preset(text, rate, running):
    assert rate in said(running.console(text))


def test_basilisk_says_what_runs_and_what_can_be_asked(running):
    text = said(running.console("/basilisk"))
    for command in ("/profile", "/profsnapshot", "/profstop", "/profdiff", "/processes", "/basilisk"):
        assert command in text
    assert str(running.events("process")[0]["systemProcessId"]) in text


def test_processes_lists_the_debuggee(running):
    assert str(running.events("process")[0]["systemProcessId"]) in said(running.console("/processes"))


def test_what_is_no_command_of_ours_goes_to_the_debugger(running):
    for text in ("/nothing", "1 /profile", "profile", "/tmp/profile", "/1profile", "/", "//profile", "x = 6 \\\n/profil", "/profil/x"):
        response = running.console(text)
        assert "asilisk" not in response.get("message", "") + str(response.get("body")), text
        assert "There is no" not in response.get("message", ""), text


@pytest.mark.parametrize("text,meant", [
    ("/profil", "/profile"), ("/memsnp", "/memsnap"), ("/prof start", "/profile, /profsnapshot, /profstop or /profdiff"),
    ("  /Profile 50", "/profile"), ("/profiler", "/profile"), ("/mem snap", "/memsnap"), ("/mem_leak", "/memleak"),
    ("/porfile", "/profile"), ("/stop", "/profstop or /memstop"), ("/help", "/basilisk"), ("/process", "/processes")])
def test_a_word_that_is_nearly_ours_is_answered_with_the_one_that_was_meant(text, meant, running):
    response = running.console(text)
    assert not response["success"] and response["body"]["error"]["showUser"]
    said = "There is no %s; did you mean %s? /basilisk lists the commands" % (text.split()[0], meant)
    assert response["message"] == said
    assert not running.request("basilisk.status").get("profiling")


def test_a_word_that_is_nearly_ours_is_ours_in_the_console_alone(running):
    for context in ("watch", "hover", "clipboard", "variables", None):
        response = running.ask("evaluate", {"expression": "/profil", **({"context": context} if context else {})})
        assert "There is no" not in response.get("message", "") + str(response.get("body")), context


def test_our_commands_in_another_context_go_to_the_debugger(running):
    response = running.ask("evaluate", {"expression": "/profile", "context": "watch"})
    assert "Hz" not in str(response)
    assert not running.request("basilisk.status").get("profiling")


def labels(editor, text):
    response = editor.ask("completions", {"text": text, "column": len(text) + 1})
    return [item["label"] for item in (response.get("body") or {}).get("targets", [])]


def test_commands_are_completed_once_the_session_has_opted_in(running):
    assert not [label for label in labels(running, "/prof") if label.startswith("/")]
    running.console("/basilisk")
    assert sorted(labels(running, "/prof")) == ["/profdiff", "/profile", "/profsnapshot", "/profstop"]
    assert set(labels(running, "/")) >= {"/basilisk", "/processes", "/profile"}
