#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks who includes whom against the table below, and prints the graph that there is.

The table is docs/architecture.md, "rooms". An edge that is not in it is a fault.
"""
import os
import re
import sys

from sources import ROOT, walk

# layer: (folder, layers it may know). "public" is include/snaprpc. The longest folder wins.
LAYERS = {
    "public": ("include/snaprpc", {"public"}),
    "base": ("base", set()),
    "rpc": ("rpc", {"base", "public"}),
    "transport": ("transport", {"rpc", "base", "public"}),
    "tcp": ("transport/tcp", {"transport", "rpc", "base", "public"}),
    "pony_abi": ("transport/pony/abi", {"base"}),
    "pony_port": ("transport/pony/port", {"pony_abi", "transport", "rpc", "base", "public"}),
    "pony_protocol": ("transport/pony/protocol", {"pony_abi", "base"}),
    "snapd": ("snapd", {"pony_protocol", "pony_abi", "base"}),
    "client": ("client", {"rpc", "transport", "base", "public"}),
    "server": ("server", {"rpc", "transport", "base", "public"}),
    "codegen": ("codegen", {"base", "public"}),
    "examples": ("examples", {"public"}),
}
# Rooms that may know everybody.
FREE = ("cli", "lib", "tests", "fuzz", "benchmarks")
# Single files that may know more than their layer. The list of transports names them all; the loop
# drives transports, through their interface only.
MORE = {
    "transport/transport.c": {"tcp", "pony_port"},
    "rpc/loop.h": {"transport"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<(snaprpc/[^>]+)>)')
UTHASH = re.compile(r'^\s*#\s*include\s+<uthash\.h>')
GENERATED = (".pb-c.h", ".snap.h", ".snapi.h")


def layer_of(path):
    best = None
    for name, (folder, _) in LAYERS.items():
        if path.startswith(folder + "/") and (best is None or len(folder) > len(LAYERS[best][0])):
            best = name
    return best


def is_free(path):
    return path.split("/")[0] in FREE


def target_of(path, quoted, angled):
    """Path below the root that an include means; None when it is nobody's."""
    if angled:
        return "include/" + angled
    # An example is an application: its own headers lie beside it.
    is_example = layer_of(path) == "examples"
    folders = ["", "include"] + ([os.path.dirname(path)] if is_example else [])
    for folder in folders:
        if os.path.exists(os.path.join(ROOT, folder, quoted)):
            return os.path.join(folder, quoted)
    # Generated headers are in the build folder under the path of their source.
    if quoted.endswith(GENERATED):
        return quoted if layer_of(quoted) else os.path.join(os.path.dirname(path), quoted)
    return None


def check_file(path, edges, faults):
    layer = layer_of(path)
    allowed = None if layer is None else LAYERS[layer][1] | {layer} | MORE.get(path, set())
    with open(os.path.join(ROOT, path), encoding="utf-8") as source:
        for number, line in enumerate(source, 1):
            where = f"{path}:{number}"
            if UTHASH.match(line) and path != "base/table.h":
                faults.append(f"{where}: include base/table.h, which seeds the hash and never exits")
            match = INCLUDE.match(line)
            if not match:
                continue
            target = target_of(path, *match.groups())
            if target is None:
                faults.append(f"{where}: \"{match.group(1)}\" is not a path from the root")
                continue
            known = layer_of(target)
            if layer is None or is_free(path):
                continue
            if known is None:
                faults.append(f"{where}: {layer} may not know {target}")
                continue
            if known != layer:
                edges.setdefault(layer, set()).add(known)
            if known not in allowed:
                faults.append(f"{where}: {layer} may not know {known} ({target})")


def main():
    edges, faults = {}, []
    for path in walk():
        if layer_of(path) is None and not is_free(path):
            faults.append(f"{path}: belongs to no layer; name it in tools/check_layers.py")
        check_file(path, edges, faults)
    for layer in LAYERS:
        print(f"{layer:14} -> {' '.join(sorted(edges.get(layer, []))) or '-'}")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
