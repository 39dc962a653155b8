#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every folder with sources has a README.md of at most 40 lines; so has each of tests and fuzz,
for all that is below them. Public headers are described in docs/."""
import os
import sys

from sources import ROOMS, ROOT, walk

MAX_LINES = 40
ONE_FOR_ALL = ("tests", "fuzz", "examples", "benchmarks")


def main():
    folders = set()
    for path in walk([room for room in ROOMS if room != "include"], (".c", ".h", ".proto")):
        room = path.split("/")[0]
        folders.add(room if room in ONE_FOR_ALL else os.path.dirname(path))
    faults = []
    for folder in sorted(folders):
        readme = os.path.join(folder, "README.md")
        if not os.path.exists(os.path.join(ROOT, readme)):
            faults.append(f"{readme}: missing: purpose, main types, threads, what to read first")
    for readme in walk(ROOMS, ("README.md",)):
        with open(os.path.join(ROOT, readme), encoding="utf-8") as text:
            n = len(text.readlines())
        if n > MAX_LINES:
            faults.append(f"{readme}: {n} lines, at most {MAX_LINES}")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
