/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timely: the window follows the gradient of the round trip. PX-47
 *
 * Once per round trip, with the newest sample:
 *   rtt < low                     window + 1
 *   rtt > high                    window * (1 - beta * (1 - high / rtt))
 *   it does not grow              window + 1, from the fifth time in a row on + 5
 *   it grows                      window * (1 - beta * gradient), at most halved
 * Losses halve it, at most once per round trip; after several timeouts in a row it is 1.
 *
 * Departures from the paper, which controls a rate: the step is a packet per round trip instead of
 * 10 Mb/s, so that it does not depend on the link; and the thresholds stand above the least round
 * trip, which on our hosts is not the 20 us that the paper takes for granted.
 *
 * Source  Mittal et al., "TIMELY: RTT-based Congestion Control for the Datacenter" (SIGCOMM'15),
 *         Algorithm 1; snap.md 6.6
 */
#include "base/clock.h"
#include "transport/pony/protocol/cc.h"

#include <stdbool.h>

struct timely {
    double window_pkts, window_min_pkts, window_max_pkts;
    double diff_ns; /* smoothed difference of successive samples */
    uint64_t last_rtt_ns;
    uint64_t round_start_ns;
    uint64_t last_decrease_ns;
    uint32_t n_falling; /* rounds in a row in which the round trip did not grow */
};

_Static_assert(sizeof(struct timely) <= PONY_CC_STATE_MAX, "state lies in the flow");

static const double ALPHA = 0.5;
static const double BETA = 0.8;
static const double STEP_PKTS = 1;
static const uint32_t FALLING_FAST = 5; /* rounds after which the step is five times as long */
static const double WINDOW_INITIAL = 64;
static const double WINDOW_MIN = 0.01;
static const uint64_t LOW_NS = (uint64_t)50 * BASE_NS_PER_US; /* above the least round trip */
static const uint64_t HIGH_NS = (uint64_t)500 * BASE_NS_PER_US;
static const uint32_t TIMEOUTS_RESET = 5;

static void set_window(struct timely *timely, double pkts)
{
    if (pkts < timely->window_min_pkts) {
        pkts = timely->window_min_pkts;
    }
    timely->window_pkts = pkts < timely->window_max_pkts ? pkts : timely->window_max_pkts;
}

static void timely_init(void *state, const struct pony_cc_config *config, uint64_t now_ns)
{
    struct timely *timely = state;
    timely->window_max_pkts = config->window_max_pkts;
    timely->window_min_pkts = config->window_min_pkts > 0 ? config->window_min_pkts : WINDOW_MIN;
    timely->round_start_ns = now_ns;
    timely->last_decrease_ns = now_ns;
    set_window(timely, WINDOW_INITIAL);
}

static void increase(struct timely *timely, double step, bool is_limited)
{
    if (is_limited) {
        set_window(timely, timely->window_pkts + step);
    }
}

static void timely_on_ack(void *state, const struct pony_cc_ack *ack)
{
    struct timely *timely = state;
    if (ack->rtt_ns == 0 || ack->now_ns - timely->round_start_ns < ack->srtt_ns) {
        return;
    }
    timely->round_start_ns = ack->now_ns;
    bool is_limited = ack->n_inflight + 1 >= 0.5 * timely->window_pkts;
    double rtt_ns = (double)ack->rtt_ns;
    double least_ns = ack->min_rtt_ns > 0 ? (double)ack->min_rtt_ns : rtt_ns;
    double last_ns = timely->last_rtt_ns > 0 ? (double)timely->last_rtt_ns : rtt_ns;
    double high_ns = least_ns + (double)HIGH_NS;
    timely->diff_ns = (1 - ALPHA) * timely->diff_ns + ALPHA * (rtt_ns - last_ns);
    timely->last_rtt_ns = ack->rtt_ns;
    if (rtt_ns < least_ns + (double)LOW_NS) {
        increase(timely, STEP_PKTS, is_limited);
        return;
    }
    if (rtt_ns > high_ns) {
        timely->n_falling = 0;
        set_window(timely, timely->window_pkts * (1 - BETA * (1 - high_ns / rtt_ns)));
        return;
    }
    if (timely->diff_ns <= 0) {
        timely->n_falling++;
        increase(timely, timely->n_falling >= FALLING_FAST ? 5 * STEP_PKTS : STEP_PKTS, is_limited);
        return;
    }
    timely->n_falling = 0;
    double factor = 1 - BETA * timely->diff_ns / least_ns;
    set_window(timely, timely->window_pkts * (factor > 0.5 ? factor : 0.5));
}

static void decrease(struct timely *timely, const struct pony_cc_loss *loss)
{
    if (loss->now_ns - timely->last_decrease_ns >= loss->srtt_ns) {
        timely->last_decrease_ns = loss->now_ns;
        set_window(timely, timely->window_pkts / 2);
    }
}

static void timely_on_loss(void *state, const struct pony_cc_loss *loss)
{
    decrease(state, loss);
}

static void timely_on_timeout(void *state, const struct pony_cc_loss *loss, uint32_t n_in_row)
{
    struct timely *timely = state;
    if (n_in_row >= TIMEOUTS_RESET) {
        set_window(timely, timely->window_pkts < 1 ? timely->window_pkts : 1);
        return;
    }
    decrease(timely, loss);
}

static double timely_window_pkts(const void *state)
{
    const struct timely *timely = state;
    return timely->window_pkts;
}

static uint64_t timely_pacing_gap_ns(const void *state, uint64_t srtt_ns)
{
    const struct timely *timely = state;
    return timely->window_pkts < 1 ? (uint64_t)((double)srtt_ns / timely->window_pkts) : 0;
}

const struct pony_cc_ops pony_cc_timely = {
    .name = "timely",
    .state_size = sizeof(struct timely),
    .init = timely_init,
    .on_ack = timely_on_ack,
    .on_loss = timely_on_loss,
    .on_timeout = timely_on_timeout,
    .window_pkts = timely_window_pkts,
    .pacing_gap_ns = timely_pacing_gap_ns,
};
