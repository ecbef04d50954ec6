"""What a reader of each format that is no JSON of a known schema takes for granted: flame graphs,
raw stacks, traces and pprof files, read with parsers that no one here wrote and held to the facts
of the profile that they were written from."""

import gzip
import json
import os
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree

SVG = "{http://www.w3.org/2000/svg}"
BOX = re.compile(
    r"^(?P<label>.*)\n(?P<samples>\d+) samples?, (?P<percent>[\d.]+) %"
    r"(?:, (?P<seconds>[\d.]+) s of (?:CPU|wall|GIL) time)?"
    r"(?:; own: (?P<own>\d+) samples?(?:, (?P<own_seconds>[\d.]+) s)?)?"
    r"(?:\nwaited for the GIL: [\d.]+ s)?(?:\nasleep: [\d.]+ s)?$"
)


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def check_flamegraph(path, facts):
    root = xml.etree.ElementTree.fromstring(path.read_bytes())  # as strict as XML 1.0 is
    scripts = 0
    for element in root.iter():
        scripts += element.tag == SVG + "script"
        check(element.tag.startswith(SVG), f"an element of another kind: {element.tag}")
        for name, value in element.attrib.items():
            check(not name.startswith("on"), "no handlers in attributes")
            check(name != "style" and "href" not in name, f"no {name} in attributes")
            check("url(" not in value and "//" not in value, "nothing from elsewhere")
    check(scripts == 1, "one script")
    style = root.find(SVG + "style").text
    check("url(" not in style and "@import" not in style, "nothing from elsewhere in the style")
    width, height = float(root.get("width")), float(root.get("height"))
    check(root.get("viewBox") == f"0 0 {width:.0f} {height:.0f}", "a picture without scripts")
    check(height < 5000, "a page of a size that can be scrolled")

    boxes = []
    plot = next(g for g in root.iter(SVG + "g") if g.get("class") == "plot")
    for group in plot:
        match = BOX.match(group.find(SVG + "title").text)
        check(match, f"a title that says what it weighs: {group.find(SVG + 'title').text!r}")
        rect, text = group.find(SVG + "rect"), group.find(SVG + "text")
        x, w = float(rect.get("x")), float(rect.get("width"))
        level = float(rect.get("y")) / 17
        check(level == int(level) and rect.get("height") == "16", "boxes lie in rows")
        check(x >= 10 and x + w <= 1190.001, "boxes lie on the page")
        check(w >= 0.0999 or not facts["samples"], "a box can be seen")
        if text is not None:
            cut = (text.text or "").removesuffix("…")
            check(match["label"].startswith(cut), "the text is the label")
            check(cut == match["label"] or (text.text or "").endswith("…"), "cut text says so")
            check(len(text.text or "") * 7.22 <= w, "the text fits")
        boxes.append((int(level), x, w, match))
    check(len(boxes) <= 31000, "few enough for a browser")
    check(boxes[0][0] == 0 and [b[0] for b in boxes].count(0) == 1, "one box holds all")
    check(int(boxes[0][3]["samples"]) == facts["samples"], "all samples are in it")
    if boxes[0][3]["seconds"]:
        error = abs(float(boxes[0][3]["seconds"]) - facts["cpuNs"] / 1e9)
        check(error < 1e-3, "all time is in it")
    above, row = [], []
    for i, (level, x, w, match) in enumerate(boxes):
        if i and level != boxes[i - 1][0]:
            check(level == boxes[i - 1][0] + 1, "levels follow each other")
            above, row = row, []
        if level:
            parents = [p for p in above if p[0] - 1e-3 <= x and x + w <= p[0] + p[1] + 1e-3]
            check(len(parents) == 1, f"{match['label']!r} stands on one box")
            check(int(match["samples"]) <= parents[0][2], "no more samples than below")
        check(not row or x >= row[-1][0] + row[-1][1] - 1e-3, "boxes do not overlap")
        row.append((x, w, int(match["samples"])))
    own = sum(int(b[3]["own"] or 0) for b in boxes)
    check(own <= facts["samples"], "samples are counted once")


def check_raw(path, facts):
    total, stacks = 0, set()
    for line in path.read_bytes().decode("utf-8").split("\n")[:-1]:
        check(all(c >= " " and c != "\x7f" for c in line), "no control characters")
        stack, count = line.rsplit(" ", 1)
        check(int(count) > 0, "stacks without samples are left out")
        check(stack, "a stack has a frame")
        stacks.add(stack)
        total += int(count)
    check(total == facts["samples"], f"{total} samples, not {facts['samples']}")


def check_chrometrace(path, facts):
    trace = json.loads(path.read_bytes().decode("utf-8"))
    check(trace["basilisk"]["samples"] == facts["samples"], "says what made it")
    rows, named = {}, set()
    for event in trace["traceEvents"]:
        key = event["pid"], event["tid"]
        if event["ph"] == "M":
            if event["name"] == "thread_name":
                check(key not in named, "a row has one name")
                named.add(key)
            continue
        check(event["ph"] == "X" and isinstance(event["name"], str), "complete events")
        check(event["ts"] >= 0 and event["dur"] >= 0, "time does not go back")
        check(isinstance(event["ts"], int), "whole microseconds")
        check(event.get("args", {}).get("line", 1) > 0, "lines begin with 1")
        rows.setdefault(key, []).append((event["ts"], -event["dur"]))
    check(set(rows) <= named, "every row has a name")
    end_us = max([facts["durationNs"], facts["windowNs"]]) // 1000
    for events in rows.values():
        open_until = []
        for ts, minus_dur in sorted(events):
            end = ts - minus_dur
            while open_until and open_until[-1] <= ts and end > open_until[-1]:
                open_until.pop()
            check(not open_until or end <= open_until[-1], "events nest")
            open_until.append(end)
            check(end <= end_us or facts["windowNs"], "nothing after the end")
        check(len(events) <= 1000000, "few enough for a viewer")


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def read_message(data):
    """(field, value) of a message: numbers, and bytes where a field is length-delimited."""
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == 0:
            value, at = read_varint(data, at)
        else:
            check(key & 7 == 2, "profile.proto has numbers and bytes alone")
            size, at = read_varint(data, at)
            check(at + size <= len(data), "a field ends inside its message")
            value, at = data[at : at + size], at + size
        yield key >> 3, value


def packed(data):
    at, values = 0, []
    while at < len(data):
        value, at = read_varint(data, at)
        values.append(value)
    return values


def check_pprof(path, facts):
    fields = {}
    for field, value in read_message(gzip.decompress(path.read_bytes())):
        fields.setdefault(field, []).append(value)
    strings = [s.decode("utf-8") for s in fields[6]]
    check(strings[0] == "", "the first string is empty")
    types = [dict(read_message(t)) for t in fields[1]]
    clock = ["cpu", "wall", "gil"][facts["clock"]]
    check([strings[types[0][1]], strings[types[0][2]]] == ["samples", "count"], "samples first")
    check([strings[types[1][1]], strings[types[1][2]]] == [clock, "nanoseconds"], "then time")
    check(strings[fields[14][0]] == clock, "time is what is shown first")
    if facts["rateHz"]:
        check(fields[12][0] == round(1e9 / facts["rateHz"]), "period")
    check(fields.get(10, [0])[0] == facts["durationNs"], "duration")
    functions = {}
    for function in map(dict, map(read_message, fields[5])):
        functions[function[1]] = strings[function.get(2, 0)], strings[function.get(4, 0)]
        check(3 not in function, "a system_name would be taken for C++")
    check(len(functions) == len(fields[5]), "function ids are unique")
    locations = {}
    for location in map(dict, map(read_message, fields.get(4, []))):
        line = dict(read_message(location[4]))
        locations[location[1]] = functions[line[1]][1], line.get(2, 0)
        check(2 in line or 3 not in line, "a column only where there is a line")
        check(location[2] == 1, "all are of the one mapping")
    samples = ns = 0
    lines = {}
    for sample in fields.get(2, []):
        parts, labels = {}, {}
        for field, value in read_message(sample):
            if field == 3:
                label = dict(read_message(value))
                labels[strings[label[1]]] = strings[label[2]] if 2 in label else label.get(3, 0)
            else:
                parts[field] = packed(value)
        check(set(labels) >= {"pid", "tid"} and labels["pid"] > 0, "labels name the thread")
        check(len(parts[2]) == len(types), "a value of each type")
        check(parts[1] and all(i in locations for i in parts[1]), "locations exist")
        samples += parts[2][0]
        ns += parts[2][1]
        leaf = locations[parts[1][0]]
        lines[leaf] = lines.get(leaf, 0) + parts[2][1]
    check(samples == facts["samples"], f"{samples} samples, not {facts['samples']}")
    check(ns == facts["cpuNs"], f"{ns} ns, not {facts['cpuNs']}")
    for file, line, _, wanted in facts["lines"]:
        if file.isprintable() and "�" not in file:  # others are written otherwise here
            check(lines.get((file, line), 0) == wanted, f"{file}:{line} has its own time")


PPROF = "github.com/google/pprof@v0.0.0-20260906184651-6331bc6350fe"


def check_with_google(files):
    """Google's own pprof reads every file, and finds the weights that are in it."""
    go = shutil.which("go")
    if not go:
        print("no go: not read with Google's pprof")
        return
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run([go, "install", PPROF], env={**os.environ, "GOBIN": folder},
                              stderr=subprocess.PIPE, text=True, timeout=600)
        if made.returncode:
            print(f"go cannot fetch pprof: {made.stderr.strip().splitlines()[-1]}")
            return
        for path, facts in files:
            command = [folder + "/pprof", "-raw", "-symbolize=none", str(path)]
            answer = subprocess.run(command, capture_output=True, text=True)
            check(answer.returncode == 0, f"pprof on {path.name}: {answer.stderr}")
            body = answer.stdout[answer.stdout.index("\nSamples:\n") :]
            body = body[: body.index("\nLocations\n")]
            rows = re.findall(r"^ *(\d+) +(\d+)[\d ]*: ", body, re.MULTILINE)
            samples, ns = (sum(int(row[i]) for row in rows) for i in (0, 1))
            check(samples == facts["samples"], f"{path.name}: pprof finds {samples} samples")
            check(ns == facts["cpuNs"], f"{path.name}: pprof finds {ns} ns")
    print(f"Google's pprof reads all {len(files)}")
