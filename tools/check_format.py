#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails when clang-format would change a file. With --fix it changes them."""
import os
import subprocess
import sys

from sources import ROOT, walk


def main():
    files = [os.path.join(ROOT, path) for path in walk()]
    if not files:
        print("check_format: found no sources", file=sys.stderr)
        return 1
    mode = ["-i"] if "--fix" in sys.argv else ["--dry-run", "--Werror"]
    return subprocess.run(["clang-format", "--style=file", *mode, *files], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
