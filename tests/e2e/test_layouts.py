"""The tables of engine/python/layouts against what they are made from: CPython's headers and debug information.

What a live interpreter says of them is tests/engine/python/test_calibrate.c.
"""

import glob
import importlib.util
import os
import re
import shutil
import subprocess

import pytest

from conftest import REPO
from test_builds import BUILDS

FOLDER = os.path.join(REPO, "engine", "python", "layouts")
PYENV = os.path.join(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"), "versions")

spec = importlib.util.spec_from_file_location("generate", os.path.join(FOLDER, "generate.py"))
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)


def rows(text):
    """minor -> the lines of its row, without the comment that names the micro version."""
    found = {}
    for row in re.findall(r"\{ /\* \S+ \*/\n(.*?)\n    \},", text, re.S):
        found[int(re.search(r"\.minor = (\d+)", row).group(1))] = row
    return found


with open(os.path.join(FOLDER, "tables.h"), encoding="ascii") as file:
    TABLES = rows(file.read())


def headers_of(minor):
    for pattern in (os.path.join(PYENV, "3.%d.*/include/python3.%d" % (minor, minor)),
                    "/usr/include/python3.%d" % minor,
                    os.path.join(BUILDS, "forky/include/python3.%d" % minor)):
        for folder in sorted(glob.glob(pattern)):
            if os.path.isdir(os.path.join(folder, "internal")):
                return folder
    pytest.skip("no headers of 3.%d here" % minor)


def debug_of(minor):
    patterns = [os.path.join(PYENV, "3.%d.*/lib/libpython3.%d.so.1.0" % (minor, minor)),
                os.path.join(BUILDS, "forky/python3.%dd" % minor), "/usr/bin/python3.%dd" % minor]
    return [path for pattern in patterns for path in sorted(glob.glob(pattern))]


def values(row):
    return {name: int(value) for name, value in re.findall(r"\.(\S+) = (\d+)", row)}


def test_there_is_a_row_for_each_version():
    assert sorted(TABLES) == list(range(8, 16))


@pytest.mark.parametrize("minor", sorted(TABLES))
def test_the_headers_of_this_machine_give_the_same_row(minor):
    done = subprocess.run(["python3", os.path.join(FOLDER, "generate.py"), headers_of(minor)], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    assert rows(done.stdout) == {minor: TABLES[minor]}


def ask_gdb(program, expressions):
    command = ["gdb", "-q", "-batch", "-nx", program]
    for expression in expressions:
        command += ["-ex", "print (int)(%s)" % expression]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "DEBUGINFOD_URLS": ""})
    numbers = re.findall(r"^\$\d+ = (\d+)$", done.stdout, re.M)
    assert len(numbers) == len(expressions), done.stderr
    return [int(number) for number in numbers]


def as_gdb_says_it(what):
    if what.startswith("="):
        return what[1:]
    kind, field = [part.strip() for part in what.split(",")]
    kind = {"_PyRuntimeState": "struct pyruntimestate"}.get(kind, kind)
    return "&((%s *)0)->%s" % (kind, field)


@pytest.mark.skipif(not shutil.which("gdb"), reason="no gdb")
@pytest.mark.parametrize("minor", range(8, 13))
def test_the_debug_information_says_the_same(minor):
    programs = debug_of(minor)
    if not programs:
        pytest.skip("no 3.%d with debug information here" % minor)
    wanted = {field: as_gdb_says_it(what) for field, choices in generate.LEGACY
              for first, last, what in choices if first <= minor <= last}
    for program in programs:
        told = dict(zip(wanted, ask_gdb(program, wanted.values())))
        assert told == {field: values(TABLES[minor])[field] for field in wanted}, program


@pytest.mark.skipif(not shutil.which("gdb"), reason="no gdb")
@pytest.mark.parametrize("minor", range(13, 16))
def test_the_debug_information_has_the_same_debug_offsets(minor):
    programs = debug_of(minor)
    if not programs:
        pytest.skip("no 3.%d with debug information here" % minor)
    wanted = {field: "(unsigned long)&((struct _Py_DebugOffsets *)0)->%s / 8" % member
              for field, member, first in generate.OFFSETS if minor >= first}
    for program in programs:
        told = dict(zip(wanted, ask_gdb(program, wanted.values())))
        assert told == {field: values(TABLES[minor])[field] for field in wanted}, program
