# SPDX-License-Identifier: Apache-2.0
"""Plots as SVG, by gnuplot. Where that is missing there are none, and the program says so."""
import os
import shutil
import subprocess

START = """set terminal svg size 900,420 dynamic background rgb 'white' font 'sans,12'
set output '{path}'
set title '{title}' noenhanced
set grid ytics
set key outside noenhanced
"""


def _draw(script):
    run = subprocess.run(["gnuplot"], input=script, capture_output=True, text=True, check=False)
    return run.stderr.strip() if run.returncode != 0 else ""


def _bars(path, title, ylabel, entries, field):
    values = [(e["system"], e[field]) for e in entries if e[field] is not None]
    if not values:
        return None
    script = START.format(path=path, title=title)
    script += f"set ylabel '{ylabel}'\nset style fill solid 0.7\nset boxwidth 0.7\nunset key\n"
    script += "set logscale y\nset xtics rotate by -35 noenhanced\n$d << EOD\n"
    script += "".join(f'"{name}" {value}\n' for name, value in values) + "EOD\n"
    return script + "plot $d using 0:2:xtic(1) with boxes lc rgb '#4477aa'\n"


def _lines(path, title, labels, entries, axes, is_log=True):
    """Lines of one system each; `axes` are the fields of x and y."""
    x, y = axes
    systems = {}
    for e in entries:
        if e[x] and e[y] is not None:
            systems.setdefault(e["system"], []).append((e[x], e[y]))
    if not any(len(points) > 1 for points in systems.values()):
        return None
    script = START.format(path=path, title=title) + f"set xlabel '{labels[0]}'\nset ylabel '{labels[1]}'\n"
    script += "set logscale xy\n" if is_log else "set yrange [0:*]\n"
    for i, points in enumerate(systems.values()):
        script += f"$d{i} << EOD\n" + "".join(f"{a} {b}\n" for a, b in sorted(points)) + "EOD\n"
    return script + "plot " + ", ".join(
        f"$d{i} using 1:2 with linespoints lw 2 title '{name}'" for i, name in enumerate(systems)) + "\n"


def draw(document, folder):
    """Draws what there are figures for. Returns (files, complaint or "")."""
    if not shutil.which("gnuplot"):
        return [], "gnuplot is not installed: no plots"
    groups = {}
    for e in document["results"]:
        groups.setdefault((e["test"], e["setup"], e["mtu"]), []).append(e)
    jobs = {}
    for (test, setup, mtu), found in groups.items():
        name = os.path.join(folder, f"{test}-{setup}-{mtu}")
        where = f"{setup}, MTU {mtu}"
        if test == "rpc_lat":
            jobs[name] = _bars(name + ".svg", f"64 B round trip, p50, {where}", "us",
                               [e for e in found if e["size"] == 64], "p50_us")
        elif test == "rpc_bw":
            for streams in sorted({e["streams"] for e in found}):
                path = f"{name}-{streams}"
                jobs[path] = _bars(path + ".svg", f"1 MiB replies, {streams} streams, {where}",
                                   "Gb/s per core", [e for e in found if e["streams"] == streams], "per_core")
        elif test == "rpc_rate":
            jobs[name + "-64"] = _bars(name + "-64.svg", f"64 B, 64 in flight, {where}", "calls/s per core",
                                       [e for e in found if e["inflight"] == 64], "per_core")
            jobs[name] = _lines(name + ".svg", f"64 B calls, {where}", ("in flight", "calls/s per core"),
                                found, ("inflight", "per_core"))
        elif test == "open_loop":
            jobs[name + "-p99"] = _lines(name + "-p99.svg", f"prober p99 under load, {where}",
                                         ("load, calls of 1 MiB per s", "us"), found, ("offered", "p99_us"))
            jobs[name + "-cpu"] = _lines(name + "-cpu.svg", f"CPU under load, {where}",
                                         ("load, calls of 1 MiB per s", "cores"), found, ("offered", "cores"),
                                         is_log=False)
        elif test == "scale":
            jobs[name] = _lines(name + ".svg", f"cost per call, {where}", ("connections", "CPU us per call"),
                                found, ("streams", "value"))
    files, complaints = [], []
    for path, script in jobs.items():
        complaint = _draw(script) if script else ""
        complaints += [complaint] if complaint else []
        files += [path + ".svg"] if script and not complaint else []
    return files, "; ".join(complaints)
