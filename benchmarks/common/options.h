/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCHMARKS_COMMON_OPTIONS_H
#define BENCHMARKS_COMMON_OPTIONS_H

#include "benchmarks/common/cpu.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The command line that all benchmark programs share, ours and those of the peers.
 *
 * Shape  PROGRAM serve ADDRESS [options], or PROGRAM TEST TARGET [options]
 * Units  bytes, seconds, calls per second
 */
enum {
    BENCH_CONNECTIONS_MAX = 16384,
    BENCH_SIZE_MAX = 64 << 20
};

/* Values of spin_us besides microseconds. */
#define BENCH_SPIN_DEFAULT UINT32_MAX
#define BENCH_SPIN_NEVER   0u
#define BENCH_SPIN_ALWAYS  (UINT32_MAX - 1)

struct bench_options {
    const char *program;
    const char *test; /**< one of the program's tests, or "serve" */
    const char *target;
    uint64_t size;      /**< bytes of the payload: of the request and reply, or of the reply (bw) */
    uint32_t in_flight; /**< per run; spread over the connections */
    uint32_t connections;
    double seconds, warmup;
    double rate;           /**< calls/s of open_loop */
    double probe_rate;     /**< calls/s of its prober */
    const char *transport; /**< "auto", "pony" or "tcp"; peers have only one */
    uint32_t spin_us;      /**< BENCH_SPIN_*, or microseconds */
    bool is_json;
    bool is_large;        /**< small requests, large replies: rpc_bw and open_loop */
    struct bench_cpu cpu; /**< processes that count besides this one, then this one */
};

/** What a program has besides `serve`. */
struct bench_program {
    const char *name;
    const char *const *tests; /**< ends with NULL; NULL: rpc_lat, rpc_rate and rpc_bw */
    const char *about;        /**< what --help says of the tests; NULL: of those three */
};

/** 0: go on; else the exit code plus one, and what was wrong was said. */
int bench_parse(int argc, char **argv, const struct bench_program *program,
                struct bench_options *options);

bool bench_is(const struct bench_options *options, const char *test);

/** Splits "HOST:PORT" at its last colon; false: there is none, or no room. */
bool bench_split_address(const char *address, char *host, unsigned host_size, uint16_t *port);

#ifdef __cplusplus
}
#endif

#endif
