#!/usr/bin/env python3
"""Makes seeds of the fuzz targets from session logs: seeds.py LOG... (writes below corpus/)."""

import hashlib
import json
import pathlib
import sys

here = pathlib.Path(__file__).parent / "corpus"


def save(kind, data):
    name = hashlib.sha1(data).hexdigest()[:12]
    (here / kind).mkdir(parents=True, exist_ok=True)
    (here / kind / name).write_bytes(data)


def step(what, data=b""):
    return bytes([what]) + len(data).to_bytes(2, "little") + data


for path in sys.argv[1:]:
    sessions = {}
    for line in open(path):
        record = json.loads(line)
        steps = sessions.setdefault(record.get("session"), [])
        if record["from"] not in ("editor", "adapter") or "message" not in record:
            if record.get("note") == "has ended":
                steps.append(step(12 if record["from"] == "editor" else 13))
            elif record.get("note") == "connected":
                steps.append(step(15 + 16 + 32))
            continue
        body = json.dumps(record["message"]).encode()
        if len(body) < 2000:
            save("scan", body)
            header = b"Content-Length: %d\r\n\r\n" % len(body)
            steps.append(step(record["from"] == "adapter", header + body))
    for steps in sessions.values():
        for options in (13, 1 + 4 + 8 + 16, 0, 4 + 32 + 1):
            for size in (6, 14, len(steps)):
                data = bytes([options]) + b"".join(steps[:size])
                if len(data) < 16000:
                    save("session", data)
