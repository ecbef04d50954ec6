"""A debug adapter for tests: answers every request at once, with what it was asked as the body.

    fake_adapter.py [--stderr TEXT] [--exit CODE] [--silent]

--exit dies at once with the code (after TEXT on stderr); --silent reads and never answers.

Requests with a meaning of their own:

    flood   {"events": N}      N `output` events, numbered, before the answer
    big     {"bytes": N}       one `output` event of N bytes before the answer
    bytes   {"base64": "..."}  these bytes as they are, instead of an answer
    dribble                    the answer byte by byte
    die     {"code": N}        ends at once, without an answer
    hold                       no answer
    ask     {"command": "c", "arguments": {}}   a reverse request; its response is the body of the answer
    event   {"event": "e", "body": {}}          that event, then the answer
    disconnect                 the answer, then it ends
"""

import argparse
import base64
import json
import os
import sys

out = os.fdopen(1, "wb", 1 << 20)
state = {"seq": 0}


def read_message(source):
    length = None
    while True:
        line = source.readline()
        if not line:
            return None
        if line == b"\r\n":
            break
        name, _, value = line.partition(b":")
        if name == b"Content-Length":
            length = int(value)
    return json.loads(source.read(length))


def encode(message):
    state["seq"] += 1
    body = json.dumps(dict({"seq": state["seq"]}, **message), ensure_ascii=False).encode("utf-8", "surrogatepass")
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def send(message):
    out.write(encode(message))
    out.flush()


def event(name, body):
    return {"type": "event", "event": name, "body": body}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--stderr", default="")
    parser.add_argument("--exit", type=int)
    parser.add_argument("--silent", action="store_true")
    options = parser.parse_args()
    if options.stderr:
        print(options.stderr, file=sys.stderr, flush=True)
    if options.exit is not None:
        sys.exit(options.exit)
    source = os.fdopen(0, "rb", 1 << 20)
    asked = {}
    while True:
        message = read_message(source)
        if message is None:
            return
        if options.silent:
            continue
        if message.get("type") == "response":
            request = asked.pop(message.get("request_seq"), None)
            if request:
                send({"type": "response", "request_seq": request["seq"], "success": True,
                      "command": request["command"], "body": message})
            continue
        command, arguments = message["command"], message.get("arguments") or {}
        answer = {"type": "response", "request_seq": message["seq"], "success": True, "command": command,
                  "body": {"arguments": arguments, "adapter": os.getpid()}}
        if command == "flood":
            for number in range(arguments["events"]):
                out.write(encode(event("output", {"category": "stdout", "output": "line %d\n" % number})))
        elif command == "big":
            send(event("output", {"category": "stdout", "output": "x" * arguments["bytes"]}))
        elif command == "bytes":
            out.write(base64.b64decode(arguments["base64"]))
            out.flush()
            continue
        elif command == "dribble":
            for byte in encode(answer):
                os.write(1, bytes([byte]))
            continue
        elif command == "die":
            os._exit(arguments.get("code", 1))
        elif command == "hold":
            continue
        elif command == "ask":
            send({"type": "request", "command": arguments["command"], "arguments": arguments.get("arguments")})
            asked[state["seq"]] = message
            continue
        elif command == "event":
            send(event(arguments["event"], arguments.get("body")))
        send(answer)
        if command == "initialize":
            send(event("initialized", {}))
        elif command == "disconnect":
            return


if __name__ == "__main__":
    main()
