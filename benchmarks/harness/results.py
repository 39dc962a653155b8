# SPDX-License-Identifier: Apache-2.0
"""From raw runs to results.json: medians over rounds, and ratios that are larger when ours is better."""
import os
import platform
import re
import statistics
import subprocess
import time

from . import plan

SCHEMA_VERSION = 1
FIELDS = ("test", "setup", "mtu", "system", "size", "inflight", "streams", "value", "unit", "cores",
          "per_core", "p50_us", "p99_us", "p999_us", "rounds")
# Per test: what is compared, and whether more of it is better.
COMPARED = {
    "rpc_lat": ("p50_us", False), "rpc_rate": ("per_core", True), "rpc_bw": ("per_core", True),
    "open_loop": ("p99_us", False), "connect_rate": ("per_core", True), "idle_cpu": ("value", False),
    "scale": ("value", False), "memory": ("value", False),
}
# Tests whose value is no amount of work done, so that dividing it by cores says nothing.
NOT_PER_CORE = ("idle_cpu", "scale", "memory")
CPU_BY = ("larger", "processes")


def machine(commit=True):
    """What the figures were made on."""
    def line(path, pattern):
        try:
            with open(path, encoding="utf-8") as source:
                found = re.search(pattern, source.read(), re.MULTILINE)
                return found.group(1).strip() if found else ""
        except OSError:
            return ""
    here = os.path.dirname(os.path.abspath(__file__))
    git = subprocess.run(["git", "-C", here, "describe", "--always", "--dirty"], capture_output=True,
                         text=True, check=False).stdout.strip() if commit else ""
    return {"cpu": line("/proc/cpuinfo", r"^model name\s*:\s*(.*)$"), "cpus": os.cpu_count(),
            "kernel": platform.release(), "os": line("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)'),
            "memory_kib": int(line("/proc/meminfo", r"^MemTotal:\s*(\d+)") or 0), "commit": git,
            "load_before": os.getloadavg()[0], "time": time.strftime("%Y-%m-%d %H:%M:%S %z")}


def measure_of(variant, system, raw, cpu_by):
    """One run as an entry of one round."""
    seconds = raw["seconds"]
    own = sum(raw["process_cpu_s"].values())
    cpu_s = max(own, raw["machine_cpu_s"]) if cpu_by == "larger" else own
    cores, value = cpu_s / seconds, raw["value"]
    if variant.test == "scale":
        value = cpu_s * 1e6 / raw["calls"]
    per_core = None if variant.test in NOT_PER_CORE or cores == 0 else value / cores
    return {"test": variant.test, "setup": variant.setup, "mtu": variant.mtu, "system": system,
            "size": variant.size, "inflight": raw.get("in_flight", variant.inflight),
            "streams": variant.streams, "value": value, "unit": raw["unit"], "cores": cores,
            "per_core": per_core, "p50_us": raw.get("rtt_p50_us"), "p99_us": raw.get("rtt_p99_us"),
            "p999_us": raw.get("rtt_p999_us"), "transport": raw["transport"], "lost": raw["lost"],
            "offered": variant.rate or None, "machine_cores": raw["machine_cpu_s"] / seconds,
            "processes": {name: s / seconds for name, s in raw["process_cpu_s"].items()},
            "memory_bytes": raw.get("memory_bytes") or {}}


def median_of(values):
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else None


def entry_of(measures):
    """The median of some rounds."""
    entry = dict(measures[0])
    for field in ("value", "cores", "per_core", "p50_us", "p99_us", "p999_us", "machine_cores", "lost"):
        entry[field] = median_of([m[field] for m in measures])
    for field in ("processes", "memory_bytes"):
        entry[field] = {name: median_of([m[field].get(name) for m in measures])
                        for name in measures[0][field]}
    entry["rounds"] = len(measures)
    return entry


def ratio_of(ours, theirs):
    """How much better ours is, in one round; None: cannot be said."""
    field, more_is_better = COMPARED[ours["test"]]
    mine, other = ours[field], theirs[field]
    if not mine or not other:
        return None
    return mine / other if more_is_better else other / mine


def pairs(systems):
    """Who is compared with whom: Pony with everybody else, our TCP with the peers."""
    for ours in systems:
        base = ours.split("-")[0]
        if base in ("pony", "tcp"):
            for theirs in systems:
                other = theirs.split("-")[0] if theirs.startswith(("pony", "tcp")) else theirs
                if other not in ("pony", base) or (base == other and ours != theirs):
                    yield ours, theirs


def is_headline(variant):
    """Whether the issue's targets are about this variant; the others have the longer keys only."""
    if variant.test == "rpc_lat":
        return variant.size == 64
    if variant.test == "rpc_rate":
        return variant.inflight == 64
    if variant.test == "rpc_bw":
        return variant.mtu != 1500
    return True


def ratios_of(by_variant):
    """{key: ratio}. <label>/<setup>/<ours>:<theirs> for each variant, and <test>/<setup>/... for the worst
    of those that count."""
    ratios, worst = {}, {}
    for variant, rounds in by_variant.items():
        for ours, theirs in pairs(sorted({s for r in rounds.values() for s in r})):
            found = [ratio_of(r[ours], r[theirs]) for r in rounds.values() if ours in r and theirs in r]
            ratio = median_of(found)
            if ratio is None:
                continue
            tail = f"{variant.setup}/{ours}:{theirs}"
            ratios[f"{variant.label()}/{tail}"] = ratio
            key = f"{variant.test}/{tail}"
            if is_headline(variant) and ratio < worst.get(key, float("inf")):
                worst[key] = ratio
    ratios.update(worst)
    ratios.update(_scale_ratios(by_variant))
    return ratios


def _scale_ratios(by_variant):
    """Cost per call on one connection to that on many, for each of ours: 1 is no loss."""
    scale = {(v.setup, v.streams): rounds for v, rounds in by_variant.items() if v.test == "scale"}
    found = {}
    for (setup, streams), rounds in scale.items():
        ones = scale.get((setup, 1), {})
        for system in {s for r in rounds.values() for s in r}:
            each = [ones[n][system]["value"] / r[system]["value"] for n, r in rounds.items()
                    if streams > 1 and system in r and system in ones.get(n, {})]
            if each:
                found[f"scale/{setup}/{system}@{streams}:{system}@1"] = median_of(each)
    return found


def build(runs, about, cpu_by="larger"):
    """`runs`: [(round, variant, system, raw or error text)]. Returns what results.json holds."""
    by_variant, failures = {}, {}
    for number, variant, system, raw in runs:
        if isinstance(raw, str):
            failures.setdefault((variant, system), []).append(raw)
            continue
        measure = measure_of(variant, system, raw, cpu_by)
        by_variant.setdefault(variant, {}).setdefault(number, {})[system] = measure
    entries = []
    for variant, rounds in by_variant.items():
        for system in variant.systems:
            measures = [r[system] for r in rounds.values() if system in r]
            if measures:
                entries.append({**entry_of(measures), "label": variant.label(),
                                "failures": failures.pop((variant, system), [])})
    failed = [{"label": v.label(), "setup": v.setup, "system": s, "errors": e}
              for (v, s), e in failures.items()]
    return {"schema_version": SCHEMA_VERSION, "machine": {**about, "cpu_by": cpu_by},
            "results": entries, "ratios": ratios_of(by_variant), "failed": failed}


def check(document):
    """Faults of shape, as sentences; none is good."""
    faults = []
    if document.get("schema_version") != SCHEMA_VERSION:
        faults.append("schema_version is wrong")
    for key, kind in (("machine", dict), ("results", list), ("ratios", dict), ("failed", list)):
        if not isinstance(document.get(key), kind):
            faults.append(f"{key} is missing or no {kind.__name__}")
    for entry in document.get("results", []):
        faults += [f"{entry.get('test')}: no {field}" for field in FIELDS if field not in entry]
        for field in ("value", "cores"):
            if not isinstance(entry.get(field), (int, float)) or entry[field] < 0:
                faults.append(f"{entry.get('test')}: {field} is no number")
    for key, ratio in document.get("ratios", {}).items():
        if not re.fullmatch(r"[^/]+/(same-host|two-host)/[^/:]+:[^/:]+", key):
            faults.append(f"ratio {key}: not <test>/<setup>/<system>:<peer>")
        if not isinstance(ratio, (int, float)) or ratio <= 0:
            faults.append(f"ratio {key}: not a number above 0")
    return faults
