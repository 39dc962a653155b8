/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SYSTEM_CALLER_H
#define TESTS_SYSTEM_CALLER_H

#include "tests/system/world.h"

#include <snaprpc/snaprpc.h>

/**
 * Caller: a client of the ledger in the test's own process, for tests that look at single calls.
 *
 * Threads  the test's main thread; its calls block and drive the loop
 */
struct caller {
    struct snap_loop *loop;
    struct snap_channel *channel;
    struct snap_call_info info; /**< of the last call */
    char log[16384];            /**< what the library logged, line by line */
    size_t log_len;
};

struct caller_how {
    const char *snapd_socket; /**< NULL: that of host 0 */
    enum snap_transport transport;
    size_t max_message_bytes; /**< 0: the default */
    const char *target;       /**< NULL: the world's server */
};

enum {
    CALLER_TIMEOUT_MS = 60000
};

/** Opens a loop and a channel. Must be called in the namespace where it is to live. */
void caller_open(struct caller *caller, const struct world *world, const struct caller_how *how);
void caller_close(struct caller *caller);

/** Calls Once (or Many, if `id` is even), checks the reply's bytes; sets caller->info. */
struct snap_status caller_call(struct caller *caller, uint64_t id, size_t request_bytes,
                               size_t reply_bytes, uint64_t timeout_ms);

/** A small call that has to end OK. */
void caller_expect_ok(struct caller *caller, uint64_t id);

/** Asks for a failure. */
struct snap_status caller_fail(struct caller *caller, enum snap_code code, const char *message);

/** Calls a method that is not answered. */
struct snap_status caller_hold(struct caller *caller, uint64_t timeout_ms);

/** Calls until one was carried by `transport` for the reason `why`; false: not within a minute. */
bool caller_reaches(struct caller *caller, enum snap_transport transport, enum snap_why why);

/** A status that does not have this code and a message that contains `text` fails the test. */
void expect_status(const struct snap_status *status, enum snap_code code, const char *text);

/** Whether the library logged this. */
bool caller_logged(const struct caller *caller, const char *text);

#endif
