#!/usr/bin/env python3
"""validate.py WRITE_SAMPLES NODE_MODULES: writes the sample profiles and holds each file to the
format's own schema and to what a reader of it takes for granted.

The schemas are the ones that the formats' makers publish: speedscope's JSON schema from its npm
package, and the Chrome DevTools protocol's type definitions, turned into a JSON schema here.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

import formats
import jsonschema


def protocol_schema(protocol, domain, name):
    """Any type of the DevTools protocol as a JSON schema."""
    definitions = {}

    def convert(spec, inside):
        if "$ref" in spec:
            ref = spec["$ref"] if "." in spec["$ref"] else f"{inside}.{spec['$ref']}"
            return {"$ref": f"#/definitions/{ref}"}
        schema = {}
        if spec.get("type") not in (None, "any"):
            schema["type"] = spec["type"]
        if "enum" in spec:
            schema["enum"] = spec["enum"]
        if "items" in spec:
            schema["items"] = convert(spec["items"], inside)
        if spec.get("properties"):
            schema["properties"] = {p["name"]: convert(p, inside) for p in spec["properties"]}
            schema["required"] = [p["name"] for p in spec["properties"] if not p.get("optional")]
        return schema

    for entry in protocol["domains"]:
        for kind in entry.get("types", []):
            definitions[f"{entry['domain']}.{kind['id']}"] = convert(kind, entry["domain"])
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": definitions,
        "$ref": f"#/definitions/{domain}.{name}",
    }


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def own_of(facts, column):
    """What each line used itself; paths that differ in bytes that are no UTF-8 are one."""
    own = {}
    for row in facts["lines"]:
        if row[column]:
            own[row[0], row[1]] = own.get((row[0], row[1]), 0) + row[column]
    return own


def check_speedscope(profile, facts):
    frames = profile["shared"]["frames"]
    written = [t for t in facts["tracks"] if t > 0]
    check(profile["profiles"], "speedscope does not open a file without a profile")
    check(0 <= profile["activeProfileIndex"] < len(profile["profiles"]), "active profile")
    lines = {}
    for i, track in enumerate(profile["profiles"]):
        check(len(track["samples"]) == len(track["weights"]), "a weight for each sample")
        check(sum(track["weights"]) == (written[i] if written else 0), "weights are CPU time")
        check(track["endValue"] - track["startValue"] == sum(track["weights"]), "range")
        check(all(track["weights"]), "runs without weight are left out")
        check(track["unit"] == "nanoseconds", "unit")
        check(
            all(a != b for a, b in zip(track["samples"], track["samples"][1:])),
            "equal neighbours are one",
        )
        for stack, weight in zip(track["samples"], track["weights"]):
            check(all(0 <= f < len(frames) for f in stack), "frames exist")
            leaf = frames[stack[-1]]
            if "line" in leaf:
                key = leaf["file"], leaf["line"]
                lines[key] = lines.get(key, 0) + weight
    if written:
        busiest = profile["profiles"][profile["activeProfileIndex"]]
        check(sum(busiest["weights"]) == max(written), "the busiest track is shown first")
    check(lines == own_of(facts, 3), "CPU time of each line")
    distinct = {json.dumps(f, sort_keys=True) for f in frames}
    check(len(distinct) == len(frames) or facts["random"], "no frame twice")


def check_cpuprofile(profile, facts):
    nodes = {node["id"]: node for node in profile["nodes"]}
    check(len(nodes) == len(profile["nodes"]), "ids are unique")
    check(len(nodes) <= 50000, "small enough for a viewer")
    check(profile["nodes"][0]["callFrame"]["functionName"] == "(root)", "the root comes first")
    parents, depth = {}, {1: 0}
    for node in profile["nodes"]:
        for child in node.get("children", []):
            check(child not in parents and child in nodes, "each node has one parent")
            parents[child] = node["id"]
            depth[child] = depth[node["id"]] + 1
    check(set(nodes) - set(parents) == {profile["nodes"][0]["id"]}, "all hang on the root")
    check(max(depth.values()) <= 2002, "viewers recurse")
    for node in profile["nodes"]:
        names = [
            (nodes[c]["callFrame"]["functionName"], nodes[c]["callFrame"]["url"],
             nodes[c]["callFrame"]["lineNumber"])
            for c in node.get("children", [])
        ]
        if node["id"] != 1 and not facts["random"]:
            check(len(set(names)) == len(names), "siblings are different functions")
    samples, deltas = profile["samples"], profile["timeDeltas"]
    wall = profile["endTime"] - profile["startTime"]
    check(len(samples) == len(deltas), "a delta for each sample")
    check(all(s in nodes for s in samples), "samples are nodes")
    check(all(isinstance(d, int) and d >= 0 for d in deltas), "time does not go back")
    check(sum(deltas) == wall, "deltas add up to the wall time")
    check(wall == facts["durationNs"] // 1000, "wall time is the recording's")
    check(not deltas or deltas[0] == 0, "the first stretch begins with the recording")
    inner = samples[:-1]
    check(all(a != b for a, b in zip(inner, inner[1:])), "equal neighbours are one")
    check(sum(n["hitCount"] for n in nodes.values()) == facts["samples"], "hits are samples")
    ticks = {}
    for node in nodes.values():
        own = [t["line"] for t in node.get("positionTicks", [])]
        check(own == sorted(set(own)), "a node's ticks are by line")
        for tick in node.get("positionTicks", []):
            url = node["callFrame"]["url"]
            path = urllib.parse.unquote(url[7:], errors="replace")
            key = path if url.startswith("file://") else url, tick["line"]
            ticks[key] = ticks.get(key, 0) + tick["ticks"]
    check(ticks == own_of(facts, 2), "line ticks")


def check_opens(modules, folder, facts_of):
    """speedscope's own importers open every file, and find the weights that are in it."""
    node = shutil.which("node")
    if not node:
        print("no node: not opened with speedscope itself")
        return
    script = pathlib.Path(__file__).with_name("open_speedscope.js")
    for extension in (".speedscope.json", ".folded", ".chrometrace.json", ".pb.gz"):
        files = [pathlib.Path(folder) / f"{name}{extension}" for name in facts_of]
        if extension in (".folded", ".pb.gz"):  # the importer recurses; these keep deep stacks whole
            files = [f for f in files if not f.name.startswith("deep.")]
        files = [f for f in files if f.stat().st_size < 30 << 20]  # it takes its time
        command = [node, script, modules / "speedscope", *files]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        found = json.loads(answer.stdout)
        for file in files:
            facts = facts_of[file.name.removesuffix(extension)]
            opened = found[file.name]
            if extension == ".speedscope.json":
                written = json.loads(file.read_bytes())["profiles"]
                wanted = [[p["name"], sum(p["weights"])] for p in written]
            elif extension == ".folded":
                wanted = [["", facts["samples"]]] if facts["samples"] else None
            elif extension == ".pb.gz":
                wanted = [["", facts["cpuNs"]]]
            else:
                events = json.loads(file.read_bytes())["traceEvents"]
                rows = {(e["pid"], e["tid"]) for e in events if e["ph"] == "X"}
                opened = len(opened or [])
                wanted = len(rows)
            check(opened == wanted, f"{file.name} opened as {opened}, not {wanted}")
        print(f"speedscope opens all {len(files)} {extension}")


def main():
    writer, modules = sys.argv[1], pathlib.Path(sys.argv[2])
    speedscope = json.loads(
        (modules / "speedscope/dist/release/file-format-schema.json").read_text()
    )
    protocol = json.loads((modules / "devtools-protocol/json/js_protocol.json").read_text())
    kinds = [
        (".speedscope.json", jsonschema.Draft7Validator(speedscope), check_speedscope),
        (
            ".cpuprofile",
            jsonschema.Draft7Validator(protocol_schema(protocol, "Profiler", "Profile")),
            check_cpuprofile,
        ),
    ]
    others = [
        (".svg", formats.check_flamegraph),
        (".folded", formats.check_raw),
        (".chrometrace.json", formats.check_chrometrace),
        (".pb.gz", formats.check_pprof),
    ]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([writer, folder, "40"], check=True)
        facts_of = {}
        for facts_path in sorted(pathlib.Path(folder).glob("*.facts")):
            facts = facts_of[facts_path.stem] = json.loads(facts_path.read_text())
            # names there differ in what no file can say: first lines, bytes that are no UTF-8
            facts["random"] = facts_path.stem.startswith("random")
            try:
                for extension, validator, semantics in kinds:
                    path = facts_path.with_suffix(extension)
                    profile = json.loads(path.read_bytes().decode("utf-8"))
                    if path.stat().st_size < 1 << 20:  # the schema says nothing new about big ones
                        validator.validate(profile)
                    semantics(profile, facts)
                    check(profile["basilisk"]["samples"] == facts["samples"], "says what made it")
                for extension, semantics in others:
                    path = facts_path.with_suffix(extension)
                    semantics(path, facts)
            except AssertionError as reason:
                sys.exit(f"{path.name}: {reason}")
            print(f"{facts_path.stem}: fine")
        check_opens(modules, folder, facts_of)
        files = [(pathlib.Path(folder) / f"{name}.pb.gz", facts_of[name]) for name in facts_of]
        formats.check_with_google(files)


main()
