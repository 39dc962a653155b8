/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/reply.h"

#include "base/clock.h"
#include "tests/support/cmocka_all.h"

static void replies_come_out_in_order(void **state)
{
    (void)state;
    static struct pony_replies replies;
    struct pony_reply reply = {0};
    pony_replies_init(&replies, 0);
    assert_false(pony_replies_take(&replies, &reply));
    for (uint32_t i = 0; i < 3; i++) {
        reply.dst_flow = i;
        assert_true(pony_replies_put(&replies, &reply, 0));
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(pony_replies_take(&replies, &reply));
        assert_int_equal(reply.dst_flow, i);
    }
    assert_false(pony_replies_take(&replies, &reply));
}

/* PX-15 */
static void a_burst_of_64_is_let_through_and_not_one_more(void **state)
{
    (void)state;
    static struct pony_replies replies;
    struct pony_reply reply = {0};
    pony_replies_init(&replies, 0);
    for (uint32_t i = 0; i < 64; i++) {
        assert_true(pony_replies_put(&replies, &reply, 0));
        assert_true(pony_replies_take(&replies, &reply));
    }
    assert_false(pony_replies_put(&replies, &reply, 0));
    assert_false(pony_replies_put(&replies, &reply, BASE_NS_PER_MS - 1));
    assert_true(pony_replies_put(&replies, &reply, BASE_NS_PER_MS));
    assert_false(pony_replies_put(&replies, &reply, BASE_NS_PER_MS));
}

static void a_full_ring_refuses_whatever_the_time(void **state)
{
    (void)state;
    static struct pony_replies replies;
    struct pony_reply reply = {0};
    pony_replies_init(&replies, 0);
    for (uint32_t i = 0; i < 64; i++) {
        assert_true(pony_replies_put(&replies, &reply, 0));
    }
    assert_false(pony_replies_put(&replies, &reply, (uint64_t)100 * BASE_NS_PER_S));
    assert_true(pony_replies_take(&replies, &reply));
    assert_true(pony_replies_put(&replies, &reply, (uint64_t)100 * BASE_NS_PER_S));
}

static void a_clock_that_goes_back_lets_nothing_through(void **state)
{
    (void)state;
    static struct pony_replies replies;
    struct pony_reply reply = {0};
    pony_replies_init(&replies, BASE_NS_PER_S);
    for (uint32_t i = 0; i < 64; i++) {
        assert_true(pony_replies_put(&replies, &reply, BASE_NS_PER_S));
        assert_true(pony_replies_take(&replies, &reply));
    }
    assert_false(pony_replies_put(&replies, &reply, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_come_out_in_order),
        cmocka_unit_test(a_burst_of_64_is_let_through_and_not_one_more),
        cmocka_unit_test(a_full_ring_refuses_whatever_the_time),
        cmocka_unit_test(a_clock_that_goes_back_lets_nothing_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
