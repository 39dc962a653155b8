/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/reply.h"

#include "base/clock.h"
#include "base/compiler.h"

void pony_replies_init(struct pony_replies *replies, uint64_t now_ns)
{
    *replies = (struct pony_replies){.turn = 0};
    for (uint32_t i = 0; i < PONY_REPLY_KINDS; i++) {
        replies->lanes[i].n_tokens = PONY_REPLIES_MAX;
        replies->lanes[i].refilled_ns = now_ns;
    }
}

static enum pony_reply_kind kind_of(const struct pony_reply *reply)
{
    if (reply->type != PONY_WIRE_REFUSE) {
        return PONY_REPLY_UNKNOWN;
    }
    return reply->detail == PONY_WIRE_DETAIL_COOKIE ? PONY_REPLY_COOKIE : PONY_REPLY_REFUSAL;
}

static void refill(struct pony_reply_lane *lane, uint64_t now_ns)
{
    const uint64_t step_ns = BASE_NS_PER_S / PONY_REPLIES_PER_S;
    uint64_t n = base_sub_sat_u64(now_ns, lane->refilled_ns) / step_ns;
    if (n == 0) {
        return;
    }
    lane->refilled_ns += n * step_ns;
    lane->n_tokens = (uint32_t)base_min_u64(lane->n_tokens + n, PONY_REPLIES_MAX);
}

bool pony_replies_put(struct pony_replies *replies, const struct pony_reply *reply, uint64_t now_ns)
{
    struct pony_reply_lane *lane = &replies->lanes[kind_of(reply)];
    refill(lane, now_ns);
    if (lane->n_tokens == 0 || lane->tail - lane->head == PONY_REPLIES_MAX) {
        return false;
    }
    lane->n_tokens--;
    lane->ring[lane->tail++ % PONY_REPLIES_MAX] = *reply;
    return true;
}

bool pony_replies_take(struct pony_replies *replies, struct pony_reply *reply)
{
    for (uint32_t i = 0; i < PONY_REPLY_KINDS; i++) {
        struct pony_reply_lane *lane = &replies->lanes[replies->turn];
        replies->turn = (replies->turn + 1) % PONY_REPLY_KINDS;
        if (lane->head != lane->tail) {
            *reply = lane->ring[lane->head++ % PONY_REPLIES_MAX];
            return true;
        }
    }
    return false;
}
