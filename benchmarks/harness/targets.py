# SPDX-License-Identifier: Apache-2.0
"""What the project promises of its speed: each a ratio that is at least, or an amount that is below."""

SETUPS = ("same-host", "two-host")


def _ratio(text, bound, *keys):
    return {"text": text, "bound": bound, "keys": keys}


RATIOS = (
    _ratio("`rpc_bw` Gb/s per core, two-host, MTU 9000, 1 stream: Pony to our kernel TCP", 3,
           "rpc_bw-1048576B-8inflight-1streams-mtu9000/two-host/pony:tcp"),
    _ratio("the same, 200 connections", 3,
           "rpc_bw-1048576B-200inflight-200streams-mtu9000/two-host/pony:tcp"),
    _ratio("the same, 1 stream: Pony to gRPC", 12,
           "rpc_bw-1048576B-8inflight-1streams-mtu9000/two-host/pony:grpc"),
    _ratio("the same, 200 connections: Pony to gRPC", 12,
           "rpc_bw-1048576B-200inflight-200streams-mtu9000/two-host/pony:grpc"),
    _ratio("`rpc_bw` per core, same-host, 1 stream: Pony to kernel TCP", 4,
           "rpc_bw-1048576B-8inflight-1streams/same-host/pony:tcp"),
    _ratio("`rpc_rate` per core at 64 in flight, two-host: Pony to kernel TCP", 2,
           "rpc_rate/two-host/pony:tcp"),
    _ratio("the same, Pony to gRPC", 40, "rpc_rate/two-host/pony:grpc"),
    _ratio("`rpc_rate` per core at 64 in flight, same-host: Pony to gRPC", 80,
           "rpc_rate/same-host/pony:grpc"),
    _ratio("`rpc_lat` p50, same-host: gRPC to Pony", 30, "rpc_lat/same-host/pony:grpc"),
    _ratio("`rpc_lat` p50, two-host: kernel TCP, blocking, to Pony, spinning", 4,
           "rpc_lat/two-host/pony-spin:tcp-block"),
    *(_ratio(f"our kernel TCP to {peer}, {setup}: {what}", 1, f"{test}/{setup}/tcp:{peer}")
      for peer in ("grpc", "nanomsg", "nng") for setup in ("same-host", "two-host")
      for test, what in (("rpc_rate", "rate per core"), ("rpc_lat", "p50"))),
)


def judge(document):
    """[(text, "at least 3", what was measured or None, whether that is enough)]"""
    rows = []
    for target in RATIOS:
        found = [document["ratios"][key] for key in target["keys"] if key in document["ratios"]]
        worst = min(found) if found else None
        rows.append((target["text"], f"at least {target['bound']}", _number(worst),
                     worst is not None and worst >= target["bound"]))
    idle = [e for e in document["results"] if e["test"] == "idle_cpu" and e["system"] == "pony"]
    most = max((cores for e in idle for name, cores in e["processes"].items() if "snapd" in name),
               default=None)
    rows.append(("snapd idle with 1,000 connections, % of a core", "below 1",
                 None if most is None else f"{most * 100:.2f}", most is not None and most < 0.01))
    scales = [document["ratios"].get(f"scale/{setup}/pony@10000:pony@1") for setup in SETUPS]
    scale = min((ratio for ratio in scales if ratio is not None), default=None)
    rows.append(("cost per call at 10,000 connections to cost at 1", "below 1.3",
                 None if scale is None else f"{1 / scale:.2f}", scale is not None and 1 / scale < 1.3))
    return rows


def _number(value):
    return None if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"
