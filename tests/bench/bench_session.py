"""What a debug session through Basilisk costs beside one without, with real debugpy, in turn, in one run.

    bench_session.py BASILISK [--rounds N] [--seconds S]

--rounds   sessions of each kind from start to the first stop (default 10)
--seconds  how long a session is profiled at 100 Hz while the proxy is measured (default 600)
"""

import argparse
import os
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(REPO, "tests", "support"))

import dap  # noqa: E402

PROGRAM = os.path.join(REPO, "fixtures", "shares.py")
TICKS = os.sysconf("SC_CLK_TCK")


def line_of(path, text):
    with open(path, encoding="utf-8") as file:
        return next(number for number, line in enumerate(file, 1) if text in line)


def until_first_stop(command):
    begun = time.monotonic()
    with dap.Client.spawn(command, cwd="/tmp") as editor:
        editor.initialize()
        editor.launch(PROGRAM, args=["--rounds", "1"], python=sys.executable,
                      breakpoints={PROGRAM: [line_of(PROGRAM, "def heavy")]})
        editor.wait_event("stopped")
        return time.monotonic() - begun


def status_of(pid):
    with open("/proc/%d/status" % pid) as file:
        fields = dict(line.split(":", 1) for line in file)
    with open("/proc/%d/stat" % pid) as file:
        stat = file.read().rsplit(")", 1)[1].split()
    return {"resident_kb": int(fields["VmRSS"].split()[0]), "peak_kb": int(fields["VmHWM"].split()[0]),
            "cpu_s": (int(stat[11]) + int(stat[12])) / TICKS, "fds": len(os.listdir("/proc/%d/fd" % pid))}


def profiled(basilisk, seconds):
    with dap.Client.spawn([basilisk, "dap", "--python", sys.executable], cwd="/tmp") as editor:
        editor.initialize()
        editor.launch(PROGRAM, args=["--seconds", str(seconds + 60)], python=sys.executable, cwd="/tmp")
        asked = time.monotonic()
        editor.request("basilisk.profiler.start", {"sampleRate": 100})
        editor.wait_event("basilisk.heat")
        first_heat = time.monotonic() - asked
        pid = editor.process.pid
        before, begun = status_of(pid), time.monotonic()
        while time.monotonic() - begun < seconds:
            time.sleep(min(10, seconds))
        after, took = status_of(pid), time.monotonic() - begun
        profile = editor.request("basilisk.profiler.stop")
        editor.disconnect()
        return first_heat, before, after, took, profile


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("basilisk")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=600)
    options = parser.parse_args()
    ways = {"direct": [sys.executable, "-m", "debugpy.adapter"],
            "basilisk": [options.basilisk, "dap", "--python", sys.executable]}
    took = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, command in ways.items():
            took[name].append(until_first_stop(command))
    medians = {name: statistics.median(values) * 1000 for name, values in took.items()}
    print("start to the first stop, median of %d: direct %.0f ms, basilisk %.0f ms: %+.0f ms (goal 50)"
          % (options.rounds, medians["direct"], medians["basilisk"], medians["basilisk"] - medians["direct"]))
    first_heat, before, after, seconds, profile = profiled(options.basilisk, options.seconds)
    print("first heat %.2f s after start (goal 1.5)" % first_heat)
    print("profiled for %.0f s at 100 Hz: %.3f %% of a core (goal 0.5), resident %d -> %d kB, peak %d kB (goal 20 MB), "
          "descriptors %d -> %d" % (seconds, (after["cpu_s"] - before["cpu_s"]) / seconds * 100, before["resident_kb"],
                                    after["resident_kb"], after["peak_kb"], before["fds"], after["fds"]))
    print("samples %d, errors %d, torn %d, missed %d, %.1f s of CPU time in %.1f s"
          % (profile["samples"], profile["errors"], profile["torn"], profile["missed"], profile["cpuSeconds"],
             profile["seconds"]))


if __name__ == "__main__":
    main()
