/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RPC_LOOP_H
#define RPC_LOOP_H

#include "base/list.h"
#include "base/log.h"
#include "base/mpsc.h"
#include "base/wheel.h"
#include "rpc/message.h"
#include "transport/transport.h"

#include <snaprpc/loop.h>

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * Loop, as client/ and server/ see it: who may touch its state, work from other threads, timers,
 * waiting, transports.
 *
 * Ownership  at any moment at most one thread *owns* the loop. Transports, connections, channels'
 *            and servers' inner state, the wheel: only the owner touches them ("owner" below).
 * Driving    one thread at a time *drives*: it owns the loop while it does an iteration and gives
 *            it up while it sleeps. Callbacks of applications run only within an iteration.
 * Entering   any other thread may own the loop for a moment, to do its own work inline: try_enter,
 *            work, leave. It never calls an application back; what must be called back it defers.
 * Otherwise  it submits: the work is then done by whoever owns the loop, at the latest when that
 *            one leaves. rpc/README.md tells why no submission is lost and no wake-up is needed.
 */

/** What every call looks at: the loop's first part, and the functions for it are inline. */
struct snapi_loop_head {
    alignas(BASE_CACHE_LINE) _Atomic uint32_t owner; /**< thread id, and OWNER_CONTENDED; 0: none */

    /* The owner's, or constant. */
    alignas(BASE_CACHE_LINE) uint64_t now_ns; /**< 0: not read yet */
    uint32_t depth;                           /**< of try_enter */
    bool is_iterating;                        /**< applications may be called back */
    uint32_t fork_generation;
    size_t max_message_bytes;
    struct snapi_arena_pool *arenas;
    struct base_wheel *wheel;
    struct base_list starting; /**< timers of snapi_loop_timer_start(): added in the next turn */
};

static_assert(sizeof(struct snapi_loop_head) == (size_t)2 * BASE_CACHE_LINE,
              "one line of the owner's");

static inline const struct snapi_loop_head *snapi_loop_head(const struct snap_loop *loop)
{
    return (const struct snapi_loop_head *)(const void *)loop;
}

/* ---- may this thread use the loop at all ---- */

/** Any thread. FAILED_PRECONDITION in a child of the process that made the loop, else SNAP_OK.
 * Every public function that takes a loop, channel or server asks this first. */
struct snap_status snapi_loop_check(const struct snap_loop *loop);

/** Grows in every child of fork. */
extern _Atomic uint32_t snapi_fork_count;

/** Any thread. The same without making a status. */
static inline bool snapi_loop_is_forked(const struct snap_loop *loop)
{
    return snapi_loop_head(loop)->fork_generation !=
           atomic_load_explicit(&snapi_fork_count, memory_order_relaxed);
}

/* ---- owning ---- */

enum {
    SNAPI_OWNER_CONTENDED =
        0x80000000 /**< in head.owner: the driver waits for the owner to leave */
};

/** This thread's id, 0 as long as it has owned no loop. Four bytes, so also a library that is loaded
 * later gets them from the static block: without a call of __tls_get_addr() for every step. */
extern _Thread_local uint32_t snapi_tid __attribute__((tls_model("initial-exec")));

/** Whether this thread is the owner. */
static inline bool snapi_loop_is_mine(const struct snap_loop *loop)
{
    /* Relaxed: only this thread ever writes its own id there. */
    uint32_t owner = atomic_load_explicit(&snapi_loop_head(loop)->owner, memory_order_relaxed);
    return snapi_tid != 0 && (owner & ~(uint32_t)SNAPI_OWNER_CONTENDED) == snapi_tid;
}

/** Whether the owner, who asks, is within an iteration. */
static inline bool snapi_loop_is_iterating(const struct snap_loop *loop)
{
    return snapi_loop_head(loop)->is_iterating;
}

/** The loop whose iteration this thread is in; NULL: none. */
extern _Thread_local const struct snap_loop *snapi_iterated
    __attribute__((tls_model("initial-exec")));

/** The same as snapi_loop_in_callback() of a loop that may be gone: it is not looked at. Where this is
 * true nobody else owns it, and it stays. */
static inline bool snapi_loop_is_here(const struct snap_loop *loop)
{
    return snapi_iterated == loop;
}

/** Whether this thread is within an iteration, that is in a callback or handler: waiting here would
 * be waiting for itself. */
static inline bool snapi_loop_in_callback(const struct snap_loop *loop)
{
    return snapi_loop_is_mine(loop) && snapi_loop_is_iterating(loop);
}

/** snapi_loop_try_enter() of a thread that is not the owner, and snapi_loop_leave() of the outermost. */
bool snapi_loop_become_owner(struct snap_loop *loop);
void snapi_loop_leave_last(struct snap_loop *loop);

/**
 * Becomes the owner if nobody else is. Nests: an owner (from a callback, too) enters again.
 * Pairs with snapi_loop_leave(). False: another thread owns it; submit instead.
 *
 * Threads  any
 * Blocks   never
 */
static inline bool snapi_loop_try_enter(struct snap_loop *loop)
{
    if (snapi_loop_is_mine(loop)) {
        ((struct snapi_loop_head *)(void *)loop)->depth++;
        return true;
    }
    return snapi_loop_become_owner(loop);
}

/** Gives up what try_enter() gave. The outermost one flushes transports, does what others submitted
 * meanwhile, and wakes the driver if it would sleep too long. */
static inline void snapi_loop_leave(struct snap_loop *loop)
{
    struct snapi_loop_head *head = (struct snapi_loop_head *)(void *)loop;
    if (head->depth > 1) {
        head->depth--;
    } else {
        snapi_loop_leave_last(loop);
    }
}

/* ---- work ---- */

struct snapi_work;
typedef void snapi_work_fn(struct snap_loop *loop, struct snapi_work *work);

/** One piece of work; lies inside its owner; may be queued again from its own run(). */
struct snapi_work {
    struct base_mpsc_node node; /**< of submissions */
    struct base_list link;      /**< of deferred work */
    snapi_work_fn *run;
    bool is_deferred; /**< owner's */
};

static inline void snapi_work_init(struct snapi_work *work, snapi_work_fn *run)
{
    *work = (struct snapi_work){.run = run};
    base_list_init(&work->link);
}

/**
 * Has run() called by the owner of the loop, soon; perhaps before this returns, on this thread. It
 * must not call applications back (it may defer). One thread's submissions run in order.
 *
 * Threads  any
 */
void snapi_loop_submit(struct snap_loop *loop, struct snapi_work *work);

/** Runs what was submitted, and returns how much: before something is freed that work of other threads
 *  may be on its way for. Owner; not in a run() of such work. */
uint32_t snapi_loop_run_submitted(struct snap_loop *loop);

/** Has run() called in the next iteration, on the driving thread, where applications may be called
 * back. Deferring what is deferred does nothing. Owner. */
void snapi_loop_defer(struct snap_loop *loop, struct snapi_work *work);

/** Takes deferred work back. Owner. */
void snapi_loop_undefer(struct snap_loop *loop, struct snapi_work *work);

/**
 * Calls fn(loop, arg) as owner and returns when that is done: for rare things such as open, close,
 * listen. fn must not call applications back.
 *
 * Threads  any, callbacks included
 * Blocks   until the present owner has come round to it
 */
void snapi_loop_exec(struct snap_loop *loop, void (*fn)(struct snap_loop *loop, void *arg),
                     void *arg);

/* ---- time ---- */

/** snapi_loop_now() where it has not been read yet. */
uint64_t snapi_loop_read_clock(struct snap_loop *loop);

/** CLOCK_MONOTONIC, read once per iteration and per enter: within a callback it is as old as the
 * iteration. Owner. */
static inline uint64_t snapi_loop_now(struct snap_loop *loop)
{
    uint64_t now_ns = snapi_loop_head(loop)->now_ns;
    return BASE_LIKELY(now_ns != 0) ? now_ns : snapi_loop_read_clock(loop);
}

/** Arms (or moves) a timer made by base_timer_init(); fn runs within an iteration. Owner. */
static inline void snapi_loop_timer_add(struct snap_loop *loop, struct base_timer *timer,
                                        uint64_t deadline_ns)
{
    base_wheel_add(snapi_loop_head(loop)->wheel, timer, deadline_ns);
}

/**
 * Arms an idle timer, `after_ns` from now, without a look at the clock. Within an iteration the time
 * counts from its end: a callback may have run for long since the clock was read, and nobody is to be
 * told of a timeout that has not passed; nor can anybody be told before that. Owner.
 */
static inline void snapi_loop_timer_start(struct snap_loop *loop, struct base_timer *timer,
                                          uint64_t after_ns)
{
    struct snapi_loop_head *head = (struct snapi_loop_head *)(void *)loop;
    if (head->is_iterating) {
        timer->deadline_ns = after_ns;
        base_timer_hold(timer, &head->starting);
    } else {
        base_wheel_add(head->wheel, timer, base_add_sat_u64(snapi_loop_now(loop), after_ns));
    }
}

/** Owner. Idle timers are fine. */
static inline void snapi_loop_timer_del(struct snap_loop *loop, struct base_timer *timer)
{
    base_wheel_del(snapi_loop_head(loop)->wheel, timer);
}

/* ---- waiting ---- */

/** A thread that waits for something that the loop will bring; on that thread's stack. */
struct snapi_waiter {
    _Atomic uint32_t state;        /**< futex; waiter.c */
    struct base_list link;         /**< of those who wait while another thread drives */
    const _Atomic uint32_t *until; /**< of snap_loop_run(): waits for the role until this is set */
};

void snapi_waiter_init(struct snapi_waiter *waiter);

/** What was waited for is there. The waiter may be gone when this returns. Owner. */
void snapi_waiter_done(struct snap_loop *loop, struct snapi_waiter *waiter);

/**
 * Waits until snapi_waiter_done(waiter). Drives the loop meanwhile if nobody else does. May be
 * called by an owner that entered once: on return the loop is left.
 *
 * @param deadline_ns  UINT64_MAX: none
 *
 * Threads  any
 * Errors   BASE_E_TIMEOUT: the deadline passed first; the waiter may still be told later, so the
 *          caller takes it out of where it was put, as owner, before its memory goes;
 *          BASE_E_IN_USE: called from a callback of this loop
 */
BASE_MUST_USE enum base_err snapi_loop_wait(struct snap_loop *loop, struct snapi_waiter *waiter,
                                            uint64_t deadline_ns);

/* ---- what a loop has ---- */

/** The transport of a kind (TCP or PONY), made at first use; NULL: this build has none, or it could
 * not be made (base_error_last_note() says why). Owner. */
struct snapi_transport *snapi_loop_transport(struct snap_loop *loop, enum snap_transport kind);

/** AUTO, or what the options or $SNAP_TRANSPORT force. Any thread. */
enum snap_transport snapi_loop_choice(const struct snap_loop *loop);

/** The limit on one encoded message (without our frame around it). Any thread. */
static inline size_t snapi_loop_max_message(const struct snap_loop *loop)
{
    return snapi_loop_head(loop)->max_message_bytes;
}

/** The longest body that may go over a connection, as far as we know: the limit on messages, or what
 *  the transport carries where that is less. For HELLO (PR-25). Owner. */
size_t snapi_loop_max_body(const struct snap_loop *loop, const struct snapi_conn *conn);

/** Any thread. */
const struct base_log *snapi_loop_log(const struct snap_loop *loop);

/** Arenas for calls: take and give from any thread. */
static inline struct snapi_arena_pool *snapi_loop_arenas(const struct snap_loop *loop)
{
    return snapi_loop_head(loop)->arenas;
}

/** What the channels of a loop share: client/'s own. Zero until client/ fills it. Owner. */
struct snapi_shared {
    void *data;
    void (*destroy)(void *data); /**< called when the loop and all its members have ended */
};

struct snapi_shared *snapi_loop_client(struct snap_loop *loop);

/** A channel or server: ended with its loop. */
struct snapi_member {
    struct base_list link;
    /** Ends and frees the object; must unlink it with snapi_loop_del_member(). May call back. Owner,
     * within an iteration. */
    void (*on_loop_destroy)(struct snapi_member *member);
};

/** Owner. */
void snapi_loop_add_member(struct snap_loop *loop, struct snapi_member *member);
void snapi_loop_del_member(struct snap_loop *loop, struct snapi_member *member);

/** snap_loop_create() (lib/create.c) with the transports that the list names; it ends with NULL. */
struct snap_status snapi_loop_create(const struct snap_loop_options *options,
                                     const struct snapi_transport_ops *const *transports,
                                     struct snap_loop **loop);

#endif
