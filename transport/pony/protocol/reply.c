/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/reply.h"

#include "base/clock.h"
#include "base/compiler.h"

void pony_replies_init(struct pony_replies *replies, uint64_t now_ns)
{
    *replies = (struct pony_replies){.n_tokens = PONY_REPLIES_MAX, .refilled_ns = now_ns};
}

static void refill(struct pony_replies *replies, uint64_t now_ns)
{
    const uint64_t step_ns = BASE_NS_PER_S / PONY_REPLIES_PER_S;
    uint64_t n = base_sub_sat_u64(now_ns, replies->refilled_ns) / step_ns;
    if (n == 0) {
        return;
    }
    replies->refilled_ns += n * step_ns;
    replies->n_tokens = (uint32_t)base_min_u64(replies->n_tokens + n, PONY_REPLIES_MAX);
}

bool pony_replies_put(struct pony_replies *replies, const struct pony_reply *reply, uint64_t now_ns)
{
    refill(replies, now_ns);
    if (replies->n_tokens == 0 || replies->tail - replies->head == PONY_REPLIES_MAX) {
        return false;
    }
    replies->n_tokens--;
    replies->ring[replies->tail++ % PONY_REPLIES_MAX] = *reply;
    return true;
}

bool pony_replies_take(struct pony_replies *replies, struct pony_reply *reply)
{
    if (replies->head == replies->tail) {
        return false;
    }
    *reply = replies->ring[replies->head++ % PONY_REPLIES_MAX];
    return true;
}
