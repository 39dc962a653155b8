/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SYSTEM_LEDGER_DATA_H
#define TESTS_SYSTEM_LEDGER_DATA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * What ledger's client, its server and the tests agree on: bytes and sizes that follow from a call's
 * number, and the client's counters, which the tests read while it runs.
 */
enum {
    LEDGER_IDS = 1 << 24 /**< ids are below */
};

/** Kinds of sizes. */
enum ledger_sizes {
    LEDGER_TINY,  /**< 0..64 bytes */
    LEDGER_MIXED, /**< most small, some of 256 KiB, one in 4096 of 1..4 MiB */
    LEDGER_LARGE  /**< 64 KiB..2 MiB */
};

/** A random number that follows from `x`. */
uint64_t ledger_mix(uint64_t x);

/** Bytes that the payload of call `id` has. `salt` tells request from reply. */
size_t ledger_size(uint64_t id, enum ledger_sizes sizes, uint64_t salt);

void ledger_fill(uint64_t seed, uint8_t *data, size_t len);

bool ledger_is_right(uint64_t seed, const uint8_t *data, size_t len);

/** In a file that client and test map; counters only grow. */
struct ledger_stats {
    _Atomic uint64_t started, ended;
    _Atomic uint64_t ok, unavailable, deadline, other; /**< how calls ended */
    _Atomic uint64_t many_failed;                      /**< idempotent ones that did not end OK */
    _Atomic uint64_t wrong;                            /**< replies with other bytes */
    _Atomic uint64_t late;                             /**< ended long after their deadline */
    _Atomic uint64_t by_pony, by_tcp;
    _Atomic uint64_t resent;
    _Atomic uint64_t moves; /**< times the transport that carried a call was another than before */
    _Atomic uint64_t twice; /**< calls of Once that ran more than once */
    _Atomic uint64_t lost;  /**< calls that ended OK and did not run */
    _Atomic uint64_t phantom; /**< calls that "certainly did not run" and did */
    _Atomic uint32_t is_ready, is_checked;
    char first_error[256]; /**< of a call that ended otherwise than OK; written once */
};

/** Maps the file at `path`, making it if need be. NULL: errno says why. */
struct ledger_stats *ledger_stats_map(const char *path);

#endif
