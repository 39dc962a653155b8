# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Two hosts, and what runs on them: sourced by scripts/demo.sh and benchmarks/perf/run.sh.
#
# Sets a trap that ends every process started here, by its id, and removes the namespaces and the
# work folder, however the script ends. Needs $build, the build folder, and $me, the script's name.

: "${me:?}" "${build:?}"
work=$(mktemp -d "${TMPDIR:-/tmp}/snaprpc-$me.XXXXXX")
host_a=snaprpc-$$-a
host_b=snaprpc-$$-b
has_hosts=no
declare -A pid=() # of what runs, by name

say() { printf '%s\n' "$*"; }

die() {
  say "$me: $*" >&2
  for log in "$work"/*.log; do
    [ -s "$log" ] && { say "--- $(basename "$log")"; tail -n 15 "$log"; } >&2
  done
  exit 1
}

# end NAME SIGNAL: ends one process of ours and waits for it.
end() {
  local id=${pid[$1]:-}
  [ -n "$id" ] || return 0
  kill "-$2" "$id" 2>/dev/null
  wait "$id" 2>/dev/null
  unset "pid[$1]" # last: an interruption before this still finds it
}

clean_up() {
  local code=$? name id
  trap - EXIT
  trap '' INT TERM HUP
  for name in "${!pid[@]}"; do end "$name" KILL; done
  for id in $(jobs -p); do # started, and interrupted before it got a name
    kill -KILL "$id" 2>/dev/null
    wait "$id" 2>/dev/null
  done
  drop_hosts
  rm -rf "$work"
  exit "$code"
}
trap clean_up EXIT
trap 'say ""; say "$me: interrupted"; exit 130' INT TERM HUP

drop_hosts() {
  [ "$has_hosts" = yes ] || return 0
  has_hosts=no
  ip netns del "$host_a" 2>/dev/null
  ip netns del "$host_b" 2>/dev/null
}

# make_hosts [MTU]: two hosts, 10.213.0.1 and 10.213.0.2, joined by a veth pair; false where that is
# not allowed.
make_hosts() {
  local mtu=${1:-1500}
  [ "$(id -u)" = 0 ] && command -v ip >/dev/null || return 1
  has_hosts=yes
  { ip netns add "$host_a" && ip netns add "$host_b" &&
    ip -n "$host_a" link add wire mtu "$mtu" type veth peer name wire mtu "$mtu" netns "$host_b" &&
    ip -n "$host_a" addr add 10.213.0.1/24 dev wire && ip -n "$host_b" addr add 10.213.0.2/24 dev wire &&
    ip -n "$host_a" link set lo up && ip -n "$host_b" link set lo up &&
    ip -n "$host_a" link set wire up && ip -n "$host_b" link set wire up; } 2>"$work/netns.log" ||
    { drop_hosts; return 1; }
}

# on a|b COMMAND...: runs it there, in place of the (sub)shell that calls this.
on() {
  local socket=$work/snapd-$1.sock host=$host_a
  [ "$1" = b ] && host=$host_b
  shift
  if [ "$has_hosts" = yes ]; then
    exec ip netns exec "$host" env SNAPD_SOCKET="$socket" "$@"
  fi
  exec env SNAPD_SOCKET="$socket" "$@"
}

# start NAME a|b COMMAND...: in the background, output in NAME.log.
start() {
  local name=$1
  shift
  (on "$@") >>"$work/$name.log" 2>&1 &
  pid[$name]=$!
}

# until_ready NAME COMMAND...: waits until the command succeeds, up to 10 seconds.
until_ready() {
  local name=$1 i
  shift
  for ((i = 0; i < 200; i++)); do
    "$@" >/dev/null 2>&1 && return 0
    kill -0 "${pid[$name]}" 2>/dev/null || break
    sleep 0.05
  done
  die "$name did not start"
}

# start_snapd a|b [OPTION...]: on one host instead of two, the second has another UDP port.
start_snapd() {
  local host=$1 listen=0.0.0.0:4741
  shift
  if [ "$has_hosts" = no ]; then
    [ "$host" = a ] && listen=127.0.0.1:4741 || listen=127.0.0.1:4751
  fi
  start "snapd_$host" "$host" "$build/bin/snapd" --socket "$work/snapd-$host.sock" \
    --listen "$listen" "$@"
  until_ready "snapd_$host" "$build/bin/snaprpc" status --socket "$work/snapd-$host.sock"
}
