"""A terminal for tests: a pty whose other end is drawn by pyte, so that a test reads the screen as a person does."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pyte

ENTER_ALTERNATE = b"\x1b[?1049h"
LEAVE_ALTERNATE = b"\x1b[?1049l"
KEYS = {"UP": "\x1bOA", "DOWN": "\x1bOB", "RIGHT": "\x1bOC", "LEFT": "\x1bOD", "PGUP": "\x1b[5~", "PGDN": "\x1b[6~",
        "HOME": "\x1bOH", "END": "\x1bOF", "ENTER": "\r", "KEYPAD-ENTER": "\x1bOM", "ESC": "\x1b", "BACKSPACE": "\x7f",
        "F1": "\x1bOP", "CTRL-C": "\x03", "CTRL-H": "\x08", "CTRL-J": "\n", "CTRL-L": "\x0c", "SPACE": " "}


class Screen(pyte.Screen):
    """With what curses uses of an xterm and pyte does not know: scrolling by lines, repeating a character."""

    last = " "

    def draw(self, data):
        super().draw(data)
        self.last = data[-1:] or self.last

    def repeat(self, count=1):
        self.draw(self.last * (count or 1))

    def _scroll(self, change, count):
        top = (self.margins or pyte.screens.Margins(0, self.lines - 1)).top
        x, y = self.cursor.x, self.cursor.y
        self.cursor.y = top
        change(count or 1)
        self.cursor.x, self.cursor.y = x, y

    def scroll_up(self, count=1):
        self._scroll(self.delete_lines, count)

    def scroll_down(self, count=1):
        self._scroll(self.insert_lines, count)


class Stream(pyte.ByteStream):
    csi = dict(pyte.ByteStream.csi, S="scroll_up", T="scroll_down", b="repeat")
    events = pyte.ByteStream.events | {"scroll_up", "scroll_down", "repeat"}


class Terminal:
    """Runs a command in a terminal of its own, of which it is the session's leader; stderr goes to a file."""

    def __init__(self, command, columns=80, rows=24, stderr=None, **environment):
        self.master, self.slave = pty.openpty()
        self.screen = Screen(columns, rows)
        self.stream = Stream(self.screen)
        self.raw = b""
        self.set_size(columns, rows)
        self.before = termios.tcgetattr(self.slave)
        env = dict(os.environ, TERM="xterm-256color", LC_ALL="C.UTF-8")
        for name in ("NO_COLOR", "COLUMNS", "LINES", "TMPDIR"):
            env.pop(name, None)
        env.update(environment)
        self.stderr_path = str(stderr)
        with open(self.stderr_path, "wb") as error:
            self.process = subprocess.Popen(command, stdin=self.slave, stdout=self.slave, stderr=error, env=env,
                                            start_new_session=True, preexec_fn=self._take_terminal)

    def _take_terminal(self):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def set_size(self, columns, rows):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns, rows):
        self.screen.resize(rows, columns)
        self.screen.reset()
        self.set_size(columns, rows)  # the kernel sends SIGWINCH

    def feed(self, timeout):
        """Takes what was written; False: nothing came in that time."""
        if not select.select([self.master], [], [], timeout)[0]:
            return False
        data = os.read(self.master, 65536)
        self.raw += data
        self.stream.feed(data)
        return True

    def lines(self):
        return [line.rstrip() for line in self.screen.display]

    def text(self):
        return "\n".join(self.lines())

    def wait(self, condition, what, timeout=30):
        """Until the condition holds of the lines on the screen; returns them."""
        end = time.monotonic() + timeout
        while True:
            lines = self.lines()
            if condition(lines):
                return lines
            assert time.monotonic() < end, "%s did not come:\n%s\nstderr: %s" % (what, self.text(), self.stderr())
            assert self.process.poll() is None or select.select([self.master], [], [], 0)[0], \
                "%s did not come, it ended with %s:\n%s\n%s" % (what, self.process.returncode, self.text(), self.stderr())
            self.feed(0.2)

    def wait_text(self, text, timeout=30):
        return self.wait(lambda lines: any(text in line for line in lines), repr(text), timeout)

    def feed_until(self, data, timeout=30):
        """Until these bytes have come."""
        end = time.monotonic() + timeout
        while data not in self.raw:
            assert time.monotonic() < end, "%r did not come:\n%s" % (data, self.text())
            self.feed(0.2)

    def wait_no_text(self, text):
        return self.wait(lambda lines: not any(text in line for line in lines), "a screen without %r" % text)

    def press(self, *keys):
        for key in keys:
            os.write(self.master, KEYS.get(key, key).encode())

    def stderr(self):
        with open(self.stderr_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_end(self, timeout=30):
        """Reads on until it has ended, as a terminal does; returns its exit code."""
        end = time.monotonic() + timeout
        while self.process.poll() is None:
            assert time.monotonic() < end, "it does not end:\n%s" % self.text()
            self.feed(0.1)
        while self.feed(0):
            pass
        return self.process.returncode

    def is_restored(self):
        """The terminal as it was: its settings, the cursor, the normal screen."""
        assert self.raw.rfind(LEAVE_ALTERNATE) > self.raw.rfind(ENTER_ALTERNATE) >= 0, self.raw[-200:]
        assert self.raw.rfind(b"\x1b[?25h") > self.raw.rfind(b"\x1b[?25l")
        assert termios.tcgetattr(self.slave) == self.before
        return True

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)
