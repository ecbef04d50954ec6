#!/usr/bin/env python3
"""Makes layouts/printable.h: which characters repr() of a str shows as they are, in each version of CPython.

    printable.py PYTHON... > printable.h

Each PYTHON is asked itself (str.isprintable), since each minor version has a Unicode database of its own; a version that
is not named counts as the one before it. The result is checked in: a machine that builds Basilisk has not all these.
"""
import subprocess
import sys

OLDEST, NEWEST = 8, 15
ASK = "import sys; sys.stdout.write('%d ' % sys.version_info[1] + ''.join('01'[chr(i).isprintable()] for i in range(0x110000)))"


def main():
    answers = {}
    for python in sys.argv[1:]:
        minor, bits = subprocess.check_output([python, "-S", "-c", ASK], text=True).split()
        answers[int(minor)] = bits
    if OLDEST not in answers:
        sys.exit(__doc__)
    versions = []
    for minor in range(OLDEST, NEWEST + 1):
        versions.append(answers.get(minor, versions[-1] if versions else None))
    print("/* Made by layouts/printable.py from str.isprintable() of these; do not edit.\n * 3.%s */" % ", 3.".join(
        str(minor) for minor in sorted(answers)))
    print("/* clang-format off */\n")
    print("/* From `first` up to the next row: bit n of `minors` is set where 3.(n + %d) shows the character. */" % OLDEST)
    print("static const struct { uint32_t first : 24, minors : 8; } printable[] = {")
    row, last = [], None
    for code in range(0x110000):
        minors = sum((bits[code] == "1") << n for n, bits in enumerate(versions))
        if minors != last:
            row.append("{ 0x%x, 0x%x }," % (code, minors))
            last = minors
        if len(row) == 6:
            print("    " + " ".join(row))
            row = []
    if row:
        print("    " + " ".join(row))
    print("};")


if __name__ == "__main__":
    main()
