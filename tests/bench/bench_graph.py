"""What a dump of references costs the debuggee, and reading it costs us.

    bench_graph.py BENCH_GRAPH PYTHON...        BENCH_GRAPH: the program of bench_graph.c

Makes 10^6 tracked objects with some 2 * 10^6 references in each PYTHON, runs engine/memory/scripts/references.py in it as the
agent would, and prints the CPU milliseconds (median of three), then what BENCH_GRAPH says of the dump."""

import os
import subprocess
import sys
import tempfile

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "engine", "memory", "scripts", "references.py")

INSIDE = '''
import gc, itertools, operator, posix, sys, time, types, _struct, _tracemalloc
source, path = open(sys.argv[1]).read(), sys.argv[2]
class Node:
    __slots__ = ("one", "other")
kept, last = [], None
for number in range(int(sys.argv[3])):
    node = Node()
    node.one, last = last, node
    node.other = "text" if number % 2 else number
    kept.append([node])
gc.collect()
figures = []
for turn in range(3):
    agent = types.ModuleType("agent")
    with open(path, "wb") as file:
        agent.__dict__.update(gc=gc, sys=sys, posix=posix, itertools=itertools, operator=operator, tracemalloc=_tracemalloc,
                              modules={"_struct": _struct}, load=None, _job=None, expect=lambda size: None, write=file.write)
        names = {}
        exec(compile(source, "<basilisk>", "exec"), names)
        begun = time.process_time()
        answer = names["run"](agent, {"do": "dump"})
        figures.append((time.process_time() - begun) * 1000)
print("%d.%d: %d objects, %d references: %.0f ms of CPU (%s)" % (*sys.version_info[:2], answer["objects"], answer["references"],
      sorted(figures)[1], ", ".join("%.0f" % figure for figure in figures)))
'''

for python in sys.argv[2:]:
    with tempfile.TemporaryDirectory() as folder:
        dump = os.path.join(folder, "dump")
        for pairs in (500000, 390000):  # 10^6 tracked objects; 10^6 nodes of all kinds and 2 * 10^6 edges
            subprocess.run([python, "-c", INSIDE, SCRIPT, dump, str(pairs)], check=True)
            sys.stdout.flush()
            subprocess.run([sys.argv[1], dump], check=True)
