/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RPC_LOOP_IMPL_H
#define RPC_LOOP_IMPL_H

#include "rpc/loop.h"
#include "rpc/poller_run.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

/**
 * Inside of the loop; shared by loop.c, owner.c, driver.c and waiter.c only.
 *
 * Threads  fields are the owner's unless they are atomic or say otherwise
 */
enum {
    SNAPI_TRANSPORTS_MAX = 2 /**< PONY and TCP, by kind - 1 */
};

/** Who has the driver's role; different from owning: a driver that sleeps owns nothing. */
enum snapi_role {
    SNAPI_ROLE_FREE = 0,
    SNAPI_ROLE_TAKEN = 1
};

struct snapi_spin {
    uint32_t limit_us;      /**< the option */
    uint32_t score;         /**< adaptive: how often spinning paid lately */
    uint32_t n_idles;       /**< adaptive: counts idle times, to probe now and then */
    uint64_t idle_since_ns; /**< 0: not idle */
    uint64_t looked_ns;     /**< last look of this idle time */
    uint64_t burnt_ns;      /**< of our own time in this idle time */
    uint64_t patience_ns;   /**< of this idle time: burn so much, sleep then */
};

struct snap_loop {
    struct snapi_loop_head head; /**< first: loop.h's inline functions look at it */

    /* Shared. */
    alignas(BASE_CACHE_LINE) _Atomic uint32_t role; /**< enum snapi_role */
    _Atomic uint32_t n_followers;                   /**< length of `followers` */
    _Atomic uint32_t stop;                          /**< snap_loop_stop() was called */
    _Atomic uint32_t quit;                          /**< the library's thread is to end */
    struct base_mpsc submissions;

    pthread_mutex_t follow_lock;
    struct base_list followers; /**< under follow_lock */

    /* Constant after create. */
    int wake_fd; /**< eventfd */
    enum snap_transport choice;
    char *snapd_socket;
    struct base_log log;
    snap_log_fn *log_fn;
    void *log_arg;
    const struct snapi_transport_ops *const *available;

    /* The owner's. */
    alignas(BASE_CACHE_LINE) bool is_asleep; /**< the driver sleeps, or the application's loop */
    bool is_woken;                           /**< wake_fd was signalled for this sleep */
    bool is_waiter_done;                     /**< leading_waiter has what it waited for */
    bool has_fd;                             /**< snap_loop_fd() was asked for */
    uint64_t sleep_until_ns;                 /**< while is_asleep */
    uint64_t looked_ns;                      /**< when the descriptors were last looked at */
    uint64_t fds_busy_until;                 /**< they had something lately: look every time */
    uint32_t n_since_look;
    struct snapi_waiter *leading_waiter;
    struct snapi_poller poller;
    struct snapi_source wake_source;
    struct snapi_source timer_source; /**< fd -1 until snap_loop_fd() */
    uint64_t timerfd_ns;              /**< what the timerfd is set to; UINT64_MAX: off */
    struct base_list deferred;
    struct snapi_shared client;
    struct base_list members;
    struct snapi_transport *transports[SNAPI_TRANSPORTS_MAX];
    struct snapi_spin spin;
    struct base_wheel wheel;

    pthread_t thread;
    bool has_thread;
};

/* ---- owner.c ---- */

/** Grows in every child of fork; also makes the handler known, once. */
uint32_t snapi_fork_generation(void);

/** Becomes the owner, waiting for another thread that is in for a moment. Only for the driver. */
void snapi_owner_lock(struct snap_loop *loop);

/** Gives ownership up without settling. False if somebody submitted meanwhile. */
bool snapi_owner_unlock(struct snap_loop *loop);

/** When something is due at the latest; 0: now. */
uint64_t snapi_owner_next_due_ns(const struct snap_loop *loop);

/* ---- driver.c ---- */

/** What ends driving. */
struct snapi_drive {
    struct snapi_waiter *waiter; /**< is done; or NULL */
    uint64_t deadline_ns;
    bool until_work;               /**< as soon as anything was done */
    uint32_t n_done;               /**< out */
    const _Atomic uint32_t *until; /**< this is set; or NULL */
};

/** Drives; the caller owns the loop and has the role. */
void snapi_drive(struct snap_loop *loop, struct snapi_drive *drive);

/** One iteration. Owner. */
uint32_t snapi_iterate(struct snap_loop *loop, bool looks_at_fds);

/** After driving: makes the descriptor of snap_loop_fd() tell when to come back. Owner. */
void snapi_drive_arm_fd(struct snap_loop *loop);

/* ---- waiter.c ---- */

bool snapi_role_take(struct snap_loop *loop);
/** Gives the role up and hands it to one who waits. Not as owner. */
void snapi_role_drop(struct snap_loop *loop);

/** Sleeps until done, poked (the role is perhaps free) or the deadline. */
enum base_err snapi_follow(struct snap_loop *loop, struct snapi_waiter *waiter,
                           uint64_t deadline_ns);

/** Wakes those that wait in snap_loop_run(), so that they see `stop`. */
void snapi_poke_runs(struct snap_loop *loop);

/* ---- loop.c ---- */

/** What a waiter's futex word says. */
enum snapi_waiter_state {
    SNAPI_WAITER_AWAKE = 0,
    SNAPI_WAITER_ASLEEP = 1,
    SNAPI_WAITER_POKED = 2,
    SNAPI_WAITER_DONE = 3
};

#endif
