/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Swift: additive increase, multiplicative decrease around a target delay, with a window for the
 * fabric and one for the endpoints; below one packet the window becomes a pace. PX-42, PX-45
 *
 * Source  Kumar et al., "Swift: Delay is Simple and Effective for Congestion Control in the
 *         Datacenter" (SIGCOMM'20), Algorithm 1 and sections 3.1 to 3.5; snap.md 6. Parameters that
 *         the paper does not give are those of snap.md 6.4, right column, but for FS_MIN_PKTS; targets are
 *         wider, because our engines share cores and take time stamps in software.
 */
#include "base/clock.h"
#include "transport/pony/protocol/cc.h"

#include <stdbool.h>

/* One of the two windows. */
struct side {
    double window_pkts;
    uint64_t last_decrease_ns;
};

struct swift {
    struct side fabric, endpoint;
    double window_min_pkts, window_max_pkts;
    double base_ns, endpoint_target_ns; /* targets; hops and flow scaling follow from base_ns */
    uint64_t endpoint_ewma_ns;
};

_Static_assert(sizeof(struct swift) <= PONY_CC_STATE_MAX, "state lies in the flow");

static const double AI_PKTS = 1.0;
static const double BETA = 0.8;
static const double MAX_MDF = 0.5;
static const double WINDOW_MIN = 0.001;
static const double FABRIC_BASE_NS = 100.0 * BASE_NS_PER_US;
static const double HOP_SHARE = 0.15; /* of the base target: added for each hop */
static const double FS_RANGE = 5;     /* base targets: the most that flow scaling adds */
/* Below it all flows have the same target, and nothing makes them equal: it must be less than the
 * fair share of a large incast, 0.06 packets at 5000:1. */
static const double FS_MIN_PKTS = 0.01;
static const double FS_MAX_PKTS = 100;
static const double ENDPOINT_TARGET_NS = 1000.0 * BASE_NS_PER_US;
static const uint32_t RETX_RESET_THRESHOLD = 5;

/* 1 / sqrt(x), x > 0, by Newton: libm is not worth linking for this. */
static double inverse_sqrt(double x)
{
    double root = x > 1 ? x : 1;
    for (int i = 0; i < 24; i++) {
        double next = 0.5 * (root + x / root);
        if (next >= root) {
            break;
        }
        root = next;
    }
    return 1 / root;
}

static double clamp(double v, double lo, double hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* Section 3.5: the target grows as the window shrinks (many flows) and with the path's length. */
static double fabric_target_ns(const struct swift *swift, uint8_t hops)
{
    double least = inverse_sqrt(FS_MAX_PKTS);
    double alpha = FS_RANGE / (inverse_sqrt(FS_MIN_PKTS) - least);
    double scaling = alpha * (inverse_sqrt(swift->fabric.window_pkts) - least);
    double by_hops = hops == 255 ? 0 : hops * HOP_SHARE;
    return swift->base_ns * (1 + by_hops + clamp(scaling, 0, FS_RANGE));
}

static bool may_decrease(const struct side *side, uint64_t now_ns, uint64_t srtt_ns)
{
    return now_ns - side->last_decrease_ns >= srtt_ns;
}

static void set_side(const struct swift *swift, struct side *side, double pkts, uint64_t now_ns)
{
    pkts = clamp(pkts, swift->window_min_pkts, swift->window_max_pkts);
    if (pkts < side->window_pkts) {
        side->last_decrease_ns = now_ns;
    }
    side->window_pkts = pkts;
}

static void react(const struct swift *swift, struct side *side, double delay_ns, double target_ns,
                  const struct pony_cc_ack *ack)
{
    double window = side->window_pkts;
    if (delay_ns < target_ns) {
        window += AI_PKTS * ack->n_acked / (window >= 1 ? window : 1);
    } else if (may_decrease(side, ack->now_ns, ack->srtt_ns)) {
        double factor = 1 - BETA * (delay_ns - target_ns) / delay_ns;
        window *= factor > 1 - MAX_MDF ? factor : 1 - MAX_MDF;
    }
    set_side(swift, side, window, ack->now_ns);
}

static void swift_init(void *state, const struct pony_cc_config *config, uint64_t now_ns)
{
    struct swift *swift = state;
    swift->window_max_pkts = config->window_max_pkts;
    swift->window_min_pkts = config->window_min_pkts > 0 ? config->window_min_pkts : WINDOW_MIN;
    swift->base_ns = config->target_ns > 0 ? (double)config->target_ns : FABRIC_BASE_NS;
    swift->endpoint_target_ns =
        config->endpoint_target_ns > 0 ? (double)config->endpoint_target_ns : ENDPOINT_TARGET_NS;
    double initial = config->window_max_pkts < 64 ? config->window_max_pkts : 64;
    swift->fabric = (struct side){.window_pkts = initial, .last_decrease_ns = now_ns};
    swift->endpoint = swift->fabric;
}

static void swift_on_ack(void *state, const struct pony_cc_ack *ack)
{
    struct swift *swift = state;
    if (ack->rtt_ns == 0) {
        return;
    }
    uint64_t endpoint_ns = ack->endpoint_ns < ack->rtt_ns ? ack->endpoint_ns : ack->rtt_ns;
    double fabric_ns = (double)(ack->rtt_ns - endpoint_ns);
    swift->endpoint_ewma_ns = (7 * swift->endpoint_ewma_ns + endpoint_ns) / 8;
    bool is_limited = ack->n_inflight + 1 >= 0.5 * swift->fabric.window_pkts ||
                      ack->n_inflight + 1 >= 0.5 * swift->endpoint.window_pkts;
    double target_ns = fabric_target_ns(swift, ack->hops);
    if (is_limited || fabric_ns >= target_ns) {
        react(swift, &swift->fabric, fabric_ns, target_ns, ack);
    }
    if (is_limited || (double)swift->endpoint_ewma_ns >= swift->endpoint_target_ns) {
        react(swift, &swift->endpoint, (double)swift->endpoint_ewma_ns, swift->endpoint_target_ns,
              ack);
    }
}

static void decrease_both(struct swift *swift, const struct pony_cc_loss *loss)
{
    struct side *sides[] = {&swift->fabric, &swift->endpoint};
    for (int i = 0; i < 2; i++) {
        if (may_decrease(sides[i], loss->now_ns, loss->srtt_ns)) {
            set_side(swift, sides[i], sides[i]->window_pkts * (1 - MAX_MDF), loss->now_ns);
        }
    }
}

static void swift_on_loss(void *state, const struct pony_cc_loss *loss)
{
    decrease_both(state, loss);
}

static void swift_on_timeout(void *state, const struct pony_cc_loss *loss, uint32_t n_in_row)
{
    struct swift *swift = state;
    if (n_in_row >= RETX_RESET_THRESHOLD) {
        set_side(swift, &swift->fabric, swift->window_min_pkts, loss->now_ns);
        return;
    }
    decrease_both(swift, loss);
}

static double swift_window_pkts(const void *state)
{
    const struct swift *swift = state;
    double fabric = swift->fabric.window_pkts;
    double endpoint = swift->endpoint.window_pkts;
    return fabric < endpoint ? fabric : endpoint;
}

static uint64_t swift_pacing_gap_ns(const void *state, uint64_t srtt_ns)
{
    double window = swift_window_pkts(state);
    return window < 1 ? (uint64_t)((double)srtt_ns / window) : 0;
}

const struct pony_cc_ops pony_cc_swift = {
    .name = "swift",
    .state_size = sizeof(struct swift),
    .init = swift_init,
    .on_ack = swift_on_ack,
    .on_loss = swift_on_loss,
    .on_timeout = swift_on_timeout,
    .window_pkts = swift_window_pkts,
    .pacing_gap_ns = swift_pacing_gap_ns,
};
