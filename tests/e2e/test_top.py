"""`basilisk top` in a real terminal: what is on the screen, what each key does, and how it is left."""

import os
import re
import signal
import subprocess
import sys

import pytest

import dap
from conftest import BASILISK, PYTHON, fixture_path
from terminal import LEAVE_ALTERNATE, Terminal

PROGRAM = r'''
import json, sys, threading, time

def spin(n):
    x = 0
    for i in range(n):
        x += i
    return x

def größe_berechnen(n):
    return spin(n)

def 処理する(n):
    x = 0
    for i in range(n):
        x += i * i
    return x

def talk(n):
    for i in range(n):
        json.dumps(list(range(20)), indent=1)

def deep(n):
    return deep(n - 1) if n else spin(3000)

def work():
    while True:
        spin(30000); größe_berechnen(10000); 処理する(15000); talk(100)

def sleep_long():
    time.sleep(1000)

what = sys.argv[1]
if what == "deep":
    sys.setrecursionlimit(100000)
    threading.stack_size(512 << 20)
    def work():
        while True:
            deep(3000)
    threading.Thread(target=work, daemon=True, name="digger").start()
elif what == "threads":
    threading.stack_size(128 << 10)
    for i in range(299):
        threading.Thread(target=sleep_long, daemon=True, name="sleeper-%d" % i).start()
elif what == "children":
    import subprocess
    children = [subprocess.Popen([sys.executable, __file__, "work"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
                for i in range(2)]
print("ready", flush=True)
if what == "work":
    threading.Thread(target=lambda: (sys.stdin.read(), __import__("os")._exit(0)), daemon=True).start()
    work()
sys.stdin.read()
'''


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "prögram.py"
    path.write_text(PROGRAM, encoding="utf-8")
    return str(path)


@pytest.fixture
def target(program, tmp_path):
    """Starts the program; it ends when its standard input does."""
    started = []

    def start(what, python=PYTHON):
        process = subprocess.Popen([python, program, what], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=str(tmp_path))
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@pytest.fixture
def top(tmp_path):
    terminals = []

    def start(*options, columns=80, rows=24, **environment):
        terminals.append(Terminal([BASILISK, "top", *options], columns, rows, tmp_path / ("stderr-%d" % len(terminals)),
                                  **environment))
        return terminals[-1]

    yield start
    for one in terminals:
        one.close()


@pytest.fixture
def watched(target, top):
    """top on a program that works, with its first numbers on the screen."""
    def start(columns=80, rows=24, what="work", options=(), **environment):
        process = target(what)
        terminal = top("-p", str(process.pid), "--delay", "0.3", *options, columns=columns, rows=rows, **environment)
        terminal.wait_text("%Own")
        if what == "work":
            terminal.wait_text("spin")
        return terminal, process
    return start


def heading(lines):
    return next((i for i, line in enumerate(lines) if re.search(r"%Own|%CPU\S? ", line)), len(lines) - 1)


def table(lines):
    """The rows below the heading: the numbers and the rest."""
    rows = []
    for line in lines[heading(lines) + 1:-1]:
        match = re.match(r"\s*((?:[\d.hms]+\s+)+)(.*)", line)
        if match:
            rows.append((match.group(1).split(), match.group(2)))
    return rows


def own(lines):
    return [float(numbers[0]) for numbers, _ in table(lines)]


def names(lines):
    return [rest for _, rest in table(lines)]


def is_falling(values):
    return all(a >= b for a, b in zip(values, values[1:]))


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- What is on the screen


def test_shows_where_the_time_goes(watched):
    terminal, process = watched(120, 30)
    wanted = ("spin ", "処", "work ", "[json]")
    lines = terminal.wait(lambda lines: sum(own(lines)) > 1 and is_falling(own(lines)) and
                          all(any(w in name for name in names(lines)) for w in wanted), "time in all functions")
    assert str(process.pid) in lines[0] and "prögram.py" in lines[0]
    assert re.search(r"Python 3\.\d+\.\d+ .*100 Hz .*samples .*errors .*torn", lines[1])
    assert re.search(r"CPU [\d.]+%.* GIL [\d.]+%.* threads? ", lines[2])
    for column in ("%Own", "%Total", "OwnTime", "TotalTime", "%GIL", "%Wait", "%Idle", "Function", "File:line"):
        assert column in lines[heading(lines)]
    shown = "\n".join(lines)
    assert re.search(r"spin +prögram\.py:4", shown)
    assert re.search(r"\[json\] +standard library", shown)
    total = {rest.split()[0]: float(numbers[1]) for numbers, rest in table(lines)}
    assert total["work"] >= total["spin"] - 0.11


@pytest.mark.parametrize("minor", ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15"])
def test_every_python(minor, pythons, target, top):
    python, reason = pythons[minor]
    if not python:
        pytest.skip(reason)
    process = target("work", python=python)
    terminal = top("-p", str(process.pid), "--delay", "0.2", columns=100)
    terminal.wait_text("Python %s." % minor)
    terminal.wait(lambda lines: {"spin", "talk"} <= {name.split()[0] for name in names(lines)}, "its functions")


def test_names_beyond_ascii_keep_their_columns(watched):
    terminal, _ = watched(100, 24)
    lines = terminal.wait(lambda lines: any("処" in line for line in lines), "the Japanese name")
    # pyte leaves the second cell of a wide character empty, so columns of the screen are cells
    place = lines[heading(lines)].index("File:line")
    row = next(y for y, line in enumerate(lines) if "処" in line)
    cells = [terminal.screen.buffer[row][x].data for x in range(100)]
    assert "".join(cells[place:]).startswith("prögram.py:13")


@pytest.mark.parametrize("columns,rows", [(40, 10), (80, 24), (120, 40), (200, 60)])
def test_every_size(columns, rows, watched):
    terminal, process = watched(columns, rows)
    lines = terminal.wait(lambda lines: sum(own(lines)) > 1 and lines[-1].startswith("q quit") and
                          any(name.startswith("spin") for name in names(lines)), "time in functions")
    assert len(lines) == rows and all(len(line) <= columns for line in lines)
    assert str(process.pid) in lines[0]
    title = lines[heading(lines)]
    shown = [c for c in ("%Own", "%Total", "OwnTime", "TotalTime", "%GIL", "%Idle", "%Wait") if c in title]
    assert shown == {40: ["%Own", "%Total"], 80: ["%Own", "%Total", "OwnTime", "TotalTime"]}.get(
        columns, ["%Own", "%Total", "OwnTime", "TotalTime", "%GIL", "%Idle", "%Wait"])


@pytest.mark.parametrize("columns,rows", [(20, 4), (1, 1), (40, 6), (12, 3)])
def test_sizes_too_small_to_be_useful_do_no_harm(columns, rows, target, top):
    process = target("work")
    terminal = top("-p", str(process.pid), "--delay", "0.1", columns=columns, rows=rows)
    terminal.wait(lambda lines: terminal.raw, "anything")
    terminal.press("t", "l", "?", "x", "DOWN", "PGDN", "q")
    assert terminal.wait_end() == 0 and terminal.is_restored()


def test_resizing_while_it_runs(watched):
    terminal, _ = watched(80, 24)
    for columns, rows in [(200, 60), (40, 10), (120, 40), (80, 24)]:
        terminal.resize(columns, rows)
        lines = terminal.wait(lambda lines: len(lines) == rows and lines[-1].startswith("q quit") and
                              "Function" in lines[heading(lines)], "the picture in %dx%d" % (columns, rows))
        assert ("%Idle" in lines[heading(lines)]) == (columns >= 120)


def test_colours_by_heat_and_none_where_they_are_not_wanted(watched):
    terminal, _ = watched()
    terminal.press("%")
    terminal.wait(lambda lines: max(own(lines) or [0]) > 10, "a critical function")
    terminal.wait(lambda lines: b"\x1b[38;5;202m" in terminal.raw, "its colour")
    plain, _ = watched(NO_COLOR="1")
    plain.wait(lambda lines: sum(own(lines)) > 1, "time in functions")
    assert not re.search(rb"\x1b\[[\d;]*[34][0-8][;m]", plain.raw)


def test_a_terminal_without_colours_and_a_locale_without_unicode(watched):
    terminal, _ = watched(TERM="vt100", LC_ALL="C")
    lines = terminal.wait(lambda lines: sum(own(lines)) > 1 and any("gr??e_b" in line for line in lines) and
                          "%Ownv" in lines[heading(lines)], "time in functions")
    assert all(line.isascii() for line in lines)
    terminal.press("q")
    assert terminal.wait_end() == 0


# ---- What the keys do


def test_number_keys_order_by_their_column(watched):
    terminal, _ = watched(140, 40)
    columns = ["%Own", "%Total", "OwnTime", "TotalTime", "%GIL", "%Wait", "%Idle", "%Call"]
    for key, name in enumerate(columns, 1):
        terminal.press(str(key))
        terminal.wait(lambda lines: name + "▼" in lines[heading(lines)] and table(lines) and
                      is_falling([float(numbers[key - 1].rstrip("s")) for numbers, _ in table(lines)]), name + "▼")
    terminal.press("9")
    terminal.wait(lambda lines: "Function▲" in lines[heading(lines)] and
                  is_falling([[-ord(c) for c in name] + [1] for name in names(lines)]), "an order by name")
    terminal.press("0")
    terminal.wait_text("File:line▲")


def test_the_order_moves_and_turns(watched):
    terminal, _ = watched(140, 40)
    terminal.press(">")
    terminal.wait_text("%Total▼")
    terminal.press("RIGHT")
    terminal.wait_text("OwnTime▼")
    terminal.press("r")
    terminal.wait(lambda lines: "OwnTime▲" in lines[heading(lines)] and table(lines) and
                  is_falling([-float(numbers[2].rstrip("s")) for numbers, _ in table(lines)]), "the smallest first")
    terminal.press("<", "LEFT", "LEFT")
    terminal.wait_text("File:line▲")


def test_lines_and_the_library_unfolded(watched):
    terminal, _ = watched(140, 40)
    terminal.wait_text("[json]")
    terminal.press("a")
    terminal.wait(lambda lines: "json/encoder.py" in "".join(lines) and "[json]" not in "".join(lines) and
                  "library shown" in "".join(lines), "the library's functions")
    terminal.press("l")
    terminal.wait(lambda lines: any(re.match("Lines", line) for line in lines), "the lines")
    terminal.wait(lambda lines: {"6", "7"} & {name.rpartition(":")[2] for name in names(lines) if name.startswith("spin")},
                  "lines 6 and 7 of spin")
    terminal.press("l", "a")
    terminal.wait_text("Functions")
    terminal.wait_text("[json]")


def test_threads_and_the_functions_of_one(target, top):
    process = target("deep")
    terminal = top("-p", str(process.pid), "--delay", "0.3", columns=120, rows=30)
    terminal.wait_text("deep")
    terminal.press("t")
    lines = terminal.wait(lambda lines: any("%CPU▼" in line for line in lines) and len(table(lines)) >= 2 and
                          own(lines)[0] > 1, "a busy thread")
    assert "CPUTime" in lines[heading(lines)] and "Thread" in lines[heading(lines)]
    assert "%d/" % process.pid in names(lines)[0] and is_falling(own(lines))
    terminal.press("ENTER")
    terminal.wait(lambda lines: "of thread" in "".join(lines) and any(name.startswith("deep") for name in names(lines)),
                  "the functions of one thread")
    terminal.press("ESC")
    terminal.wait_no_text("of thread")


def test_filter(watched):
    terminal, _ = watched(100, 24)
    terminal.press("/", "ö")
    lines = terminal.wait_text("/ö")
    terminal.press("BACKSPACE", "s", "p", "i", "x", "BACKSPACE", "ENTER")
    terminal.wait(lambda lines: 'with "spi"' in "".join(lines) and names(lines) and
                  all(name.startswith("spin") for name in names(lines)), "spin alone")
    terminal.press("/", "q", "q")
    lines = terminal.wait_text("nothing has this in its name")
    terminal.press("ESC")
    terminal.wait(lambda lines: len(table(lines)) > 2, "all rows again")


def test_pause_holds_the_picture(watched):
    terminal, process = watched()
    terminal.press("p")
    held = terminal.wait_text("PAUSED")
    until = cpu_seconds(process.pid) + 1.0
    while cpu_seconds(process.pid) < until:
        terminal.feed(0.05)
    assert terminal.lines() == held
    terminal.press("p")
    terminal.wait_no_text("PAUSED")
    terminal.wait(lambda lines: lines[0] != held[0], "a later picture")


def test_zero_counts_from_now_on(watched):
    terminal, process = watched(100)
    def spin_time(lines):
        return max([float(numbers[2].rstrip("s")) for numbers, rest in table(lines) if rest.startswith("spin")] or [0])
    terminal.wait(lambda lines: spin_time(lines) > 0.6, "some time in spin()")
    terminal.press("z")
    terminal.wait(lambda lines: "OwnTime" in lines[heading(lines)] and spin_time(lines) < 0.5, "a new count")


def test_weights_by_gil_and_idle_and_of_cpu(watched):
    terminal, _ = watched(120)
    for key, text in (("g", "only with the GIL"), ("i", "idle included")):
        terminal.press(key)
        terminal.wait_text(text)
        terminal.press(key)
        terminal.wait_no_text(text)
    terminal.press("%")
    terminal.wait_text("% of CPU time")
    terminal.wait(lambda lines: 90 < sum(own(lines)) < 110, "shares of the CPU time")


def test_gil_wait_and_sleep_are_told(target, top):
    process = target("threads")
    terminal = top("-p", str(process.pid), "--delay", "0.5", columns=120, rows=30)
    terminal.wait_text("%Own")
    terminal.press("7")
    # 299 threads sleep in it: 29,900 percent of the time that passes
    terminal.wait(lambda lines: any(rest.startswith("sleep_long") and 25000 < float(numbers[6]) < 35000
                                    for numbers, rest in table(lines)), "sleepers")
    terminal.press("i", "1")
    terminal.wait(lambda lines: any(rest.startswith("sleep_long") and 25000 < float(numbers[0]) < 35000
                                    for numbers, rest in table(lines)), "sleepers, by all their time")


def test_a_thread_in_a_system_call_is_told(background, top):
    process = background.start([PYTHON, fixture_path("calls.py")], stdin=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    terminal = top("-p", str(process.pid), "--delay", "0.3", columns=140, rows=30)
    terminal.press("t", "8")  # by the time in system calls
    lines = terminal.wait(lambda lines: len(table(lines)) == 8 and
                          sorted(rest.split()[0] for numbers, rest in table(lines) if float(numbers[5]) > 50) ==
                          ["MainThread", "reads", "receives"], "three threads in system calls")
    told = {rest.split()[0]: rest for _, rest in table(lines)}
    assert "in recvfrom " in told["receives"] and "in read " in told["reads"] and " in " not in told["waits"]


def test_the_gil_is_measured(watched):
    terminal, _ = watched(120, 30)
    def gauge(lines, name):
        return float((re.search(name + r" ([\d.]+)%", lines[2]) or [0, 0])[1])
    terminal.wait(lambda lines: sum(own(lines)) > 1 and gauge(lines, "GIL") > 0.5 * gauge(lines, "CPU") > 1,
                  "a single thread holds the GIL while it runs")


@pytest.mark.parametrize("key", ["?", "h", "F1"])
def test_help_and_back(key, watched):
    terminal, _ = watched()
    terminal.press(key)
    words = ("any key goes back", "threads", "lines", "order", "quit", "library")
    terminal.wait(lambda lines: all(any(word in line for line in lines) for word in words), "each of %s" % (words,))
    terminal.press("q")  # does nothing else
    terminal.wait_no_text("any key goes back")
    terminal.wait(lambda lines: "%Own" in lines[heading(lines)], "the table")


def has(text):
    return lambda lines: any(text in line for line in lines)


def has_no(text):
    return lambda lines: not any(text in line for line in lines)


@pytest.mark.parametrize("key, on, off", [
    ("R", has("%Own▲"), has("%Own▼")), ("r", has("%Own▲"), has("%Own▼")),
    ("A", has("library shown"), has("library folded")), ("a", has("library shown"), has("library folded")),
    ("L", has("Lines  library"), has("Functions  library")), ("l", has("Lines  library"), has("Functions  library")),
    ("T", has("%CPU▼"), has("%Own▼")), ("t", has("%CPU▼"), has("%Own▼")),
    ("G", has("only with the GIL"), has_no("only with the GIL")), ("g", has("only with the GIL"), has_no("only with the GIL")),
    ("I", has("idle included"), has_no("idle included")), ("i", has("idle included"), has_no("idle included")),
    ("%", has("% of CPU time"), has_no("% of CPU time")),
    ("P", has("PAUSED"), has_no("PAUSED")), ("p", has("PAUSED"), has_no("PAUSED")), ("SPACE", has("PAUSED"), has_no("PAUSED")),
])
def test_keys_that_switch_something_on_and_off(key, on, off, watched):
    terminal, _ = watched(140, 30)
    assert off(terminal.lines())
    for condition in on, off, on, off:
        terminal.press(key)
        terminal.wait(condition, "what %s does" % key)


def held(watched, key="p", *size, **environment):
    """A picture that stays as it is, with time in it."""
    terminal, _ = watched(*(size or (140, 30)), **environment)
    terminal.wait(lambda lines: sum(own(lines)) > 1 and len(table(lines)) > 3, "time in functions")
    terminal.press(key)
    terminal.wait_text("PAUSED")
    return terminal


@pytest.mark.parametrize("key", ["z", "Z"])
def test_zero_of_a_held_picture_is_zero(key, watched):
    terminal = held(watched)
    assert any(numbers[2] != "0.00s" for numbers, _ in table(terminal.lines()))
    terminal.press(key)
    terminal.wait(lambda lines: table(lines) and all(numbers[2:3] == ["0.00s"] for numbers, _ in table(lines)), "a new count")


def test_ctrl_l_draws_what_something_else_has_overwritten(watched):
    terminal = held(watched)
    before = terminal.lines()
    terminal.stream.feed(b"\x1b7\x1b[8;1HMessage from root@host\x1b8")  # as wall(1) writes
    terminal.press("CTRL-L")
    assert any("root@host" in line for line in terminal.lines())
    assert terminal.wait_no_text("root@host") and terminal.wait(lambda lines: lines == before, "the picture as it was")


def marked(terminal):
    """Which row of the table is the marked one, from 0; None: none is."""
    first = heading(terminal.lines()) + 1
    rows = [y for y in range(first, terminal.screen.lines - 1) if terminal.screen.buffer[y][0].reverse]
    assert len(rows) <= 1
    return rows[0] - first if rows else None


def test_each_key_that_moves_the_mark(watched):
    terminal = held(watched)
    last = len(table(terminal.lines())) - 1
    assert marked(terminal) is None and last >= 3
    for key, row in [("DOWN", 0), ("DOWN", 1), ("j", 2), ("k", 1), ("UP", 0), ("UP", 0), ("END", last), ("j", last), ("HOME", 0),
                     ("PGDN", last), ("PGUP", 0), ("ESC", None), ("k", 0), ("BACKSPACE", None), ("PGDN", last)]:
        terminal.press(key)
        terminal.wait(lambda lines: marked(terminal) == row, "row %s after %s" % (row, key))


@pytest.mark.parametrize("enter", ["ENTER", "KEYPAD-ENTER", "CTRL-J"])
@pytest.mark.parametrize("leave, terminal_type", [("ESC", "xterm-256color"), ("BACKSPACE", "xterm-256color"),
                                                  ("BACKSPACE", "vt100")])  # where that key is Delete
def test_keys_that_go_in_and_out(enter, leave, terminal_type, watched):
    terminal = held(watched, TERM=terminal_type)
    terminal.press("t")
    terminal.wait(lambda lines: "%CPU▼" in lines[heading(lines)] and marked(terminal) == 0, "the threads, the first one marked")
    terminal.press(enter)
    terminal.wait(lambda lines: "of thread MainThread" in "".join(lines) and marked(terminal) is None, "the functions of one")
    terminal.press("/", "s", "p", "i", "x")
    terminal.wait_text("/spix█")
    terminal.press("BACKSPACE")
    terminal.wait_text("/spi█")
    terminal.press("CTRL-H")
    terminal.wait_text("/sp█")
    terminal.press(enter)
    terminal.wait(lambda lines: 'with "sp"' in "".join(lines) and lines[-1].startswith("q quit"), "the rows with sp")
    terminal.press(leave)
    terminal.wait(lambda lines: 'with "' not in "".join(lines) and "of thread MainThread" in "".join(lines), "all rows of it")
    terminal.press(leave)
    terminal.wait_no_text("of thread")
    terminal.press("/", "y")
    terminal.wait_text("/y█")
    terminal.press("BACKSPACE")
    terminal.wait_text("/█")
    terminal.press("BACKSPACE")  # of nothing: it is over
    terminal.wait(lambda lines: lines[-1].startswith("q quit"), "the keys below")
    terminal.press("/", "y", "ESC")
    terminal.wait(lambda lines: lines[-1].startswith("q quit") and len(table(lines)) > 3 and 'with "' not in "".join(lines),
                  "all rows")


def test_scrolling_through_300_threads(target, top):
    process = target("threads")
    terminal = top("-p", str(process.pid), "--delay", "0.3", columns=100, rows=30)
    terminal.press("t")
    terminal.wait(lambda lines: "300 threads" in "".join(lines) and "of 300" in lines[-1], "300 threads")
    terminal.press("6")  # any order: by wait
    first = int(re.search(r"(\d+)-(\d+) of 300", terminal.wait_text(" of 300")[-1]).group(2))
    terminal.press("PGDN")
    terminal.wait(lambda lines: "%d-%d of 300" % (first + 1, 2 * first) in lines[-1], "the second page")
    terminal.press("END")
    terminal.wait(lambda lines: "-300 of 300" in lines[-1], "the end")
    terminal.press("UP", "k", "j", "DOWN", "PGUP")
    terminal.wait(lambda lines: "-300 of 300" not in lines[-1], "a page up")
    terminal.press("HOME")
    terminal.wait(lambda lines: "1-%d of 300" % first in lines[-1], "the beginning")


def test_deep_stacks_count_recursion_once(target, top):
    process = target("deep")
    terminal = top("-p", str(process.pid), "--delay", "0.5", columns=120, rows=30)
    lines = terminal.wait(lambda lines: any(rest.startswith("deep") and float(numbers[1]) > 1
                                            for numbers, rest in table(lines)), "time in deep()")
    totals = {rest.split()[0]: float(numbers[1]) for numbers, rest in table(lines)}
    assert totals["deep"] <= totals["work"] + 0.11
    assert totals["deep"] < 150


def test_children_with_s(target, top):
    process = target("children")
    terminal = top("-sp%d" % process.pid, "--delay", "0.3", columns=120, rows=30)
    terminal.wait_text("3 processes")
    terminal.wait(lambda lines: any(name.startswith("spin") for name in names(lines)), "the children's functions")


# ---- How it ends


@pytest.mark.parametrize("key", ["q", "Q"])
def test_q_restores_the_terminal(key, watched):
    terminal, process = watched()
    terminal.press(key)
    assert terminal.wait_end() == 0
    assert terminal.is_restored() and terminal.stderr() == ""
    assert process.poll() is None


@pytest.mark.parametrize("how", ["CTRL-C", signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSEGV, signal.SIGABRT],
                         ids=str)
def test_every_end_restores_the_terminal(how, watched):
    terminal, process = watched()
    if how == "CTRL-C":
        terminal.press(how)
    else:
        terminal.process.send_signal(how)
    code = terminal.wait_end()
    crash = how in (signal.SIGSEGV, signal.SIGABRT)
    if not (crash and LEAVE_ALTERNATE not in terminal.raw and "Sanitizer" in terminal.stderr()):
        assert terminal.is_restored()
        assert code == (0 if how in ("CTRL-C", signal.SIGINT) else -how if crash else 128 + how)
    assert process.poll() is None


def test_ctrl_z_and_back(target, tmp_path):
    """Below a shell, as job control wants it."""
    process = target("work")
    terminal = Terminal(["bash", "--norc", "-i"], 80, 24, tmp_path / "stderr")
    try:
        terminal.press("%s top -p %d --delay 0.2\r" % (BASILISK, process.pid))
        terminal.wait_text("%Own")
        terminal.press("\x1a")
        terminal.feed_until(LEAVE_ALTERNATE)
        terminal.press("stty -a; echo SE''EN\r")
        terminal.wait_text("SEEN")
        assert re.search(r" icanon", terminal.text()) and re.search(r" echo ", terminal.text())
        terminal.press("fg\r")
        terminal.wait(lambda lines: sum(own(lines)) > 1, "the picture again")
        terminal.press("q")
        terminal.press("exit\r")
        terminal.wait_end()
    finally:
        terminal.close()


def test_the_end_of_the_program_is_told(watched):
    terminal, process = watched()
    process.stdin.close()
    assert terminal.wait_end() == 0
    assert terminal.is_restored()
    assert re.fullmatch(r"basilisk: the program ended: samples: \d+  errors: \d+  torn: \d+  CPU: [\d.]+ s in [\d.]+ s\n",
                        terminal.stderr())


# ---- A program of ours


def output_of(terminal):
    path = re.search(r"the program's output is in (.*)\n", terminal.stderr()).group(1)
    with open(path) as file:
        return path, file.read()


def test_a_program_that_runs_on_is_ended_and_gets_no_keys(top, tmp_path):
    script = tmp_path / "on.py"
    script.write_text("import os, sys\nprint(os.getpid(), flush=True)\nassert sys.stdin.read() == ''\n"
                      "def turn():\n    while True: sum(range(1000))\nturn()\n")
    terminal = top("--delay", "0.2", PYTHON, str(script), columns=160, TMPDIR=str(tmp_path))
    terminal.wait_text("turn")
    assert any("output: " + str(tmp_path)[:20] in line for line in terminal.lines())
    terminal.press("q")
    assert terminal.wait_end() == 0 and terminal.is_restored()
    path, text = output_of(terminal)
    pid = int(text)
    assert path.startswith(str(tmp_path))
    assert not os.path.exists("/proc/%d" % pid)


def test_sigterm_ends_the_program_of_ours_too(top, tmp_path):
    script = tmp_path / "on.py"
    script.write_text("import os\nprint(os.getpid(), flush=True)\ndef turn():\n    while True: sum(range(1000))\nturn()\n")
    terminal = top("--delay", "0.2", "--", "sh", "-c", "%s %s; true" % (PYTHON, script), TMPDIR=str(tmp_path))
    terminal.wait_text("turn")
    pid = int(open(next(str(p) for p in tmp_path.iterdir() if p.name.startswith("basilisk-top"))).read())
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.wait_end() == 143 and terminal.is_restored()
    dap.wait_until(lambda: not os.path.exists("/proc/%d" % pid) or b"\0" not in
                   open("/proc/%d/cmdline" % pid, "rb").read(), what="the end of the Python below sh")


def test_the_exit_code_of_the_program(top, tmp_path):
    terminal = top("--delay", "0.1", "--", PYTHON, "-c",
                   "import sys, time\nt = time.process_time()\nwhile time.process_time() < t + 1: pass\nsys.exit(7)",
                   TMPDIR=str(tmp_path))
    assert terminal.wait_end() == 7
    assert "the program ended" in terminal.stderr()


def test_a_program_that_cannot_be_started(top, tmp_path):
    terminal = top("--", "/no/such/program", TMPDIR=str(tmp_path))
    assert terminal.wait_end() == 1
    assert "cannot start /no/such/program: No such file" in terminal.stderr()
    terminal = top("--", "false", TMPDIR=str(tmp_path))
    assert terminal.wait_end() == 1
    assert "false ended with exit code 1 before a Python could be read" in terminal.stderr()


# ---- What is refused


def run(*arguments):
    done = subprocess.run([BASILISK, "top", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=30)
    return done.returncode, done.stderr.decode(), done.stdout.decode()


def test_without_a_terminal():
    code, error, output = run("-p", str(os.getpid()))
    assert code == 2 and output == "" and "top needs a terminal" in error
    assert "record" in error and "dump" in error


@pytest.mark.parametrize("arguments,word", [
    ((), "wants --pid PID"), (("-p", "x"), '"x"'), (("-p", "0"), '"0"'), (("-p", "1", "--", "true"), "not both"),
    (("-p", "1", "-r", "0"), "--rate"), (("-p", "1", "--delay", "-1"), "--delay"), (("-p", "1", "--delay", "nan"), "--delay"),
    (("-x",), "'-x'")])
def test_wrong_usage(arguments, word):
    code, error, _ = run(*arguments)
    assert code == 2 and word in error


def test_native_says_what_is_missing():
    code, error, _ = run("-n", "-p", "1")
    assert code == 1 and "native stacks are not in this build" in error


def test_what_is_no_python(top):
    terminal = top("-p", "0x7ffffffe")
    assert terminal.wait_end() == 1 and "Process not found" in terminal.stderr()
    shell = subprocess.Popen(["sleep", "1000"])
    try:
        terminal = top("-p", hex(shell.pid))
        assert terminal.wait_end() == 1 and "Not a Python process" in terminal.stderr()
        assert terminal.raw == b""
    finally:
        shell.kill()
        shell.wait()


def test_an_unknown_terminal(target, top):
    process = target("work")
    terminal = top("-p", str(process.pid), TERM="no-such-terminal")
    assert terminal.wait_end() == 1 and "no-such-terminal" in terminal.stderr() and "set TERM" in terminal.stderr()


def test_py_spys_options(target, top):
    """As `py-spy top --help` of 0.4.3 has them."""
    process = target("work")
    terminal = top("--pid=%d" % process.pid, "-r", "200", "-s", "-g", "-i", "--full-filenames", "--nonblocking",
                   "--delay", "0.5", columns=200, rows=30)
    terminal.wait(lambda lines: "200 Hz" in lines[1] and "idle included" in "".join(lines) and
                  any(re.search(r"/prögram\.py:\d+", line) for line in lines), "whole paths, sleep, 200 Hz")
