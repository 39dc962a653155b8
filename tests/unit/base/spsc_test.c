/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spsc.h"

#include "tests/support/cmocka_all.h"

#include <pthread.h>
#include <sched.h>

static void it_holds_its_capacity_and_no_more(void **state)
{
    (void)state;
    struct base_spsc ring;
    int values[9] = {0};
    assert_int_equal(base_spsc_init(&ring, 5), BASE_OK);
    assert_null(base_spsc_pop(&ring));
    for (int i = 0; i < 8; i++) {
        assert_true(base_spsc_push(&ring, &values[i]));
    }
    assert_false(base_spsc_push(&ring, &values[8]));
    assert_int_equal(base_spsc_count(&ring), 8);
    assert_ptr_equal(base_spsc_pop(&ring), &values[0]);
    assert_true(base_spsc_push(&ring, &values[8]));
    for (int i = 1; i < 9; i++) {
        assert_ptr_equal(base_spsc_pop(&ring), &values[i]);
    }
    assert_null(base_spsc_pop(&ring));
    base_spsc_fini(&ring);
    base_spsc_fini(&ring);
}

static void a_ring_of_one_works(void **state)
{
    (void)state;
    struct base_spsc ring;
    int value = 0;
    assert_int_equal(base_spsc_init(&ring, 1), BASE_OK);
    for (int i = 0; i < 3; i++) {
        assert_true(base_spsc_push(&ring, &value));
        assert_false(base_spsc_push(&ring, &value));
        assert_ptr_equal(base_spsc_pop(&ring), &value);
        assert_null(base_spsc_pop(&ring));
    }
    base_spsc_fini(&ring);
}

static void cursors_wrap(void **state)
{
    (void)state;
    struct base_spsc ring;
    int values[4] = {0};
    assert_int_equal(base_spsc_init(&ring, 4), BASE_OK);
    atomic_store(&ring.head, UINT32_MAX - 1);
    atomic_store(&ring.tail, UINT32_MAX - 1);
    ring.head_seen = UINT32_MAX - 1;
    ring.tail_seen = UINT32_MAX - 1;
    for (int i = 0; i < 4; i++) {
        assert_true(base_spsc_push(&ring, &values[i]));
    }
    assert_false(base_spsc_push(&ring, &values[0]));
    assert_int_equal(base_spsc_count(&ring), 4);
    for (int i = 0; i < 4; i++) {
        assert_ptr_equal(base_spsc_pop(&ring), &values[i]);
    }
    assert_null(base_spsc_pop(&ring));
    base_spsc_fini(&ring);
}

static void bad_capacities_are_refused(void **state)
{
    (void)state;
    struct base_spsc ring;
    assert_int_equal(base_spsc_init(&ring, 0), BASE_E_INVALID);
    assert_int_equal(base_spsc_init(&ring, (1U << 30) + 1), BASE_E_INVALID);
    assert_int_equal(base_spsc_init(&ring, UINT32_MAX), BASE_E_INVALID);
}

enum {
    N = 50000
};

static uint32_t items[N];

static void *produce(void *arg)
{
    for (uint32_t i = 0; i < N; i++) {
        items[i] = i;
        while (!base_spsc_push(arg, &items[i])) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void two_threads_pass_everything_in_order(void **state)
{
    (void)state;
    struct base_spsc ring;
    pthread_t thread;
    assert_int_equal(base_spsc_init(&ring, 64), BASE_OK);
    assert_int_equal(pthread_create(&thread, NULL, produce, &ring), 0);
    for (uint32_t i = 0; i < N;) {
        uint32_t *item = base_spsc_pop(&ring);
        if (item == NULL) {
            (void)sched_yield();
            continue;
        }
        assert_int_equal(*item, i);
        i++;
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    base_spsc_fini(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_its_capacity_and_no_more),
        cmocka_unit_test(a_ring_of_one_works),
        cmocka_unit_test(cursors_wrap),
        cmocka_unit_test(bad_capacities_are_refused),
        cmocka_unit_test(two_threads_pass_everything_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
