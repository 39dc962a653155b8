# SPDX-License-Identifier: Apache-2.0
"""What is measured: tests with their variants, and the modes that choose among them."""
import dataclasses

LO_MTU = 65536
KIB, MIB = 1024, 1024 * 1024
PEERS = ("grpc", "nanomsg", "nng", "capnp")
FLOORS = ("bare-tcp", "bare-udp")
OURS = ("pony", "tcp")
SECURED = ("pony-aes", "pony-chacha")
POLICIES = ("pony-spin", "pony-block", "tcp-spin", "tcp-block")


# Tests whose result is a rate per core: everything of a single host runs on one core. With a core to
# spare, a system that spins there and one that sleeps could not be compared, and where the kernel puts
# the processes would count for more than what they do. Two hosts have a core each in every test
# (hosts.World.core). The same for every system.
PER_CORE = ("rpc_rate", "rpc_bw", "scale")


@dataclasses.dataclass(frozen=True)
class Variant:
    """One row of the table, before it is known for which system."""
    test: str
    setup: str
    mtu: int
    size: int
    inflight: int
    streams: int
    rate: int = 0  # open_loop: calls per second
    systems: tuple = ()

    def label(self):
        """Names it in the keys of the ratios; the setup comes after it."""
        parts = [self.test]
        if self.rate:
            parts.append(f"{self.rate}per_s")
        if self.test in ("rpc_lat", "rpc_rate", "rpc_bw"):
            parts.append(f"{self.size}B")
        if self.test in ("rpc_rate", "rpc_bw"):
            parts.append(f"{self.inflight}inflight")
        if self.test in ("rpc_bw", "idle_cpu", "scale", "memory"):
            parts.append(f"{self.streams}streams")
        if self.setup == "two-host":
            parts.append(f"mtu{self.mtu}")
        return "-".join(parts)


# Modes: rounds, seconds, warm-up, and the variants' dimensions.
MODES = {
    "full": {
        "rounds": 3, "seconds": 2.0, "warmup": 0.5,
        "worlds": (("same-host", LO_MTU), ("two-host", 1500), ("two-host", 9000)),
        "lat_sizes": (64, KIB), "inflight": (1, 8, 64, 512), "bw_everywhere": True,
        "rates": (100, 200, 400, 800, 1200, 1600), "scale": (1, 10, 100, 1000, 10000),
        "many": 1000, "settle": 3.0,
    },
    "quick": {
        "rounds": 2, "seconds": 0.5, "warmup": 0.2,
        "worlds": (("same-host", LO_MTU), ("two-host", 1500), ("two-host", 9000)),
        "lat_sizes": (64,), "inflight": (64,), "bw_everywhere": False,
        "rates": (400,), "scale": (1, 10000), "many": 1000, "settle": 1.0,
    },
}
TESTS = ("rpc_lat", "rpc_rate", "rpc_bw", "open_loop", "connect_rate", "idle_cpu", "scale", "memory")


def _rpc(mode, setup, mtu):
    ours = OURS + (SECURED if setup == "two-host" else ())  # on one host there are no packets
    calls_too = mode["bw_everywhere"] or mtu != 9000
    if calls_too:
        for size in mode["lat_sizes"]:
            yield Variant("rpc_lat", setup, mtu, size, 1, 1,
                          systems=ours + POLICIES + PEERS + FLOORS + ("ucx", "libfabric"))
        for inflight in mode["inflight"]:
            yield Variant("rpc_rate", setup, mtu, 64, inflight, 1, systems=ours + PEERS + FLOORS)
    if mode["bw_everywhere"] or mtu != 1500:
        yield Variant("rpc_bw", setup, mtu, MIB, 8, 1, systems=ours + PEERS + FLOORS + ("ucx",))
        yield Variant("rpc_bw", setup, mtu, MIB, 200, 200, systems=ours + PEERS + ("bare-tcp",))


def _others(mode, setup, mtu):
    if setup == "two-host" and mtu == 9000:
        for rate in mode["rates"]:
            yield Variant("open_loop", setup, mtu, MIB, 0, 8, rate, systems=OURS)
    if mtu == 9000:
        return
    yield Variant("connect_rate", setup, mtu, 64, 1, 1, systems=OURS)
    for streams in mode["scale"]:
        yield Variant("scale", setup, mtu, 64, 64, streams, systems=OURS)
    if setup == "two-host":
        yield Variant("idle_cpu", setup, mtu, 64, 0, mode["many"], systems=OURS)
        yield Variant("memory", setup, mtu, 64, 0, mode["many"], systems=OURS)


def variants(mode, tests=TESTS, setups=("same-host", "two-host"), systems=None):
    """The variants of a mode, cut to some tests, setups and systems."""
    for setup, mtu in mode["worlds"]:
        if setup not in setups:
            continue
        for variant in [*_rpc(mode, setup, mtu), *_others(mode, setup, mtu)]:
            kept = tuple(s for s in variant.systems if systems is None or s in systems)
            if variant.test in tests and kept:
                yield dataclasses.replace(variant, systems=kept)


def all_systems():
    return OURS + SECURED + POLICIES + PEERS + FLOORS + ("ucx", "libfabric")
