#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The demo: two hosts, a snapd on each, a server and a client; the server's snapd is killed in the
# middle and comes back. usage: scripts/demo.sh BUILD_FOLDER [TREE]
#
# Ends by itself; exit 0 only if every file came over right, no call was lost and none ran twice.
# Leaves no process, namespace or file behind, also when interrupted.
set -u

build=${1:?usage: scripts/demo.sh BUILD_FOLDER [TREE]}
tree=${2:-/usr/include}
work=$(mktemp -d "${TMPDIR:-/tmp}/snaprpc-demo.XXXXXX")
host_a=snapdemo-$$-a
host_b=snapdemo-$$-b
has_hosts=no
declare -A pid=() # of what runs: server, fetch, snapd_a, snapd_b

say() { printf '%s\n' "$*"; }

die() {
  say "demo: $*" >&2
  for log in "$work"/*.log; do
    [ -s "$log" ] && { say "--- $(basename "$log")"; tail -n 15 "$log"; } >&2
  done
  exit 1
}

# End one process of ours and wait for it. $1: its key in pid, $2: signal.
end() {
  local id=${pid[$1]:-}
  [ -n "$id" ] || return 0
  unset "pid[$1]"
  kill "-$2" "$id" 2>/dev/null
  wait "$id" 2>/dev/null
}

clean_up() {
  local code=$?
  trap - EXIT INT TERM HUP
  for key in fetch server snapd_a snapd_b; do end "$key" KILL; done
  if [ "$has_hosts" = yes ]; then
    ip netns del "$host_a" 2>/dev/null
    ip netns del "$host_b" 2>/dev/null
  fi
  rm -rf "$work"
  exit "$code"
}
trap clean_up EXIT
trap 'say ""; say "demo: interrupted"; exit 130' INT TERM HUP

# Two hosts joined by a veth pair; false where that is not allowed.
make_hosts() {
  [ "$(id -u)" = 0 ] && command -v ip >/dev/null || return 1
  has_hosts=yes
  { ip netns add "$host_a" && ip netns add "$host_b" &&
    ip -n "$host_a" link add wire type veth peer name wire netns "$host_b" &&
    ip -n "$host_a" addr add 10.213.0.1/24 dev wire && ip -n "$host_b" addr add 10.213.0.2/24 dev wire &&
    ip -n "$host_a" link set lo up && ip -n "$host_b" link set lo up &&
    ip -n "$host_a" link set wire up && ip -n "$host_b" link set wire up; } 2>"$work/netns.log"
}

# Runs a command on host a or b, replacing the shell that calls it.
on() {
  local host=$1
  shift
  if [ "$has_hosts" = yes ]; then
    [ "$host" = a ] && host=$host_a || host=$host_b
    exec ip netns exec "$host" env SNAPD_SOCKET="$socket" "$@"
  fi
  exec env SNAPD_SOCKET="$socket" "$@"
}

# Starts snapd on host $1 and waits until it answers.
start_snapd() {
  local host=$1 listen=0.0.0.0:4741
  socket=$work/snapd-$host.sock
  if [ "$has_hosts" = no ]; then
    [ "$host" = a ] && listen=127.0.0.1:4741 || listen=127.0.0.1:4751
  fi
  on "$host" "$build/bin/snapd" --socket "$socket" --listen "$listen" >>"$work/snapd-$host.log" 2>&1 &
  pid[snapd_$host]=$!
  local i
  for ((i = 0; i < 200; i++)); do
    "$build/bin/snaprpc" status --socket "$socket" >/dev/null 2>&1 && return 0
    kill -0 "${pid[snapd_$host]}" 2>/dev/null || break
    sleep 0.05
  done
  die "snapd on host $host did not start"
}

# Starts files-server on host b and waits until it listens.
start_server() {
  socket=$work/snapd-b.sock
  on b "$build/examples/files-server" "$tree" "$server" >"$work/server.log" 2>&1 &
  pid[server]=$!
  local i
  for ((i = 0; i < 200; i++)); do
    grep -q '^serving' "$work/server.log" 2>/dev/null && return 0
    kill -0 "${pid[server]}" 2>/dev/null || break
    sleep 0.05
  done
  die "files-server did not start"
}

# Waits until pass $1 of the fetch has reached $2 percent. False: it ended before.
reached() {
  local pass done_ total
  while kill -0 "${pid[fetch]}" 2>/dev/null; do
    if read -r pass done_ total 2>/dev/null <"$work/progress" && [ -n "${total:-}" ]; then
      [ "$pass" -gt "$1" ] && return 1
      [ "$pass" -eq "$1" ] && [ $((done_ * 100)) -ge $((total * $2)) ] && return 0
    fi
    sleep 0.01
  done
  return 1
}

for program in bin/snapd bin/snaprpc examples/files-server examples/files-fetch; do
  [ -x "$build/$program" ] || die "$build/$program is missing: run make first"
done
[ -d "$tree" ] || die "there is no directory $tree"

if make_hosts; then
  server=10.213.0.2:7000
  say "Host A 10.213.0.1 and host B 10.213.0.2: two network namespaces joined by a veth pair."
else
  [ "$has_hosts" = yes ] && { ip netns del "$host_a"; ip netns del "$host_b"; } 2>/dev/null
  has_hosts=no
  server=127.0.0.1:7000
  say "Network namespaces may not be made here (that takes root): using one host, with two snapds."
fi
start_snapd a
start_snapd b
start_server
say "A snapd runs on each. Host B serves $tree by RPC; host A fetches every file of it, 16 calls at"
say "a time, and compares each with the disk by its hash. Three passes:"
say ""
say "  1  over Pony Express"
say "  2  the snapd of host B is killed in the middle, and started again"
say "  3  over Pony Express again"
say ""

socket=$work/snapd-a.sock
on a "$build/examples/files-fetch" --pass pony --pass any --pass pony --progress "$work/progress" \
  "$server" "$tree" &
pid[fetch]=$!
if reached 2 25; then
  say "    * killing snapd on host B (kill -9 ${pid[snapd_b]})"
  end snapd_b KILL
  if reached 2 60; then
    say "    * starting snapd on host B again"
  fi
  start_snapd b
fi
wait "${pid[fetch]}"
code=$?
unset "pid[fetch]"
end server TERM
end snapd_a TERM
end snapd_b TERM
say ""
if [ "$code" = 0 ]; then
  say "Every file came over right in each pass. No call was lost; none ran twice."
else
  die "files-fetch ended with $code"
fi
