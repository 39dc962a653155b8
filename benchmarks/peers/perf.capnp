# SPDX-License-Identifier: Apache-2.0
# The service of benchmarks/perf/perf.proto, for Cap'n Proto.
@0xd0a6bd1b8aee8f39;

interface Perf {
  echo @0 (data :Data) -> (data :Data);
  fill @1 (bytes :UInt64) -> (data :Data);
}
