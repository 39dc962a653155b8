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
me=demo
# shellcheck source=scripts/hosts.sh
. "$(dirname "$0")/hosts.sh"

# reached PASS PERCENT: waits until the fetch is there. False: it ended, or is past that pass.
reached() {
  local pass files total
  while kill -0 "${pid[fetch]}" 2>/dev/null; do
    if read -r pass files total 2>/dev/null <"$work/progress" && [ -n "${total:-}" ]; then
      [ "$pass" -gt "$1" ] && return 1
      [ "$pass" -eq "$1" ] && [ $((files * 100)) -ge $((total * $2)) ] && return 0
    fi
    sleep 0.01
  done
  return 1
}

for program in bin/snapd bin/snaprpc examples/files-server examples/files-fetch; do
  [ -x "$build/$program" ] || die "$build/$program is missing: run make first"
done
[ -d "$tree" ] || die "there is no directory $tree"

if make_hosts 1500; then
  server=10.213.0.2:7000
  say "Host A 10.213.0.1 and host B 10.213.0.2: two network namespaces joined by a veth pair."
else
  server=127.0.0.1:7000
  listen=0.0.0.0:7000 # at a loopback address only its own snapd would carry calls to it
  say "Network namespaces may not be made here (that takes root): using one host, with two snapds."
fi
start_snapd a
start_snapd b
start server b "$build/examples/files-server" "$tree" "${listen:-$server}"
until_ready server grep -q '^serving' "$work/server.log"
say "A snapd runs on each. Host B serves $tree by RPC; host A fetches every file of it, 16 calls at"
say "a time, and compares each with the disk by its hash. Three passes:"
say ""
say "  1  over Pony Express"
say "  2  the snapd of host B is killed in the middle, and started again"
say "  3  over Pony Express again"
say ""

(on a "$build/examples/files-fetch" --pass pony --pass any --pass pony \
  --progress "$work/progress" "$server" "$tree") &
pid[fetch]=$!
if reached 2 25; then
  say "    * killing snapd on host B (kill -9 ${pid[snapd_b]})"
  end snapd_b KILL
  reached 2 60 && say "    * starting snapd on host B again"
  start_snapd b
fi
wait "${pid[fetch]}"
code=$?
unset "pid[fetch]"
say ""
[ "$code" = 0 ] || die "files-fetch ended with $code"
say "Every file came over right in each pass. No call was lost; none ran twice."
