#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that every numbered requirement is cited in code and in a test, and that every number that is
cited exists.

A requirement is defined as "* **PX-12** ..." in one of the documents below, and cited by its number in a
comment: "PX-12", "PX-12, PX-13". A range ("PX-12..PX-15", as in the Source line of a header) says where
to read; it does not count as a citation of each number in it.

usage: check_requirements.py [--list]    --list prints who cites what
"""
import re
import sys

from sources import ROOMS, ROOT, walk

DOCUMENTS = {
    "PX": "docs/protocol.md",
    "PR": "docs/protocol-rpc.md",
    "KT": "docs/protocol-tcp.md",
}
CODE = ("base", "rpc", "transport", "client", "server", "snapd", "lib")
TESTS = ("tests", "fuzz")

# Sections that are written after their code: until the first of these numbers is defined, citing one is
# no fault; from then on they are like all others.
TO_COME = (("PX", 201, 240),)

DEFINITION = re.compile(r"^\* \*\*(PX|PR|KT)-(\d+)\*\* ", re.MULTILINE)
RANGE = re.compile(r"\b(PX|PR|KT)-(\d+) *(?:\.\.\.?|to) *(?:(?:PX|PR|KT)-)?(\d+)")
NUMBER = re.compile(r"\b(PX|PR|KT)-(\d+)\b")


def read(path):
    with open(f"{ROOT}/{path}", encoding="utf-8", errors="replace") as file:
        return file.read()


def definitions():
    """{(prefix, number)} of all documents, and what is wrong with them."""
    defined, problems = set(), []
    for prefix, path in DOCUMENTS.items():
        for match in DEFINITION.finditer(read(path)):
            key = (match.group(1), int(match.group(2)))
            if key[0] != prefix:
                problems.append(f"{path}: {name(key)} belongs into {DOCUMENTS[key[0]]}")
            if key in defined:
                problems.append(f"{path}: {name(key)} is defined twice")
            defined.add(key)
    return defined, problems


def name(key):
    return f"{key[0]}-{key[1]}"


def citations(text):
    """(key, line, is_range) of each number in a text."""
    found = []
    for match in RANGE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        for number in range(int(match.group(2)), int(match.group(3)) + 1):
            found.append(((match.group(1), number), line, True))
    for match in NUMBER.finditer(RANGE.sub(lambda m: " " * len(m.group(0)), text)):
        line = text.count("\n", 0, match.start()) + 1
        found.append(((match.group(1), int(match.group(2))), line, False))
    return found


def is_to_come(key, defined):
    for prefix, first, last in TO_COME:
        if key[0] == prefix and first <= key[1] <= last:
            return not any((prefix, n) in defined for n in range(first, last + 1))
    return False


def kind_of(path):
    room = path.split("/")[0]
    if room in TESTS:
        return "test"
    return "code" if room in CODE else None


def collect(defined):
    """{key: {"code": [...], "test": [...]}}, and citations of what does not exist."""
    cited = {key: {"code": [], "test": []} for key in defined}
    problems = []
    for path in walk(ROOMS + ["docs", "packaging"], (".c", ".h", ".md", ".lua", ".proto")):
        kind = kind_of(path)
        for key, line, is_range in citations(read(path)):
            if key not in defined:
                # The ends of a range must exist; numbers inside it may be left out.
                if not is_range and not is_to_come(key, defined):
                    problems.append(f"{path}:{line}: {name(key)} is not defined in "
                                    f"{DOCUMENTS[key[0]]}")
            elif kind is not None and path.endswith((".c", ".h")) and not is_range:
                cited[key][kind].append(f"{path}:{line}")
    return cited, problems


def main():
    defined, problems = definitions()
    cited, unknown = collect(defined)
    problems += unknown
    for key in sorted(defined):
        if "--list" in sys.argv:
            print(f"{name(key)}\n  code {' '.join(cited[key]['code']) or '-'}"
                  f"\n  test {' '.join(cited[key]['test']) or '-'}")
        for kind, what in (("code", "no code cites it"), ("test", "no test cites it")):
            if not cited[key][kind]:
                problems.append(f"{DOCUMENTS[key[0]]}: {name(key)}: {what}")
    if not defined:
        problems.append("no requirement is defined at all")
    for problem in problems:
        print(problem)
    print(f"{len(defined)} requirements, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
