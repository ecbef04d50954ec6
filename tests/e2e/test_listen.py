"""`basilisk dap --listen`: many sessions in one process, one after another and at once."""

import os
import re
import socket
import subprocess
import threading

import pytest

import dap
from conftest import BASILISK, PYTHON, REPO, fixture_path, free_port, is_listening

FAKE = os.path.join(REPO, "tests", "support", "fake_adapter.py")


@pytest.fixture
def listening(background):
    """Starts a proxy that listens; returns a function that does, and its port."""
    def start(adapter=None, python=PYTHON):
        port = free_port()
        command = [BASILISK, "dap", "--listen", "127.0.0.1:%d" % port]
        command += ["--", *adapter] if adapter else ["--python", python]
        environment = dict(os.environ)
        environment[dap.MARK] = "listen-%d" % port
        process = background.start(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started.append("listen-%d" % port)
        dap.wait_until(lambda: is_listening(port), what="a listening basilisk")
        return process, port

    started = []
    yield start
    background.close()
    for mark in started:
        for pid in dap.marked_pids(mark):
            os.kill(pid, 9)


def descriptors(process):
    return len(os.listdir("/proc/%d/fd" % process.pid))


def settled_descriptors(process):
    """The number of open descriptors once it has been the same for 50 looks."""
    seen = []

    def look():
        seen.append(descriptors(process))
        return len(seen) >= 50 and len(set(seen[-50:])) == 1

    dap.wait_until(look, 10, "a steady number of descriptors")
    return seen[-1]


def test_sessions_at_once_do_not_see_each_other(listening, editors, tmp_path):
    process, port = listening()
    clients = []
    for number in range(4):
        editor = editors.connect("127.0.0.1", port)
        editor.initialize()
        editor.launch(code="print('session %d')" % number, python=PYTHON, cwd=str(tmp_path))
        clients.append(editor)
    for number, editor in enumerate(clients):
        editor.wait_event("terminated")
        assert editor.output("stdout").strip() == "session %d" % number
        editor.disconnect()
        editor.hang_up()
    assert process.poll() is None


def test_sessions_can_be_profiled_at_once(listening, editors, tmp_path):
    _, port = listening()
    clients = []
    for number in range(2):
        editor = editors.connect("127.0.0.1", port)
        editor.initialize()
        folder = tmp_path / str(number)
        folder.mkdir()
        editor.launch(fixture_path("shares.py"), args=["--seconds", "3"], python=PYTHON, cwd=str(folder),
                      basilisk={"profile": {"sampleRate": 200}})
        clients.append(editor)
    for number, editor in enumerate(clients):
        profile = editor.wait_event("basilisk.profile", timeout=60)
        assert profile["pid"] == editor.events("process")[0]["systemProcessId"]
        assert str(tmp_path / str(number)) in profile["paths"]["speedscope"]


def test_a_restart_by_disconnect_on_the_same_port(listening, editors, tmp_path):
    _, port = listening()
    for again in (True, False):
        editor = editors.connect("127.0.0.1", port)
        editor.initialize()
        editor.launch(fixture_path("sleeper.py"), python=PYTHON)
        editor.wait_event("output", lambda body: "ready" in body["output"])
        assert editor.disconnect(restart=again)["success"]
        editor.hang_up()


def test_nothing_of_a_session_is_left_while_the_proxy_goes_on(listening, editors):
    process, port = listening()
    editor = editors.connect("127.0.0.1", port)
    editor.initialize()
    editor.launch(fixture_path("sleeper.py"), python=PYTHON)
    editor.wait_event("output", lambda body: "ready" in body["output"])
    editor.hang_up()
    mark = "listen-%d" % port
    dap.wait_until(lambda: dap.marked_pids(mark) == [process.pid], 5, "the end of the session's processes")


def test_a_thousand_sessions_leave_no_descriptor_and_no_memory(listening, editors):
    process, port = listening(adapter=[PYTHON, "-S", "-E", FAKE])
    if os.environ.get("BASILISK_SESSIONS"):
        total = int(os.environ["BASILISK_SESSIONS"])
    else:
        total = 300
    at_once, failures = 25, []

    def some(first, count):
        try:
            for number in range(first, first + count):
                client = dap.Client.connect("127.0.0.1", port)
                try:
                    client.initialize()
                    body = client.request("echo", {"number": number})
                    assert body["arguments"]["number"] == number
                    flood = client.send("flood", {"events": 20})
                    flood.wait()
                    assert len(client.events("output")) == 20
                    client.disconnect()
                finally:
                    client.close()
        except BaseException as error:
            failures.append(error)

    def round_of(count):
        threads = [threading.Thread(target=some, args=(1000 * i, count // at_once)) for i in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures[0]
        dap.wait_until(lambda: dap.marked_pids("listen-%d" % port) == [process.pid], 10, "the end of the adapters")

    def resident_kb():
        with open("/proc/%d/status" % process.pid) as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))

    round_of(at_once * 2)
    # Each session of the second round closes what it opened, within the time in which adapters end.
    before, memory = settled_descriptors(process), resident_kb()
    round_of(total)
    dap.wait_until(lambda: descriptors(process) <= before, 6, "%d descriptors, as before (now %d)" % (before, descriptors(process)))
    assert resident_kb() - memory <= 512


def test_a_web_page_that_talks_to_the_port_is_hung_up_on(listening, editors):
    process, port = listening(adapter=[PYTHON, FAKE])
    body = b'{"seq":1,"type":"request","command":"initialize","arguments":{}}'
    with socket.create_connection(("127.0.0.1", port), 5) as page:
        page.settimeout(5)
        page.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        answer = b""
        while True:
            try:
                piece = page.recv(4096)
            except ConnectionResetError:
                break
            if not piece:
                break
            answer += piece
    assert b'"success":true' not in answer.replace(b" ", b"")
    editor = editors.connect("127.0.0.1", port)
    editor.initialize()
    assert editor.request("echo", {"a": 1})["arguments"] == {"a": 1}
    assert process.poll() is None


def test_nothing_is_obeyed_over_tcp_before_initialize(listening, editors):
    process, port = listening(adapter=[PYTHON, FAKE])
    editor = editors.connect("127.0.0.1", port)
    response = None
    try:
        response = editor.ask("basilisk.processes", timeout=5)
    except dap.DapError:
        pass  # hung up: as good
    assert not (response and response["success"])


def test_it_listens_on_loopback_alone_unless_told_otherwise(background):
    port = free_port()
    process = background.start([BASILISK, "dap", "--listen", str(port), "--python", PYTHON])
    try:
        dap.wait_until(lambda: is_listening(port) or process.poll() is not None, what="a listening basilisk")
    finally:
        process.kill()
    if process.wait() == -9:
        with open("/proc/net/tcp") as file:
            assert not any(line.split()[1] == "00000000:%04X" % port for line in file)
