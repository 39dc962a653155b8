/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/path_mtu.h"

#include "tests/support/cmocka_all.h"

enum {
    WAIT_NS = 1000,
    MIN = 1200,
    MAX = 9216
};

/* Searches over a path that carries `carries`; returns how many probes it took. */
static uint32_t search(struct pony_path_mtu *pmtu, uint32_t carries, uint64_t *now_ns)
{
    uint32_t n = 0;
    while (n < 1000) {
        uint32_t size = pony_path_mtu_on_time(pmtu, *now_ns);
        if (size == 0) {
            break;
        }
        assert_in_range(size, pmtu->bytes + 1, MAX);
        pmtu->number++;
        n++;
        pony_path_mtu_sent(pmtu, *now_ns, WAIT_NS);
        if (size <= carries) {
            assert_true(pony_path_mtu_on_answer(pmtu, pmtu->number, *now_ns));
        } else {
            *now_ns += WAIT_NS;
        }
    }
    return n;
}

/* PX-232 */
static void every_path_is_found_within_32_bytes(void **state)
{
    (void)state;
    for (uint32_t carries = MIN; carries <= MAX; carries += 7) {
        struct pony_path_mtu pmtu;
        uint64_t now_ns = 5;
        pony_path_mtu_init(&pmtu, MIN, MAX, now_ns);
        assert_in_range(search(&pmtu, carries, &now_ns), 1, 40);
        assert_in_range(pmtu.bytes, carries < MIN + 32 ? MIN : carries - 31, carries);
    }
}

static void the_largest_is_tried_first_and_ends_the_search(void **state)
{
    (void)state;
    struct pony_path_mtu pmtu;
    uint64_t now_ns = 5;
    pony_path_mtu_init(&pmtu, MIN, MAX, now_ns);
    assert_int_equal(search(&pmtu, MAX, &now_ns), 1);
    assert_int_equal(pmtu.bytes, MAX);
    assert_true(pmtu.next_ns == UINT64_MAX);
}

static void nothing_is_searched_where_nothing_is_to_gain(void **state)
{
    (void)state;
    struct pony_path_mtu pmtu;
    pony_path_mtu_init(&pmtu, MAX, MAX, 5);
    assert_true(pmtu.next_ns == UINT64_MAX);
    assert_int_equal(pony_path_mtu_on_time(&pmtu, UINT64_MAX - 1), 0);
}

static void another_search_begins_a_minute_later(void **state)
{
    (void)state;
    struct pony_path_mtu pmtu;
    uint64_t now_ns = 5;
    pony_path_mtu_init(&pmtu, MIN, MAX, now_ns);
    (void)search(&pmtu, 1500, &now_ns);
    uint64_t next_ns = pmtu.next_ns;
    assert_true(next_ns == now_ns + PONY_PMTU_RAISE_NS);
    assert_int_equal(pony_path_mtu_on_time(&pmtu, next_ns - 1), 0);
    assert_int_equal(pony_path_mtu_on_time(&pmtu, next_ns), MAX);
    (void)search(&pmtu, 4000, &next_ns);
    assert_in_range(pmtu.bytes, 4000 - 31, 4000);
}

static void a_late_or_made_up_answer_means_nothing(void **state)
{
    (void)state;
    struct pony_path_mtu pmtu;
    pony_path_mtu_init(&pmtu, MIN, MAX, 5);
    assert_false(pony_path_mtu_on_answer(&pmtu, 0, 5)); /* none was sent */
    (void)pony_path_mtu_on_time(&pmtu, 5);
    pmtu.number = 7;
    pony_path_mtu_sent(&pmtu, 5, WAIT_NS);
    assert_false(pony_path_mtu_on_answer(&pmtu, 6, 6));
    assert_int_equal(pmtu.bytes, MIN);
    assert_true(pony_path_mtu_on_answer(&pmtu, 7, 6));
    assert_false(pony_path_mtu_on_answer(&pmtu, 7, 6));
}

/* PX-233 */
static void three_large_losses_in_a_row_are_a_black_hole(void **state)
{
    (void)state;
    struct pony_path_mtu pmtu;
    pony_path_mtu_init(&pmtu, 4000, 4000, 5);
    assert_false(pony_path_mtu_on_loss(&pmtu, MIN, 6)); /* small: says nothing */
    assert_false(pony_path_mtu_on_loss(&pmtu, 4000, 6));
    assert_false(pony_path_mtu_on_loss(&pmtu, MIN + 1, 6));
    assert_true(pony_path_mtu_on_loss(&pmtu, 4000, 6));
    assert_int_equal(pmtu.bytes, MIN);
    assert_int_equal(pony_path_mtu_on_time(&pmtu, 6), 4000);
    for (int i = 0; i < 10; i++) {
        assert_false(pony_path_mtu_on_loss(&pmtu, 4000, 6)); /* as small as can be already */
    }
}

static void a_probe_that_does_not_even_leave_costs_no_time(void **state)
{
    (void)state;
    struct pony_path_mtu pmtu;
    uint32_t n = 0;
    pony_path_mtu_init(&pmtu, MIN, MAX, 5);
    for (uint32_t size; (size = pony_path_mtu_on_time(&pmtu, 5)) != 0; n++) {
        pmtu.number++;
        pony_path_mtu_sent(&pmtu, 5, WAIT_NS);
        if (size > 1500) {
            assert_false(pony_path_mtu_on_too_long(&pmtu, size, 5));
        } else {
            assert_true(pony_path_mtu_on_answer(&pmtu, pmtu.number, 5));
        }
    }
    assert_in_range(n, 1, 10);
    assert_in_range(pmtu.bytes, 1500 - 31, 1500);
}

static void data_that_does_not_leave_is_small_at_once(void **state)
{
    (void)state;
    struct pony_path_mtu pmtu;
    pony_path_mtu_init(&pmtu, 4000, 4000, 5);
    assert_false(pony_path_mtu_on_too_long(&pmtu, 4001, 6)); /* is sent no more */
    assert_false(pony_path_mtu_on_too_long(&pmtu, MIN, 6));
    assert_true(pony_path_mtu_on_too_long(&pmtu, 4000, 6));
    assert_int_equal(pmtu.bytes, MIN);
    assert_false(pony_path_mtu_on_too_long(&pmtu, 4000, 6)); /* told late */
    assert_int_equal(pony_path_mtu_on_time(&pmtu, 6), 4000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_path_is_found_within_32_bytes),
        cmocka_unit_test(the_largest_is_tried_first_and_ends_the_search),
        cmocka_unit_test(nothing_is_searched_where_nothing_is_to_gain),
        cmocka_unit_test(another_search_begins_a_minute_later),
        cmocka_unit_test(a_late_or_made_up_answer_means_nothing),
        cmocka_unit_test(a_probe_that_does_not_even_leave_costs_no_time),
        cmocka_unit_test(data_that_does_not_leave_is_small_at_once),
        cmocka_unit_test(three_large_losses_in_a_row_are_a_black_hole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
