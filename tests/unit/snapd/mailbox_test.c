/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/engine/mailbox.h"

#include "base/compiler.h"
#include "tests/support/cmocka_all.h"

#include <pthread.h>
#include <sched.h>

enum {
    N_POSTS = 5000,
    N_POSTERS = 3
};

#define FOREVER_NS UINT64_C(30000000000)

struct add_work {
    struct snapd_work work;
    uint64_t *sum; /**< the engine's, touched by closures only */
    uint64_t seen; /**< what the closure saw */
};

static void add_one(struct snapd_work *work)
{
    struct add_work *add = base_container_of(work, struct add_work, work);
    add->seen = ++*add->sum;
}

static void an_empty_mailbox_runs_nothing(void **state)
{
    (void)state;
    struct snapd_mailbox mailbox;
    snapd_mailbox_init(&mailbox);
    assert_false(snapd_mailbox_poll(&mailbox));
    assert_false(snapd_mailbox_has_work(&mailbox));
}

static void a_closure_runs_once(void **state)
{
    (void)state;
    struct snapd_mailbox mailbox;
    uint64_t sum = 0;
    struct add_work add = {.work.run = add_one, .sum = &sum};
    snapd_mailbox_init(&mailbox);
    assert_true(snapd_mailbox_post(&mailbox, &add.work));
    assert_true(snapd_mailbox_has_work(&mailbox));
    assert_int_equal(sum, 0);
    assert_true(snapd_mailbox_poll(&mailbox));
    assert_false(snapd_mailbox_poll(&mailbox));
    assert_int_equal(sum, 1);
    assert_true(snapd_mailbox_wait(&add.work, 0));
}

static void the_depth_is_one(void **state)
{
    (void)state;
    struct snapd_mailbox mailbox;
    uint64_t sum = 0;
    struct add_work first = {.work.run = add_one, .sum = &sum};
    struct add_work second = {.work.run = add_one, .sum = &sum};
    snapd_mailbox_init(&mailbox);
    assert_true(snapd_mailbox_post(&mailbox, &first.work));
    assert_false(snapd_mailbox_post(&mailbox, &second.work));
    assert_true(snapd_mailbox_poll(&mailbox));
    assert_true(snapd_mailbox_post(&mailbox, &second.work));
    assert_true(snapd_mailbox_poll(&mailbox));
    assert_int_equal(second.seen, 2);
}

static void waiting_ends_when_the_engine_does_not_come(void **state)
{
    (void)state;
    struct snapd_mailbox mailbox;
    uint64_t sum = 0;
    struct add_work add = {.work.run = add_one, .sum = &sum};
    snapd_mailbox_init(&mailbox);
    assert_true(snapd_mailbox_post(&mailbox, &add.work));
    assert_false(snapd_mailbox_wait(&add.work, 1000));
    /* And may begin again. */
    assert_true(snapd_mailbox_poll(&mailbox));
    assert_true(snapd_mailbox_wait(&add.work, 1000));
}

struct shared {
    struct snapd_mailbox mailbox;
    _Atomic uint32_t n_left; /**< posters at work */
    uint64_t sum;
};

static void *engine(void *arg)
{
    struct shared *shared = arg;
    while (atomic_load(&shared->n_left) > 0) {
        if (!snapd_mailbox_poll(&shared->mailbox)) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void *poster(void *arg)
{
    struct shared *shared = arg;
    for (uint32_t i = 0; i < N_POSTS; i++) {
        struct add_work add = {.work.run = add_one, .sum = &shared->sum};
        while (!snapd_mailbox_post(&shared->mailbox, &add.work)) {
            (void)sched_yield();
        }
        /* The stack frame is gone after this: a late touch shows under the sanitizers. */
        if (!snapd_mailbox_wait(&add.work, FOREVER_NS) || add.seen == 0) {
            return arg;
        }
    }
    atomic_fetch_sub(&shared->n_left, 1);
    return NULL;
}

static void posters_wait_for_their_own_closures(void **state)
{
    (void)state;
    static struct shared shared;
    snapd_mailbox_init(&shared.mailbox);
    atomic_init(&shared.n_left, N_POSTERS);
    pthread_t engine_thread;
    pthread_t posters[N_POSTERS];
    assert_int_equal(pthread_create(&engine_thread, NULL, engine, &shared), 0);
    for (int i = 0; i < N_POSTERS; i++) {
        assert_int_equal(pthread_create(&posters[i], NULL, poster, &shared), 0);
    }
    for (int i = 0; i < N_POSTERS; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(posters[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(pthread_join(engine_thread, NULL), 0);
    assert_int_equal(shared.sum, N_POSTERS * N_POSTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_mailbox_runs_nothing),
        cmocka_unit_test(a_closure_runs_once),
        cmocka_unit_test(the_depth_is_one),
        cmocka_unit_test(waiting_ends_when_the_engine_does_not_come),
        cmocka_unit_test(posters_wait_for_their_own_closures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
