/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCHMARKS_COMMON_REPORT_H
#define BENCHMARKS_COMMON_REPORT_H

#include "benchmarks/common/meter.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What one run found, beyond what the meter counted. */
struct bench_report {
    const char *carried_by; /**< the transport actually used, e.g. "pony" */
    const char *unit;       /**< of `value`; NULL: calls/s, or Gb/s for large replies */
    double value;
    uint64_t memory_bytes[BENCH_PROCESSES_MAX]; /**< per connection, by process; test memory */
    bool has_memory;
};

/** Prints it: text, or one JSON object. Returns the program's exit code. */
int bench_report(const struct bench_options *options, const struct bench_meter *meter,
                 const struct bench_report *report);

#ifdef __cplusplus
}
#endif

#endif
