"""`basilisk completions`: each shell loads the script and completes by it, in the real shell."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time

import pytest

from conftest import BASILISK


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, **options)
    return done.stdout.decode()


@pytest.fixture
def home(tmp_path):
    """A home without anybody's settings, and basilisk on PATH by its name."""
    (tmp_path / "bin").mkdir()
    os.symlink(BASILISK, str(tmp_path / "bin" / "basilisk"))
    return dict(os.environ, HOME=str(tmp_path), ZDOTDIR=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path),
                PATH="%s:%s" % (tmp_path / "bin", os.environ["PATH"]), LC_ALL="C.UTF-8")


def bash(line, home):
    """What bash would offer for the line, whose last word is being typed."""
    words = line.split(" ")
    # Bash parts words at '=' as well.
    parts = []
    for word in words:
        head, equals, tail = word.partition("=")
        parts += [head, "=", tail] if equals and tail else [head, "="] if equals else [word]
    quoted = " ".join("'%s'" % part for part in parts)
    script = """
        source <(basilisk completions bash) || exit 9
        COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE='%s'; COMP_POINT=${#COMP_LINE}
        compopt() { :; }  # it works only while readline completes
        _basilisk basilisk '' ''
        printf '%%s\\n' "${COMPREPLY[@]}"
    """ % (quoted, line)
    return run(["bash", "--norc", "-c", script], env=home, cwd=home["HOME"]).split()


def fish(line, home):
    if not shutil.which("fish"):
        pytest.skip("there is no fish; tests/support/setup --check installs it")
    text = run(["fish", "--no-config", "-c", "basilisk completions fish | source; complete -C '%s'" % line], env=home,
               cwd=home["HOME"])
    return [offered.split("\t")[0] for offered in text.splitlines()]


def zsh(line, home):
    """In a pty: zsh completes nowhere else."""
    if not shutil.which("zsh"):
        pytest.skip("there is no zsh; tests/support/setup --check installs it")
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(home["HOME"])
        os.execvpe("zsh", ["zsh", "-f", "-i"], dict(home, TERM="dumb", COLUMNS="400"))
    seen = b""

    def until(text):
        nonlocal seen
        end = time.monotonic() + 20
        while text not in seen:
            ready, _, _ = select.select([fd], [], [], max(0, end - time.monotonic()))
            assert ready, "zsh did not say %r: %r" % (text, seen)
            seen += os.read(fd, 65536)
        before, _, seen = seen.partition(text)
        return before.decode()

    try:
        os.write(fd, b"bindkey -e; PS1='> '; LISTMAX=9999; setopt no_beep no_always_last_prompt no_list_ambiguous; "
                     b"autoload -Uz compinit; compinit -u -D; source <(basilisk completions zsh); "
                     b"zstyle ':completion:*' verbose no; echo REA''DY\n")
        until(b"READY")
        until(b"\x1b[?2004h")  # now it reads keys; before, the terminal itself would take ^D and ^U
        # ^D lists without completing; ^U and a word of ours then follow all that it printed.
        os.write(fd, line.encode() + b"\x04\x15echo DO''NE\n")
        text = until(b"DONE")
        return re.split(r"[\s\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(fd)


SHELLS = [bash, zsh, fish]


@pytest.mark.parametrize("shell", SHELLS, ids=["bash", "zsh", "fish"])
class TestOf:
    def test_commands(self, shell, home):
        offered = shell("basilisk ", home)
        assert {"dap", "top", "doctor", "completions"} <= set(offered)

    def test_options_of_the_command_alone(self, shell, home):
        offered = set(shell("basilisk top --", home))
        assert {"--pid", "--rate", "--subprocesses", "--delay", "--full-filenames"} <= {o.rstrip("=") for o in offered}
        assert not any(o.startswith("--listen") for o in offered)

    def test_words_that_are_a_choice(self, shell, home):
        assert {"bash", "zsh", "fish"} <= set(shell("basilisk completions ", home))

    def test_pids_of_running_pythons(self, shell, home, background):
        python = background.start([sys.executable, "-c", "import time; print('R', flush=True); time.sleep(600)"])
        assert python.stdout.readline() == b"R\n"
        assert str(python.pid) in shell("basilisk top -p ", home)
        assert str(python.pid) in [o.rpartition("=")[2] for o in shell("basilisk top --pid=", home)]

    def test_files_where_a_file_is_wanted(self, shell, home):
        with open(os.path.join(home["HOME"], "session.log"), "w"):
            pass
        assert "session.log" in [o.rpartition("=")[2] for o in shell("basilisk dap --log ses", home) +
                                 shell("basilisk dap --log ", home)]


def test_every_option_of_every_command_is_in_every_script(home):
    commands = [line.split()[1] for line in run([BASILISK, "--help"]).splitlines() if line.startswith("    basilisk ")]
    commands = [name for name in commands if not name.startswith("-")]
    assert "top" in commands
    options = set()
    for name in commands:
        for line in run([BASILISK, name, "--help"]).splitlines():
            options |= {word.rstrip(",") for word in line.split()[:2]
                        if word.startswith("--") and line.startswith("    ") and word != "--"}
    assert "--delay" in options
    for shell in ("bash", "zsh"):
        script = run([BASILISK, "completions", shell])
        missing = [option for option in options if option not in script]
        assert not missing, "%s: %s" % (shell, missing)
    script = run([BASILISK, "completions", "fish"])
    assert not [option for option in options if "-l " + option[2:] not in script]


def test_an_unknown_shell_is_a_usage_error():
    done = subprocess.run([BASILISK, "completions", "tcsh"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"bash, zsh and fish" in done.stderr
