"""Counts what a test run's JUnit XML holds.

    junit.py FILE                   prints "PASSED FAILED SKIPPED", then a line for each that failed
    junit.py --why FILE...          prints what each failed test said, shortened
    junit.py --from-tap TAP FILE    makes such XML from node's TAP output
"""

import re
import sys
import xml.etree.ElementTree as ET


def count(path):
    passed = failed = skipped = 0
    names = []
    for case in ET.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
            names.append("failed: " + case.get("name", "?"))
        elif case.find("skipped") is not None or case.get("status") in ("disabled", "notrun"):
            skipped += 1
        else:
            passed += 1
    print(passed, failed, skipped)
    print("\n".join(names))


def reasons(case):
    """The lines that tell why: of pytest those marked E, of cmocka each error with what was printed before it."""
    said = [part.text or "" for part in case if part.tag in ("failure", "error", "system-out")]
    lines = [line.rstrip() for line in "\n".join(said).splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith("E  ")]
    if marked:
        return marked[:10]
    kept = []
    for at, line in enumerate(lines):
        if re.match(r"\[ +(ERROR|LINE) +\]|.*(Sanitizer|runtime error):", line):
            kept += [near for near in lines[max(0, at - 3) : at + 2] if near not in kept]
    return (kept or lines[-10:])[:20]


def why(paths):
    for path in paths:
        for case in ET.parse(path).getroot().iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                print("%s:" % case.get("name", "?"))
                print("\n".join("    " + line[:200] for line in reasons(case)))


def from_tap(tap, path):
    suite = ET.Element("testsuite")
    with open(tap, encoding="utf-8") as file:
        for line in file:
            match = re.match(r"\s*(not )?ok \d+ - (.*?)( # (SKIP|TODO).*)?$", line.rstrip())
            # A file that holds tests is reported as one too.
            if match and not match.group(2).endswith(".js"):
                case = ET.SubElement(suite, "testcase", name=match.group(2))
                if match.group(4):
                    ET.SubElement(case, "skipped")
                elif match.group(1):
                    ET.SubElement(case, "failure")
    if not len(suite):
        sys.exit("no test in %s" % tap)
    ET.ElementTree(suite).write(path)


if sys.argv[1] == "--from-tap":
    from_tap(sys.argv[2], sys.argv[3])
elif sys.argv[1] == "--why":
    why(sys.argv[2:])
else:
    count(sys.argv[1])
