"""Which process is profiled: the one that runs the user's program, however it was started."""

import os
import re
import shlex
import subprocess
import sys
import time

import pytest

import dap
from conftest import PYTHON, REPO, debugpy_that_listens, fixture_path, free_port, line_of

SHARES = fixture_path("shares.py")


def profiled_pid(editor, arguments=None):
    body = editor.request("basilisk.profiler.start", arguments or {})
    return body["pid"]


def runs_the_fixture(pid):
    line = dap.describe_pid(pid)
    # The debuggee's own line has debugpy/launcher/../../debugpy in it.
    return "shares.py" in line and not re.search(r"debugpy/launcher \d+ --", line) and "debugpy.adapter" not in line


def is_that_python(pid, executable=PYTHON):
    return os.readlink("/proc/%d/exe" % pid) == os.path.realpath(executable)


@pytest.mark.parametrize("console", ["internalConsole", "integratedTerminal", "externalTerminal"])
@pytest.mark.parametrize("no_debug", [False, True], ids=["debug", "noDebug"])
def test_of_a_launch(console, no_debug, editors, tmp_path):
    editor = editors.through()
    editor.initialize()
    editor.launch(SHARES, args=["--seconds", "60"], python=PYTHON, cwd=str(tmp_path), console=console, noDebug=no_debug)
    hint = editor.wait_event("process")["systemProcessId"]
    pid = profiled_pid(editor)
    assert runs_the_fixture(pid) and is_that_python(pid)
    assert pid == hint
    editor.wait_event("basilisk.heat")


def test_of_a_module_and_of_code(editors, tmp_path):
    for how in ({"module": "shares", "cwd": os.path.dirname(SHARES), "args": ["--seconds", "60"]},
                {"code": "import time\nwhile True: sum(range(100000))"}):
        editor = editors.through()
        editor.initialize()
        editor.launch(python=PYTHON, basilisk={"profile": {"outputDirectory": str(tmp_path)}}, **how)
        hint = editor.wait_event("process")["systemProcessId"]
        status = editor.wait_event("basilisk.status", lambda body: body.get("profiling"))
        assert status["profiling"]["pid"] == hint
        editor.request("basilisk.profiler.stop")


def wrapper(tmp_path, kind):
    """An executable that a configuration's `python` can name, and that is not itself the program's process."""
    if kind == "venv":
        subprocess.run([PYTHON, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
        return str(tmp_path / "venv" / "bin" / "python")
    path = tmp_path / ("python-by-" + kind)
    run = shlex.quote(PYTHON)
    text = {
        "sh that waits": '#!/bin/sh\n%s "$@"\nexit $?\n' % run,
        "sh -c": '#!/bin/sh\nsh -c \'"$0" "$@"; exit $?\' %s "$@"\nexit $?\n' % run,
        "sh that becomes it": '#!/bin/sh\nexec %s "$@"\n' % run,
        "env": '#!/bin/sh\nenv A=b %s "$@"\nexit $?\n' % run,
        "python that waits": "#!%s\nimport subprocess, sys\nsys.exit(subprocess.call([%r] + sys.argv[1:]))\n" % (PYTHON, PYTHON),
    }[kind]
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("kind", ["sh that waits", "sh -c", "sh that becomes it", "env", "python that waits", "venv"])
@pytest.mark.parametrize("no_debug", [False, True], ids=["debug", "noDebug"])
def test_behind_a_wrapper(kind, no_debug, editors, tmp_path):
    editor = editors.through()
    editor.initialize()
    editor.launch(SHARES, args=["--seconds", "60"], python=wrapper(tmp_path, kind), cwd=str(tmp_path), noDebug=no_debug)
    editor.wait_event("process")
    pid = profiled_pid(editor, {"sampleRate": 200})
    assert runs_the_fixture(pid) and is_that_python(pid)
    editor.wait_event("basilisk.heat")
    profile = editor.request("basilisk.profiler.stop")
    assert any(row["function"] == "heavy" for row in profile["top"]), profile["top"]


def test_of_an_attach_by_connect_with_the_proxy_in_front(editors, background, tmp_path):
    program, port = debugpy_that_listens(background, SHARES, "--seconds", "60", cwd=str(tmp_path))
    editor = editors.through("--connect", "127.0.0.1:%d" % port)
    editor.initialize()
    editor.attach()
    assert profiled_pid(editor) == program.pid
    editor.wait_event("basilisk.heat")
    editor.disconnect(terminateDebuggee=False)
    assert program.poll() is None


def test_of_an_attach_by_connect_on_stdio(editors, background, tmp_path):
    program, port = debugpy_that_listens(background, SHARES, "--seconds", "60", cwd=str(tmp_path))
    editor = editors.through()
    editor.initialize()
    editor.attach(connect={"host": "127.0.0.1", "port": port},
                  breakpoints={SHARES: [line_of(SHARES, "# the middle")]})
    assert len(editor.events("initialized")) == 1
    assert len(editor.events("output", lambda body: body.get("output") == "debugpy")) == 1, "one greeting is seen"
    assert profiled_pid(editor) == program.pid
    assert editor.disconnect()["success"]


def test_an_attach_by_connect_where_no_one_listens_is_refused_with_the_address(editors):
    port = free_port()
    editor = editors.through()
    editor.initialize()
    response = editor.ask("attach", {"connect": {"host": "127.0.0.1", "port": port}}, timeout=10)
    assert not response["success"] and str(port) in response["message"]


def test_of_an_attach_by_listen(editors, background, tmp_path):
    import threading

    port = free_port()
    editor = editors.through()
    editor.initialize()
    started = []

    def start_program():
        editor.wait_event("debugpyWaitingForServer")
        started.append(background.start([PYTHON, "-m", "debugpy", "--connect", "127.0.0.1:%d" % port,
                                         "--wait-for-client", SHARES, "--seconds", "60"], cwd=str(tmp_path)))

    threading.Thread(target=start_program, daemon=True).start()
    editor.attach(listen={"host": "127.0.0.1", "port": port})
    assert profiled_pid(editor) == started[0].pid


def test_of_an_attach_by_pid_on_3_14(editors, background, pythons, tmp_path):
    python, debugpy = pythons["3.14"]
    if not python:
        pytest.skip(debugpy)
    program = background.start([python, SHARES, "--seconds", "60"], cwd=str(tmp_path), stdout=subprocess.DEVNULL)
    # The injecting Python must be of the same version: sys.remote_exec.
    editor = editors.through(adapter=[python, os.path.join(debugpy, "debugpy", "adapter")])
    editor.initialize()
    editor.attach(processId=program.pid)
    assert profiled_pid(editor) == program.pid
    editor.wait_event("basilisk.heat")
    assert editor.disconnect(terminateDebuggee=False)["success"]
    assert program.poll() is None


def test_an_attach_by_pid_with_a_gdb_that_fails_is_refused_within_15_seconds_with_the_reason(editors, background, tmp_path):
    if sys.version_info >= (3, 14):
        pytest.skip("3.14 and newer attach without gdb")
    program = background.start([PYTHON, SHARES, "--seconds", "60"], cwd=str(tmp_path))
    gdb = tmp_path / "bin" / "gdb"
    gdb.parent.mkdir()
    gdb.write_text("#!/bin/sh\necho \"Couldn't write extended state status: Bad address.\" >&2\nexit 1\n")
    gdb.chmod(0o755)
    environment = dict(os.environ, PATH="%s:%s" % (gdb.parent, os.environ["PATH"]))
    editor = editors.through(env=environment)
    editor.initialize()
    begun = time.monotonic()
    response = editor.ask("attach", {"processId": program.pid}, timeout=20)
    assert time.monotonic() - begun <= 15
    assert not response["success"]
    assert "gdb" in response["message"] or "extended state" in response["message"], response["message"]
    assert program.poll() is None
    assert editor.ask("disconnect", {}, timeout=5)["success"]
