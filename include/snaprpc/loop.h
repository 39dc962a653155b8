/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPRPC_LOOP_H
#define SNAPRPC_LOOP_H

#include <snaprpc/export.h>
#include <snaprpc/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Loop: what drives channels and servers. It owns the sockets, the port at snapd and the timers.
 *
 * A loop has no thread of its own. Something must drive it, one of:
 *   - blocking calls: whichever thread waits for a reply drives the loop meanwhile;
 *   - snap_loop_run() on a thread of yours, until snap_loop_stop();
 *   - your event loop: wait until snap_loop_fd() is readable, then call snap_loop_poll(loop, 0);
 *   - snap_loop_start_thread(), which asks the library for a thread.
 *
 * Threads  all functions may be called from any thread unless they say otherwise; at any moment
 *          one thread drives and callbacks and handlers run on that one
 * Forks    a child must not use a loop of its parent; calls there end with FAILED_PRECONDITION
 */
struct snap_loop;

enum snap_transport {
    SNAP_TRANSPORT_AUTO = 0, /**< Pony where both ends have it, else kernel TCP */
    SNAP_TRANSPORT_PONY = 1, /**< Pony only: UNAVAILABLE where it cannot be had */
    SNAP_TRANSPORT_TCP = 2   /**< kernel sockets only */
};

/**
 * Traffic class: whose messages go first where several wait for the network. Over Pony a message
 * of LATENCY overtakes others, also long ones in progress, at the next packet; nobody starves:
 * BULK gets a sixteenth of what there is. Over TCP and Unix sockets it has no effect.
 */
enum snap_traffic {
    SNAP_TRAFFIC_DEFAULT = 0, /**< channel: NORMAL; server: answers as each client asks */
    SNAP_TRAFFIC_NORMAL = 1,
    SNAP_TRAFFIC_LATENCY = 2, /**< small amounts that somebody waits for: before all others */
    SNAP_TRAFFIC_BULK = 3     /**< copies, backups, what may take its time: after all others */
};

enum snap_log_level {
    SNAP_LOG_ERROR = 0,
    SNAP_LOG_WARN = 1,
    SNAP_LOG_INFO = 2, /**< which transport carries a channel, and why it changed */
    SNAP_LOG_DEBUG = 3
};

/** Receives the library's log lines (the library itself never prints). Must not call back in. */
typedef void snap_log_fn(void *arg, enum snap_log_level level, const char *component,
                         const char *message);

struct snap_loop_options {
    size_t size;              /**< sizeof(struct snap_loop_options): lets the struct grow */
    const char *snapd_socket; /**< NULL: $SNAPD_SOCKET, else where snapd listens by default */
    uint32_t transport;       /**< enum snap_transport; $SNAP_TRANSPORT overrides it */
    uint32_t spin_us;         /**< how long to look for work before sleeping; SNAP_SPIN_DEFAULT */
    size_t max_message_bytes; /**< larger ones are RESOURCE_EXHAUSTED; 0: 64 MiB */
    snap_log_fn *log;         /**< NULL: silence */
    void *log_arg;
    uint32_t log_level; /**< enum snap_log_level */
};

/* Macros: ISO C has no enumerators larger than an int. */
#define SNAP_SPIN_DEFAULT UINT32_MAX /**< adapts: spins briefly while replies come quickly */
#define SNAP_SPIN_NEVER   0u
#define SNAP_SPIN_ALWAYS  (UINT32_MAX - 1) /**< never sleeps; yields the core between looks */

#define SNAP_LOOP_OPTIONS_INIT \
    { \
        sizeof(struct snap_loop_options), NULL, SNAP_TRANSPORT_AUTO, SNAP_SPIN_DEFAULT, 0, NULL, \
            NULL, SNAP_LOG_WARN \
    }

/**
 * Makes a loop. `options` may be NULL for the defaults.
 *
 * Errors  INVALID_ARGUMENT an option or environment variable has a value that does not exist;
 *         RESOURCE_EXHAUSTED out of descriptors or memory
 */
SNAP_API SNAP_MUST_USE struct snap_status snap_loop_create(const struct snap_loop_options *options,
                                                           struct snap_loop **loop);

/**
 * Ends a loop: closes its channels and servers, stops its thread. Calls in flight end with
 * CANCELLED first, from within this function. No other thread may be inside the loop. NULL is fine.
 */
SNAP_API void snap_loop_destroy(struct snap_loop *loop);

/**
 * A descriptor that is readable when snap_loop_poll() has something to do, timers included.
 * Owned by the loop; only to be waited on (poll, epoll, select). Level-triggered.
 */
SNAP_API int snap_loop_fd(struct snap_loop *loop);

/**
 * Does what is due and returns how much that was. Waits up to `timeout_ms` for something to do;
 * 0 does not wait, -1 waits without end.
 */
SNAP_API int snap_loop_poll(struct snap_loop *loop, int timeout_ms);

/** Drives the loop until snap_loop_stop(). */
SNAP_API void snap_loop_run(struct snap_loop *loop);

/** Makes snap_loop_run() return, now or when next entered. Safe in a signal handler. */
SNAP_API void snap_loop_stop(struct snap_loop *loop);

/** Starts one thread that drives the loop until it is destroyed. */
SNAP_API SNAP_MUST_USE struct snap_status snap_loop_start_thread(struct snap_loop *loop);

#ifdef __cplusplus
}
#endif

#endif
