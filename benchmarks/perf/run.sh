#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Starts what snaprpc-perf needs, on one host or on two (network namespaces, veth), runs one test, and
# cleans up.
set -u

usage="usage: benchmarks/perf/run.sh [--build DIR] [--setup same-host|two-host] [--mtu N]
         [--transport pony|tcp] [--spin WHEN] TEST [option of snaprpc-perf...]"
build=build/release setup=two-host mtu=1500 transport=pony spin=default
while [ $# -gt 0 ]; do
  case $1 in
    --build) build=$2; shift 2 ;;
    --setup) setup=$2; shift 2 ;;
    --mtu) mtu=$2; shift 2 ;;
    --transport) transport=$2; shift 2 ;;
    --spin) spin=$2; shift 2 ;;
    -h | --help) printf '%s\n' "$usage"; exit 0 ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || { printf '%s\n' "$usage" >&2; exit 2; }
me=perf
# shellcheck source=scripts/hosts.sh
. "$(dirname "$0")/../../scripts/hosts.sh"
perf=$build/bench/snaprpc-perf
[ -x "$perf" ] || die "$perf is missing: build it with make PRESET=release"

counts=()
case $setup in
  two-host)
    make_hosts "$mtu" || die "two hosts need network namespaces: run as root, or --setup same-host"
    client=a server=b target=10.213.0.2:7100
    ;;
  same-host) client=a server=a target=127.0.0.1:7100 ;;
  *) die "--setup is same-host or two-host, not \"$setup\"" ;;
esac
case $transport in
  pony)
    start_snapd a
    counts+=(--count "snapd_a=${pid[snapd_a]}")
    if [ "$setup" = two-host ]; then
      start_snapd b
      counts+=(--count "snapd_b=${pid[snapd_b]}")
    fi
    ;;
  tcp) ;;
  *) die "--transport is pony or tcp, not \"$transport\"" ;;
esac
serve_over=auto
[ "$transport" = tcp ] && serve_over=tcp
start server "$server" "$perf" serve "$target" --spin "$spin" --transport "$serve_over"
until_ready server grep -q '^serving' "$work/server.log"
counts+=(--count "server=${pid[server]}")
(on "$client" "$perf" "$@" "$target" --transport "$transport" --spin "$spin" "${counts[@]}")
