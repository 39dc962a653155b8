/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCHMARKS_PERF_PERF_H
#define BENCHMARKS_PERF_PERF_H

#include "base/hist.h"
#include "benchmarks/perf/cpu.h"

#include <snaprpc/snaprpc.h>

#include <stdbool.h>
#include <stdint.h>

/** What is measured, how, and what came out. */

enum {
    PERF_CHANNELS_MAX = 16384
};

struct perf_options {
    const char *test; /**< "rpc_lat", "rpc_rate", "rpc_bw", "serve" */
    const char *target;
    uint64_t size;      /**< bytes of the payload: of the request and reply, or of the reply (bw) */
    uint32_t in_flight; /**< per run; spread over the channels */
    uint32_t channels;
    double seconds, warmup;
    uint32_t transport; /**< enum snap_transport */
    uint32_t spin_us;   /**< as in snap_loop_options */
    bool is_json;
    struct perf_cpu cpu; /**< processes that count besides this one */
};

struct perf_result {
    struct base_hist rtt; /**< ns, full round trips */
    uint64_t calls, failed;
    uint64_t bytes;
    uint64_t elapsed_ns;
    uint64_t by_pony, by_tcp;
    char error[256]; /**< the first failure */
};

/** 0: go on; else the exit code plus one. */
int perf_parse(int argc, char **argv, struct perf_options *options);

int perf_serve(const struct perf_options *options);
bool perf_run(struct perf_options *options, struct perf_result *result);
void perf_report(const struct perf_options *options, const struct perf_result *result);

#endif
