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

static const struct pony_reply kinds[] = {
    {.type = PONY_WIRE_RESET, .flags = PONY_WIRE_FLAG_UNKNOWN},
    {.type = PONY_WIRE_REFUSE},
    {.type = PONY_WIRE_REFUSE, .detail = PONY_WIRE_DETAIL_COOKIE},
};

/* PX-15: whether those of the other kinds are sent or wait. */
static void a_flood_of_one_kind_leaves_others_theirs(void **state)
{
    (void)state;
    static struct pony_replies replies;
    struct pony_reply reply;
    for (uint32_t flooded = 0; flooded < PONY_REPLY_KINDS; flooded++) {
        for (uint32_t is_sent = 0; is_sent < 2; is_sent++) {
            pony_replies_init(&replies, 0);
            while (pony_replies_put(&replies, &kinds[flooded], 0)) {
                assert_true(is_sent == 0 || pony_replies_take(&replies, &reply));
            }
            for (uint32_t kind = 0; kind < PONY_REPLY_KINDS; kind++) {
                for (uint32_t i = 0; i < PONY_REPLIES_MAX && kind != flooded; i++) {
                    assert_true(pony_replies_put(&replies, &kinds[kind], 0));
                }
                assert_false(pony_replies_put(&replies, &kinds[kind], 0));
            }
        }
    }
}

static void kinds_are_sent_in_turn(void **state)
{
    (void)state;
    static struct pony_replies replies;
    struct pony_reply reply;
    pony_replies_init(&replies, 0);
    while (pony_replies_put(&replies, &kinds[PONY_REPLY_COOKIE], 0)) {
    }
    assert_true(pony_replies_put(&replies, &kinds[PONY_REPLY_UNKNOWN], 0));
    assert_true(pony_replies_put(&replies, &kinds[PONY_REPLY_REFUSAL], 0));
    uint32_t n_others = 0;
    for (uint32_t i = 0; i < PONY_REPLY_KINDS; i++) {
        assert_true(pony_replies_take(&replies, &reply));
        n_others += reply.detail != PONY_WIRE_DETAIL_COOKIE;
    }
    assert_int_equal(n_others, 2);
    for (uint32_t i = 1; i < PONY_REPLIES_MAX; i++) {
        assert_true(pony_replies_take(&replies, &reply));
    }
    assert_false(pony_replies_take(&replies, &reply));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_come_out_in_order),
        cmocka_unit_test(a_burst_of_64_is_let_through_and_not_one_more),
        cmocka_unit_test(a_full_ring_refuses_whatever_the_time),
        cmocka_unit_test(a_flood_of_one_kind_leaves_others_theirs),
        cmocka_unit_test(kinds_are_sent_in_turn),
        cmocka_unit_test(a_clock_that_goes_back_lets_nothing_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
