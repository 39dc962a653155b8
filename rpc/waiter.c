/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "rpc/futex.h"
#include "rpc/loop_impl.h"

/**
 * Waiting: one of those who wait leads (drives the loop), the others follow (sleep on their own
 * word). A leader that has what it waited for hands its role to a follower.
 *
 * The role is never left lying while somebody waits:
 *
 *     follower                           leader, going
 *     F1 n_followers++, in the list      G1 role = FREE
 *     F2 try to take the role            G2 if n_followers: poke one in the list
 *
 * All are seq_cst: either F2 finds the role free, or G2 finds the follower. Whoever was poked and
 * goes without taking the role pokes the next one.
 */

void snapi_waiter_init(struct snapi_waiter *waiter)
{
    atomic_init(&waiter->state, SNAPI_WAITER_AWAKE);
    base_list_init(&waiter->link);
    waiter->until = NULL;
}

void snapi_waiter_done(struct snap_loop *loop, struct snapi_waiter *waiter)
{
    if (loop->leading_waiter == waiter) {
        loop->is_waiter_done = true;
    }
    /* R1: pairs with A1 in is_done(): what was waited for. The waiter may go right after. */
    uint32_t old =
        atomic_exchange_explicit(&waiter->state, SNAPI_WAITER_DONE, memory_order_release);
    if (old == SNAPI_WAITER_ASLEEP) {
        snapi_futex_wake(&waiter->state, 1);
    }
}

static bool is_done(struct snapi_waiter *waiter)
{
    /* A1 */
    return atomic_load_explicit(&waiter->state, memory_order_acquire) == SNAPI_WAITER_DONE;
}

bool snapi_role_take(struct snap_loop *loop)
{
    uint32_t nobody = SNAPI_ROLE_FREE;
    return atomic_compare_exchange_strong_explicit(&loop->role, &nobody, SNAPI_ROLE_TAKEN,
                                                   memory_order_seq_cst, memory_order_seq_cst);
}

/* Makes a follower look again. Under follow_lock. False: it has what it waited for. */
static bool poke(struct snapi_waiter *waiter)
{
    uint32_t state = atomic_load_explicit(&waiter->state, memory_order_relaxed);
    do {
        if (state == SNAPI_WAITER_DONE) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&waiter->state, &state, SNAPI_WAITER_POKED,
                                                    memory_order_relaxed, memory_order_relaxed));
    if (state == SNAPI_WAITER_ASLEEP) {
        snapi_futex_wake(&waiter->state, 1);
    }
    return true;
}

/* G2 */
static void offer_role(struct snap_loop *loop)
{
    if (atomic_load_explicit(&loop->n_followers, memory_order_seq_cst) == 0 ||
        atomic_load_explicit(&loop->role, memory_order_seq_cst) != SNAPI_ROLE_FREE) {
        return;
    }
    (void)pthread_mutex_lock(&loop->follow_lock);
    base_list_foreach (it, &loop->followers) {
        if (poke(base_list_entry(it, struct snapi_waiter, link))) {
            break;
        }
    }
    (void)pthread_mutex_unlock(&loop->follow_lock);
}

void snapi_role_drop(struct snap_loop *loop)
{
    atomic_store_explicit(&loop->role, SNAPI_ROLE_FREE, memory_order_seq_cst); /* G1 */
    offer_role(loop);
}

void snapi_poke_runs(struct snap_loop *loop)
{
    if (atomic_load_explicit(&loop->n_followers, memory_order_seq_cst) == 0) {
        return;
    }
    (void)pthread_mutex_lock(&loop->follow_lock);
    base_list_foreach (it, &loop->followers) {
        struct snapi_waiter *waiter = base_list_entry(it, struct snapi_waiter, link);
        if (waiter->until != NULL) {
            (void)poke(waiter);
        }
    }
    (void)pthread_mutex_unlock(&loop->follow_lock);
}

static void join_followers(struct snap_loop *loop, struct snapi_waiter *waiter)
{
    (void)pthread_mutex_lock(&loop->follow_lock);
    if (waiter->until != NULL) {
        base_list_add_head(&loop->followers, &waiter->link);
    } else {
        base_list_add_tail(&loop->followers, &waiter->link);
    }
    atomic_fetch_add_explicit(&loop->n_followers, 1, memory_order_seq_cst); /* F1 */
    (void)pthread_mutex_unlock(&loop->follow_lock);
}

static void quit_followers(struct snap_loop *loop, struct snapi_waiter *waiter)
{
    (void)pthread_mutex_lock(&loop->follow_lock);
    base_list_del(&waiter->link);
    atomic_fetch_sub_explicit(&loop->n_followers, 1, memory_order_seq_cst);
    (void)pthread_mutex_unlock(&loop->follow_lock);
}

/* Sleeps once. */
static void sleep_on(struct snapi_waiter *waiter, uint64_t deadline_ns)
{
    uint32_t state = SNAPI_WAITER_AWAKE;
    if (atomic_compare_exchange_strong_explicit(&waiter->state, &state, SNAPI_WAITER_ASLEEP,
                                                memory_order_relaxed, memory_order_relaxed)) {
        snapi_futex_wait(&waiter->state, SNAPI_WAITER_ASLEEP, deadline_ns);
    }
    /* Poked, or awake for no reason: look again. Done stays done. */
    state = atomic_load_explicit(&waiter->state, memory_order_relaxed);
    while (state != SNAPI_WAITER_DONE &&
           !atomic_compare_exchange_weak_explicit(&waiter->state, &state, SNAPI_WAITER_AWAKE,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

static bool must_stop(const struct snapi_waiter *waiter)
{
    return waiter->until != NULL && atomic_load_explicit(waiter->until, memory_order_seq_cst) != 0;
}

enum base_err snapi_follow(struct snap_loop *loop, struct snapi_waiter *waiter,
                           uint64_t deadline_ns)
{
    enum base_err err = BASE_AGAIN;
    join_followers(loop, waiter);
    for (;;) {
        if (is_done(waiter)) {
            err = BASE_OK;
            break;
        }
        if (must_stop(waiter)) {
            err = BASE_E_CANCELLED;
            break;
        }
        if (snapi_role_take(loop)) { /* F2 */
            break;
        }
        if (deadline_ns != UINT64_MAX && base_clock_now_ns() >= deadline_ns) {
            err = BASE_E_TIMEOUT;
            break;
        }
        sleep_on(waiter, deadline_ns);
    }
    quit_followers(loop, waiter);
    if (err != BASE_AGAIN) {
        offer_role(loop); /* we may have been poked for it */
    }
    return err;
}

/* Waits as the one who drives: owns the loop, has the role; neither on return. */
static enum base_err lead(struct snap_loop *loop, struct snapi_waiter *waiter, uint64_t deadline_ns)
{
    struct snapi_drive drive = {.waiter = waiter, .deadline_ns = deadline_ns};
    loop->leading_waiter = waiter;
    loop->is_waiter_done = is_done(waiter);
    snapi_drive(loop, &drive);
    loop->leading_waiter = NULL;
    loop->is_waiter_done = false;
    snapi_drive_arm_fd(loop);
    enum base_err err = is_done(waiter) ? BASE_OK : BASE_E_TIMEOUT;
    snapi_loop_leave(loop);
    snapi_role_drop(loop);
    return err;
}

enum base_err snapi_loop_wait(struct snap_loop *loop, struct snapi_waiter *waiter,
                              uint64_t deadline_ns)
{
    bool owns = snapi_loop_is_mine(loop);
    if (owns && loop->head.is_iterating) {
        if (loop->head.depth > 1) {
            snapi_loop_leave(loop);
        }
        return BASE_E_IN_USE;
    }
    if (is_done(waiter)) {
        if (owns) {
            snapi_loop_leave(loop);
        }
        return BASE_OK;
    }
    if (!snapi_role_take(loop)) {
        if (owns) {
            snapi_loop_leave(loop);
            owns = false;
        }
        enum base_err err = snapi_follow(loop, waiter, deadline_ns);
        if (err != BASE_AGAIN) {
            return err;
        }
    }
    if (!owns) {
        snapi_owner_lock(loop);
    }
    return lead(loop, waiter, deadline_ns);
}
