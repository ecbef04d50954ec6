"""A strict, scripted DAP client: an editor for tests.

It starts an adapter on stdio, or connects to one, and then is what a careful editor would be: it answers
runInTerminal by running the command in a terminal (a pty), and startDebugging and debugpyAttach by opening a
child session. It keeps every message with its bytes and its time, and holds the peer to the protocol: what is
malformed, answered twice or never asked for is in `violations`, and close() raises it.

    with Client.spawn(["basilisk", "dap"]) as editor:
        editor.initialize()
        editor.launch("program.py", breakpoints={"program.py": [7]})
        editor.wait_event("stopped")
        editor.request("continue", {"threadId": 1})
        editor.wait_event("terminated")

Nothing sleeps: all waiting is for a message, with a time-out whose failure says what came instead. All that a
client started, and what those started, carries a mark in its environment and is ended by PID in close().

Python 3.8 and newer, standard library alone.
"""

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid

TIMEOUT_S = 30.0
MARK = "BASILISK_TEST_MARK"


class DapError(AssertionError):
    """The peer broke the protocol, or did not say in time what was waited for."""


class Refused(Exception):
    """A response with success false."""

    def __init__(self, response):
        self.response = response
        self.message = response.get("message", "")
        self.body = response.get("body") or {}
        super().__init__("%s: %s" % (response.get("command"), self.message))


class Message:
    """One message: `raw` is its body's bytes, `header` the header's, `at` the clock's seconds (monotonic)."""

    __slots__ = ("side", "raw", "header", "at", "json")

    def __init__(self, side, header, raw, at):
        self.side = side  # "editor" (sent by us) or "adapter"
        self.header = header
        self.raw = raw
        self.at = at
        # debugpy sends lone surrogates; Python's JSON keeps them.
        self.json = json.loads(raw)

    @property
    def kind(self):
        m = self.json
        return "%s %s" % (m.get("type"), m.get("event") or m.get("command"))

    def __repr__(self):
        text = self.raw.decode("utf-8", "replace")
        return "%s %s" % ("->" if self.side == "editor" else "<-", text if len(text) < 300 else text[:297] + "...")


def encode(message):
    body = json.dumps(message, separators=(",", ":")).encode()
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def marked_pids(mark):
    """The PIDs of all living processes that carry the mark in their environment: what a client started, and
    theirs. A process that has become a zombie is dead."""
    needle = ("%s=%s" % (MARK, mark)).encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/environ" % name, "rb") as file:
                if needle not in file.read().split(b"\0"):
                    continue
            with open("/proc/%s/stat" % name, "rb") as file:
                if file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X"):
                    continue
        except OSError:
            continue
        if int(name) != os.getpid():
            found.append(int(name))
    return found


def describe_pid(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            return "%d: %s" % (pid, file.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()[:1000])
    except OSError:
        return "%d: gone" % pid


def wait_until(condition, timeout=TIMEOUT_S, what="a condition"):
    """For what no message announces (a process's end, a file): looks again every 10 ms."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise DapError("%s did not come true within %.1f s" % (what, timeout))
        time.sleep(0.01)


class Terminal:
    """A command in a pty, and all that it printed."""

    def __init__(self, arguments, cwd, env):
        self.output = b""
        self._lock = threading.Condition()
        self._master, slave = pty.openpty()
        try:
            self.process = subprocess.Popen(
                arguments, cwd=cwd or None, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
            )
        finally:
            os.close(slave)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while True:
            try:
                piece = os.read(self._master, 65536)
            except OSError:  # EIO: no one has the other side any more
                piece = b""
            with self._lock:
                self.output += piece
                if not piece:
                    self.output_ended = True
                self._lock.notify_all()
            if not piece:
                return

    def finished_output(self, timeout=TIMEOUT_S):
        """All that was printed, once every process in the terminal has closed it."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise DapError("the terminal is still open after %.1f s" % timeout)
        return self.output

    def close(self):
        if self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except OSError:
                pass
        self.process.wait()
        self._thread.join(5)
        os.close(self._master)


class Pending:
    def __init__(self, client, seq, command):
        self.client = client
        self.seq = seq
        self.command = command
        self.response = None
        self.message = None

    def wait(self, timeout=TIMEOUT_S):
        """The response's body; raises Refused when success is false."""
        response = self.wait_response(timeout)
        if not response.get("success"):
            raise Refused(response)
        return response.get("body") or {}

    def wait_response(self, timeout=TIMEOUT_S):
        """The whole response, whether it succeeded or not."""
        self.client._wait(lambda: self.response is not None, timeout, "the response to %s" % self.command)
        return self.response


class Client:
    def __init__(self, follow_children=True):
        self.follow_children = follow_children
        self.messages = []
        self.children = []  # child sessions, in the order that they came
        self.terminals = []
        self.violations = []
        self.closed_by_peer = False
        self.stderr = b""
        self.process = None
        self.mark = uuid.uuid4().hex
        self.run_in_terminal = self._run_in_terminal  # may be replaced
        self._socket = None
        self._seq = 0
        self._pending = {}
        self._changed = threading.Condition(threading.RLock())
        self._write_lock = threading.Lock()
        self._threads = []
        self._closed = False
        self._environment = None
        self._child_hook = None

    # ---- Opening ------------------------------------------------------------------------------------

    @classmethod
    def spawn(cls, command, cwd=None, env=None, **options):
        """Starts an adapter and talks with it over its standard input and output."""
        client = cls(**options)
        environment = dict(os.environ if env is None else env)
        environment[MARK] = client.mark
        client._environment = environment
        client.process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            bufsize=0,
        )
        client._start(client.process.stdout.fileno(), client.process.stdin.fileno())
        client._thread(client._read_stderr)
        return client

    @classmethod
    def connect(cls, host, port, mark=None, env=None, timeout=TIMEOUT_S, **options):
        """Connects to a port where an adapter listens already. It is asked once: a probe ends a debugpy."""
        client = cls(**options)
        if mark:
            client.mark = mark
        client._environment = dict(os.environ if env is None else env)
        client._environment[MARK] = client.mark
        client._socket = socket.create_connection((host, int(port)), timeout)
        client._socket.settimeout(None)
        client._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client._start(client._socket.fileno(), client._socket.fileno())
        return client

    def _start(self, read_fd, write_fd):
        self._read_fd, self._write_fd = read_fd, write_fd
        self._thread(self._read)

    def _thread(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    # ---- Reading ------------------------------------------------------------------------------------

    def _read_stderr(self):
        while True:
            piece = os.read(self.process.stderr.fileno(), 65536)
            if not piece:
                return
            with self._changed:
                self.stderr += piece
                self._changed.notify_all()

    def _read(self):
        buffer = b""
        try:
            while True:
                end = buffer.find(b"\r\n\r\n")
                if end >= 0:
                    header = buffer[: end + 4]
                    length = self._length(header)
                    if length is None:
                        return
                    pieces, have = [buffer[end + 4 :]], len(buffer) - end - 4
                    while have < length:
                        piece = os.read(self._read_fd, 1 << 20)
                        if not piece:
                            self._violation("ended within a message of %d bytes, after %d" % (length, have))
                            return
                        pieces.append(piece)
                        have += len(piece)
                    whole = b"".join(pieces)
                    buffer = whole[length:]
                    self._take(header, whole[:length])
                    continue
                if len(buffer) > 4096:
                    self._violation("no header within 4 KiB: %r" % buffer[:200])
                    return
                piece = os.read(self._read_fd, 1 << 20)
                if not piece:
                    if buffer:
                        self._violation("ended within a header: %r" % buffer[:200])
                    return
                buffer += piece
        except OSError:
            pass
        finally:
            with self._changed:
                self.closed_by_peer = True
                self._changed.notify_all()

    def _length(self, header):
        length = None
        for line in header[:-4].split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if name == b"Content-Length" and colon and value.strip().isdigit():
                length = int(value)
            elif name != b"Content-Type":
                self._violation("not a DAP header: %r" % header[:200])
                return None
        if length is None:
            self._violation("no Content-Length: %r" % header[:200])
        return length

    def _violation(self, text):
        with self._changed:
            self.violations.append(text)
            self._changed.notify_all()

    def _take(self, header, raw):
        try:
            message = Message("adapter", header, raw, time.monotonic())
        except ValueError as error:
            self._violation("not JSON (%s): %r" % (error, raw[:200]))
            return
        body = message.json
        with self._changed:
            self.messages.append(message)
            if not isinstance(body, dict) or body.get("type") not in ("request", "response", "event"):
                self.violations.append("neither request, response nor event: %r" % raw[:200])
            elif body["type"] == "response":
                pending = self._pending.pop(body.get("request_seq"), None)
                if pending is None:
                    self.violations.append("an answer to nothing that was asked: %r" % message)
                elif body.get("command") != pending.command:
                    self.violations.append("%s was answered as %s" % (pending.command, body.get("command")))
                else:
                    pending.response = body
                    pending.message = message
                    if not isinstance(body.get("success"), bool):
                        self.violations.append("a response without success: %r" % message)
            self._changed.notify_all()
        if not isinstance(body, dict):
            return
        # A reverse request may take long (a child session's greeting): never on the reader's thread.
        if body.get("type") == "request":
            self._thread(self._answer, body)
        elif body.get("type") == "event" and body.get("event") == "debugpyAttach" and self.follow_children:
            self._thread(self._open_child, body.get("body") or {})

    # ---- Writing ------------------------------------------------------------------------------------

    def send_bytes(self, data):
        """Writes bytes as they are: for partial and malformed input."""
        view = memoryview(data)
        with self._write_lock:
            while view:
                view = view[os.write(self._write_fd, view) :]

    def _send(self, message):
        data = encode(message)
        header, _, raw = data.partition(b"\r\n\r\n")
        with self._changed:
            self.messages.append(Message("editor", header + b"\r\n\r\n", raw, time.monotonic()))
        self.send_bytes(data)

    def send(self, command, arguments=None, seq=None):
        """Sends a request and does not wait for its answer."""
        with self._changed:
            if seq is None:
                self._seq += 1
                seq = self._seq
            else:
                self._seq = max(self._seq, seq)
            pending = self._pending[seq] = Pending(self, seq, command)
        message = {"seq": seq, "type": "request", "command": command}
        if arguments is not None:
            message["arguments"] = arguments
        self._send(message)
        return pending

    def request(self, command, arguments=None, timeout=TIMEOUT_S):
        """Sends a request, waits, and returns its body; raises Refused when success is false."""
        return self.send(command, arguments).wait(timeout)

    def ask(self, command, arguments=None, timeout=TIMEOUT_S):
        """Sends a request, waits, and returns the whole response, also one with success false."""
        return self.send(command, arguments).wait_response(timeout)

    def refusal(self, command, arguments=None, timeout=TIMEOUT_S):
        """The response of a request that must be refused."""
        response = self.ask(command, arguments, timeout)
        if response.get("success"):
            raise DapError("%s succeeded, and should not have: %r" % (command, response))
        return response

    def console(self, text, timeout=TIMEOUT_S):
        """What a person types into the debug console; returns the whole response."""
        return self.ask("evaluate", {"expression": text, "context": "repl"}, timeout)

    # ---- Waiting ------------------------------------------------------------------------------------

    def _wait(self, condition, timeout, what):
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                result = condition()
                if result:
                    return result
                left = deadline - time.monotonic()
                if left <= 0 or self.closed_by_peer:
                    why = "the adapter closed the connection" if self.closed_by_peer else "%.1f s passed" % timeout
                    raise DapError(
                        "%s before %s came.\nThe last messages:\n  %s\nstderr: %s%s"
                        % (why, what, "\n  ".join(map(repr, self.messages[-12:])), self.stderr.decode("utf-8", "replace")[-2000:],
                           "\nviolations: %s" % self.violations if self.violations else "")
                    )
                self._changed.wait(left)

    def here(self):
        """A place in the stream of messages, for `after`."""
        with self._changed:
            return len(self.messages)

    def wait_event(self, name, where=None, timeout=TIMEOUT_S, after=0):
        """The first event of that name (that `where(body)` likes) from `after` on: what has come already counts,
        so that no event is missed. Returns its body."""
        return self.wait_message("event", name, where, timeout, after).json.get("body") or {}

    def wait_message(self, kind, name, where=None, timeout=TIMEOUT_S, after=0):
        key = "event" if kind == "event" else "command"
        state = {"next": after}

        def look():
            while state["next"] < len(self.messages):
                message = self.messages[state["next"]]
                state["next"] += 1
                body = message.json
                if message.side == "adapter" and body.get("type") == kind and body.get(key) == name:
                    if where is None or where(body.get("body" if kind != "request" else "arguments") or {}):
                        return message
            return None

        return self._wait(look, timeout, "the %s %s" % (kind, name))

    def events(self, name, where=None, after=0):
        """The bodies of all events of that name so far."""
        with self._changed:
            found = [m.json.get("body") or {} for m in self.messages[after:]
                     if m.side == "adapter" and m.json.get("type") == "event" and m.json.get("event") == name]
        return [body for body in found if where is None or where(body)]

    def output(self, category=None):
        """What came as `output` events of the category, joined."""
        return "".join(body.get("output", "") for body in self.events("output")
                       if category is None or body.get("category", "console") == category)

    def wait_closed(self, timeout=TIMEOUT_S):
        """Until the peer has hung up."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not self.closed_by_peer:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise DapError("the adapter has not closed the connection within %.1f s; the last messages:\n  %s"
                                   % (timeout, "\n  ".join(map(repr, self.messages[-8:]))))
                self._changed.wait(left)

    # ---- What an adapter asks of an editor ----------------------------------------------------------

    def _answer(self, request):
        command, arguments = request.get("command"), request.get("arguments") or {}
        response = {"type": "response", "request_seq": request.get("seq"), "command": command, "success": True}
        try:
            if command == "runInTerminal":
                response["body"] = self.run_in_terminal(arguments)
            elif command == "startDebugging":
                if self.follow_children:
                    self._thread(self._open_child, arguments.get("configuration") or {})
            else:
                raise ValueError("this editor knows no %s" % command)
        except Exception as error:  # the adapter must hear of it, whatever it was
            response["success"] = False
            response["message"] = str(error)
        with self._changed:
            self._seq += 1
            response["seq"] = self._seq
        try:
            self._send(response)
        except OSError:
            pass

    def _run_in_terminal(self, arguments):
        environment = dict(self._environment)
        for name, value in (arguments.get("env") or {}).items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value
        terminal = Terminal(arguments["args"], arguments.get("cwd"), environment)
        with self._changed:
            self.terminals.append(terminal)
        return {"processId": terminal.process.pid}

    def _open_child(self, configuration):
        try:
            where = configuration["connect"]
            child = Client.connect(where["host"], where["port"], mark=self.mark, env=self._environment)
            child.parent = self
            child.configuration = configuration
            with self._changed:
                self.children.append(child)
                self._changed.notify_all()
            child.initialize(**getattr(self, "initialize_arguments", {}))
            attached = child.send("attach", configuration)
            child.wait_event("initialized")
            if self._child_hook:
                self._child_hook(child)
            child.request("configurationDone")
            attached.wait()
            child.ready = True
        except Exception as error:
            if not self._closed:
                self._violation("the child session failed: %s" % error)
        with self._changed:
            self._changed.notify_all()

    def wait_child(self, count=1, timeout=TIMEOUT_S):
        """The count-th child session, once it is attached."""
        def look():
            return len(self.children) >= count and getattr(self.children[count - 1], "ready", False)
        self._wait(lambda: look() or self.violations, timeout, "child session %d" % count)
        if not look():
            raise DapError("; ".join(self.violations))
        return self.children[count - 1]

    # ---- Sessions -----------------------------------------------------------------------------------

    def initialize(self, **more):
        self.initialize_arguments = more
        arguments = {
            "clientID": "basilisk-tests", "clientName": "Basilisk's tests", "adapterID": "debugpy", "locale": "en",
            "linesStartAt1": True, "columnsStartAt1": True, "pathFormat": "path",
            "supportsVariableType": True, "supportsRunInTerminalRequest": True,
        }
        arguments.update(more)
        self.capabilities = self.request("initialize", arguments)
        return self.capabilities

    def launch(self, program=None, breakpoints=None, timeout=60.0, before_done=None, **configuration):
        """From launch to the answer of configurationDone, as editors do it."""
        arguments = {"type": "python", "request": "launch", "name": "test", "console": "internalConsole"}
        if program is not None:
            arguments["program"] = str(program)
        arguments.update(configuration)
        return self._begin("launch", arguments, breakpoints, timeout, before_done)

    def attach(self, breakpoints=None, timeout=60.0, before_done=None, **configuration):
        arguments = {"type": "python", "request": "attach", "name": "test"}
        arguments.update(configuration)
        return self._begin("attach", arguments, breakpoints, timeout, before_done)

    def _begin(self, command, arguments, breakpoints, timeout, before_done):
        mark = self.here()
        started = self.send(command, arguments)
        if not arguments.get("noDebug"):
            def look():
                return started.response is not None or self.events("initialized", after=mark)
            self._wait(look, timeout, "`initialized`")
            if started.response is not None and not started.response.get("success"):
                raise Refused(started.response)
            for path, lines in (breakpoints or {}).items():
                self.set_breakpoints(path, lines)
            self.request("setExceptionBreakpoints", {"filters": []})
            if before_done:
                before_done(self)
            self.request("configurationDone", timeout=timeout)
        started.wait(timeout)
        return started

    def set_breakpoints(self, path, lines):
        return self.request("setBreakpoints", {
            "source": {"path": str(path)}, "breakpoints": [{"line": line} for line in lines],
        })["breakpoints"]

    def wait_stopped(self, after=0, timeout=TIMEOUT_S):
        return self.wait_event("stopped", after=after, timeout=timeout)

    def resume(self):
        self.request("continue", {"threadId": 1})

    def evaluate_at_stop(self, expression, thread=None, **more):
        thread = thread or self.events("stopped")[-1]["threadId"]
        frame = self.request("stackTrace", {"threadId": thread, "startFrame": 0, "levels": 1})["stackFrames"][0]["id"]
        arguments = {"expression": expression, "frameId": frame, "context": "watch"}
        arguments.update(more)
        return self.request("evaluate", arguments)["result"]

    def disconnect(self, timeout=TIMEOUT_S, **arguments):
        return self.ask("disconnect", arguments, timeout)

    # ---- Ending -------------------------------------------------------------------------------------

    def hang_up(self):
        """Closes our side, as an editor does that is killed."""
        if self._socket:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        elif self.process and self.process.stdin:
            try:
                self.process.stdin.close()
            except OSError:
                pass

    def close(self, strict=True):
        """Hangs up, ends by PID all that this client's adapter left, and raises what was against the protocol."""
        if self._closed:
            return
        self._closed = True
        for child in self.children:
            child.close(strict=False)
            self.violations += ["child session: %s" % text for text in child.violations]
        self.hang_up()
        if self.process:
            try:
                self.process.wait(6)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for terminal in self.terminals:
            terminal.close()
        # A killed process may have started another in the meantime: look again until none is there.
        for _ in range(100):
            left = marked_pids(self.mark) if not hasattr(self, "parent") else []
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            if not left:
                break
            time.sleep(0.01)
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join(2)
        if self._socket:
            self._socket.close()
        if self.process:
            for stream in (self.process.stdout, self.process.stderr):
                stream.close()
        if strict and self.violations:
            raise DapError("against the protocol: " + "; ".join(self.violations))

    def left_processes(self):
        """The PIDs that carry our mark and live."""
        return marked_pids(self.mark)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close(strict=kind is None)
