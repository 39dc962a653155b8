/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXAMPLES_FILES_TALLY_H
#define EXAMPLES_FILES_TALLY_H

#include <snaprpc/channel.h>

#include <stdint.h>

/** What became of the calls of one pass. */
enum {
    TALLY_SAMPLES_MAX = 1 << 18
};

struct tally {
    uint64_t started, ended; /**< calls */
    uint64_t answered;       /**< with OK */
    uint64_t by_pony, by_tcp;
    uint64_t may_have_run; /**< ended with UNAVAILABLE, and the server may have run them */
    uint64_t not_run;      /**< ended with UNAVAILABLE, certainly not run */
    uint64_t resent;       /**< handed to a transport more than once by the library */
    uint64_t bytes;        /**< of files */
    uint64_t begun_ns;
    uint32_t *pony_us; /**< [TALLY_SAMPLES_MAX] latencies; the caller's memory is kept by tally.c */
    uint32_t n_pony_us;
};

void tally_init(struct tally *tally);
void tally_add(struct tally *tally, const struct snap_result *result, uint64_t bytes);

/** Prints the pass in three lines. */
void tally_print(struct tally *tally, uint64_t n_files);

#endif
