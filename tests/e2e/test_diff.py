"""`basilisk diff`: real files of py-spy 0.4.3 and of ours, what it says of them, and what it refuses."""

import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import xml.etree.ElementTree

import fcntl
import jsonschema
import pytest

from conftest import BASILISK, FIXTURES, REPO

PROFILES = os.path.join(FIXTURES, "profiles")
SPY = os.path.join(PROFILES, "py-spy-0.4.3")
SCHEMA = json.load(open(os.path.join(REPO, "docs", "diff.schema.json")))


def diff(*arguments, code=0, **options):
    result = subprocess.run([BASILISK, "diff", *map(str, arguments)], capture_output=True, text=True, timeout=60,
                            **options)
    assert result.returncode == code, result.stdout + result.stderr
    assert "Sanitizer" not in result.stderr
    return result


def as_json(*arguments, **options):
    body = json.loads(diff(*arguments, "-f", "json", **options).stdout)
    jsonschema.validate(body, SCHEMA)
    return body, {f["function"]: f for f in body["functions"]}


def counted(path, shares, samples=10000, folder="/srv/app"):
    """A raw profile with these shares, in percent."""
    with open(path, "w") as file:
        for name, share in shares.items():
            file.write("<module> (%s/a.py:1);%s (%s/a.py:9) %d\n" % (folder, name, folder, share * samples / 100))
    return path


@pytest.mark.parametrize("before", [".raw", ".speedscope.json"])
@pytest.mark.parametrize("after", [".raw", ".speedscope.json"])
def test_py_spys_files_are_compared(before, after):
    body, functions = as_json(SPY + before, SPY + "-shifted" + after)
    assert functions["heavy"]["significant"] and -35 < functions["heavy"]["delta"] < -18
    assert functions["light"]["significant"] and 13 < functions["light"]["delta"] < 25
    assert not functions["faint"]["significant"]
    assert functions["heavy"]["path"].endswith("shares.py")
    assert functions["heavy"]["inBefore"] and functions["heavy"]["inAfter"]
    assert body["before"]["samples"] > 500
    assert any("few samples" in warning for warning in body["warnings"])
    if before == ".speedscope.json":
        assert body["before"]["maker"] == "py-spy@0.4.3" and body["before"]["sampleRate"] == 200


def test_py_spys_processes_and_threads_are_no_functions():
    _, functions = as_json(SPY + "-processes.raw", SPY + "-processes.raw")
    assert "spin" in functions and "Worker.run" in functions
    assert not [name for name in functions if name.startswith(("process ", "thread (", " "))]
    assert not any(f["significant"] or f["totalSignificant"] for f in functions.values())


def test_py_spys_flame_graph_is_read(tmp_path):
    body, functions = as_json(SPY + ".svg", SPY + ".svg")
    assert body["before"]["format"] == "flamegraph" and body["before"]["samples"] == 277
    assert not [name for name in functions if name.startswith(("process ", "thread (", " "))]
    share = {name: round(f["totalAfter"] * 277 / 100) for name, f in functions.items()}
    # as the boxes of these names say it: "JSONEncoder.iterencode (json/encoder.py:258) (74 samples, 26.71%)"
    assert share["JSONEncoder.iterencode"] == 74 and share["Thread.run"] == 59 and "(not shown)" not in functions
    assert functions["spin"]["path"] == "crowd.py" and functions["JSONEncoder.encode"]["origin"] == "library"
    text = open(SPY + ".svg").read()
    for cut in [len(text) // 2, len(text) - 8]:
        (tmp_path / "cut.svg").write_text(text[:cut])
        assert "is cut" in diff(tmp_path / "cut.svg", SPY + ".raw", code=1).stderr


def test_a_flame_graph_is_read_as_its_titles_say(tmp_path):
    path = tmp_path / "own.svg"
    subprocess.run([BASILISK, "record", "-r", "200", "-o", path, "--", sys.executable,
                    os.path.join(FIXTURES, "shares.py"), "--seconds", "0.5"], check=True, capture_output=True, timeout=60)
    root = xml.etree.ElementTree.parse(path).getroot()
    space = "{http://www.w3.org/2000/svg}"
    plot = [g for g in root.iter(space + "g") if g.get("data-unit")][0]
    own = {}
    for box in plot:
        label, says = box.find(space + "title").text.split("\n", 1)
        if "; own: " in says:
            name = label.split(" (")[0]
            own[name] = own.get(name, 0) + float(re.search(r"own: .*, ([0-9.]+) s", says).group(1))
    whole = int(plot[0].get("data-w").split()[0]) / 1e9
    _, functions = as_json(path, path)
    for name in ["heavy", "light"]:
        assert abs(functions[name]["selfAfter"] - 100 * own[name] / whole) < 0.1


def test_a_profile_does_not_differ_from_itself_in_any_format(tmp_path, python="/usr/bin/python3"):
    if not shutil.which(python):
        python = sys.executable
    for name in ["speedscope", "cpuprofile", "chrometrace", "raw", "pprof", "flamegraph"]:
        path = tmp_path / ("own." + name)
        subprocess.run([BASILISK, "record", "-r", "500", "-f", name, "-o", path, "--", python,
                        os.path.join(FIXTURES, "shares.py"), "--seconds", "0.5"], check=True, capture_output=True,
                       timeout=60)
        body, functions = as_json(path, path)
        assert body["before"]["format"] == name
        assert body["significantFunctions"] == 0
        assert all(f["delta"] == 0 and f["totalDelta"] == 0 for f in functions.values())
        assert 40 < functions["heavy"]["selfAfter"] < 75
        if name != "raw":
            assert body["before"]["python"] and body["before"]["clock"] == "cpu"
            assert body["before"]["maker"].startswith("basilisk ")


def test_two_points_are_found_and_noise_is_not(tmp_path):
    a = counted(tmp_path / "a", {"big": 60, "middle": 35, "small": 5})
    b = counted(tmp_path / "b", {"big": 60, "middle": 33, "small": 7})
    c = counted(tmp_path / "c", {"big": 60.4, "middle": 34.7, "small": 4.9})
    _, functions = as_json(a, b)
    assert functions["small"]["significant"] and functions["small"]["delta"] == 2
    assert as_json(a, c)[0]["significantFunctions"] == 0
    text = diff(a, b).stdout
    assert re.search(r"5\.00 +7\.00 +\+2\.00\*.* small", text)
    assert "No shift is significant" in diff(a, c).stdout


def test_other_checkouts_are_the_same_functions(tmp_path):
    a = counted(tmp_path / "a", {"f": 50, "g": 50}, folder="/data/app")
    b = counted(tmp_path / "b", {"f": 50, "g": 50}, folder="/ci/build-7/app")
    body, functions = as_json(a, b)
    assert body["significantFunctions"] == 0 and len(body["functions"]) == 3
    assert functions["f"]["path"] == "/ci/build-7/app/a.py"


def test_fail_on_growth_says_which(tmp_path):
    a = counted(tmp_path / "a", {"big": 90, "small": 5, "tiny": 5})
    b = counted(tmp_path / "b", {"big": 87, "small": 8, "tiny": 5})
    result = diff("--fail-on", "3", a, b, code=1)
    assert "small" in result.stderr and "grew by 3.0 points" in result.stderr and "5.0 to 8.0" in result.stderr
    assert "big" not in result.stderr  # it shrank
    assert "small" in result.stdout  # the table is there all the same
    diff("--fail-on", "3.5", a, b)
    diff("--fail-on=3", b, a, code=1)  # now big grows
    diff("--fail-on", "1", a, a)
    few = counted(tmp_path / "few", {"big": 87, "small": 8, "tiny": 5}, 100)
    diff("--fail-on", "1", counted(tmp_path / "fewer", {"big": 90, "small": 5, "tiny": 5}, 100), few)
    body = json.loads(diff("--fail-on", "3", "-f", "json", a, b, code=1).stdout)
    jsonschema.validate(body, SCHEMA)
    assert [body["functions"][i]["function"] for i in body["failed"]] == ["small"]


def test_the_standard_library_is_one_row_until_asked(tmp_path):
    def write(name, own, library, package):
        path = tmp_path / name
        path.write_text("main (/a.py:1);dumps (/usr/lib/python3.11/json/__init__.py:2) %d\n"
                        "main (/a.py:1);get (/v/lib/python3.11/site-packages/requests/api.py:2) %d\n"
                        "main (/a.py:1) %d\n" % (library, package, own))
        return path
    a, b = write("a", 6000, 3000, 1000), write("b", 5000, 3500, 1500)
    text = diff(a, b).stdout
    assert re.search(r"30\.00 +35\.00 +\+5\.00.*\(standard library: 1 function, 1 significant", text)
    assert re.search(r"10\.00 +15\.00 +\+5\.00.*\(packages: 1 function", text)
    assert "dumps" not in text
    text = diff("--all", a, b).stdout
    assert "dumps" in text and "requests/api.py" in text and "(standard" not in text


def test_the_svg_is_readable_without_scripts(tmp_path):
    out = tmp_path / "d.svg"
    assert diff(SPY + ".raw", SPY + "-shifted.raw", "-o", out).stdout == ""
    root = xml.etree.ElementTree.parse(out).getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == space + "svg" and not root.findall(".//" + space + "script")
    fills = {}
    for group in root.iter(space + "g"):
        fills[group.find(space + "title").text.split("\n")[0]] = group.find(space + "rect").get("fill")
        assert float(group.find(space + "rect").get("width")) > 0
    def red(colour):
        return int(colour[1:3], 16) - int(colour[5:7], 16)
    assert red(fills["light"]) > 60 and red(fills["heavy"]) < -60 and abs(red(fills["all"])) < 10
    assert "heavy" in "".join(root.itertext())
    assert os.stat(out).st_mode & 0o777 == 0o600


def test_what_is_not_comparable_is_said(tmp_path):
    a = tmp_path / "a.json"
    b = tmp_path / "b.json"
    def write(path, clock, name, python):
        path.write_text(json.dumps({
            "shared": {"frames": [{"name": "f", "file": "/a.py", "line": 1}]},
            "profiles": [{"type": "sampled", "name": "t", "unit": "seconds", "samples": [[0]] * 9, "weights": [.01] * 9}],
            "basilisk": {"version": "0.1.0", "name": name, "python": python, "clock": clock, "samples": 9,
                         "cpuSeconds": .09, "sampleRate": 100, "commit": "0123456789abcdef"}}))
    write(a, "cpu", "a.py", "3.11.7")
    write(b, "wall", "b.py", "3.13.0")
    text = diff(a, b).stdout
    for said in ["not comparable: A is CPU time, B is wall time", "A is a.py, B is b.py", "A ran on 3.11.7, B on 3.13.0",
                 "few samples, 9 and 9", "commit 0123456789"]:
        assert said in text
    assert "warning: not comparable" in diff(a, b, "-f", "json").stderr
    assert "py-spy" in diff(a, SPY + ".speedscope.json").stdout


def on_terminal(columns, *arguments, **environment):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([BASILISK, "diff", *map(str, arguments)], stdout=slave, stderr=slave,
                               env=dict(os.environ, TERM="xterm", **environment))
    os.close(slave)
    text = b""
    while select.select([master], [], [], 30)[0]:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    os.close(master)
    assert process.wait(timeout=30) == 0
    return text.decode()


def test_the_table_fits_the_terminal_and_has_colour_only_there(tmp_path):
    a = counted(tmp_path / "a", {"a_function_with_a_rather_long_name_" + "x" * 60: 50, "蛇のような関数" * 9: 50})
    b = counted(tmp_path / "b", {"a_function_with_a_rather_long_name_" + "x" * 60: 40, "蛇のような関数" * 9: 60})
    for columns in [80, 120]:
        text = on_terminal(columns, a, b, NO_COLOR="")
        assert "\033[31m" in text and "\033[34m" in text
        rows = [re.sub(r"\033\[[0-9]*m", "", row) for row in text.splitlines() if "…" in row]
        assert len(rows) == 2
        for row in rows:
            wide = sum(2 if "\u1100" <= c < "\uffe7" else 1 for c in row)
            assert wide <= columns
    assert "\033" not in on_terminal(80, a, b, NO_COLOR="1")
    assert "\033" not in diff(a, b).stdout
    assert "…" not in diff(a, b).stdout  # into a pipe, nothing is cut


def test_names_cannot_speak_to_the_terminal(tmp_path):
    evil = tmp_path / "evil"
    evil.write_bytes(b"f\x1b[2J\xff (/a.py:1) 10000\n")
    other = tmp_path / "other"
    other.write_bytes(b"g (/a.py:1) 10000\n")
    text = diff(evil, other).stdout + diff(evil, other, "--fail-on", "1", code=1).stderr
    assert "\033" not in text and "␛" in text
    out = tmp_path / "evil.svg"
    diff(evil, other, "-o", out)
    xml.etree.ElementTree.parse(out)


@pytest.mark.parametrize("content, says", [
    (None, "No such file"),
    (b"", "the file is empty"),
    (b"Dear diary\n", "this is no profile"),
    (b'{"shared":{"frames":[', "line 1, column 22"),
    (b'{"a":1}', "JSON, but no profile"),
    (b"<svg></svg>", "cannot be compared"),
    (b"\x1f\x8b\x08\x00", "gzip"),
    (b"f (a.py:1) 3\nf (a.", "line 2"),
], ids=["missing", "empty", "text", "cut", "json", "svg", "gzip", "raw"])
def test_what_is_no_profile_is_refused_in_a_sentence(tmp_path, content, says):
    path = tmp_path / "bad"
    if content is not None:
        path.write_bytes(content)
    for arguments in [(path, SPY + ".raw"), (SPY + ".raw", path)]:
        result = diff(*arguments, "-o", tmp_path / "out", code=1)
        assert result.stdout == "" and result.stderr.startswith("basilisk: %s: " % path)
        assert says in result.stderr and result.stderr.count("\n") == 1
        assert sorted(os.listdir(tmp_path)) == (["bad"] if content is not None else [])


@pytest.mark.parametrize("arguments, says", [
    ([], "wants two profiles"),
    (["a"], "wants two profiles"),
    (["a", "b", "c"], "wants two profiles"),
    (["a", "b", "-f", "pdf"], "no format 'pdf'"),
    (["a", "b", "--fail-on", "much"], "--fail-on is a number"),
    (["a", "b", "--fail-on", "-1"], "--fail-on is a number"),
    (["a", "b", "--least", "nan"], "--least is a number"),
    (["a", "b", "--nonsense"], "no option '--nonsense'"),
])
def test_wrong_usage(arguments, says):
    assert says in diff(*arguments, code=2).stderr


def test_a_folder_and_a_place_that_cannot_be_written(tmp_path):
    assert "is a folder" in diff(tmp_path, SPY + ".raw", code=1).stderr
    assert "not writable" in diff(SPY + ".raw", SPY + ".raw", "-o", "/proc/nowhere/x", code=1).stderr
    with open("/dev/full", "w") as full:
        result = subprocess.run([BASILISK, "diff", SPY + ".raw", SPY + ".raw"], stdout=full, stderr=subprocess.PIPE,
                                text=True, timeout=60)
    assert result.returncode == 1 and "cannot write" in result.stderr


def test_a_profile_may_come_through_a_pipe(tmp_path):
    with open(SPY + ".raw") as file:
        result = diff("/dev/stdin", SPY + ".raw", stdin=file)
    assert "No shift is significant" in result.stdout
