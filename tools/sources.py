# SPDX-License-Identifier: Apache-2.0
"""Which files are ours: what the other tools here walk over."""
import os

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOMS = ["include", "base", "rpc", "transport", "client", "server", "snapd", "codegen", "cli",
         "lib", "tests", "fuzz", "examples", "benchmarks"]

# Build output, fuzzers' inputs, and generated code that is kept to be compared with.
SKIPPED = ("build", "corpus", "golden")


def walk(rooms=ROOMS, suffixes=(".c", ".h")):
    """Paths below the root, sorted, of the files in `rooms` that end with one of `suffixes`."""
    found = []
    for room in rooms:
        for folder, subfolders, files in os.walk(os.path.join(ROOT, room)):
            subfolders[:] = sorted(d for d in subfolders if d not in SKIPPED)
            for name in files:
                if name.endswith(suffixes):
                    found.append(os.path.relpath(os.path.join(folder, name), ROOT))
    return sorted(found)
