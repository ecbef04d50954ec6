"""Memory in a debug session whose program has no room for a dump: a full /tmp, no /tmp, files that may not grow.

The folders are the session's own, in a mount namespace that ends with it; that needs root."""

import os
import shutil
import subprocess
import tempfile

import pytest

import memory
from conftest import BASILISK, PYTHON, REPO, through
from memory import A_TURN, LEAKS, THE_LEAK

# $1: folders below /tmp that are to stay, parted by blanks; $2: the folders that are full from then on.
FULL = """
set -e
mount -t tmpfs none /mnt
number=0
for folder in $1; do number=$((number + 1)); mkdir /mnt/$number; mount --bind "$folder" /mnt/$number; done
for folder in $2; do mount -t tmpfs -o size=1m,mode=1777 none $folder; done
number=0
for folder in $1; do number=$((number + 1)); mkdir -p "$folder"; mount --bind /mnt/$number "$folder"; done
umount -l /mnt
for folder in $2; do dd if=/dev/zero of=$folder/full bs=1k 2>/dev/null || :; if echo more 2>/dev/null >$folder/more; then exit 9; fi; done
shift 2
cd "$OLDPWD" 2>/dev/null || :
exec "$@"
"""
# $1: the folder to begin in. Everything but /tmp is there.
NONE = """
set -e
mount -t tmpfs none /mnt
for there in /*; do
    case $there in /tmp | /mnt) continue ;; esac
    if [ -L "$there" ]; then cp -P "$there" "/mnt$there"
    elif [ -d "$there" ]; then mkdir "/mnt$there" && mount --rbind "$there" "/mnt$there"; fi
done
exec chroot /mnt sh -c 'cd "$1" && shift && [ ! -e /tmp ] && exec "$@"' sh "$@"
"""


def namespace(script, *arguments):
    """A command's beginning; skips where there can be none."""
    if os.geteuid() != 0:
        pytest.skip("mount namespaces need root")
    for propagation in ("private", "unchanged"):  # in a plain chroot / is no mount point
        begin = ["unshare", "-m", "--propagation", propagation]
        tried = subprocess.run(begin + ["mount", "-t", "tmpfs", "none", "/mnt"], stderr=subprocess.PIPE)
        if tried.returncode == 0 and not os.path.ismount("/mnt"):
            return begin + ["sh", "-c", script, "sh", *arguments]
    pytest.skip("no mount namespace: " + tried.stderr.decode().strip())


def every_command_works(editor, cwd, *options):
    memory.launch(editor, args=["100000", *options], memory=True, stop_at=A_TURN, cwd=cwd)
    memory.ask(editor, "snapshot")
    memory.next_stop(editor)
    snapshot = memory.ask(editor, "snapshot")
    assert snapshot["truncated"] is False and snapshot["paths"]["heapprofile"]
    leak = memory.leak_of(memory.ask(editor, "diff"), THE_LEAK)
    assert leak["growthBytes"] > 0
    graph = memory.ask(editor, "references", {"type": "Order"})
    assert any(edge["label"] == "global kept" for edge in graph["edges"])
    assert {row["type"] for row in memory.ask(editor, "objects")["types"]} >= {"__main__.Order"}
    assert memory.ask(editor, "gcCollect")["uncollectable"] == 0
    memory.ask(editor, "stop")


# --no-memfd: a C library without memfd_create, where a dump would go into an unlinked file.
@pytest.mark.parametrize("full, options", [("/tmp", []), ("/tmp", ["--no-memfd"]), ("/tmp /var/tmp /dev/shm", ["--no-memfd"])])
def test_a_full_tmp(full, options, editors, tmp_path):
    stay = [folder for folder in (str(tmp_path), os.path.dirname(BASILISK), REPO) if folder.startswith("/tmp/")]
    command = namespace(FULL, " ".join(stay), full) + through()
    every_command_works(editors.spawn(command), tmp_path, *options)


def test_no_tmp(editors):
    if REPO.startswith("/tmp/"):
        pytest.skip("this very repository is in /tmp")
    folder = tempfile.mkdtemp(dir="/var/tmp")
    try:
        shutil.copy(BASILISK, folder)
        command = namespace(NONE, folder) + [os.path.join(folder, "basilisk"), "dap", "--python", PYTHON]
        editor = editors.spawn(command, cwd=folder)
        every_command_works(editor, folder, "--no-memfd")
        editors.close()
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("limit, options", [(0, []), (5000, []), (500_000, ["--no-memfd"])])
def test_files_that_may_not_grow(limit, options, editors, tmp_path):
    every_command_works(editors.through(), tmp_path, "--file-limit", str(limit), *options)


def test_a_limit_does_not_end_the_program_that_leaves_a_last_snapshot(editors, tmp_path):
    editor = editors.through()
    memory.launch(editor, args=["20", "--file-limit", "5000"], memory=True, cwd=tmp_path)
    editor.wait_event("terminated")
    assert editor.events("exited")[0]["exitCode"] == 0
    assert "done" in editor.output("stdout")
