"""What cannot be done is refused with one sentence, and the debug session goes on."""

import os
import subprocess
import sys

import pytest

from conftest import BASILISK, PYTHON, REPO, fixture_path

SHARES = fixture_path("shares.py")
FAKE = os.path.join(REPO, "tests", "support", "fake_adapter.py")


@pytest.fixture
def running(editors, tmp_path):
    editor = editors.through()
    editor.initialize()
    editor.launch(SHARES, args=["--seconds", "60"], python=PYTHON, cwd=str(tmp_path))
    editor.wait_event("process")
    yield editor
    assert editor.request("threads")["threads"], "the debug session goes on"


def refused(editor, arguments, command="basilisk.profiler.start"):
    response = editor.refusal(command, arguments)
    assert response["body"]["error"]["showUser"] is True
    assert response["message"].split(".")[0] in response["body"]["error"]["format"]
    return response["message"]


def test_a_process_that_is_not_there(running):
    assert "Process not found" in refused(running, {"pid": 2**22 - 1})


def test_a_process_that_is_no_python(running, background):
    sleeper = background.start(["sleep", "60"])
    assert "Not a Python process" in refused(running, {"pid": sleeper.pid})


def test_a_process_that_has_ended(running, background):
    ended = background.start([PYTHON, "-c", "pass"])
    ended.wait()
    assert "Process not found" in refused(running, {"pid": ended.pid})


def test_a_second_start(running):
    running.request("basilisk.profiler.start")
    assert "Already profiling" in refused(running, {})


def test_a_stop_and_a_snapshot_without_a_start(running):
    for command in ("basilisk.profiler.stop", "basilisk.profiler.snapshot"):
        assert "profil" in refused(running, {}, command).lower()


def test_a_session_id_that_is_unknown(running):
    running.request("basilisk.profiler.start")
    assert "Unknown session" in refused(running, {"sessionId": "none of ours"}, "basilisk.profiler.stop")
    running.request("basilisk.profiler.stop")


@pytest.mark.parametrize("rate", [0, -1, 10001, 1.5, "fast", True, 1e300])
def test_a_rate_out_of_range(rate, running):
    message = refused(running, {"sampleRate": rate})
    assert "10000" in message
    assert not running.request("basilisk.status").get("profiling")


def test_a_preset_that_there_is_not(running):
    message = refused(running, {"preset": "turbo"})
    assert "turbo" in message


def test_native_frames_are_not_in_this_build(running):
    assert "not in this build" in refused(running, {"includeNative": True})
    assert "not in this build" in refused(running, {"preset": "detailed"})


def test_arguments_of_the_wrong_type(running):
    for arguments in ({"pid": "4711"}, {"pid": -1}, {"includeNative": "yes"}, {"subprocesses": 1}, [1, 2]):
        refused(running, arguments)


def test_an_output_directory_that_cannot_be_written(running, tmp_path):
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    folder = str(blocked / "below")
    response = running.ask("basilisk.profiler.start", {"outputDirectory": folder})
    if response["success"]:  # then it must be said when there is something to write
        response = running.ask("basilisk.profiler.stop")
        if response["success"]:
            assert "Output directory not writable" in response["body"].get("warning", "")
            return
    assert "Output directory not writable" in response["message"]


def test_console_commands_are_refused_in_words(running):
    for text, word in (("/profile 0", "10000"), ("/profile turbo", "turbo"), ("/profstop", "profil"),
                       ("/profile detailed", "not in this build")):
        response = running.console(text)
        assert not response["success"] and word.lower() in response["message"].lower(), response


def test_a_bad_launch_key_is_said_and_the_program_runs(editors, tmp_path):
    for key in ({"profile": {"sampleRate": 0}}, {"profile": "turbo"}, {"profil": True}, "yes", {"profile": [1]}):
        editor = editors.through()
        editor.initialize()
        editor.launch(fixture_path("walk.py"), python=PYTHON, cwd=str(tmp_path), basilisk=key)
        editor.wait_event("terminated")
        assert "asilisk" in editor.output("console"), key
        assert "the last line" in editor.output("stdout")


def test_a_start_before_there_is_a_program(editors):
    editor = editors.through()
    editor.initialize()
    assert "No debug session" in refused(editor, {})


def test_a_start_after_the_program_has_ended(editors, tmp_path):
    editor = editors.through()
    editor.initialize()
    editor.launch(fixture_path("walk.py"), python=PYTHON)
    editor.wait_event("terminated")
    message = refused(editor, {})
    assert "No debug session" in message or "Process not found" in message


@pytest.mark.skipif(os.getuid() != 0, reason="another user's process is needed, and only root can start one")
def test_a_process_of_another_user(editors, background):
    # The proxy runs as nobody, beside an adapter of the tests' (debugpy lies in a folder of root's).
    sleeper = background.start([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"])
    assert sleeper.stdout.readline() == b"up\n"
    system_python = "/usr/bin/python3"
    with open(FAKE) as file:
        source = file.read()
    binary = "/tmp/basilisk-of-nobody-%d" % os.getpid()
    subprocess.run(["install", "-m", "755", BASILISK, binary], check=True)
    try:
        editor = editors.spawn(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", binary, "dap", "--", system_python, "-c", source],
            cwd="/")
        editor.initialize()
        message = refused(editor, {"pid": sleeper.pid, "outputDirectory": binary + "-profiles"})
        assert message.startswith("Permission denied") and "ptrace_scope" in message, message
        assert editor.request("threads")
    finally:
        os.unlink(binary)


def test_a_pypy_is_named(editors):
    pypy = next((path for path in ("/usr/bin/pypy3", "/usr/bin/pypy") if os.path.exists(path)), None)
    if not pypy:
        pytest.skip("no PyPy on this machine")
    editor = editors.through()
    editor.initialize()
    sleeper = subprocess.Popen([pypy, "-c", "import time; print('up', flush=True); time.sleep(60)"], stdout=subprocess.PIPE)
    try:
        sleeper.stdout.readline()
        message = refused(editor, {"pid": sleeper.pid})
        assert "Not a Python process" in message and "PyPy" in message
    finally:
        sleeper.kill()
        sleeper.wait()
