/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delay window: grows while the round trip stays near the least one seen, shrinks when it does not,
 * and takes loss for congestion only when it is more than a lossy path explains. PX-44
 *
 * Once per round trip:
 *   more than 3 % of the packets lost       window * 0.75
 *   rtt > target = 2 * min rtt + 4 ms       window * max(0.7, 1 - 0.5 * (rtt - target) / rtt)
 * otherwise, while the window is what limits the flow: doubling per round trip until the first
 * decrease, then by a sixteenth per round trip. Loss and delay never bring it below 32 packets:
 * where 30 % of the packets are dropped whatever the rate, a smaller one only adds timeouts (16
 * packets carried a fifteenth of what 32 did in the simulator). Timeouts in a row do: they mean that
 * nothing gets through; from there it doubles per round trip up to 32.
 *
 * A window of 512 KB that makes a queue (rtt > 2 * min rtt + 250 us) does not grow: more would only
 * push what waits in socket buffers out of the caches, at twice the cost per byte.
 *
 * The 4 ms: on hosts whose engines share cores with applications a round trip holds scheduling
 * delays of milliseconds that are no queue in the network.
 */
#include "base/clock.h"
#include "transport/pony/protocol/cc.h"

#include <stdbool.h>

struct delay {
    double window_pkts, window_max_pkts;
    uint64_t round_start_ns;
    uint64_t least_ns;        /* least RTT sample of this round; UINT64_MAX: none */
    uint32_t n_acked, n_lost; /* in this round */
    uint32_t mtu_bytes;
    bool is_starting;
    bool has_queue; /* the last round's least RTT holds more than the path */
};

_Static_assert(sizeof(struct delay) <= PONY_CC_STATE_MAX, "state lies in the flow");

static const double WINDOW_INITIAL = 64;
static const double WINDOW_MIN = 32;
static const double WINDOW_SILENT = 4; /* after timeouts in a row */
static const double LOSS_TOLERATED = 0.03;
static const double HOLD_BYTES = 512 * 1024;
static const uint64_t HOLD_NS = (uint64_t)250 * BASE_NS_PER_US;
static const uint64_t QUEUE_NS = (uint64_t)4 * BASE_NS_PER_MS;

static void set_window(struct delay *delay, double pkts, double least)
{
    if (pkts < least) {
        pkts = least;
    }
    if (pkts > delay->window_max_pkts) {
        pkts = delay->window_max_pkts;
    }
    delay->window_pkts = pkts;
}

static void delay_init(void *state, const struct pony_cc_config *config, uint64_t now_ns)
{
    struct delay *delay = state;
    delay->window_max_pkts = config->window_max_pkts;
    delay->mtu_bytes = config->mtu_bytes;
    delay->is_starting = true;
    delay->round_start_ns = now_ns;
    delay->least_ns = UINT64_MAX;
    set_window(delay, WINDOW_INITIAL, WINDOW_MIN);
}

/* A round trip has passed: decrease if what was seen in it says so. */
static void end_round(struct delay *delay, uint64_t now_ns, uint64_t min_rtt_ns)
{
    uint64_t target_ns = 2 * min_rtt_ns + QUEUE_NS;
    uint32_t n_sent = delay->n_acked + delay->n_lost;
    double factor = 1;
    if (n_sent >= 16 && (double)delay->n_lost > LOSS_TOLERATED * n_sent) {
        factor = 0.75;
    }
    if (delay->least_ns != UINT64_MAX && delay->least_ns > target_ns) {
        double rtt_ns = (double)delay->least_ns;
        double by_delay = 1 - 0.5 * (rtt_ns - (double)target_ns) / rtt_ns;
        by_delay = by_delay < 0.7 ? 0.7 : by_delay;
        factor = by_delay < factor ? by_delay : factor;
    }
    if (factor < 1 && delay->window_pkts > WINDOW_MIN) {
        delay->is_starting = false;
        set_window(delay, delay->window_pkts * factor, WINDOW_MIN);
    }
    delay->has_queue = delay->least_ns != UINT64_MAX && delay->least_ns > 2 * min_rtt_ns + HOLD_NS;
    delay->round_start_ns = now_ns;
    delay->least_ns = UINT64_MAX;
    delay->n_acked = 0;
    delay->n_lost = 0;
}

static void delay_on_ack(void *state, const struct pony_cc_ack *ack)
{
    struct delay *delay = state;
    delay->n_acked += ack->n_acked;
    /* The least sample of a round is the queue that stood all the time, not a scheduling blip. */
    if (ack->rtt_ns != 0 && ack->rtt_ns < delay->least_ns) {
        delay->least_ns = ack->rtt_ns;
    }
    bool is_held = delay->has_queue && delay->window_pkts * delay->mtu_bytes >= HOLD_BYTES;
    if (!is_held && (double)ack->n_inflight >= 0.75 * delay->window_pkts) {
        bool is_fast = delay->is_starting || delay->window_pkts < WINDOW_MIN;
        double step = is_fast ? 1 : 1.0 / 16;
        set_window(delay, delay->window_pkts + step * ack->n_acked, WINDOW_SILENT);
    }
    if (ack->now_ns - delay->round_start_ns >= ack->srtt_ns) {
        end_round(delay, ack->now_ns, ack->min_rtt_ns);
    }
}

static void delay_on_loss(void *state, const struct pony_cc_loss *loss)
{
    struct delay *delay = state;
    delay->n_lost += loss->n_lost;
}

static void delay_on_timeout(void *state, const struct pony_cc_loss *loss, uint32_t n_in_row)
{
    struct delay *delay = state;
    delay->n_lost += loss->n_lost;
    if (n_in_row >= 3) {
        delay->is_starting = false;
        set_window(delay, delay->window_pkts / 2, WINDOW_SILENT);
    }
}

static double delay_window_pkts(const void *state)
{
    const struct delay *delay = state;
    return delay->window_pkts;
}

const struct pony_cc_ops pony_cc_delay = {
    .name = "delay",
    .state_size = sizeof(struct delay),
    .init = delay_init,
    .on_ack = delay_on_ack,
    .on_loss = delay_on_loss,
    .on_timeout = delay_on_timeout,
    .window_pkts = delay_window_pkts,
    .pacing_gap_ns = pony_cc_no_pacing,
};
