"""Debugs fixtures/shares.py through `basilisk dap`, profiled, with a scripted editor, and shows what came of it.

    show_session.py BASILISK      the binary; called by ./try, which has built it

Exits with 0 when heat, diagnostics and both files came and the shares are those of the fixture (60, 25, 10, 5).
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import dap  # noqa: E402

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.join(REPO, "fixtures", "shares.py")
EXPECTED = {"heavy": 60, "medium": 25, "light": 10, "faint": 5}
SECONDS = 5

COLOURS = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
# DESIGN.md's colours of the levels.
LEVELS = {"critical": "232;80;10", "hot": "249;115;22", "warm": "251;191;36", "cool": "104;117;140"}


def paint(text, level=None, code=None):
    if not COLOURS or not (level in LEVELS or code):
        return text
    return "\033[%sm%s\033[0m" % (code or "38;2;" + LEVELS[level], text)


def bold(text):
    return paint(text, code="1")


def dim(text):
    return paint(text, code="2")


def relative(path):
    return os.path.relpath(path, REPO) if path.startswith(REPO + os.sep) else path


def merge(heat, event):
    for file in event["files"]:
        heat[file["path"]] = file


def source_line(path, number):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()[number - 1].strip()
    except (OSError, IndexError):
        return ""


def fail(sentence):
    print(paint("\n" + sentence, code="31"), file=sys.stderr)
    sys.exit(1)


def show_progress(editor, started):
    """Says how the heat grows until the program has ended."""
    at, seen, first = 0, 0, None
    heat = {}
    while not editor.events("terminated"):
        message = editor.wait_message("event", "basilisk.heat", after=at, timeout=30) if not first else None
        if message is None:
            with editor._changed:
                editor._changed.wait(0.25)
        events = editor.events("basilisk.heat")
        for event in events[seen:]:
            merge(heat, event)
        if len(events) > seen:
            seen = len(events)
            if first is None:
                first = time.monotonic() - started
                print("  first heat after %.1f s" % first)
            lines = [(line["percent"], path, line) for path, file in heat.items() for line in file["lines"]]
            if lines:
                percent, path, line = max(lines, key=lambda item: item[0])
                print(dim("  %4.1f s   %d lines are hot, the hottest: %s:%d with %.1f %%"
                          % (time.monotonic() - started, len(lines), os.path.basename(path), line["line"], percent)))
    return heat, seen


def main():
    binary = os.path.abspath(sys.argv[1])
    adapter = [binary, "dap", "--python", sys.executable]
    print(bold("\nfixtures/shares.py under debugpy, through basilisk dap"))
    print(dim("  editor (scripted)  <- DAP ->  basilisk  <- DAP ->  debugpy  ->  Python %d.%d.%d"
              % sys.version_info[:3]))
    with dap.Client.spawn(adapter, cwd=REPO) as editor:
        editor.initialize(supportsBasiliskEvents=True)
        state = {}

        def start(_):
            state["started"] = time.monotonic()
            state["answer"] = editor.send("basilisk.profiler.start", {"sampleRate": 200})

        editor.launch(PROGRAM, args=["--seconds", str(SECONDS)], python=sys.executable, cwd=REPO, before_done=start)
        answer = state["answer"].wait()
        print("  sampling process %d at %d Hz" % (answer["pid"], answer["sampleRate"]))
        heat, heat_events = show_progress(editor, state["started"])
        profile = editor.wait_event("basilisk.profile", lambda body: body.get("reason") != "snapshot")
        now, diagnostics = {}, {}
        for body in editor.events("basilisk.diagnostics"):
            now[body["uri"]] = body["diagnostics"]
            if body["diagnostics"]:
                diagnostics = dict(now)  # as it stood before all were cleared
        cleared = {uri: not items for uri, items in now.items()}
        editor.disconnect()

    lines = sorted(((line["percent"], path, line) for path, file in heat.items() for line in file["lines"]),
                   key=lambda item: -item[0])
    if not lines:
        fail("No line got hot: the profile has %d samples and %d errors." % (profile["samples"], profile["errors"]))
    print(bold("\nHot lines") + dim("   percent of CPU time"))
    widest = lines[0][0]
    for percent, path, line in lines[:10]:
        place = "%s:%d" % (relative(path), line["line"])
        bar = "\u2588" * max(1, round(18 * percent / widest))
        print("  %-24s %5.1f %%  %s  %s  %s" % (
            place, percent, paint("%-8s" % line["level"], line["level"]), paint("%-18s" % bar, line["level"]),
            dim(source_line(path, line["line"]))))

    print(bold("\nDiagnostics") + dim("   as they stood while it ran"))
    for uri, items in sorted(diagnostics.items()):
        for item in items:
            print("  %s  %s:%d  %s" % (item["code"], os.path.basename(uri), item["range"]["start"]["line"] + 1,
                                       item["message"]))
    print(dim("  cleared at the end: %s" % ("yes" if cleared and all(cleared.values()) else "NO")))

    print(bold("\nFunctions") + dim("   what the fixture uses, and what was found"))
    found = {row["function"]: row["selfPercent"] for row in profile["top"]}
    worst = 0
    for name, expected in EXPECTED.items():
        worst = max(worst, abs(found.get(name, 0) - expected))
        print("  %-8s %5.1f %%   %5.1f %%" % (name, expected, found.get(name, 0)))

    print(bold("\nWritten"))
    for name, path in sorted(profile["paths"].items()):
        print("  %-11s %s %s" % (name, relative(path), dim("%d bytes" % os.path.getsize(path))))
        if name in ("speedscope", "cpuprofile"):
            with open(path, encoding="utf-8") as file:
                json.load(file)
    print(dim("  VS Code opens a .cpuprofile by itself, speedscope.app both of them, any browser the .svg.\n"))
    print("samples: %d  errors: %d  torn: %d  seconds: %.1f  heat events: %d" % (
        profile["samples"], profile["errors"], profile["torn"], profile["seconds"], heat_events))
    if worst > 5:
        fail("The shares are off by %.1f points: is this machine very busy?" % worst)
    if not {"speedscope", "cpuprofile"} <= set(profile["paths"]):
        fail("A file is missing: %s were written." % sorted(profile["paths"]))


if __name__ == "__main__":
    try:
        main()
    except (dap.DapError, dap.Refused) as error:
        fail("The session did not go as it should: %s" % error)
