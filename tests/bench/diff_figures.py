"""False alarms and power of `basilisk diff` on real recordings: docs/diff.md has the figures.

    diff_figures.py BASILISK PYTHON FOLDER [RUNS] [RATE] [SECONDS]

Records fixtures/shares.py RUNS times with 60, 25, 10 and 5 percent, and RUNS times with 60, 23, 10 and 7 (in turn, so
that both see the same weather), into FOLDER; what is there already is not recorded again. Then every pair of equal
runs is compared, and every equal run with every shifted one.
"""

import itertools
import json
import os
import subprocess
import sys


def compare(basilisk, a, b):
    done = subprocess.run([basilisk, "diff", "-f", "json", a, b], capture_output=True, check=True)
    return json.loads(done.stdout)


def main():
    basilisk, python, folder = sys.argv[1:4]
    runs = int(sys.argv[4]) if len(sys.argv) > 4 else 20
    rate = sys.argv[5] if len(sys.argv) > 5 else "1000"
    seconds = sys.argv[6] if len(sys.argv) > 6 else "10"
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "fixtures", "shares.py")
    os.makedirs(folder, exist_ok=True)
    files = {"equal": [], "shifted": []}
    for i in range(runs):
        for kind, shares in [("equal", "60,25,10,5"), ("shifted", "60,23,10,7")]:
            path = os.path.join(folder, "%s-%d.speedscope.json" % (kind, i))
            if not os.path.exists(path):
                subprocess.run([basilisk, "record", "-r", rate, "-f", "speedscope", "-o", path, "--", python, program,
                                "--seconds", seconds, "--shares", shares], check=True, capture_output=True)
            files[kind].append(path)
    alarms, busy, pairs = 0, 0, 0
    for a, b in itertools.combinations(files["equal"], 2):
        body = compare(basilisk, a, b)
        pairs += 1
        alarms += body["significantFunctions"] > 0
        busy += body["before"]["busy"] or body["after"]["busy"]
    print("equal pairs: %d, with any significant function: %d, of a busy machine: %d" % (pairs, alarms, busy))
    for wanted_busy in [False, True]:
        pairs, found = 0, {"faint": 0, "medium": 0, "any": 0}
        for a, b in itertools.product(files["equal"], files["shifted"]):
            body = compare(basilisk, a, b)
            if (body["before"]["busy"] or body["after"]["busy"]) != wanted_busy:
                continue
            pairs += 1
            found["any"] += body["significantFunctions"] > 0
            for f in body["functions"]:
                if f["function"] in found and f["significant"]:
                    found[f["function"]] += 1
        print("shifted pairs, %s machine: %d, found: any %d, faint (5 to 7) %d, medium (25 to 23) %d" %
              ("busy" if wanted_busy else "quiet", pairs, found["any"], found["faint"], found["medium"]))


if __name__ == "__main__":
    main()
