"""What tests of memory share."""

import os

from conftest import PYTHON, fixture_path, line_of

LEAKS = fixture_path("leaks.py")
THE_LEAK = line_of(LEAKS, "# the leak")
A_TURN = line_of(LEAKS, "# a turn")
COMMANDS = ("start", "snapshot", "diff", "references", "gcCollect", "objects", "stop")
CONSOLE = {"start": "/memleak", "snapshot": "/memsnap", "diff": "/memdiff", "references": "/memrefs Order",
           "gcCollect": "/memgc", "objects": "/memobjects", "stop": "/memstop"}


def launch(editor, program=LEAKS, args=("100000",), memory=None, stop_at=None, python=PYTHON, cwd=None, **more):
    """A session whose program runs, or stands at its first stop."""
    editor.initialize(supportsBasiliskEvents=True)
    if memory is not None:
        more["basilisk"] = {"memory": memory}
    editor.launch(program, args=list(args), python=python, cwd=str(cwd or editor_folder(editor)),
                  breakpoints={program: [stop_at]} if stop_at else None, **more)
    if stop_at:
        editor.wait_stopped()


def editor_folder(editor):
    return os.getcwd() if editor.process is None else os.readlink("/proc/%d/cwd" % editor.process.pid)


def next_stop(editor):
    mark = editor.here()
    editor.resume()
    editor.wait_stopped(after=mark)


def ask(editor, command, arguments=None, timeout=60):
    return editor.request("basilisk.memory." + command, arguments, timeout=timeout)


def refused(editor, command, arguments=None):
    """The sentence that a request is refused with."""
    response = editor.ask("basilisk.memory." + command, arguments)
    assert response["success"] is False, response
    assert response["body"]["error"]["showUser"] is True
    return response["message"]


def said(editor, mark=0):
    return "".join(body["output"] for body in editor.events("output", after=mark)
                   if body.get("category", "console") == "console")


def leak_of(diff, line, path=LEAKS):
    found = [leak for leak in diff["leaks"] if leak["path"] == path and leak["line"] == line]
    return found[0] if found else None


def has(editor, text):
    editor.wait_event("output", lambda body: text in body["output"])
