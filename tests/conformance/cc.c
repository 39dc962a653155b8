/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every congestion control promises, over pony_cc_all.
 */
#include "transport/pony/protocol/cc.h"

#include "base/clock.h"
#include "base/rng.h"
#include "tests/support/cmocka_all.h"

#include <string.h>

#define RTT_NS UINT64_C(100000)

struct rig {
    _Alignas(16) unsigned char state[PONY_CC_STATE_MAX + 16];
    const struct pony_cc_ops *ops;
    uint64_t now_ns;
};

static void start(struct rig *rig, const struct pony_cc_ops *ops, double window_max)
{
    struct pony_cc_config config = {.window_max_pkts = window_max, .mtu_bytes = 1452};
    memset(rig->state, 0, PONY_CC_STATE_MAX);
    memset(rig->state + ops->state_size, 0xa5, sizeof(rig->state) - ops->state_size);
    rig->ops = ops;
    rig->now_ns = BASE_NS_PER_S;
    ops->init(rig->state, &config, rig->now_ns);
}

/* A round trip in which a whole window was acknowledged. */
static void ack_window(struct rig *rig, uint64_t rtt_ns, uint64_t endpoint_ns)
{
    double window = rig->ops->window_pkts(rig->state);
    uint32_t n = window < 1 ? 1 : (uint32_t)window;
    rig->now_ns += rtt_ns;
    for (uint32_t left = n; left > 0; left -= left < 16 ? left : 16) {
        struct pony_cc_ack ack = {
            .now_ns = rig->now_ns,
            .rtt_ns = rtt_ns,
            .endpoint_ns = endpoint_ns,
            .srtt_ns = rtt_ns,
            .min_rtt_ns = RTT_NS,
            .n_acked = left < 16 ? left : 16,
            .n_inflight = n,
            .hops = 3,
        };
        rig->ops->on_ack(rig->state, &ack);
    }
}

#define FOREACH_CC(ops) \
    for (const struct pony_cc_ops *const *it_ = pony_cc_all, *ops; (ops = *it_) != NULL; it_++)

/* PX-40 */
static void every_slot_is_filled_and_every_state_fits(void **state)
{
    (void)state;
    FOREACH_CC(ops)
    {
        assert_non_null(ops->name);
        assert_true(ops->state_size > 0 && ops->state_size <= PONY_CC_STATE_MAX);
        assert_true(ops->init != NULL && ops->on_ack != NULL && ops->on_loss != NULL);
        assert_true(ops->on_timeout != NULL && ops->window_pkts != NULL);
        assert_non_null(ops->pacing_gap_ns);
        assert_ptr_equal(pony_cc_find(ops->name), ops);
    }
    assert_ptr_equal(pony_cc_find(NULL), pony_cc_all[0]);
    assert_null(pony_cc_find("cubic"));
}

static void the_window_is_positive_and_bounded_whatever_happens(void **state)
{
    (void)state;
    FOREACH_CC(ops)
    {
        for (uint64_t seed = 1; seed <= 50; seed++) {
            struct rig rig;
            struct base_rng rng;
            base_rng_init(&rng, seed);
            double max = (double)base_rng_range(&rng, 1, 1024);
            start(&rig, ops, max);
            for (uint32_t i = 0; i < 2000; i++) {
                rig.now_ns += base_rng_below(&rng, 1000000);
                uint64_t srtt_ns = base_rng_below(&rng, 3) * base_rng_below(&rng, 1000000000);
                struct pony_cc_loss loss = {
                    .now_ns = rig.now_ns, .srtt_ns = srtt_ns, .n_lost = 1 + i % 64};
                struct pony_cc_ack ack = {
                    .now_ns = rig.now_ns,
                    .rtt_ns = base_rng_below(&rng, 2) * base_rng_below(&rng, 2000000000),
                    .endpoint_ns = base_rng_u64(&rng) >> base_rng_below(&rng, 64),
                    .srtt_ns = srtt_ns,
                    .min_rtt_ns = base_rng_below(&rng, 1000000),
                    .n_acked = (uint32_t)base_rng_below(&rng, 1025),
                    .n_inflight = (uint32_t)base_rng_below(&rng, 1025),
                    .hops = (uint8_t)base_rng_u64(&rng),
                };
                switch (base_rng_below(&rng, 4)) {
                case 0:
                    ops->on_loss(rig.state, &loss);
                    break;
                case 1:
                    ops->on_timeout(rig.state, &loss, (uint32_t)base_rng_range(&rng, 1, 20));
                    break;
                default:
                    ops->on_ack(rig.state, &ack);
                }
                double window = ops->window_pkts(rig.state);
                assert_true(window > 0 && window <= max);
                if (window >= 1) {
                    assert_true(ops->pacing_gap_ns(rig.state, RTT_NS) == 0);
                } else {
                    assert_true(ops->pacing_gap_ns(rig.state, RTT_NS) >= RTT_NS);
                }
            }
            for (size_t i = ops->state_size; i < sizeof(rig.state); i++) {
                assert_int_equal(rig.state[i], 0xa5);
            }
        }
    }
}

/* PX-46, and that the others come to the same */
static void an_uncongested_flow_gets_the_whole_window(void **state)
{
    (void)state;
    FOREACH_CC(ops)
    {
        struct rig rig;
        start(&rig, ops, 500);
        for (int i = 0; i < 1000; i++) {
            ack_window(&rig, RTT_NS, RTT_NS / 2);
        }
        assert_true(ops->window_pkts(rig.state) > 499);
    }
}

static void a_standing_queue_shrinks_the_window(void **state)
{
    (void)state;
    FOREACH_CC(ops)
    {
        if (ops == &pony_cc_fixed) {
            continue;
        }
        struct rig rig;
        start(&rig, ops, 1000);
        for (int i = 0; i < 1000; i++) {
            ack_window(&rig, RTT_NS, RTT_NS / 2);
        }
        double before = ops->window_pkts(rig.state);
        for (int i = 0; i < 10; i++) {
            ack_window(&rig, 200 * RTT_NS, RTT_NS / 2);
        }
        assert_true(ops->window_pkts(rig.state) < before / 4);
    }
}

/* PX-44 */
static void the_delay_window_outlives_loss_that_is_no_congestion(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, &pony_cc_delay, 1000);
    for (int i = 0; i < 200; i++) {
        uint32_t n = (uint32_t)pony_cc_delay.window_pkts(rig.state);
        struct pony_cc_loss loss = {.now_ns = rig.now_ns, .srtt_ns = RTT_NS, .n_lost = n / 100};
        pony_cc_delay.on_loss(rig.state, &loss);
        ack_window(&rig, RTT_NS, 0);
    }
    assert_true(pony_cc_delay.window_pkts(rig.state) > 990);
    for (int i = 0; i < 200; i++) { /* 30 %: down to its floor, not below */
        uint32_t n = (uint32_t)pony_cc_delay.window_pkts(rig.state);
        struct pony_cc_loss loss = {
            .now_ns = rig.now_ns, .srtt_ns = RTT_NS, .n_lost = n * 3 / 7 + 1};
        pony_cc_delay.on_loss(rig.state, &loss);
        ack_window(&rig, RTT_NS, 0);
    }
    double window = pony_cc_delay.window_pkts(rig.state);
    assert_true(window >= 32 && window < 64);
}

/* PX-42, PX-45 */
static void swift_paces_when_its_window_is_below_one(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, &pony_cc_swift, 1000);
    for (int i = 0; i < 60; i++) {
        ack_window(&rig, 1000 * RTT_NS, 0);
    }
    double window = pony_cc_swift.window_pkts(rig.state);
    assert_true(window < 1);
    uint64_t gap_ns = pony_cc_swift.pacing_gap_ns(rig.state, RTT_NS);
    assert_true((double)gap_ns >= (double)RTT_NS / window - 1);
}

static void swift_decreases_once_per_round_trip(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, &pony_cc_swift, 1000);
    ack_window(&rig, RTT_NS, RTT_NS / 2);
    rig.now_ns += BASE_NS_PER_S;
    double before = pony_cc_swift.window_pkts(rig.state);
    struct pony_cc_loss loss = {.now_ns = rig.now_ns, .srtt_ns = RTT_NS, .n_lost = 1};
    for (int i = 0; i < 10; i++) {
        pony_cc_swift.on_loss(rig.state, &loss);
    }
    assert_true(pony_cc_swift.window_pkts(rig.state) >= before * 0.49);
    assert_true(pony_cc_swift.window_pkts(rig.state) <= before * 0.51);
}

/* A round trip with this sample. */
static void ack_timely(struct rig *rig, uint64_t rtt_ns)
{
    double window = pony_cc_timely.window_pkts(rig->state);
    rig->now_ns += rtt_ns;
    struct pony_cc_ack ack = {.now_ns = rig->now_ns,
                              .rtt_ns = rtt_ns,
                              .srtt_ns = rtt_ns,
                              .min_rtt_ns = RTT_NS,
                              .n_acked = 1,
                              .n_inflight = (uint32_t)window};
    pony_cc_timely.on_ack(rig->state, &ack);
}

/* PX-47 */
static void timely_follows_the_gradient_between_its_thresholds(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, &pony_cc_timely, 1000);
    uint64_t rtt_ns = 2 * RTT_NS;
    ack_timely(&rig, rtt_ns);
    double before = pony_cc_timely.window_pkts(rig.state);
    for (int i = 0; i < 10;
         i++) { /* growing round trip: down, though far below the high threshold */
        rtt_ns += RTT_NS / 10;
        ack_timely(&rig, rtt_ns);
    }
    assert_true(pony_cc_timely.window_pkts(rig.state) < before * 0.8);
    before = pony_cc_timely.window_pkts(rig.state);
    for (int i = 0; i < 4; i++) { /* no longer: up by one each time, faster from the fifth on */
        ack_timely(&rig, rtt_ns - RTT_NS);
    }
    double slow = pony_cc_timely.window_pkts(rig.state) - before;
    for (int i = 0; i < 4; i++) {
        ack_timely(&rig, rtt_ns - RTT_NS);
    }
    double fast = pony_cc_timely.window_pkts(rig.state) - before - slow;
    assert_true(slow > 3.9 && slow < 4.1 && fast > 19.9 && fast < 20.1);
}

static void timely_at_its_least_paces(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, &pony_cc_timely, 1000);
    for (int i = 0; i < 60; i++) {
        ack_timely(&rig, 100 * RTT_NS);
    }
    double window = pony_cc_timely.window_pkts(rig.state);
    assert_true(window < 1 && window > 0);
    assert_true(pony_cc_timely.pacing_gap_ns(rig.state, RTT_NS) > RTT_NS);
}

/* PX-42: both that know windows below a packet can be told to do without. */
static void the_least_window_is_configurable(void **state)
{
    (void)state;
    const struct pony_cc_ops *const some[] = {&pony_cc_swift, &pony_cc_timely};
    for (int k = 0; k < 2; k++) {
        struct rig rig;
        struct pony_cc_config config = {.window_max_pkts = 100, .window_min_pkts = 1};
        start(&rig, some[k], 100);
        memset(rig.state, 0, PONY_CC_STATE_MAX);
        rig.ops->init(rig.state, &config, rig.now_ns);
        for (int i = 0; i < 100; i++) {
            ack_window(&rig, 1000 * RTT_NS, 0);
        }
        struct pony_cc_loss loss = {.now_ns = rig.now_ns, .srtt_ns = RTT_NS, .n_lost = 1};
        rig.ops->on_timeout(rig.state, &loss, 10);
        assert_true(rig.ops->window_pkts(rig.state) >= 1);
        assert_true(rig.ops->pacing_gap_ns(rig.state, RTT_NS) == 0);
    }
}

/* PX-45: targets are the operator's to choose; RETX_RESET takes the window to the least. */
static void swift_heeds_its_target_and_resets_after_timeouts(void **state)
{
    (void)state;
    double windows[2];
    for (int k = 0; k < 2; k++) {
        struct rig rig;
        struct pony_cc_config config = {.window_max_pkts = 1000,
                                        .target_ns = k == 0 ? RTT_NS / 4 : 20 * RTT_NS};
        start(&rig, &pony_cc_swift, 1000);
        memset(rig.state, 0, PONY_CC_STATE_MAX);
        rig.ops->init(rig.state, &config, rig.now_ns);
        for (int i = 0; i < 100; i++) {
            ack_window(&rig, 5 * RTT_NS, 0);
        }
        windows[k] = rig.ops->window_pkts(rig.state);
        struct pony_cc_loss loss = {.now_ns = rig.now_ns, .srtt_ns = RTT_NS, .n_lost = 1};
        rig.ops->on_timeout(rig.state, &loss, 5);
        assert_true(rig.ops->window_pkts(rig.state) < 0.01);
    }
    assert_true(windows[0] < 1 && windows[1] > 90);
}

/* PX-45: flow scaling must make equal what is unequal in an incast of thousands, too. */
static void swift_below_a_tenth_of_a_packet_shrinks_the_larger(void **state)
{
    (void)state;
    const double windows[2] = {0.05, 0.02};
    for (int k = 0; k < 2; k++) {
        struct rig rig;
        start(&rig, &pony_cc_swift, windows[k]);
        rig.now_ns += BASE_NS_PER_S; /* no decrease was lately */
        ack_window(&rig, 43 * RTT_NS / 10, 0);
        assert_true((rig.ops->window_pkts(rig.state) < windows[k]) == (k == 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_slot_is_filled_and_every_state_fits),
        cmocka_unit_test(the_window_is_positive_and_bounded_whatever_happens),
        cmocka_unit_test(an_uncongested_flow_gets_the_whole_window),
        cmocka_unit_test(a_standing_queue_shrinks_the_window),
        cmocka_unit_test(the_delay_window_outlives_loss_that_is_no_congestion),
        cmocka_unit_test(swift_paces_when_its_window_is_below_one),
        cmocka_unit_test(swift_decreases_once_per_round_trip),
        cmocka_unit_test(swift_heeds_its_target_and_resets_after_timeouts),
        cmocka_unit_test(swift_below_a_tenth_of_a_packet_shrinks_the_larger),
        cmocka_unit_test(the_least_window_is_configurable),
        cmocka_unit_test(timely_follows_the_gradient_between_its_thresholds),
        cmocka_unit_test(timely_at_its_least_paces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
