# SPDX-License-Identifier: Apache-2.0
"""The table, for the terminal and for docs/benchmarks.md."""
import re

from . import targets

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
HEADINGS = {
    "rpc_lat": "one call after the other, full round trips",
    "rpc_rate": "64 bytes there and back, many in flight",
    "rpc_bw": "replies of 1 MiB",
    "open_loop": "Poisson load of 1 MiB replies; latencies of the prober beside it",
    "connect_rate": "open, one call, close",
    "idle_cpu": "nothing to do",
    "scale": "64 bytes, 64 in flight, each call on the next connection",
    "memory": "growth per connection",
}
NOTES = (
    "two-host: a core for each host; same-host, rpc_rate, rpc_bw and scale: one core (see Affinity)",
    "ucx: `ucx_perftest`, active messages; half round trips, doubled here; `rpc_bw` goes one way, without requests",
    "libfabric: `fi_pingpong`; half round trips, doubled here; a mean, as it prints no percentiles",
    "nanomsg: large replies one at a time per connection, as its REP socket drops what does not fit",
    "bare-udp: no order, no retransmission, no congestion control; one stream; lost calls are counted",
)


def _figure(value, digits=1):
    if value is None:
        return "-"
    if abs(value) >= 10000:
        return f"{value:,.0f}"
    return f"{value:.{digits if abs(value) >= 1 else 3}f}"


def rows(document):
    """(test, setup, mtu) -> rows of the table, in the order of the results."""
    grouped = {}
    for e in document["results"]:
        variant = []
        if e["test"].startswith("rpc"):
            variant.append(f"{e['size']} B")
        if e["test"] in ("rpc_rate", "rpc_bw"):
            variant.append(f"{e['inflight']} in flight")
        if e["streams"] > 1:
            variant.append(f"{e['streams']} connections")
        if e["offered"]:
            variant.append(f"{e['offered']}/s")
        split = " ".join(f"{name} {cores:.3f}" for name, cores in e["processes"].items())
        notes = [f"{e['lost']:.0f} lost"] if e["lost"] else []
        notes += [f"failed {len(e['failures'])} times: {e['failures'][0]}"] if e["failures"] else []
        if e["memory_bytes"]:
            notes.append(" ".join(f"{n} {b:,.0f}" for n, b in e["memory_bytes"].items()))
        grouped.setdefault((e["test"], e["setup"], e["mtu"]), []).append([
            e["system"], ", ".join(variant), f"{_figure(e['value'])} {e['unit']}",
            _figure(e["cores"], 2), _figure(e["per_core"]), _figure(e["p50_us"]), _figure(e["p99_us"]),
            _figure(e["p999_us"]), split, "; ".join(notes)])
    return grouped


HEAD = ["system", "variant", "value", "cores", "per core", "p50 us", "p99 us", "p99.9 us",
        "cores by process", "notes"]


def _text_table(head, body):
    widths = [max(len(str(row[i])) for row in [head, *body]) for i in range(len(head))]
    return "\n".join("  " + "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip()
                     for row in [head, *body])


def _markdown_table(head, body):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in body])


def _target_rows(document):
    return [[text.replace("`", ""), bound, measured or "not measured", "yes" if ok else "NO"]
            for text, bound, measured, ok in targets.judge(document)]


def _machine_line(about):
    return (f"{about['cpus']} x {about['cpu']}, {about['memory_kib'] // 1048576} GiB, Linux {about['kernel']}, "
            f"{about['os']}; commit {about['commit']}, {about['time']}, load before {about['load_before']:.2f}, "
            f"mode {about.get('mode', '-')}, CPU by {about['cpu_by']}"
            + (f"; INTERRUPTED {about['interrupted']}" if about.get("interrupted") else ""))


def _failures(document):
    return [f"{f['label']} {f['setup']} {f['system']}: {f['errors'][0]}" for f in document["failed"]]


def text(document):
    out = [_machine_line(document["machine"])]
    for (test, setup, mtu), body in rows(document).items():
        out += ["", f"{test}, {setup}, MTU {mtu}: {HEADINGS[test]}", _text_table(HEAD, body)]
    out += ["", "Targets (larger is better)",
            _text_table(["ratio", "target", "measured", "met"], _target_rows(document)), ""]
    out += ["Failed: " + line for line in _failures(document)]
    return "\n".join(out + ["Note: " + note for note in NOTES])


def markdown(document, command):
    about = document["machine"]
    out = [BEGIN, "", f"`{command}` on {_machine_line(about)}."]
    if about["load_before"] > 0.5 or about["cpu_by"] != "larger":
        out += ["", "**The machine was not idle: these figures are noisy.**"]
    out += ["", _markdown_table(["ratio", "target", "measured", "met"], _target_rows(document))]
    for (test, setup, mtu), body in rows(document).items():
        out += ["", f"### {test}, {setup}, MTU {mtu}", "", HEADINGS[test][0].upper() + HEADINGS[test][1:] + ".",
                "", _markdown_table(HEAD, body)]
    if document["failed"]:
        out += ["", "Failed:", "", *[f"* {line}" for line in _failures(document)]]
    return "\n".join([*out, "", END])


def write_docs(path, document, command):
    """Rewrites what is between the two markers."""
    with open(path, encoding="utf-8") as source:
        before = source.read()
    block = markdown(document, command)
    after, n = re.subn(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: block, before, flags=re.DOTALL)
    if n != 1:
        raise ValueError(f"{path}: not one pair of markers {BEGIN} ... {END}")
    with open(path, "w", encoding="utf-8") as out:
        out.write(after)
