#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy over every file of the compile database that is ours and not generated.

usage: check_tidy.py BUILD_DIR [JOBS [PATH...]]

A file that was clean is not looked at again until its preprocessed text, its flags or the checks
change; BUILD_DIR/tidy-cache keeps one empty file per clean result.
"""
import concurrent.futures
import hashlib
import json
import os
import shlex
import subprocess
import sys

from sources import ROOMS, ROOT

# Generated headers lie in the build folder, which may be below the root.
HEADERS = f"^{ROOT}/({'|'.join(ROOMS)})/"


def config_bytes(path):
    """All .clang-tidy files that apply to `path`."""
    found, folder = b"", os.path.dirname(path)
    while folder.startswith(ROOT):
        name = os.path.join(folder, ".clang-tidy")
        if os.path.exists(name):
            with open(name, "rb") as config:
                found += config.read()
        folder = os.path.dirname(folder)
    return found


def key_of(entry):
    args = shlex.split(entry["command"])
    args = [a for i, a in enumerate(args) if a != "-c" and a != "-o" and args[i - 1] != "-o"]
    # -C keeps comments: NOLINT lives there.
    text = subprocess.run([*args, "-E", "-C"], cwd=entry["directory"], capture_output=True, check=False)
    if text.returncode != 0:
        return None
    return hashlib.sha256(text.stdout + entry["command"].encode() + config_bytes(entry["file"])).hexdigest()


def check(entry, build, cache):
    """(is clean, what to print) for one file."""
    key = key_of(entry)
    clean = os.path.join(cache, key) if key else None
    if clean and os.path.exists(clean):
        return True, ""
    run = subprocess.run(["clang-tidy", "-quiet", "-p", build, f"-header-filter={HEADERS}",
                          "-extra-arg=-Wno-unknown-warning-option", entry["file"]],
                         capture_output=True, text=True, check=False)
    if run.returncode == 0:
        if clean:
            open(clean, "w", encoding="utf-8").close()
        return True, ""
    return False, run.stdout + run.stderr


def main():
    build = os.path.abspath(sys.argv[1])
    jobs = int(sys.argv[2]) if len(sys.argv) > 2 else os.cpu_count()
    wanted = tuple(os.path.join(ROOT, path) for path in sys.argv[3:]) or (ROOT + "/",)
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as database:
        entries = json.load(database)
    entries = [e for e in entries if e["file"].startswith(wanted)
               and not e["file"].startswith((build, os.path.join(ROOT, "build")))]
    # A file that is compiled for several targets is checked once.
    entries = list({e["file"]: e for e in entries}.values())
    if not entries:
        print("check_tidy: the compile database has no source of ours", file=sys.stderr)
        return 1
    cache = os.path.join(build, "tidy-cache")
    os.makedirs(cache, exist_ok=True)
    n_bad = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for is_clean, output in pool.map(lambda e: check(e, build, cache), entries):
            if not is_clean:
                n_bad += 1
                print(output)
    print(f"clang-tidy: {len(entries)} files, {n_bad} with findings")
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
