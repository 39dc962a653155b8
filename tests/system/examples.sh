#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The examples, as a newcomer runs them: without a snapd, then with one. usage: examples.sh BUILD_FOLDER
set -u

build=${1:?usage: examples.sh BUILD_FOLDER}
me=examples
# shellcheck source=scripts/hosts.sh
. "$(dirname "$0")/../../scripts/hosts.sh"
examples=$build/examples

# expect WHAT TEXT COMMAND...: the command succeeds and its output has TEXT in it.
expect() {
  local what=$1 text=$2 out
  shift 2
  out=$("$@" 2>&1) || die "$what failed: $out"
  case $out in
    *"$text"*) say "ok: $what" ;;
    *) die "$what: no \"$text\" in: $out" ;;
  esac
}

# port_of NAME: the port that a server said it is at.
port_of() { sed -n 's/.*port \([0-9]*\)$/\1/p' "$work/$1.log"; }

export SNAPD_SOCKET=$work/snapd-a.sock
mkdir "$work/tree"
echo "seven bytes" >"$work/tree/small"
start hello a "$examples/hello-server" 127.0.0.1:0
until_ready hello grep -q '^serving' "$work/hello.log"
hello=127.0.0.1:$(port_of hello)
expect "hello over TCP" "Hello, world!" "$examples/hello-client" "$hello" world
expect "hello's own event loop" "Hello, b!" sh -c "printf 'a\nb\n' | '$examples/hello-epoll' '$hello'"
"$examples/hello-client" "$hello" "" >"$work/refused.log" 2>&1 && die "an empty name was greeted"
grep -q "INVALID_ARGUMENT: name is empty" "$work/refused.log" || die "no message for an empty name"

start_snapd a
start files a "$examples/files-server" "$work/tree" 127.0.0.1:0
until_ready files grep -q '^serving' "$work/files.log"
files=127.0.0.1:$(port_of files)
expect "get" "seven bytes" "$examples/files-client" "$files" get small
expect "list" "small" "$examples/files-client" "$files" list ""
expect "stat" "12 bytes" "$examples/files-client" "$files" stat small
expect "fetch over Pony" "1 of 1 files right" "$examples/files-fetch" --pass pony "$files" "$work/tree"
"$examples/files-client" "$files" get ../hello.log >"$work/outside.log" 2>&1 &&
  die "a path out of the tree was served"
grep -q "NOT_FOUND" "$work/outside.log" || die "no NOT_FOUND for a path out of the tree"
expect "ping" "over pony" "$build/bin/snaprpc" ping "$files" -c 20
say "passed"
