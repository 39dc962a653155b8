#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmark: ours and the peers, side by side on this machine, interleaved over several rounds.

Writes results.json, runs.json (what every single run found) and plots to --out, and a table to the
terminal. docs/benchmarks.md says how each number is made. Starts everything it measures, and ends it.
"""
import argparse
import dataclasses
import json
import os
import signal
import sys
import time

from harness import plan, plots, results, show, systems
from harness.hosts import Failed, Interrupt, World, remove_stale_hosts

INTERRUPTED = 130  # exit status, as a shell's after Ctrl-C
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def names(text, known, what):
    wanted = tuple(text.split(",")) if text else known
    for name in wanted:
        if name not in known:
            sys.exit(f"bench: there is no {what} \"{name}\"; there are: {', '.join(known)}")
    return wanted


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("mode", nargs="?", default="full", choices=sorted(plan.MODES))
    parser.add_argument("--build", default=os.path.join(ROOT, "build/release"), metavar="DIR")
    parser.add_argument("--out", default=os.path.join(ROOT, "build/bench"), metavar="DIR")
    parser.add_argument("--only", metavar="TEST,...", help="these tests: " + ", ".join(plan.TESTS))
    parser.add_argument("--setups", metavar="SETUP,...", help="same-host, two-host")
    parser.add_argument("--systems", metavar="NAME,...", help=", ".join(plan.all_systems()))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each run")
    parser.add_argument("--connections", type=int, help="of idle_cpu and memory")
    parser.add_argument("--budget", type=float, metavar="S", help="start no further round after this long")
    parser.add_argument("--cpu", choices=results.CPU_BY, default="larger",
                        help="larger: of the machine's busy time and the processes' own; "
                             "processes: only their own, for a machine that others use too")
    parser.add_argument("--from", dest="runs", metavar="FILE", help="no runs: those of a runs.json")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/benchmarks.md")
    return parser.parse_args()


class Progress:
    """One line on a terminal that is written over, else one line for each run."""

    def __init__(self, total):
        self.total, self.done, self.begin = total, 0, time.monotonic()

    def say(self, what, found=""):
        gone = time.monotonic() - self.begin
        left = gone / self.done * (self.total - self.done) if self.done else 0
        line = f"[{self.done}/{self.total}, {left / 60:.1f} min left] {what} {found}"
        if sys.stderr.isatty():
            print("\r\033[K" + line[:150], end="", file=sys.stderr, flush=True)
        elif found:
            print(line, file=sys.stderr, flush=True)

    def end(self):
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def found_text(raw):
    if isinstance(raw, str):
        return "FAILED: " + raw
    p50 = f", p50 {raw['rtt_p50_us']:.1f} us" if raw.get("rtt_p50_us") else ""
    return f"{raw['value']:,.3f} {raw['unit']}{p50}"


def one(world, build, variant, system, timing):
    if isinstance(world, str):
        return world
    try:
        return systems.run(world, build, variant, system, timing)
    except (Failed, OSError, ValueError, KeyError) as failure:
        world.end_all()
        return str(failure) or type(failure).__name__


def runs_in(world, number, variants, build, timing, progress):
    """Yields each run as it ends. `world`: a World, or why there is none."""
    for variant in variants:
        for system in variant.systems:
            what = f"round {number} {variant.setup} {variant.label()} {system}:"
            progress.say(what)
            Interrupt.check()
            raw = one(world, build, variant, system, timing)
            progress.done += 1
            progress.say(what, found_text(raw))
            yield number, variant, system, raw


def round_of(number, chosen, build, timing, progress, runs):
    """Every system once in every variant, one system after the other: interleaved."""
    for setup, mtu in dict.fromkeys((v.setup, v.mtu) for v in chosen):
        variants = [v for v in chosen if (v.setup, v.mtu) == (setup, mtu)]
        world = World(setup, mtu)
        try:
            with world:
                for run in runs_in(world, number, variants, build, timing, progress):
                    runs.append(run)
        except Failed as failure:  # of making the hosts; a run's own is its result
            runs.extend(runs_in(str(failure), number, variants, build, timing, progress))


def measure(arguments, mode, chosen, about):
    """Runs it, and keeps what was found after each round. about["interrupted"] says where it was, if it was."""
    build = systems.Build(arguments.build)
    absent = {s: build.why_not(s) for s in plan.all_systems() if build.why_not(s)}
    if "tcp" in absent:
        sys.exit(f"bench: {arguments.build}/bench/snaprpc-perf is missing: run make bench")
    for system, why in absent.items():
        print(f"bench: {system} is left out: {why}", file=sys.stderr)
    chosen = [dataclasses.replace(v, systems=tuple(s for s in v.systems if s not in absent))
              for v in chosen]
    rounds = arguments.rounds or mode["rounds"]
    timing = (arguments.seconds or mode["seconds"], mode["warmup"], mode["settle"])
    progress = Progress(rounds * sum(len(v.systems) for v in chosen))
    runs = []
    number = 1
    remove_stale_hosts()
    try:
        for number in range(1, rounds + 1):
            if number > 1 and arguments.budget and time.monotonic() - progress.begin > arguments.budget:
                print(f"bench: no round {number}: the time is over", file=sys.stderr)
                break
            round_of(number, chosen, build, timing, progress, runs)
            keep(arguments, runs, about)
    except KeyboardInterrupt:
        about["interrupted"] = f"in round {number} of {rounds}, after {len(runs)} of {progress.total} runs"
    progress.end()
    return runs


def load_runs(path):
    with open(path, encoding="utf-8") as source:
        saved = json.load(source)
    runs = []
    for number, variant, system, raw in saved["runs"]:
        variant["systems"] = tuple(variant["systems"])
        runs.append((number, plan.Variant(**variant), system, raw))
    return runs, saved["machine"]


def save(folder, name, document):
    path = os.path.join(folder, name)
    with open(path + ".new", "w", encoding="utf-8") as out:
        json.dump(document, out, indent=1)
        out.write("\n")
    os.replace(path + ".new", path)


def keep(arguments, runs, about):
    """Writes runs.json and results.json; returns what the latter holds."""
    os.makedirs(arguments.out, exist_ok=True)
    save(arguments.out, "runs.json", {"machine": about, "runs": [
        (n, dataclasses.asdict(v), s, r) for n, v, s, r in runs]})
    document = results.build(runs, about, arguments.cpu)
    save(arguments.out, "results.json", document)
    return document


def main():
    arguments = parse()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, Interrupt.ask)
    mode = dict(plan.MODES[arguments.mode])
    mode["many"] = arguments.connections or mode["many"]
    chosen = list(plan.variants(
        mode, names(arguments.only, plan.TESTS, "test"),
        names(arguments.setups, ("same-host", "two-host"), "setup"),
        names(arguments.systems, plan.all_systems(), "system")))
    if arguments.runs:
        runs, about = load_runs(arguments.runs)
    else:
        about = {**results.machine(), "mode": arguments.mode}
        runs = measure(arguments, mode, chosen, about)
    if about.get("interrupted") and not runs:
        sys.exit(f"bench: interrupted {about['interrupted']}; nothing was written")
    document = keep(arguments, runs, about)
    print(show.text(document))
    files, complaint = plots.draw(document, arguments.out)
    print(f"\n{os.path.join(arguments.out, 'results.json')}, {len(files)} plots beside it"
          + (f"; {complaint}" if complaint else ""))
    if about.get("interrupted"):
        print(f"bench: interrupted {about['interrupted']}: these are kept", file=sys.stderr)
        return INTERRUPTED
    if arguments.write_docs:
        show.write_docs(os.path.join(ROOT, "docs/benchmarks.md"), document,
                        "make bench" if about["mode"] == "full" else f"make bench-{about['mode']}")
    faults = results.check(document)
    for fault in faults:
        print(f"bench: {fault}", file=sys.stderr)
    return 1 if faults or not document["results"] else 0


if __name__ == "__main__":
    sys.exit(main())
