/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixed window: no congestion control at all. For measurements, and for networks that somebody
 * else keeps from being congested. PX-46
 */
#include "transport/pony/protocol/cc.h"

struct fixed {
    double window_pkts;
};

_Static_assert(sizeof(struct fixed) <= PONY_CC_STATE_MAX, "state lies in the flow");

static void fixed_init(void *state, const struct pony_cc_config *config, uint64_t now_ns)
{
    (void)now_ns;
    struct fixed *fixed = state;
    fixed->window_pkts = config->window_max_pkts;
}

static void fixed_on_ack(void *state, const struct pony_cc_ack *ack)
{
    (void)state;
    (void)ack;
}

static void fixed_on_loss(void *state, const struct pony_cc_loss *loss)
{
    (void)state;
    (void)loss;
}

static void fixed_on_timeout(void *state, const struct pony_cc_loss *loss, uint32_t n_in_row)
{
    (void)state;
    (void)loss;
    (void)n_in_row;
}

static double fixed_window_pkts(const void *state)
{
    const struct fixed *fixed = state;
    return fixed->window_pkts;
}

const struct pony_cc_ops pony_cc_fixed = {
    .name = "fixed",
    .state_size = sizeof(struct fixed),
    .init = fixed_init,
    .on_ack = fixed_on_ack,
    .on_loss = fixed_on_loss,
    .on_timeout = fixed_on_timeout,
    .window_pkts = fixed_window_pkts,
    .pacing_gap_ns = pony_cc_no_pacing,
};
