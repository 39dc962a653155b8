#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: run_spin.sh <model.pml> <must-pass|must-fail> <scratch folder> [-DNAME...]
# Checks a Promela model exhaustively. must-fail: it is a mistake if spin finds nothing.
set -eu
model=$1 expect=$2 scratch=$3
shift 3
command -v spin >/dev/null || { echo "run_spin: spin is not installed, skipped"; exit 77; }
mkdir -p "$scratch"
cd "$scratch"
spin "$@" -a "$model"
${CC:-cc} -O2 -w -DSAFETY -o pan pan.c
out=$(./pan -m100000)
echo "$out"
errors=$(echo "$out" | sed -n 's/.*errors: *\([0-9]*\).*/\1/p')
case "$out" in *"max search depth too small"*) echo "run_spin: search was cut"; exit 1 ;; esac
case "$expect" in
must-pass) [ "$errors" = 0 ] ;;
must-fail) [ "$errors" -gt 0 ] && echo "run_spin: failed as it must" ;;
esac
