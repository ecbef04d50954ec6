"""What is wrong in a command line is told with the help that explains it: the command's own, where there is one."""

import subprocess

import pytest

from conftest import BASILISK


def wrong(*words):
    done = subprocess.run([BASILISK, *words], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and done.stdout == "", done
    return done.stderr


@pytest.mark.parametrize("words,command", [
    (["record"], "record"), (["record", "--no-such"], "record"), (["record", "-r", "x", "-p", "1"], "record"),
    (["top", "-z"], "top"), (["dump", "-p", "x"], "dump"), (["dump"], "dump"), (["diff", "a"], "diff"),
    (["diff", "a", "b", "-f", "x"], "diff"), (["memory"], "memory"), (["memory", "diff"], "memory"),
    (["doctor", "x"], "doctor"), (["dap", "--listen"], "dap"), (["dap", "--no-such"], "dap"), (["replay"], "replay"),
    (["completions"], "completions"), (["completions", "tcsh"], "completions")])
def test_wrong_usage_of_a_command_points_to_its_own_help(words, command):
    said = wrong(*words)
    assert said.startswith("basilisk: ") and said.endswith("; see `basilisk %s --help`\n" % command), said
    helped = subprocess.run([BASILISK, command, "--help"], capture_output=True, text=True, timeout=30)
    assert helped.returncode == 0 and "basilisk %s" % command in helped.stdout


@pytest.mark.parametrize("words", [[], ["no-such"], ["--no-such"]])
def test_without_a_command_there_is_only_the_whole_help(words):
    assert wrong(*words).endswith("; see `basilisk --help`\n")


def test_a_wrong_line_in_a_file_of_options_points_to_the_command_too(tmp_path):
    (tmp_path / "options.txt").write_text("rate = x\n")
    said = wrong("record", "--config", str(tmp_path / "options.txt"), "-p", "1")
    assert "options.txt" in said and said.endswith("; see `basilisk record --help`\n")
