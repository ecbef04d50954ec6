"""What tracking memory costs the program: plain tracemalloc, Basilisk in a debug session, memray, Scalene, in turn, in one run.

    bench_tracking.py BASILISK PYTHON [--rounds N]

PYTHON is a CPython with a `venv` module; memray and Scalene are installed into build/tracking-X.Y, debugpy too. Each tool
runs each program N times (default 3), in turn; the table has medians, as ratios to the same program without the tool (for
the debug session: to the same session that tracks nothing). One line a program: work that allocates and keeps, work that
allocates and frees, work of strings and dicts, and work of numbers (each above 256 is an object, too).
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(REPO, "tests", "support"))

import dap  # noqa: E402

PROGRAM = '''
import json, sys, time

class Node:
    def __init__(self, value):
        self.value = value
        self.data = [value, str(value)]

def keeps(turns):
    nodes = []
    for i in range(turns):
        nodes.append(Node(i))

def frees(turns):
    for i in range(turns):
        Node(i)

def mixed(turns):
    text = json.dumps({"name%d" % i: [i, str(i), {"k": i}] for i in range(50)})
    for i in range(turns // 400):
        json.dumps(json.loads(text), sort_keys=True)

def computes(turns):
    total = 1000
    for i in range(1000, 1000 + 10 * turns):
        total = (total + i * 3) % 10007 + 1000

work = globals()[sys.argv[1]]
work(int(sys.argv[2]) // 10)
begun = time.perf_counter()
work(int(sys.argv[2]))
print("took %.6f" % (time.perf_counter() - begun), flush=True)
'''
PROGRAMS = ["keeps", "frees", "mixed", "computes"]
TURNS = 200000


def took(text):
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith("took ")))


def run(arguments, folder, **more):
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", **more)
    done = subprocess.run(arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=600)
    return took(done.stdout)


def in_a_session(basilisk, python, folder, program, memory):
    configuration = {"basilisk": {"memory": True}} if memory else {}
    with dap.Client.spawn([basilisk, "dap", "--python", python], cwd=folder) as editor:
        editor.initialize()
        editor.launch(os.path.join(folder, "program.py"), args=[program, str(TURNS)], python=python, cwd=folder,
                      **configuration)
        editor.wait_event("terminated", timeout=600)
        return took(editor.output("stdout"))


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("basilisk")
    parser.add_argument("python")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    basilisk = os.path.abspath(options.basilisk)
    version = subprocess.run([options.python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                             stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    peers = os.path.join(REPO, "build", "tracking-" + version)
    if not os.path.exists(os.path.join(peers, "bin", "memray")):
        subprocess.run([options.python, "-m", "venv", peers], check=True)
        subprocess.run([os.path.join(peers, "bin", "pip"), "install", "-q", "memray", "scalene", "debugpy"], check=True)
    python = os.path.join(peers, "bin", "python")
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "program.py"), "w") as file:
            file.write(PROGRAM)
        output = os.path.join(folder, "out")
        plain = lambda name: run([python, "program.py", name, str(TURNS)], folder)  # noqa: E731
        session = lambda name: in_a_session(basilisk, python, folder, name, False)  # noqa: E731
        tools = {
            "tracemalloc, 1 frame": (plain, lambda name: run(
                [python, "program.py", name, str(TURNS)], folder, PYTHONTRACEMALLOC="1")),
            "tracemalloc, 10 frames": (plain, lambda name: run(
                [python, "program.py", name, str(TURNS)], folder, PYTHONTRACEMALLOC="10")),
            "Basilisk, in a debug session": (session, lambda name: in_a_session(basilisk, python, folder, name, True)),
            "memray run": (plain, lambda name: run(
                [python, "-m", "memray", "run", "-f", "-q", "-o", output, "program.py", name, str(TURNS)], folder)),
            "memray, Python's allocators too": (plain, lambda name: run(
                [python, "-m", "memray", "run", "-f", "-q", "--trace-python-allocators", "-o", output, "program.py", name,
                 str(TURNS)], folder)),
            "scalene, memory": (plain, lambda name: run(
                [python, "-m", "scalene", "run", "--memory", "-o", output + ".json", "program.py", name, str(TURNS)], folder)),
        }
        print("CPython %s, load %.1f, %d rounds; times the program's own time" % (
            version, os.getloadavg()[0], options.rounds))
        print("\n| tool | %s |\n|---|%s" % (" | ".join(PROGRAMS), "---|" * len(PROGRAMS)))
        ratios = {tool: {name: [] for name in PROGRAMS} for tool in tools}
        why = {}
        for _ in range(options.rounds):
            for name in PROGRAMS:
                base = {}
                for tool, (without, with_tool) in tools.items():
                    if without not in base:
                        base[without] = without(name)
                    try:
                        ratios[tool][name].append(with_tool(name) / base[without])
                    except Exception as error:  # a peer that does not run here is a cell, not the end
                        why[tool] = str(error)[:60] or type(error).__name__
        for tool in tools:
            cells = ["%.2f" % statistics.median(ratios[tool][name]) if ratios[tool][name] else "-" for name in PROGRAMS]
            print("| %s | %s |%s" % (tool, " | ".join(cells), "  <!-- %s -->" % why[tool] if tool in why else ""))


if __name__ == "__main__":
    main()
