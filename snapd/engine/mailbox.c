/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/engine/mailbox.h"

#include "base/clock.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    WORK_POSTED,
    WORK_AWAITED, /**< a thread sleeps on the state */
    WORK_DONE
};

static void futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
    struct timespec ts = {
        .tv_sec = (time_t)(timeout_ns / BASE_NS_PER_S),
        .tv_nsec = (long)(timeout_ns % BASE_NS_PER_S),
    };
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &ts, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void snapd_mailbox_init(struct snapd_mailbox *mailbox)
{
    atomic_init(&mailbox->slot, NULL);
}

bool snapd_mailbox_post(struct snapd_mailbox *mailbox, struct snapd_work *work)
{
    atomic_store_explicit(&work->state, WORK_POSTED, memory_order_relaxed);
    struct snapd_work *empty = NULL;
    /* R1: pairs with A1 in snapd_mailbox_poll(). seq_cst, not only release: the poster next reads
     * whether the engine sleeps, and must not do so before the closure can be seen. */
    return atomic_compare_exchange_strong_explicit(&mailbox->slot, &empty, work,
                                                   memory_order_seq_cst, memory_order_relaxed);
}

bool snapd_mailbox_wait(struct snapd_work *work, uint64_t timeout_ns)
{
    uint64_t end_ns = base_clock_now_ns() + timeout_ns;
    uint32_t state = WORK_POSTED;
    /* A2: pairs with R2 in snapd_mailbox_poll(). */
    (void)atomic_compare_exchange_strong_explicit(&work->state, &state, WORK_AWAITED,
                                                  memory_order_acquire, memory_order_acquire);
    for (;;) {
        state = atomic_load_explicit(&work->state, memory_order_acquire);
        if (state == WORK_DONE) {
            return true;
        }
        uint64_t now_ns = base_clock_now_ns();
        if (now_ns >= end_ns) {
            return false;
        }
        futex_wait(&work->state, WORK_AWAITED, end_ns - now_ns);
    }
}

bool snapd_mailbox_poll(struct snapd_mailbox *mailbox)
{
    if (atomic_load_explicit(&mailbox->slot, memory_order_relaxed) == NULL) {
        return false;
    }
    /* A1: pairs with R1 in snapd_mailbox_post(). */
    struct snapd_work *work = atomic_load_explicit(&mailbox->slot, memory_order_acquire);
    work->run(work);
    /* Emptied first: once the state says done, the poster may free `work`. */
    atomic_store_explicit(&mailbox->slot, NULL, memory_order_release);
    /* R2: pairs with A2. The address stays good for the wake even when the memory behind it is
     * reused: a wake-up that nobody waits for is harmless. */
    _Atomic uint32_t *word = &work->state;
    if (atomic_exchange_explicit(word, WORK_DONE, memory_order_release) == WORK_AWAITED) {
        futex_wake(word);
    }
    return true;
}

bool snapd_mailbox_has_work(struct snapd_mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->slot, memory_order_seq_cst) != NULL;
}
