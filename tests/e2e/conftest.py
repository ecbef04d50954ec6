"""What the end-to-end tests share: an editor on either side of the comparison, and the rules of the house.

The binary is $BASILISK, else build/release/basilisk. Every editor that a test opens is closed when the test ends,
however it ends; what its adapter left behind by then is ended by PID; all traffic of ours in it is held to the
schemas of docs/protocol.
"""

import os
import socket
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(REPO, "tests", "support"))
sys.path.insert(0, HERE)

import dap  # noqa: E402
import protocol  # noqa: E402

BASILISK = os.path.abspath(os.environ.get("BASILISK") or os.path.join(REPO, "build", "release", "basilisk"))
PYTHON = sys.executable
FIXTURES = os.path.join(REPO, "fixtures")


def fixture_path(name):
    return os.path.join(FIXTURES, name)


def line_of(path, text):
    """The number of the line that holds the text."""
    with open(path, encoding="utf-8") as file:
        return next(number for number, line in enumerate(file, 1) if text in line)


def pytest_collection_modifyitems(config, items):
    if not os.access(BASILISK, os.X_OK):
        pytest.exit("There is no %s: run ./check, or name the binary in $BASILISK" % BASILISK, 2)


def through(*options, adapter=None, python=PYTHON):
    """The command of an adapter with Basilisk before it."""
    command = [BASILISK, "dap", *options]
    if adapter:
        return command + ["--", *adapter]
    return command + (["--python", python] if "--connect" not in options else [])


def direct(python=PYTHON):
    return [python, "-m", "debugpy.adapter"]


class Editors:
    """Opens editors, and closes them all."""

    def __init__(self, folder):
        self.open = []
        self.folder = str(folder)

    def spawn(self, command, **options):
        options.setdefault("cwd", self.folder)
        editor = dap.Client.spawn(command, **options)
        self.open.append(editor)
        return editor

    def through(self, *options, adapter=None, python=PYTHON, **more):
        return self.spawn(through(*options, adapter=adapter, python=python), **more)

    def direct(self, **more):
        return self.spawn(direct(), **more)

    def connect(self, host, port, **more):
        editor = dap.Client.connect(host, port, **more)
        self.open.append(editor)
        return editor

    def close(self, strict=True):
        problems = []
        for editor in self.open:
            try:
                editor.close(strict)
            except dap.DapError as error:
                problems.append(str(error))
            for client in [editor] + editor.children:
                problems += protocol.check_traffic(client.messages)
        self.open = []
        assert not problems, "\n".join(problems)


@pytest.fixture
def editors(tmp_path):
    pool = Editors(tmp_path)
    try:
        yield pool
    except BaseException:
        pool.close(strict=False)
        raise
    pool.close()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def is_listening(port):
    """Without connecting: a connection that is closed again ends a debugpy that waits for its client."""
    with open("/proc/net/tcp") as file:
        return any(fields[3] == "0A" and fields[1].endswith(":%04X" % port)
                   for fields in (line.split() for line in file))


def debugpy_that_listens(background, program, *arguments, python=PYTHON, **options):
    """A program that was started with `debugpy --listen`, waits for its editor, and the port where."""
    port = free_port()
    options.setdefault("stdout", subprocess.DEVNULL)
    process = background.start([python, "-m", "debugpy", "--listen", "127.0.0.1:%d" % port, "--wait-for-client",
                                program, *arguments], **options)
    dap.wait_until(lambda: is_listening(port), what="debugpy listening")
    return process, port


class Background:
    """Programs beside the session, ended when the test ends."""

    def __init__(self):
        self.running = []

    def start(self, command, **options):
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.STDOUT)
        options.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(command, **options)
        self.running.append(process)
        return process

    def close(self):
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()


@pytest.fixture
def background():
    pool = Background()
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def pythons():
    """What tests/support/pythons finds: minor version -> (executable or None, folder of debugpy or reason)."""
    text = subprocess.run([os.path.join(REPO, "tests", "support", "pythons")], stdout=subprocess.PIPE, check=True).stdout
    found = {}
    for line in text.decode().splitlines():
        minor, python, rest = line.split("\t")
        found[minor] = (None if python == "-" else python, rest)
    return found


_session_lines = []


def report(line):
    """A line for the end of the run."""
    _session_lines.append(line)


def pytest_terminal_summary(terminalreporter):
    if _session_lines:
        terminalreporter.write_line("")
        for line in _session_lines:
            terminalreporter.write_line(line)
        terminalreporter.write_line("")
