#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what cc_sim measured into docs/benchmarks.md, between its markers, and draws it.

usage: cc_report.py cc_sim.json docs
Writes docs/benchmarks.md (its own section only), docs/img/cc_incast.svg and docs/img/cc_load.svg.
"""
import html
import json
import pathlib
import sys

BEGIN = "<!-- cc_sim: begin; written by tests/sim/cc_report.py -->"
END = "<!-- cc_sim: end -->"
COLOURS = ("#4878a8", "#c05a4a", "#6a9a4a")


def bars(rows, columns):
    """An SVG: per row a group of horizontal bars, one panel per column (title, key, scale)."""
    left, panel, line = 300, 220, 22
    height = 40 + line * len(rows)
    width = left + panel * len(columns)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           'font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="white"/>']
    for i, row in enumerate(rows):
        y = 34 + line * i
        out.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">'
                   f'{html.escape(row["name"])}</text>')
    for c, (title, key, scale) in enumerate(columns):
        x = left + panel * c
        most = max(max(r[key] * scale for r in rows), 1e-9)
        out.append(f'<text x="{x}" y="18" font-weight="bold">{html.escape(title)}</text>')
        for i, row in enumerate(rows):
            value = row[key] * scale
            w = max(1, (panel - 70) * value / most)
            y = 34 + line * i
            out.append(f'<rect x="{x}" y="{y}" width="{w:.1f}" height="{line - 6}" '
                       f'fill="{COLOURS[c % 3]}"/>')
            out.append(f'<text x="{x + w + 4:.1f}" y="{y + 12}">{value:.4g}</text>')
    out.append("</svg>\n")
    return "\n".join(out)


def table(rows):
    lines = ["| what | Gb/s | loss % | RTT mean us | p50 | p99 | p99.9 | Jain | published |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"]
    for r in rows:
        lines.append(f'| {r["name"]} | {r["gbps"]:.2f} | {100 * r["loss"]:.4f} | '
                     f'{r["rtt_mean_us"]:.1f} | {r["rtt_p50_us"]:.1f} | {r["rtt_p99_us"]:.1f} | '
                     f'{r["rtt_p999_us"]:.1f} | {r["jain"]:.3f} | {r["published"]} |')
    return "\n".join(lines)


def section(groups):
    return f"""{BEGIN}
## Congestion control, simulated

The flow layer and the algorithms of snapd, in virtual time (`tests/sim/cc_world.h`): nothing here
depends on the machine, and a run gives the same numbers each time. "Published" is Swift (Kumar et
al., SIGCOMM'20), on Google's hardware.

    cmake --build --preset release --target cc_sim
    build/release/tests/sim/cc_sim --json docs/img/cc_sim.json
    tests/sim/cc_report.py docs/img/cc_sim.json docs

Packets of 5000 bytes, links of 2 us, 50 sending hosts in two racks, a switch queue of 12.6 MB
(what the published 2027 us are at 50 Gb/s), Swift's base target 25 us. Incasts are measured for
1 s (100 ms for those that are not Swift) after 0.4 s.

### Incast

Windows below one packet are the difference between a queue that stands full and one near the
target. Without them the published system lost most of its throughput; ours loses packets but keeps
the port busy. The model has no cost for a retransmission but the link's time, and we have not
looked further into the difference.

Flow scaling makes flows equal: the smaller the window, the higher the target. Where its range ends
(`FS_MIN_PKTS`) is not published. It was 0.1 packets here, above the fair share of 0.06 at 5000:1, so
that all flows had the same, highest target: Jain's index 0.73, RTT 245 us. It is 0.01 now. What
remains of the difference: a window below one packet grows by a whole one with an acknowledgement
that came in time (the increment is not published either; a quarter of it lost 12 % of the
throughput after a start of 64 packets each), so the queue swings around its target. The index grows
with the time it is taken over, which is not published: here 0.69 after 1/8 s, 0.82 after half a
second, still growing after one. The RTT follows the range of the scaling, five base targets here
and not published: with two it was 161 us, for an index of 0.57.

![incast](img/cc_incast.svg)

{table(groups["incast"])}

### Load

24 hosts of 100 Gb/s, messages of 64 KB between random pairs at random times; Gb/s per host.
The published setup has about 500 hosts and its own traffic. 25 us is the base target: two hops
and windows of a few packets raise it to about 50 us. What an acknowledgement waits for company
(PX-25) is not in the round trips: the echoed time stamp leaves it out.

![load](img/cc_load.svg)

{table(groups["load"])}

### Recovery

Ten flows at 50 Gb/s lose every packet for 0.1, 1 and 10 ms; the table shows them before, and
when they carry 90 % again. After five timeouts in a row Swift starts from its least window,
as the paper has it.

{table(groups["burst"])}

### A receiver that is the bottleneck

Eight flows to an engine that needs 0.5 us for each packet in or out. The endpoint window keeps
the queue in the host short; without it the round trip is seven times as long. Each packet is
delayed by up to 10 us at random: in a network without any noise the flows fell into step, and
those of one rack, which always met the queue above the target, were starved. With an
acknowledgement in every round Jain's index was 0.998; with those that wait it is lower, although
the wait is not echoed. Why is open; the default endpoint target is 1 ms, and "delay" is the default.

{table(groups["hosts"])}
{END}"""


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    rows = json.loads(pathlib.Path(sys.argv[1]).read_text())
    docs = pathlib.Path(sys.argv[2])
    groups = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row)
    (docs / "img").mkdir(exist_ok=True)
    (docs / "img" / "cc_incast.svg").write_text(bars(groups["incast"], (
        ("throughput, Gb/s", "gbps", 1), ("loss, %", "loss", 100), ("mean RTT, us", "rtt_mean_us", 1))))
    (docs / "img" / "cc_load.svg").write_text(bars(groups["load"], (
        ("Gb/s per host", "gbps", 1), ("p50 RTT, us", "rtt_p50_us", 1),
        ("p99.9 RTT, us", "rtt_p999_us", 1))))
    page = docs / "benchmarks.md"
    text = page.read_text() if page.exists() else "# Benchmarks\n"
    new = section(groups)
    if BEGIN in text and END in text:
        text = text[:text.index(BEGIN)] + new + text[text.index(END) + len(END):]
    else:
        text = text.rstrip("\n") + "\n\n" + new + "\n"
    page.write_text(text)


main()
