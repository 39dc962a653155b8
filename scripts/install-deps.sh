#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that building and testing need; only those that are missing.
# With --bench also those of the benchmarks: the peers, and what draws the plots.
set -eu

packages="
clang
clang-format
clang-tidy
cmake
g++
gcc
groff
iproute2
libc6-dev
libcap-dev
libclang-rt-14-dev
libcmocka-dev
libinih-dev
libisal-dev
libjansson-dev
libprotobuf-c-dev
libprotobuf-dev
libprotoc-dev
libssl-dev
libxxhash-dev
make
ninja-build
pkg-config
protobuf-c-compiler
protobuf-compiler
python3
spin
uthash-dev
"

if [ "${1:-}" = --bench ]; then
    packages="$packages
capnproto
gnuplot-nox
iproute2
libcapnp-dev
libfabric-bin
libgrpc++-dev
libnanomsg-dev
libnng-dev
protobuf-compiler-grpc
ucx-utils
"
fi

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "install-deps: this script knows Debian and Ubuntu only; install the equivalent of:" >&2
    echo $packages >&2
    exit 1
fi

missing=""
for p in $packages; do
    case "$(dpkg-query -W -f='${Status}' "$p" 2>/dev/null || true)" in
    *" installed") ;;
    *) missing="$missing $p" ;;
    esac
done
[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "install-deps: not root and no sudo; run as root: apt-get install$missing" >&2
        exit 1
    fi
    as_root="sudo"
fi

echo "install-deps: installing$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $missing >"$log" 2>&1
}
if ! install; then
    $as_root apt-get update -qq >>"$log" 2>&1 || true
    if ! install; then
        cat "$log" >&2
        echo "install-deps: apt-get could not install:$missing" >&2
        exit 1
    fi
fi
