"""An adapter that cannot start: the reason and the one thing that mends it, not a silent hang."""

import os
import subprocess

import pytest

import dap
from conftest import BASILISK, PYTHON, REPO, fixture_path, free_port

FAKE = os.path.join(REPO, "tests", "support", "fake_adapter.py")


def failure(editor, command="launch"):
    """`initialize` is answered by Basilisk, and the launch fails; or `initialize` fails itself."""
    first = editor.ask("initialize", {"adapterID": "debugpy"}, timeout=15)
    response = first
    if first["success"]:
        response = editor.ask(command, {"program": fixture_path("walk.py"), "processId": 1}, timeout=15)
    assert not response["success"]
    assert response["body"]["error"]["showUser"] is True
    return response["message"] + " " + response["body"]["error"]["format"]


def test_a_python_without_debugpy_is_named_with_what_installs_it(editors, tmp_path):
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    message = failure(editors.through(python=python))
    assert "debugpy" in message and "install" in message and python in message


def test_a_path_that_is_not_there_is_named(editors):
    assert "/no/such/python" in failure(editors.through(python="/no/such/python"))
    assert "/no/such/adapter" in failure(editors.through(adapter=["/no/such/adapter"]))


def test_an_adapter_that_dies_at_once_is_told_with_its_last_words(editors):
    adapter = [PYTHON, FAKE, "--stderr", "the adapter's last words", "--exit", "7"]
    message = failure(editors.through(adapter=adapter))
    assert "last words" in message or "7" in message


def test_an_adapter_that_is_no_adapter_is_told(editors):
    message = failure(editors.through(adapter=["/bin/echo", "hello, I speak no DAP"]))
    assert message.strip()


def test_a_port_where_no_one_listens_is_named(editors):
    port = free_port()
    assert str(port) in failure(editors.through("--connect", "127.0.0.1:%d" % port), "attach")


def test_after_a_failure_disconnect_is_answered_and_the_proxy_ends(editors):
    editor = editors.through(python="/no/such/python")
    failure(editor)
    assert editor.disconnect(timeout=5)["success"]
    editor.hang_up()
    editor.process.wait(5)


def test_the_default_python_is_the_active_environment(editors, tmp_path):
    environment = dict(os.environ, VIRTUAL_ENV=os.path.dirname(os.path.dirname(PYTHON)), PATH="/usr/bin:/bin")
    editor = editors.spawn([BASILISK, "dap"], env=environment)
    editor.initialize()
    editor.launch(fixture_path("walk.py"))
    editor.wait_event("terminated")


@pytest.mark.parametrize("arguments", [["dap", "--nonsense"], ["nonsense"], ["dap", "--listen", "nowhere"],
                                       ["dap", "--connect", "127.0.0.1:99999"]])
def test_wrong_usage_is_told_on_stderr_with_exit_code_2(arguments):
    done = subprocess.run([BASILISK, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=10)
    assert done.returncode == 2 and done.stderr.strip() and not done.stdout


def test_the_version_is_printed():
    done = subprocess.run([BASILISK, "--version"], stdout=subprocess.PIPE, timeout=10)
    assert done.returncode == 0 and b"0." in done.stdout


def test_a_log_has_both_directions_and_can_be_replayed(editors, tmp_path):
    log = tmp_path / "session.log"
    editor = editors.through("--log", str(log))
    editor.initialize()
    editor.launch(fixture_path("walk.py"), python=PYTHON, cwd=str(tmp_path))
    editor.request("basilisk.status")
    editor.wait_event("terminated")
    editor.disconnect()
    editor.hang_up()
    editor.process.wait(6)
    text = log.read_bytes()
    assert b'"initialize"' in text and b'"terminated"' in text
    lines = text.splitlines()
    received = [m for m in editor.messages if m.side == "adapter"]
    assert len(lines) >= len(received)
    done = subprocess.run([BASILISK, "replay", str(log)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == 0, done.stderr


def test_the_log_can_be_named_by_the_environment(editors, tmp_path):
    log = tmp_path / "session.log"
    editor = editors.through(env=dict(os.environ, BASILISK_LOG=str(log)))
    editor.initialize()
    assert dap.wait_until(lambda: log.exists() and b'"initialize"' in log.read_bytes(), 5, "a log")
