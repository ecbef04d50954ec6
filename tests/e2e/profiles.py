"""Reading what a profiled session says and writes."""

import functools
import json
import os
import urllib.parse

import jsonschema

NODE_MODULES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "node_modules")


def merged_heat(events):
    """The heat as an editor has it that applied every event: path -> file."""
    heat = {}
    for event in events:
        for file in event["files"]:
            heat[file["path"]] = file
    return {path: file for path, file in heat.items() if file["lines"] or file["functions"]}


def merged_diagnostics(events):
    found = {}
    for event in events:
        found[event["uri"]] = event["diagnostics"]
    return {uri: items for uri, items in found.items() if items}


def shares(profile):
    """Function name -> percent of its own, of functions in the user's own files."""
    found = {}
    for row in profile["top"]:
        found[row["function"]] = found.get(row["function"], 0) + row["selfPercent"]
    return found


def uri_path(uri):
    return urllib.parse.unquote(urllib.parse.urlsplit(uri).path)


@functools.lru_cache(maxsize=None)
def speedscope_schema():
    with open(os.path.join(NODE_MODULES, "speedscope", "dist", "release", "file-format-schema.json")) as file:
        return json.load(file)


def check_speedscope(path):
    """Valid against speedscope's own schema, and what no schema can say: frames exist, weights fit samples."""
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    jsonschema.validate(document, speedscope_schema())
    frames = len(document["shared"]["frames"])
    assert document["profiles"]
    for profile in document["profiles"]:
        if profile["type"] == "sampled":
            assert len(profile["samples"]) == len(profile["weights"])
            assert all(0 <= index < frames for stack in profile["samples"] for index in stack)
            assert profile["endValue"] >= profile["startValue"]
        else:
            last, depth = profile["startValue"], []
            for event in profile["events"]:
                assert event["at"] >= last and 0 <= event["frame"] < frames
                last = event["at"]
                if event["type"] == "O":
                    depth.append(event["frame"])
                else:
                    assert depth.pop() == event["frame"]
            assert not depth
    return document


@functools.lru_cache(maxsize=None)
def devtools_types():
    with open(os.path.join(NODE_MODULES, "devtools-protocol", "json", "js_protocol.json")) as file:
        domains = json.load(file)["domains"]
    return {"%s.%s" % (domain["domain"], kind["id"]): kind for domain in domains for kind in domain.get("types", [])}


def devtools_schema(kind, domain):
    """A JSON Schema of a type of the DevTools protocol; names without a dot are the domain's own."""
    if "$ref" in kind:
        name = kind["$ref"] if "." in kind["$ref"] else domain + "." + kind["$ref"]
        return devtools_schema(devtools_types()[name], name.partition(".")[0])
    if kind["type"] == "object":
        properties = kind.get("properties", [])
        return {
            "type": "object",
            "properties": {each["name"]: devtools_schema(each, domain) for each in properties},
            "required": [each["name"] for each in properties if not each.get("optional")],
        }
    if kind["type"] == "array":
        return {"type": "array", "items": devtools_schema(kind["items"], domain)}
    if kind["type"] == "any":
        return {}
    return {"type": kind["type"], **({"enum": kind["enum"]} if "enum" in kind else {})}


def check_cpuprofile(path):
    """Valid against DevTools' Profiler.Profile; a tree; deltas that add up; ticks of lines that fit."""
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    jsonschema.validate(document, devtools_schema({"$ref": "Profiler.Profile"}, "Profiler"))
    nodes = {node["id"]: node for node in document["nodes"]}
    assert len(nodes) == len(document["nodes"])
    children = [child for node in nodes.values() for child in node.get("children", [])]
    assert len(children) == len(set(children)) == len(nodes) - 1 and set(children) <= set(nodes)
    samples, deltas = document["samples"], document["timeDeltas"]
    assert len(samples) == len(deltas) and set(samples) <= set(nodes)
    assert all(isinstance(delta, int) and delta >= 0 for delta in deltas)
    assert abs(sum(deltas) - (document["endTime"] - document["startTime"])) <= max(len(deltas), 1000)
    for node in nodes.values():
        url = node["callFrame"]["url"]
        assert url == "" or url.startswith("file:///") or "/" not in url, url
        for tick in node.get("positionTicks", []):
            assert tick["line"] >= 1 and tick["ticks"] >= 1
    return document
