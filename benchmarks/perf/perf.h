/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCHMARKS_PERF_PERF_H
#define BENCHMARKS_PERF_PERF_H

#include "benchmarks/common/report.h"

#include <snaprpc/snaprpc.h>

#include <stdbool.h>
#include <stdint.h>

/**
 * snaprpc-perf: the same tests as the peers' programs, and those that only snaprpc has.
 *
 * Threads  one drives one loop; open_loop has a second one, with a loop of its own, for the prober
 */
enum {
    PERF_TIMEOUT_US = 10000000 /* of a call, and of connecting */
};

/** A client: one loop and its channels. */
struct perf_client {
    struct bench_options *options;
    struct bench_meter meter;
    struct snap_loop *loop;
    struct snap_channel **channels; /**< [options->connections] */
    uint32_t n_channels;
    uint8_t *payload;         /**< [options->size] */
    uint64_t by_pony, by_tcp; /**< calls that each carried */
    struct bench_report report;
};

struct snap_loop_options perf_loop_options(const struct bench_options *options);

/** Makes the loop and opens `n` channels. What went wrong is the meter's error. */
bool perf_client_open(struct perf_client *client, struct bench_options *options, uint32_t n);

/** Opens channels until there are `n`, and waits until each can carry calls. */
bool perf_client_grow(struct perf_client *client, uint32_t n);
void perf_client_close(struct perf_client *client);

/** Keeps what failed; false. */
bool perf_client_fail(struct perf_client *client, const char *why);

/** Counts what carried a call. */
void perf_client_carried(struct perf_client *client, uint32_t transport);

/** The transport that carried all calls; where two did, both. */
const char *perf_client_carrier(const struct perf_client *client);

int perf_serve(const struct bench_options *options);

/* The tests: each fills client->meter and client->report. */
void perf_run_blocking(struct perf_client *client);  /**< rpc_lat */
void perf_run_window(struct perf_client *client);    /**< rpc_rate, rpc_bw, scale */
void perf_run_open_loop(struct perf_client *client); /**< open_loop */
void perf_run_connect(struct perf_client *client);   /**< connect_rate */
void perf_run_idle(struct perf_client *client);      /**< idle_cpu */
void perf_run_memory(struct perf_client *client);    /**< memory */

#endif
