/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/event.h"
#include "rpc/futex.h"
#include "rpc/loop_impl.h"
#include "rpc/status.h"

/**
 * Owning the loop, and work from threads that do not own it.
 *
 * No submission is lost, though nobody is woken for one:
 *
 *     submitter                          owner, leaving
 *     S1 push onto submissions           L1 owner = 0
 *     S2 try to become the owner         L2 look at submissions
 *
 * All four are seq_cst. If S2 fails, another thread owned the loop then, and its L1 comes after S2,
 * so its L2 comes after S1 and finds the work (or an owner in between has done it). If S2 succeeds,
 * the submitter does the work itself. A driver leaves in the same way before it sleeps.
 */
enum {
    SPINS_BEFORE_SLEEP = 64
};

#define CONTENDED ((uint32_t)SNAPI_OWNER_CONTENDED)

_Static_assert(offsetof(struct snap_loop, head) == 0, "as snapi_loop_head() has it");

_Atomic uint32_t snapi_fork_count;
_Thread_local uint32_t snapi_tid __attribute__((tls_model("initial-exec")));
_Thread_local const struct snap_loop *snapi_iterated __attribute__((tls_model("initial-exec")));

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void on_fork_in_child(void)
{
    atomic_fetch_add_explicit(&snapi_fork_count, 1, memory_order_relaxed);
    snapi_tid = 0;
    snapi_iterated = NULL;
}

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, on_fork_in_child);
}

uint32_t snapi_fork_generation(void)
{
    (void)pthread_once(&fork_once, watch_forks);
    return atomic_load_explicit(&snapi_fork_count, memory_order_relaxed);
}

struct snap_status snapi_loop_check(const struct snap_loop *loop)
{
    if (snapi_loop_is_forked(loop)) {
        return snap_status_make(SNAP_FAILED_PRECONDITION,
                                "this loop belongs to the parent process; make a new one after "
                                "fork()");
    }
    return snapi_status_ok;
}

static uint32_t my_tid(void)
{
    if (snapi_tid == 0) {
        snapi_tid = (uint32_t)syscall(SYS_gettid);
    }
    return snapi_tid;
}

/* S2, and the acquire that pairs with the release in L1: the loop as its last owner left it. */
bool snapi_loop_become_owner(struct snap_loop *loop)
{
    uint32_t nobody = 0;
    if (!atomic_compare_exchange_strong_explicit(&loop->head.owner, &nobody, my_tid(),
                                                 memory_order_seq_cst, memory_order_seq_cst)) {
        return false;
    }
    loop->head.depth = 1;
    loop->head.now_ns = 0;
    return true;
}

void snapi_owner_lock(struct snap_loop *loop)
{
    for (uint32_t n = 0; !snapi_loop_become_owner(loop); n++) {
        if (n < SPINS_BEFORE_SLEEP) {
            base_cpu_relax();
            continue;
        }
        uint32_t owner = atomic_load_explicit(&loop->head.owner, memory_order_relaxed);
        if (owner != 0 &&
            ((owner & CONTENDED) != 0 ||
             atomic_compare_exchange_strong_explicit(&loop->head.owner, &owner, owner | CONTENDED,
                                                     memory_order_relaxed, memory_order_relaxed))) {
            snapi_futex_wait(&loop->head.owner, owner | CONTENDED, UINT64_MAX);
        }
    }
}

static bool has_submitted(struct snap_loop *loop)
{
    return atomic_load_explicit(&loop->submissions.stack, memory_order_seq_cst) != NULL;
}

bool snapi_owner_unlock(struct snap_loop *loop)
{
    loop->head.depth = 0;
    /* L1 */
    uint32_t old = atomic_exchange_explicit(&loop->head.owner, 0, memory_order_seq_cst);
    if ((old & CONTENDED) != 0) {
        snapi_futex_wake(&loop->head.owner, 1);
    }
    /* L2 */
    return !has_submitted(loop);
}

uint32_t snapi_loop_run_submitted(struct snap_loop *loop)
{
    uint32_t n = 0;
    struct base_mpsc_node *node;
    while ((node = base_mpsc_pop(&loop->submissions)) != NULL) {
        struct snapi_work *work = base_container_of(node, struct snapi_work, node);
        work->run(loop, work);
        n++;
    }
    return n;
}

uint64_t snapi_owner_next_due_ns(const struct snap_loop *loop)
{
    if (!base_list_is_empty(&loop->deferred) || loop->is_waiter_done) {
        return 0;
    }
    uint64_t due = base_wheel_next_deadline_ns(&loop->wheel);
    for (uint32_t i = 0; i < SNAPI_TRANSPORTS_MAX; i++) {
        if (loop->transports[i] != NULL) {
            due =
                base_min_u64(due, loop->transports[i]->ops->next_deadline_ns(loop->transports[i]));
        }
    }
    return due;
}

/* Before an outsider leaves: all that it left undone is on its way or known to the driver. */
static void settle(struct snap_loop *loop)
{
    (void)snapi_loop_run_submitted(loop);
    for (uint32_t i = 0; i < SNAPI_TRANSPORTS_MAX; i++) {
        if (loop->transports[i] != NULL) {
            loop->transports[i]->ops->flush(loop->transports[i]);
        }
    }
    if (loop->is_asleep && !loop->is_woken &&
        snapi_owner_next_due_ns(loop) < loop->sleep_until_ns) {
        loop->is_woken = true;
        base_eventfd_signal(loop->wake_fd);
    }
}

void snapi_loop_leave_last(struct snap_loop *loop)
{
    base_assert(snapi_loop_is_mine(loop) && loop->head.depth == 1);
    do {
        settle(loop);
    } while (!snapi_owner_unlock(loop) && snapi_loop_become_owner(loop));
}

void snapi_loop_submit(struct snap_loop *loop, struct snapi_work *work)
{
    /* S1: the push is seq_cst. */
    (void)base_mpsc_push(&loop->submissions, &work->node);
    /* S2; an owner does it before it leaves, or in its iteration. */
    if (!snapi_loop_is_mine(loop) && snapi_loop_become_owner(loop)) {
        snapi_loop_leave(loop);
    }
}

void snapi_loop_defer(struct snap_loop *loop, struct snapi_work *work)
{
    if (!work->is_deferred) {
        work->is_deferred = true;
        base_list_add_tail(&loop->deferred, &work->link);
    }
}

void snapi_loop_undefer(struct snap_loop *loop, struct snapi_work *work)
{
    (void)loop;
    if (work->is_deferred) {
        work->is_deferred = false;
        base_list_del(&work->link);
    }
}

struct exec {
    struct snapi_work work;
    void (*fn)(struct snap_loop *loop, void *arg);
    void *arg;
    struct snapi_waiter waiter;
};

static void run_exec(struct snap_loop *loop, struct snapi_work *work)
{
    struct exec *exec = base_container_of(work, struct exec, work);
    exec->fn(loop, exec->arg);
    snapi_waiter_done(loop, &exec->waiter);
}

void snapi_loop_exec(struct snap_loop *loop, void (*fn)(struct snap_loop *loop, void *arg),
                     void *arg)
{
    if (snapi_loop_try_enter(loop)) {
        fn(loop, arg);
        snapi_loop_leave(loop);
        return;
    }
    struct exec exec = {.fn = fn, .arg = arg};
    snapi_work_init(&exec.work, run_exec);
    snapi_waiter_init(&exec.waiter);
    snapi_loop_submit(loop, &exec.work);
    for (;;) {
        uint32_t state = SNAPI_WAITER_AWAKE;
        (void)atomic_compare_exchange_strong_explicit(&exec.waiter.state, &state,
                                                      SNAPI_WAITER_ASLEEP, memory_order_acquire,
                                                      memory_order_acquire);
        if (state == SNAPI_WAITER_DONE) {
            return;
        }
        snapi_futex_wait(&exec.waiter.state, SNAPI_WAITER_ASLEEP, UINT64_MAX);
    }
}

uint64_t snapi_loop_read_clock(struct snap_loop *loop)
{
    loop->head.now_ns = base_clock_now_ns();
    return loop->head.now_ns;
}
