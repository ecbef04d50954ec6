"""The rows of the table: each yields (what, figure, goal, met or None, what the peers had in the same run)."""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import bench_peers
from bench_peers import Program, median

GOAL_US = {"a": 2, "b": 4, "c": 15}
THREADS = {"c": 16}
TEARING = {"f": "short calls in turn", "h": "unequal short calls", "p": "one call site, Python and C of 20 to 100 ns",
           "d": "50 asyncio tasks", "g": "generators", "k": "generators with two calls each", "u": "generators, calls that name nobody"}


class Bench:
    def __init__(self, build, quick):
        self.build, self.quick = build, quick
        self.pythons = bench_peers.pythons()
        self.main = "3.13" if "3.13" in self.pythons else list(self.pythons)[-1]
        self.tools, self.missing = bench_peers.all_tools(build, self.pythons, bench_peers.REPO + "/build/peers")
        self.peers = [tool for tool in self.tools if tool.name != "Basilisk"]
        self.basilisk = next((tool for tool in self.tools if tool.name == "Basilisk"), None)
        self.own = bench_peers.ways(self.basilisk) if self.basilisk else []
        text = subprocess.run([self.engine, "programs"], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.programs = {row.split("\t")[0]: row.split("\t")[1].split() for row in text.splitlines()}

    @property
    def engine(self):
        return self.build + "/tests/bench/bench_engine"

    def start(self, letter, minor=None, core=0):
        return Program(*self.programs[letter], python=self.pythons[minor or self.main], core=core)

    def ask(self, command, letter, minor=None, **options):
        """The lines of bench_engine, each a dict: its first word, then word and figure in turn."""
        arguments = [self.engine, command, "--program", letter, "--python", self.pythons[minor or self.main]]
        for name, value in options.items():
            arguments += ["--" + name] if value is True else ["--" + name, str(value)]
        done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              preexec_fn=bench_peers._child(None))
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        return [line.split() for line in done.stdout.splitlines()]


def words(line):
    """["pace", "rate", "1000", …] as {"rate": "1000", …}."""
    return dict(zip(line[1::2], line[2::2]))


def peers_of(bench, minor, everyone=False):
    number = int(minor.split(".")[1])
    return [tool for tool in bench.peers if tool.suits(number) and (everyone or "nonblocking" not in tool.name)]


def peer_costs(bench, letter, hz, seconds):
    """"py-spy 150 µs, …" of all that can be had; Tachyon on its own Python."""
    said = []
    for minor in [bench.main, "3.15"]:
        tools = [tool for tool in peers_of(bench, minor) if minor == bench.main or tool.name == "Tachyon"]
        if minor not in bench.pythons or not tools:
            continue
        with bench.start(letter, minor) as program:
            for tool in tools:
                # py-spy counts its seconds in samples, and cannot hold any rate on 16 threads
                rate = 100 if tool.name == "py-spy" and letter == "c" else hz
                cost, got, errors = tool.cost(program.pid, rate, 1 if rate == 100 else seconds, THREADS.get(letter, 1))
                said.append("%s %.1f µs at %.0f Hz%s" % (tool.name, cost, got,
                                                         ", %.1f %% errors" % errors if errors > 0.05 else ""))
    return "; ".join(said)


def row_max(bench):
    """CPU a sample as fast as can be: depth 22, depth 202, 16 threads; and the highest rate"""
    seconds = 2 if bench.quick else 4
    highest = None
    for letter, goal in GOAL_US.items():
        sampler, recording = [words(line) for line in bench.ask("rate", letter, seconds=seconds)]
        highest = highest or (float(sampler["hz"]), float(recording["hz"]))
        beside = peer_costs(bench, letter, 1000000, seconds)
        record = ""
        if bench.basilisk:
            with bench.start(letter) as program:
                cost, got, _ = bench.basilisk.cost(program.pid, 1000000, seconds, THREADS.get(letter, 1))
            record = "; `basilisk record` %.2f µs at %.0f Hz" % (cost, got)
        yield ("CPU a sample at the highest rate, %s" % bench.programs[letter][0] + " " +
               " ".join(bench.programs[letter][1:]),
               "%s µs with names and profile, of which %s µs in the kernel's process_vm_readv; %s µs as a recording, file "
               "written%s; the last read again and again, %s pieces of %s bytes in all: %s µs" % (
                   sampler["cpu_us"], sampler["calls_us"], recording["cpu_us"], record, sampler["pieces"],
                   sampler["bytes"], sampler["bare_us"]),
               "≤ %d µs" % goal, float(recording["cpu_us"]) <= goal, beside)
    yield ("highest rate held, depth 22, one thread", "%.0f /s by the sampler, %.0f /s as a recording" % highest,
           "≥ 300,000 /s", highest[1] >= 300000, "above")


def row_pace(bench):
    """CPU a sample at 1 kHz, beside a loop that only sleeps"""
    windows, seconds = (3, 2) if bench.quick else (7, 3)
    asleep, used = [], {tool: [] for tool in bench.own}
    with bench.start("a") as program:
        for _ in range(windows):
            asleep.append(float(words(bench.ask("sleep", "a", rate=1000, seconds=seconds)[0])["cpu_us"]))
            for tool, costs in used.items():
                costs.append(tool.settled_cost(program.pid, 1000, seconds))
    beside = peer_costs(bench, "a", 1000, 2 if bench.quick else 4)
    for tool, costs in used.items():
        more = median([cost - slept for cost, slept in zip(costs, asleep)])
        yield ("CPU a sample at 1 kHz, %s, beside a loop that only sleeps (%.1f µs)" % (tool.how, median(asleep)),
               "%.1f µs more (%.1f)" % (more, median(costs)), "≤ 5 µs more", more <= 5, beside)


def versions(bench, least=11):
    found = [minor for minor in bench.pythons if int(minor.split(".")[1]) >= least]
    return [minor for minor in found if minor in (bench.main, found[-1])] if bench.quick else found


def row_impossible(bench):
    """impossible stacks of the programs that tear, and what is filled in, unread and rejected"""
    stacks, seconds = (50000, 3) if bench.quick else (1000000, 8)
    for letter, what in TEARING.items():
        counts, offenders, total, bad, worst = [], [], 0, 0, 0
        for minor in versions(bench, 11 if bench.quick else 8):
            lines = bench.ask("impossible", letter, minor, samples=stacks, seconds=seconds)
            figure = {line[0]: line[1:] for line in lines}
            share = sum(float(figure[key][1]) for key in ("filled", "unread", "torn"))
            total += int(figure["accepted"][0])
            bad += int(figure["impossible"][0])
            worst = max(worst, share)
            counts.append("%s: %s of %s, %.2f %%" % (minor, figure["impossible"][0], figure["accepted"][0], share))
            offenders += ["%s %s" % (minor, " ".join(line[2:])) for line in lines if line[0] == "offender"][:1]
        yield ("impossible stacks, %s (`bench_engine impossible --program %s`)" % (what, letter),
               "%d of %d%s" % (bad, total, "; such as " + "; ".join(offenders[:2]) if offenders else ""),
               "0 in 10^6", bad == 0, "impossible, then filled in + unread + rejected: " + "; ".join(counts))
        yield "filled in + unread + rejected, %s" % what, "%.2f %% at most" % worst, "≤ 3 %", worst <= 3, ""


def plain(name):
    """The name of a function without those of what it lies in: bench_engine's shares are by these."""
    return name.rpartition(".")[2]


def tick_stacks(bench, program, seconds, *options):
    """[(stack, number)] as the kernel read them in the program's own clock tick."""
    done = subprocess.run([bench.build + "/tests/bench/tick_truth", str(program.pid), "-d", str(seconds), "-r", "2000",
                           *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError("no truth: " + done.stderr.strip())
    stacks = [line.rpartition(" ") for line in done.stdout.splitlines()]
    return [(stack, int(number)) for stack, _, number in stacks]


def truth(bench, program, seconds):
    """({function: leaf %}, {function: inclusive %}) by the clock tick (eBPF)."""
    leaf, inclusive, total = {}, {}, 0
    for stack, number in tick_stacks(bench, program, seconds):
        if not stack.startswith("<module>"):
            continue  # a generator that is not linked to its caller (3.12): a part of a stack
        names = [plain(name) for name in dict.fromkeys(stack.split(";"))]  # functions once, but as often as names
        total += number
        leaf[plain(stack.split(";")[-1])] = leaf.get(plain(stack.split(";")[-1]), 0) + number
        for name in names:
            inclusive[name] = inclusive.get(name, 0) + number
    return leaf, inclusive, total


class Legal:
    """The stacks that a program can have, as bench_engine reads them (legal.h), by names and lines alone."""

    def __init__(self, bench, letter, minor):
        file, *arguments = bench.programs[letter]
        text = subprocess.run([bench.pythons[minor], "-S", "%s/programs/%s" % (bench_peers.HERE, file), *arguments,
                               "legal"], stdout=subprocess.PIPE, text=True, check=True,
                              env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1")).stdout
        codes, self.paths, self.makes, self.lines = {}, set(), set(), {}
        for line in text.splitlines():
            fields = line.split("\t")
            if fields[0] == "code":
                codes[fields[1]] = (fields[2], fields[4])
                self.lines.setdefault(fields[2], set()).update(fields[5].split(","))
            elif fields[0] == "path":
                calls = ()
                for code, _, call in (word.partition(":") for word in fields[2].split()):
                    self.paths.add(calls + (codes[code][0],))
                    calls += ("%s:%s" % (codes[code][0], call),)
            elif fields[0] == "make":
                self.makes.add(("%s:%s" % (codes[fields[1]][0], fields[2]), "%s:%s" % codes[fields[3]]))

    def judge(self, frames):
        """`frames`: "name:line", outermost first."""
        leaf, _, line = frames[-1].rpartition(":")
        return (tuple(frames[:-1]) + (leaf,) in self.paths and line in self.lines.get(leaf, ())) or (
            len(frames) > 1 and (frames[-2], frames[-1]) in self.makes)


def row_rules(bench):
    """the rules of what is legal, proven on the stacks that the kernel reads at the clock tick"""
    good, bad, offenders = 0, 0, []
    for minor in [bench.main] if bench.quick else versions(bench, 8):
        for letter in TEARING:
            legal = Legal(bench, letter, minor)
            with bench.start(letter, minor) as program:
                for stack, number in tick_stacks(bench, program, 1, "-l"):
                    if legal.judge([plain(frame) for frame in stack.split(";")]):
                        good += number
                    else:
                        bad += number
                        offenders.append("%s %s: %d times %s" % (minor, letter, number, stack))
    yield ("stacks of the clock tick (eBPF) that the same rules call impossible", "%d of %d" % (bad, good + bad), "0",
           bad == 0, "; ".join(offenders[:4]))


def largest(true, got, total):
    """The largest distance of two tables of shares, in points, and whose it is."""
    return max(((abs(100 * true.get(name, 0) / total - got.get(name, 0)), name)
                for name in set(true) | set(got) if not name.startswith("(")), default=(0, ""))


def row_shares(bench):
    """shares of the same programs against the clock tick (eBPF), on the same process in turn"""
    seconds, minors = (2, [bench.main]) if bench.quick else (4, ["3.11", bench.main, list(bench.pythons)[-1]])
    minors = [minor for minor in dict.fromkeys(minors) if minor in bench.pythons]
    for letter, what in TEARING.items():
        goal = 5 if letter == "p" else 2
        worst, said, recorded = 0, [], []
        for minor in minors:
            with bench.start(letter, minor) as program:
                before = truth(bench, program, seconds)
                lines = bench.ask("impossible", letter, minor, pid=program.pid, rate=2000, samples=10 ** 9,
                                  seconds=seconds)
                with tempfile.NamedTemporaryFile() as file:
                    if bench.basilisk:
                        bench.basilisk.run(program.pid, 2000, seconds, out=file.name)
                        record = {}
                        for name, value in bench.basilisk.leaves(file.name).items():
                            record[plain(name)] = record.get(plain(name), 0) + value
                        number = max(1, sum(record.values()))
                after = truth(bench, program, seconds)
            total = before[2] + after[2]
            leaf, inclusive = [{name: a.get(name, 0) + b.get(name, 0) for name in set(a) | set(b)}
                               for a, b in zip(before[:2], after[:2])]
            shares = [line for line in lines if line[0] == "share"]
            off = largest(leaf, {line[1]: float(line[3]) for line in shares}, total)
            off_inclusive = largest(inclusive, {line[1]: float(line[5]) for line in shares}, total)
            worst = max(worst, off[0], off_inclusive[0])
            said.append("%s: %s %.1f, inclusive %s %.1f" % (minor, off[1], off[0], off_inclusive[1], off_inclusive[0]))
            if bench.basilisk:
                off = largest(leaf, {name: 100 * value / number for name, value in record.items()}, total)
                recorded.append("%s: %s %.1f" % (minor, off[1], off[0]))
        yield ("shares against truth (eBPF tick), %s" % what, "%.1f points at most" % worst, "≤ %d points" % goal,
               worst <= goal, "furthest off: %s; one sigma is some %.1f%s" % (
                   "; ".join(said), 0.8 if seconds < 4 else 0.55,
                   "; `basilisk record`, leaf: " + "; ".join(recorded) if recorded else ""))


def speed(program, seconds):
    """Work a second that it was not kept waiting for a CPU."""
    count, waited, begun = program.count(), program.waited(), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - begun - (program.waited() - waited)
    return (program.count() - count) / took


def speed_ratios(program, tool, hz, windows, seconds):
    """Ratios of windows with the tool to those beside them without; `tool` None: nothing in either."""
    ratios = []
    for _ in range(windows):
        before = speed(program, seconds)
        with tempfile.TemporaryDirectory() as folder:
            process = tool.start(program.pid, hz, 60, folder + "/out") if tool else None
            time.sleep(0.4)  # past its start
            during = speed(program, seconds)
            if process:
                process.send_signal(2)
                process.communicate()
        after = speed(program, seconds)
        ratios.append(2 * during / (before + after))
    return ratios


def row_speed(bench):
    """the program's speed with a sampler, at 1 kHz and 100 Hz, depth 22 and short calls"""
    windows, seconds = (4, 0.4) if bench.quick else (11, 0.6)
    peers = bench_peers.ClockEvent.where_allowed() + peers_of(bench, bench.main)
    for hz, goal in ((1000, 0.99), (100, 0.999)):
        for letter in ("a", "f"):
            ratios = {tool: [] for tool in [None] + bench.own + peers}
            with bench.start(letter) as program:
                for _ in range(windows):  # in turn, so that all see the same weather
                    for tool, found in ratios.items():
                        found += speed_ratios(program, tool, hz, 1, seconds)
            nothing = ratios[None]
            for tool in bench.own:
                mine = median(ratios[tool])
                yield ("program's speed at %d Hz, %s, %s" % (hz, bench.programs[letter][0], tool.how),
                       "%.4f (nothing beside nothing: %.4f, from %.3f to %.3f)" % (
                           mine, median(nothing), min(nothing), max(nothing)), "≥ %s" % goal, mine >= goal,
                       "; ".join("%s %.4f" % (peer.name, median(ratios[peer])) for peer in peers))


KNOWN = {"heavy": 0.60, "medium": 0.25, "light": 0.10, "faint": 0.05}


def sigmas(leaves):
    """How far each known share is off, in sigmas of a perfect sampler."""
    total = sum(leaves.get(name, 0) for name in KNOWN) or 1
    return {name: (leaves.get(name, 0) / total - share) / (share * (1 - share) / 6000) ** 0.5
            for name, share in KNOWN.items()}


def known_runs(bench, tool, runs):
    found = []
    with bench.start("a") as program, tempfile.NamedTemporaryFile() as file:
        for _ in range(runs):
            tool.run(program.pid, 1000, 6, out=file.name)
            found.append(sigmas(tool.leaves(file.name)))
    worst = max(max(map(abs, run.values())) for run in found)
    mean = max(abs(statistics.mean(run[name] for run in found)) for name in KNOWN)
    return worst, mean


def row_known(bench):
    """known shares, 6,000 samples a run, on a quiet and on a loaded machine"""
    runs, peer_runs = (2, 1) if bench.quick else (20, 2)
    if not bench.basilisk:
        raise RuntimeError("there is no `basilisk record` yet")
    for load in (False, True):
        burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"],
                                    preexec_fn=bench_peers._child(core)) for core in (0, 1)] if load else []
        try:
            worst, mean = known_runs(bench, bench.basilisk, runs)
            beside = []
            for tool in peers_of(bench, bench.main):
                off = known_runs(bench, tool, peer_runs)
                beside.append("%s %.1f, mean %.2f" % (tool.name, *off))
        finally:
            for burner in burners:
                burner.kill()
                burner.wait()
        yield ("known shares, 6,000 samples, %d runs, %s" % (runs, "a loop on each core beside it" if load else "quiet"),
               "%.1f sigma at most, the mean %.2f" % (worst, mean), "≤ 3.5, the mean of 20 ≤ 0.5",
               worst <= 3.5 and (bench.quick or mean <= 0.5), "%d runs: %s" % (peer_runs, "; ".join(beside)))


def row_eintr(bench):
    """waits of C callers that are interrupted (EINTR)"""
    library = bench.build + "/tests/bench/libbench_waits.so"

    def interrupted(sample):
        with Program("waits.py", library, python=bench.pythons[bench.main], core=0) as program:
            samples = sample(program)
            program.process.stdin.write("\n")
            program.process.stdin.flush()
            fields = program.process.stdout.readline().split()
        hits = {fields[i]: int(fields[i + 2]) for i in range(0, len(fields), 3)}
        calls = sum(int(fields[i + 1]) for i in range(0, len(fields), 3))
        return samples, hits, calls

    wanted = 20000 if bench.quick else 100000
    samples, hits, calls = interrupted(
        lambda program: int(words(bench.ask("rate", "a", pid=program.pid, idle=True, samples=wanted)[0])["samples"]))
    said = ["engine, sleepers too: %d in %d samples, %d calls" % (sum(hits.values()), samples, calls)]
    total, all_samples = sum(hits.values()), samples
    if bench.basilisk:
        seconds = 3 if bench.quick else 15
        samples, hits, calls = interrupted(
            lambda program: bench.basilisk.run(program.pid, 100000, seconds).samples)
        said.append("record: %d in %d samples, %d calls" % (sum(hits.values()), samples, calls))
        total += sum(hits.values())
        all_samples = min(all_samples, samples)
    beside = []
    for tool in peers_of(bench, bench.main):
        samples, hits, calls = interrupted(lambda program: tool.run(program.pid, 1000, 3, threads=8).samples)
        beside.append("%s %d in %d samples (%s)" % (
            tool.name, sum(hits.values()), samples,
            ", ".join("%s %d" % item for item in hits.items() if item[1]) or "none"))
    yield ("EINTR in epoll_wait, sigtimedwait, poll, select, nanosleep, futex, read", "; ".join(said),
           "none in 10^5 samples", total == 0 and all_samples >= wanted // 2, "; ".join(beside))


def timed(command, times):
    """Median milliseconds from start to end; None where it does not end well."""
    found = []
    for _ in range(times):
        begun = time.monotonic()
        if subprocess.run(command, capture_output=True, preexec_fn=bench_peers._child(1)).returncode != 0:
            return None
        found.append((time.monotonic() - begun) * 1e3)
    return median(found)


def row_start(bench):
    """start to first stack"""
    cold, warm = {}, {}
    for minor in bench.pythons:
        line = words(bench.ask("first", "a", minor)[0])
        cold[minor], warm[minor] = float(line["cold_ms"]), float(line["warm_ms"])
    times, beside = 5 if bench.quick else 11, []
    with bench.start("a") as program:
        pid = str(program.pid)
        commands = {"basilisk dump": [bench.build + "/basilisk", "dump", "-p", pid]}
        for tool in peers_of(bench, bench.main):
            path = tool.path if isinstance(tool.path, list) else [tool.path]
            commands[tool.name] = path + (["-w", pid] if tool.name == "Austin" else ["dump", "-p", pid])
        for name, command in commands.items():
            took = timed(command, times)
            if took:
                beside.append("%s %.0f ms" % (name, took))
    if "3.15" in bench.pythons:
        with bench.start("a", "3.15") as program:
            took = timed([bench.pythons["3.15"], "-m", "profiling.sampling", "dump", str(program.pid)], 3)
            if took:
                beside.append("Tachyon %.0f ms" % took)
    yield ("start to first stack, engine", "first time in a process %.1f ms at most (%s), again %.1f" % (
        max(cold.values()), max(cold, key=cold.get), max(warm.values())), "≤ 10 ms; ≤ 30 ms in all",
        max(cold.values()) <= 10, "")
    yield ("process start to whole stack printed and exit", beside[0] if beside[:1] and "basilisk" in beside[0] else "–",
           "≤ 30 ms", float(beside[0].split()[-2]) <= 30 if beside[:1] and "basilisk" in beside[0] else None,
           "; ".join(beside[1:] if beside[:1] and "basilisk" in beside[0] else beside))


def row_memory(bench):
    """resident memory after as many samples as 10 minutes at 100 Hz and an hour at 1 kHz have"""
    for what, samples, rate, goal in (("10 minutes at 100 Hz", 60000, 1000000, 10),
                                      ("an hour at 1 kHz", 360000 if bench.quick else 3600000, 1000000, 25)):
        said, most, got = [], 0, []
        for letter in ("a", "d"):
            line = words(bench.ask("hold", letter, rate=rate, samples=samples, seconds=15 if bench.quick else 60)[0])
            most = max(most, int(line["peak_kb"]) / 1000)
            got.append("%s: %.1f MB after %s samples" % (bench.programs[letter][0], int(line["peak_kb"]) / 1000,
                                                         line["samples"]))
        if bench.basilisk:
            with bench.start("a") as program:
                run = bench.basilisk.run(program.pid, 1000000, 2 if bench.quick else 10)
            said.append("`basilisk record` of %d samples: %.1f MB" % (run.samples, run.rss_kb / 1000))
            most = max(most, run.rss_kb / 1000)
        if goal == 10:
            for minor in [bench.main, "3.15"]:
                tools = [t for t in peers_of(bench, minor) if minor == bench.main or t.name == "Tachyon"]
                if minor in bench.pythons and tools:
                    with bench.start("a", minor) as program:
                        for tool in tools:
                            said.append("%s %.1f MB (2 s)" % (tool.name,
                                                              tool.run(program.pid, 1000, 2).rss_kb / 1000))
        yield "resident memory, %s, its equal in samples" % what, "; ".join(got), "≤ %d MB" % goal, most <= goal, \
            "; ".join(said)


def row_hold(bench):
    """the asked rate second by second, at 100 Hz, 1 kHz and 10 kHz"""
    for rate in (100, 1000, 10000):
        line = words(bench.ask("hold", "a", rate=rate, seconds=4 if bench.quick else 10)[0])
        least, most = float(line["least"]), float(line["most"])
        off = 100 * max(1 - least / rate, most / rate - 1)
        beside = []
        with bench.start("a") as program:
            for tool in peers_of(bench, bench.main):
                run = tool.run(program.pid, rate, 2)
                beside.append("%s %.0f" % (tool.name, run.samples / max(2, run.seconds - 0.1)))
        yield ("rate held, %d Hz, in each second" % rate, "%.1f to %.1f Hz, %.2f %% off, %s missed" % (
            least, most, off, line["missed"]), "within 1 %", off <= 1, "on average: " + ", ".join(beside))


def row_export(bench):
    """writing 10^6 samples of 10,000 stacks"""
    text = subprocess.run([bench.build + "/tests/bench/bench_export"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout
    found = re.findall(r"^(\w+) +([\d.]+) ms  ([\d.]+) MB", text, re.M)
    for name, took, size in found:
        goal = "≤ 200 ms" + (", ≤ 20 MB" if name == "speedscope" else "")
        asked = name in ("speedscope", "flamegraph", "cpuprofile")
        yield ("write 10^6 samples, 10,000 stacks: %s" % name, "%s ms, %s MB" % (took, size), goal if asked else "",
               float(took) <= 200 and (name != "speedscope" or float(size) <= 20) if asked else None, "")


def usage_options(text):
    """{"--rate": ("-r", takes a value, default)} of a --help."""
    found = {}
    for line in text.splitlines():
        match = re.match(r"\s+(?:(-\w), +)?(--[\w-]+)(?:[ =](<[^>]+>|[A-Z][A-Z:.…]*))?(?:\.\.\.)?(\s|$)(.*)", line)
        if match:
            default = re.search(r"\[default: ([^\]]+)\]|[;(]? ?([\w.]+) unless said otherwise|(\w+) \(the default\)"
                                r"|\(([\d.]+)\)",
                                match[5])
            found[match[2]] = (match[1], bool(match[3]),
                               next((value for value in default.groups() if value), None) if default else None)
    return found


def row_options(bench):
    """py-spy's options of record, top and dump against ours"""
    spy = next((tool for tool in bench.peers if tool.name == "py-spy"), None)
    if not spy:
        raise RuntimeError("py-spy is not there")
    for command in ("record", "top", "dump"):
        ours = subprocess.run([bench.build + "/basilisk", command, "--help"], capture_output=True, text=True)
        theirs = usage_options(subprocess.run([spy.path, command, "--help"], capture_output=True, text=True).stdout)
        theirs.pop("--help", None)
        if ours.returncode != 0 or not re.search(r"basilisk %s [(-]" % command, ours.stdout):
            yield "py-spy's options of %s" % command, "there is no such command yet", "each the same", False, ""
            continue
        mine = usage_options(ours.stdout)
        differ = []
        for name, (letter, takes, default) in theirs.items():
            if name not in mine:
                differ.append("%s is missing" % name)
            elif mine[name][0] != letter:
                differ.append("%s is %s, not %s" % (name, mine[name][0], letter))
            elif mine[name][1] != takes:
                differ.append("%s %s a value" % (name, "lacks" if takes else "wants"))
            elif default and mine[name][2] != default:
                differ.append("%s defaults to %s, not %s" % (name, mine[name][2], default))
        more = sorted(set(mine) - set(theirs))
        yield ("py-spy's %d options of %s: spelling, arity, default" % (len(theirs), command),
               "; ".join(differ) or "all the same", "each the same", not differ, "ours beside: " + " ".join(more))


def row_syscalls(bench):
    """system calls a sample in the steady state, by strace"""
    if subprocess.run(["sh", "-c", "command -v strace"], capture_output=True).returncode != 0:
        raise RuntimeError("strace is not installed")

    def calls(command, seconds, cut):
        with tempfile.NamedTemporaryFile("r") as table:
            process = subprocess.Popen(["strace", "-f", "-c", "-o", table.name, *command],
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                       preexec_fn=bench_peers._child(1), start_new_session=True)
            if cut:
                time.sleep(seconds)
                os.killpg(process.pid, 2)
            text = re.sub("\x1b\\[[0-9;]*m", "", process.communicate()[0].decode(errors="replace"))
            counts = {}
            for line in table:
                fields = line.split()
                if len(fields) >= 5 and fields[3].isdigit() and fields[-1] != "total":
                    counts[fields[-1]] = int(fields[3])
            return counts, text

    def each(tool, program, hz, threads):
        results = []
        if tool.name == "py-spy":
            hz = min(hz, 100)  # strace makes it slow, and a sample has as many at any rate
        for seconds in (4, 6) if tool is bench.basilisk else (1, 2):  # it watches code while that is young
            with tempfile.TemporaryDirectory() as folder:
                cut = not tool.own_end and hz > 2000
                counts, text = calls(tool.command(program.pid, hz, 3600 if cut else seconds, folder + "/out"), seconds,
                                     cut)
                results.append((counts, tool.figures(text, hz, seconds, threads)[0]))
        samples = max(1, results[1][1] - results[0][1])
        differ = {name: (number - results[0][0].get(name, 0)) / samples for name, number in results[1][0].items()}
        return sum(differ.values()), ", ".join("%s %.2f" % item for item in sorted(differ.items(), key=lambda i: -i[1])
                                               if item[1] >= 0.05)

    for hz in (1000, 1000000):
        for letter in ("a",) if bench.quick else ("a", "c"):
            with bench.start(letter) as program:
                beside = []
                for tool in peers_of(bench, bench.main):
                    if tool.name == "py-spy" and letter == "c":
                        continue  # it counts stacks, not looks
                    beside.append("%s %.1f" % (tool.name, each(tool, program, hz, THREADS.get(letter, 1))[0]))
                figure, detail = each(bench.basilisk, program, hz, 1) if bench.basilisk else (float("nan"), "no record")
            yield ("system calls a sample at %s, %s" % ("1 kHz" if hz == 1000 else "the highest rate",
                                                        bench.programs[letter][0]),
                   "%.2f: %s" % (figure, detail), "1 and a clock", figure <= 2.1, "; ".join(beside))


ROWS = {name[4:]: row for name, row in list(globals().items()) if name.startswith("row_")}
