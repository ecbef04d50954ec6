"""What recording many children costs: many_children.py BASILISK [COUNT] [SECONDS]

For children that sleep and children that work, by sweeps and as Basilisk chooses by itself: the recorder's CPU once all
children are open, the rate that was held, and how much of the CPU time that was used the profile has.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

PROGRAM = """
import os, resource, sys, time
count, works, end = int(sys.argv[1]), sys.argv[2] == 'work', time.monotonic() + float(sys.argv[3])
def work():
    while time.monotonic() < end: sum(range(100))
def sleep():
    while time.monotonic() < end: time.sleep(max(0, end - time.monotonic()))
for _ in range(count):
    if os.fork() == 0:
        (work if works else sleep)()
        os._exit(0)
for _ in range(count): os.wait()
print(sum(resource.getrusage(who).ru_utime + resource.getrusage(who).ru_stime
          for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)))
"""


def cpu_of(pid):
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(binary, count, what, seconds, options):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "out")
        recorder = subprocess.Popen([binary, "record", "-s", *options, "-f", "speedscope", "-o", path, "--", sys.executable, "-c",
                                     PROGRAM, str(count), what, str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(seconds / 2)
        opened, begun = cpu_of(recorder.pid), time.monotonic()
        time.sleep(seconds / 4)
        cpu = (cpu_of(recorder.pid) - opened) / (time.monotonic() - begun)
        out, err = recorder.communicate()
        assert recorder.returncode == 0, err.decode()
        with open(path) as file:
            said = json.load(file)["basilisk"]
    print("%3d children that %-5s %-10s  recorder %4.1f %% of a core, opening %.2f s; held %5.1f Hz; CPU time %6.2f of %6.2f s; "
          "%d samples, %d errors, %d torn; load %.1f" % (
              count, what, " ".join(options), 100 * cpu, opened, said["sweeps"] / said["seconds"], said["cpuSeconds"], float(out),
              said["samples"], said["errors"], said["torn"], os.getloadavg()[0]), flush=True)


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 12
    for what in ("sleep", "work"):
        for options in (["--no-ticks"], []):
            measure(sys.argv[1], count, what, seconds, options)


main()
