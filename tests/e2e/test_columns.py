"""Columns: what of a line runs, told as Python's own co_positions() tells it; none where Python has none."""

import gzip
import json
import subprocess

from conftest import BASILISK

# A thread tells where the main thread stands, as Python knows it; then it sleeps as well.
STANDS = """
import json, sys, threading, time
def inner(é):
    return {"蛇": [é, (time.sleep(600), é)], "b":
            2}
def outer():
    a = 1; return [each for each in
                   map(inner, [a]) ]
class Method:
    def call(self): assert outer() and self, "x"
def tell():
    frames = []
    while not frames or frames[0]["name"] != "inner":
        time.sleep(0.01)
        frames, frame = [], sys._current_frames()[threading.main_thread().ident]
        while frame:
            code = frame.f_code
            where = (None,) * 4
            if hasattr(code, "co_positions"):
                where = list(code.co_positions())[frame.f_lasti // 2]
            frames.append({"name": code.co_name, "line": frame.f_lineno, "where": where})
            frame = frame.f_back
    time.sleep(0.2)  # until it sleeps in there
    print(json.dumps(frames), flush=True)
    time.sleep(600)
threading.Thread(target=tell, daemon=True).start()
Method().call()
"""

# Two calls on one line; what is called takes its time.
TWO = """
import sys, time
def left(n):
    return sum([i * i for i in range(n)])
def right(n):
    return sum([i + i for i in range(n)])
def busy(seconds):
    end = time.time() + seconds
    while time.time() < end:
        é = left(20000) + right(20000)
busy(1.0)
"""


def each(pythons):
    found = [(int(version.split(".")[1]), python) for version, (python, _) in pythons.items() if python]
    assert found
    return sorted(found)


def start(background, python, program, *options):
    return background.start([python, *options, str(program)])


def stack_of(pid):
    done = subprocess.run([BASILISK, "dump", "--json", "-p", str(pid)], stdout=subprocess.PIPE, check=True, timeout=60)
    threads = json.loads(done.stdout)
    return [thread for thread in threads if thread["os_thread_id"] == pid][0]["frames"]


def test_a_dump_tells_the_columns_that_python_tells(pythons, background, tmp_path):
    program = tmp_path / "stands.py"
    program.write_text(STANDS, encoding="utf-8")
    for minor, python in each(pythons):
        for options in [[], ["-X", "no_debug_ranges"]] if minor >= 11 else [[]]:
            process = start(background, python, program, *options)
            known = json.loads(process.stdout.readline())
            frames = stack_of(process.pid)
            assert [frame["name"].split(".")[-1] for frame in frames] == [frame["name"] for frame in known]
            with_columns = 0
            for frame, python_says in zip(frames, known):
                line, end_line, column, end_column = python_says["where"]
                assert frame["line"] == python_says["line"], (minor, frame)
                if column is None:
                    assert not {"column", "end_line", "end_column"} & set(frame), (minor, frame)
                else:
                    assert [frame[key] for key in ("line", "end_line", "column", "end_column")] == \
                        [line, end_line, column + 1, end_column], (minor, frame, python_says)
                    with_columns += 1
            assert with_columns == (len(known) if minor >= 11 and not options else 0), (minor, options)
            process.kill()
            process.wait()


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def message(data):
    """The fields of a protobuf message: (number, value or bytes)."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        value, at = varint(data, at)
        if tag & 7 == 2:
            value, at = data[at:at + value], at + value
        yield tag >> 3, value


def packed(data):
    at = 0
    while at < len(data):
        value, at = varint(data, at)
        yield value


def pprof_stacks(path):
    """[(nanoseconds, [(function, line, column), innermost first])]"""
    strings, functions, locations, samples = [], {}, {}, []
    fields = list(message(gzip.open(path).read()))
    for number, value in fields:
        if number == 6:
            strings.append(value.decode())
    for number, value in fields:
        if number == 5:
            function = dict(message(value))
            functions[function[1]] = strings[function[2]]
    for number, value in fields:
        if number == 4:
            location = dict(message(value))
            line = dict(message(location[4]))
            locations[location[1]] = functions[line[1]], line.get(2, 0), line.get(3, 0)
    for number, value in fields:
        if number == 2:
            sample = dict(message(value))
            samples.append((list(packed(sample[2]))[1], [locations[i] for i in packed(sample[1])]))
    return samples


def record(python, program, path, *options):
    subprocess.run([BASILISK, "record", "-r", "500", "-o", str(path), *options, "--", python, str(program)], check=True,
                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    return path


def test_two_calls_of_one_line_are_told_apart(pythons, tmp_path):
    program = tmp_path / "two.py"
    program.write_text(TWO, encoding="utf-8")
    source = TWO.splitlines()
    line = [i for i, text in enumerate(source, 1) if "left(20000)" in text][0]
    at = {name: len(source[line - 1][:source[line - 1].index(name)].encode()) + 1 for name in ("left", "right")}
    for minor, python in each(pythons):
        stacks = pprof_stacks(record(python, program, tmp_path / "two.pb.gz", "-f", "pprof"))
        weight = {"left": {}, "right": {}}
        for ns, frames in stacks:
            for (name, _, _), (caller, caller_line, column) in zip(frames, frames[1:]):
                if name in weight and caller == "busy":
                    assert caller_line == line
                    weight[name][column] = weight[name].get(column, 0) + ns
        for name in weight:
            all_of_it = sum(weight[name].values())
            assert all_of_it > 2e7, (minor, weight)
            wanted = at[name] if minor >= 11 else 0
            assert weight[name].get(wanted, 0) > 0.95 * all_of_it, (minor, name, at, weight)
        if minor < 11:
            assert not any(column for _, frames in stacks for _, _, column in frames)
        path = record(python, program, tmp_path / "two.json", "-f", "speedscope")
        frames = json.loads(path.read_text())["shared"]["frames"]
        lines = [(frame["name"], frame["file"], frame["line"]) for frame in frames if "line" in frame]
        assert len(lines) == len(set(lines)), "two columns of a line are one frame"
        assert any("col" in frame for frame in frames) == (minor >= 11)
        length = {i: len(text.encode()) for i, text in enumerate(source, 1)}
        for frame in frames:
            if frame.get("file") == str(program) and "col" in frame:
                assert 1 <= frame["col"] <= length[frame["line"]], frame
