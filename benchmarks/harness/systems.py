# SPDX-License-Identifier: Apache-2.0
"""How each system is run. run() starts what one measurement needs, and returns one raw result:

    {"value", "unit", "seconds", "machine_cpu_s", "process_cpu_s": {name: s}, "transport",
     "rtt_p50_us", "rtt_p99_us", "rtt_p999_us", "lost", "memory_bytes": {name: bytes}}
"""
import json
import os
import re
import shutil
import socket
import time

from . import cpu
from .hosts import Failed
from .plan import PER_CORE

# An engine that is alone on a core keeps it; limits raised for the tests with many connections. The same
# in every run.
SNAPD_CONF = """[engine]
idle = {idle}
priority = 10
[limits]
sessions = 16384
connections = 16384
"""
SECURITY_CONF = """[security]
mode = psk
key_file = {keys}
cipher = {cipher}
"""
CIPHERS = {"aes": "aes-128-gcm", "chacha": "chacha20-poly1305"}
SPINS = {"spin": ("always", "spin"), "block": ("never", "sleep"), "": ("default", "adaptive")}
READY_AFTER_SECONDS = 0.3
# One thread of UCX or libfabric that spins without yielding, on two cores with a colleague: give time.
STARTUP_SECONDS = 20


class Build:
    """Where the programs are."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)

    def program(self, *path):
        return os.path.join(self.folder, *path)

    def bench(self, name):
        return self.program("bench", name)

    def why_not(self, system):
        """None, or why a system cannot be measured here."""
        base = system.split("-")[0]
        if base in ("pony", "tcp"):
            need = self.bench("snaprpc-perf")
        elif base in ("ucx", "libfabric"):
            need = shutil.which({"ucx": "ucx_perftest", "libfabric": "fi_pingpong"}[base]) or base
        else:
            need = self.bench(peer_program(system))
        return None if os.path.exists(need) else "not installed"


def peer_program(system):
    return "peer-" + system.removeprefix("bare-")


def policy_of(system):
    """("always" and its like for the programs, idle policy of snapd)"""
    return SPINS.get(system.partition("-")[2] if system.startswith(("pony", "tcp")) else "", SPINS[""])


def security_of(world, system):
    """What snapd.conf says of the security of a system's flows; "": nothing, they are plain."""
    cipher = CIPHERS.get(system.partition("-")[2])
    if not cipher:
        return ""
    keys = os.path.join(world.work, "cluster-keys")
    if not os.path.exists(keys):
        with open(os.open(keys, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
            out.write(f"1 {os.urandom(32).hex()}\n")
    return SECURITY_CONF.format(keys=keys, cipher=cipher)


def start_snapd(world, build, name, side, system):
    conf = os.path.join(world.work, f"{name}.conf")
    with open(conf, "w", encoding="ascii") as out:
        out.write(SNAPD_CONF.format(idle=policy_of(system)[1]) + security_of(world, system))
    listen = "0.0.0.0:4741" if world.is_two else f"127.0.0.1:{world.free_port(socket.SOCK_DGRAM)}"
    where = world.snapd_socket(side)
    world.start(name, side, [build.program("bin", "snapd"), "--config", conf, "--socket", where,
                             "--listen", listen])
    world.until(name, lambda: os.path.exists(where))


def client_arguments(variant, seconds, warmup, settle):
    arguments = ["--size", variant.size, "--connections", variant.streams, "--seconds", seconds,
                 "--warmup", settle if variant.test == "idle_cpu" else warmup, "--json"]
    if variant.inflight:
        arguments += ["--in-flight", variant.inflight]
    if variant.rate:
        arguments += ["--rate", variant.rate]
    return [str(a) for a in arguments]


def run_ours_or_peer(world, build, variant, system, timing):
    """snaprpc-perf, and the programs of peers/: one command line."""
    seconds, warmup, settle = timing
    is_ours = system.startswith(("pony", "tcp"))
    spin = policy_of(system)[0]
    transport = system.split("-")[0]
    if is_ours and transport == "pony":
        start_snapd(world, build, "snapd_a", "a", system)
        if world.is_two:
            start_snapd(world, build, "snapd_b", "b", system)
    program = build.bench("snaprpc-perf" if is_ours else peer_program(system))
    target = f"{world.server_host}:{world.free_port()}"
    serve_over = ["--transport", "auto" if transport == "pony" else "tcp"] if is_ours else []
    world.start("server", world.server_side, [program, "serve", target, "--spin", spin, *serve_over])
    world.until("server", lambda: "serving at" in world.output("server"))
    counts = [f"--count={name}={process.pid}" for name, process in world.processes.items()]
    over = ["--transport", transport] if is_ours else []
    world.start("client", "a", [program, variant.test, target, "--spin", spin, *over, *counts,
                                *client_arguments(variant, seconds, warmup, settle)])
    output = world.wait("client", STARTUP_SECONDS + 3 * (seconds + warmup + settle))
    result = json.loads(output[output.index("{"):])
    if is_ours and result["transport"] != transport:
        raise Failed(f"asked for {transport}, carried by {result['transport']}")
    if result["failed"]:
        raise Failed(f"{result['failed']} calls failed")
    return result


def wait_for_peer(world, port):
    """ucx_perftest and fi_pingpong listen before they can be talked to, and do not say when."""
    world.until("server", lambda: world.listens("server", port))
    time.sleep(READY_AFTER_SECONDS)


def run_ucx(world, variant, timing):
    """ucx_perftest, active messages. CPU is counted between two of its reports, past its warm-up."""
    seconds, warmup, _ = timing
    is_bw = variant.test == "rpc_bw"
    port = str(world.free_port())
    # Shared memory would reach from one namespace into the other: two hosts have only the network.
    tls = {"UCX_TLS": "tcp"} if world.is_two else {}
    world.start("server", world.server_side, ["ucx_perftest", "-p", port], tls)
    wait_for_peer(world, port)
    test = ["-t", "ucp_am_bw", "-O", str(variant.inflight)] if is_bw else ["-t", "ucp_am_lat"]
    world.start("client", "a", ["ucx_perftest", world.server_host, "-p", port, *test, "-v", "-s",
                                str(variant.size), "-n", "100000000", "-w", "10"], tls)
    rows = re.compile(r"^\[thread 0\]\s*([\d.,]+)\s*$", re.MULTILINE)

    def reports():
        return [[float(x) for x in row.split(",")] for row in rows.findall(world.output("client"))]

    world.until("client", lambda: len(reports()) > 1 + warmup)
    first = len(reports())
    window = cpu.Window({name: p.pid for name, p in world.processes.items()})
    begin = time.monotonic()
    world.until("client", lambda: len(reports()) >= first + max(1, round(seconds)))
    machine, used = window.stop()
    elapsed = time.monotonic() - begin
    counted = reports()[first:]
    half_us = sum(row[2] for row in counted) / len(counted)
    p50_us = sorted(row[1] for row in counted)[len(counted) // 2]
    rate = sum(row[6] for row in counted) / len(counted)
    result = {"seconds": elapsed, "machine_cpu_s": machine, "process_cpu_s": used, "transport": "ucx",
              "lost": 0, "memory_bytes": {}}
    if is_bw:
        return {**result, "value": rate * variant.size * 8 / 1e9, "unit": "Gb/s"}
    return {**result, "value": 1e6 / (2 * half_us), "unit": "calls/s", "rtt_p50_us": 2 * p50_us}


def pingpong_us(output):
    """us per transfer, half a round trip, in what fi_pingpong printed. Sizes are "64", "1k", "1.5m"."""
    found = re.search(r"^[\d.]+[kmg]?\s.*\s([\d.]+)\s+[\d.]+\s*$", output, re.MULTILINE)
    if not found:
        raise Failed("fi_pingpong printed no result")
    return float(found.group(1))


def run_libfabric(world, variant, timing):
    """fi_pingpong, twice: to see how long one takes, then for as long as was asked for."""
    iterations, row, usage, elapsed = 100, None, None, 0
    for _ in range(2):
        port = str(world.free_port() + (iterations > 100))
        common = ["fi_pingpong", "-p", "tcp", "-e", "msg", "-d", world.device, "-S", str(variant.size),
                  "-I", str(iterations)]
        world.start("server", world.server_side, [*common, "-B", port])
        wait_for_peer(world, port)
        pids = {"server": world.processes["server"].pid}
        world.start("client", "a", [*common, "-P", port, world.server_host])
        pids["client"] = world.processes["client"].pid
        window, begin = cpu.Window(pids), time.monotonic()
        deadline = begin + STARTUP_SECONDS + timing[0]
        while world.processes["client"].poll() is None and time.monotonic() < deadline:
            usage = window.stop()  # the last look before its end: a process that ended has no figures
            elapsed = time.monotonic() - begin
            time.sleep(0.01)
        output = world.wait("client", 1)
        world.end("server")
        row = pingpong_us(output)
        iterations = max(200, int(timing[0] * 1e6 / (2 * row)))
    # Its own time, without setting up, is what the rate is made of; CPU is that of the whole run.
    return {"value": 1e6 / (2 * row), "unit": "calls/s", "seconds": elapsed, "machine_cpu_s": usage[0],
            "process_cpu_s": usage[1], "transport": "libfabric tcp", "rtt_p50_us": 2 * row, "lost": 0,
            "memory_bytes": {}, "is_mean": True}


def run(world, build, variant, system, timing):
    """One measurement; whatever it started is gone afterwards."""
    world.has_one_core = variant.test in PER_CORE and os.cpu_count() > 1
    try:
        if system == "ucx":
            return run_ucx(world, variant, timing)
        if system == "libfabric":
            return run_libfabric(world, variant, timing)
        return run_ours_or_peer(world, build, variant, system, timing)
    finally:
        world.end_all()
        for side in "ab":
            if os.path.exists(world.snapd_socket(side)):
                os.unlink(world.snapd_socket(side))
