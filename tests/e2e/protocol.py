"""Holds traffic to the schemas of docs/protocol."""

import functools
import json
import os

import jsonschema

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "protocol")
SUFFIX = ".schema.json"


@functools.lru_cache(maxsize=None)
def names():
    return sorted(name[: -len(SUFFIX)] for name in os.listdir(FOLDER) if name.endswith(SUFFIX))


@functools.lru_cache(maxsize=None)
def schema(name):
    with open(os.path.join(FOLDER, name + SUFFIX), encoding="utf-8") as file:
        return json.load(file)


@functools.lru_cache(maxsize=None)
def validator(name):
    return jsonschema.Draft202012Validator(schema(name))


def problems_of(name, value):
    """What is wrong with the value, as sentences; nothing when it is right."""
    if name not in names():
        return ["there is no schema %s" % name]
    return ["%s: %s at %s" % (name, error.message[:300], error.json_path) for error in validator(name).iter_errors(value)]


def check_traffic(messages):
    """All that is ours in a session's messages, against its schema."""
    problems = []
    for message in messages:
        if message.side != "adapter":
            continue
        body = message.json
        if body.get("type") == "event" and str(body.get("event", "")).startswith("basilisk."):
            problems += problems_of(body["event"] + ".event", body.get("body"))
        elif body.get("type") == "response" and str(body.get("command", "")).startswith("basilisk."):
            if body.get("success"):
                problems += problems_of(body["command"] + ".response", body.get("body"))
            else:
                problems += problems_of("error", body.get("body"))
    return problems
