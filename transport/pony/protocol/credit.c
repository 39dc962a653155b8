/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/credit.h"

/* A change of what a connection was granted goes between these two. */
static void leave_sums(struct pony_credit_pool *pool, const struct pony_credit *credit)
{
    pool->unused -= pony_credit_left(credit);
    pool->excess -= pony_credit_excess(credit);
    pool->n_low -= pony_credit_is_low(credit);
}

static void join_sums(struct pony_credit_pool *pool, const struct pony_credit *credit)
{
    pool->unused += pony_credit_left(credit);
    pool->excess += pony_credit_excess(credit);
    pool->n_low += pony_credit_is_low(credit);
}

/* What nobody holds, and nobody has a right to. */
static uint64_t spare(const struct pony_credit_pool *pool)
{
    uint64_t to_come = base_sub_sat_u64(pool->n_reserved, pool->n_conns);
    return base_sub_sat_u64(pool->cap,
                            pool->floors + pool->excess + to_come * PONY_CREDIT_FLOOR_MIN);
}

static uint32_t target(const struct pony_credit_pool *pool, const struct pony_credit *credit)
{
    /* Its own excess counts as spare, else it would be granted down and up in turns. */
    uint64_t share = (spare(pool) + pony_credit_excess(credit)) / 8;
    return credit->floor + (uint32_t)base_min_u64(share, PONY_CREDIT_SHARE_MAX);
}

void pony_credit_pool_init(struct pony_credit_pool *pool, uint64_t cap, uint32_t max_conns)
{
    uint64_t most = cap / 4 * 3 / PONY_CREDIT_FLOOR_MIN;
    *pool = (struct pony_credit_pool){
        .cap = cap,
        .max_conns = max_conns,
        .n_reserved = (uint32_t)base_min_u64(max_conns, most),
    };
    base_list_init(&pool->waiting);
}

static void grant(struct pony_credit_pool *pool, struct pony_credit *credit, uint64_t potential,
                  uint32_t want)
{
    uint64_t can = base_sub_sat_u64(potential, pool->unused);
    uint32_t n = (uint32_t)base_min_u64(want, can) & ~(uint32_t)(PONY_RX_ALIGN - 1);
    leave_sums(pool, credit);
    credit->limit += n;
    join_sums(pool, credit);
    if (!pony_credit_is_low(credit)) {
        base_list_del(&credit->wait);
    } else if (!base_list_is_linked(&credit->wait)) {
        base_list_add_tail(&pool->waiting, &credit->wait);
    }
}

bool pony_credit_open(struct pony_credit_pool *pool, struct pony_credit *credit, uint64_t potential)
{
    *credit = (struct pony_credit){0};
    base_list_init(&credit->wait);
    bool is_reserved = pool->n_conns < pool->n_reserved;
    uint64_t extra = spare(pool);
    if (pool->n_conns == pool->max_conns || (!is_reserved && extra < PONY_CREDIT_FLOOR_MIN)) {
        return false;
    }
    extra -= is_reserved ? 0 : PONY_CREDIT_FLOOR_MIN;
    uint64_t floor = PONY_CREDIT_FLOOR_MIN + extra / 16;
    credit->floor = (uint32_t)base_min_u64(floor, PONY_CREDIT_FLOOR_MAX);
    credit->floor &= ~(uint32_t)(2 * PONY_RX_ALIGN - 1);
    pool->floors += credit->floor;
    pool->n_conns++;
    join_sums(pool, credit);
    grant(pool, credit, potential, target(pool, credit));
    return true;
}

void pony_credit_close(struct pony_credit_pool *pool, struct pony_credit *credit)
{
    leave_sums(pool, credit);
    pool->floors -= credit->floor;
    pool->n_conns--;
    base_list_del(&credit->wait);
}

bool pony_credit_grant(struct pony_credit_pool *pool, struct pony_credit *credit,
                       uint64_t potential)
{
    uint32_t goal = target(pool, credit);
    uint64_t want = base_sub_sat_u64(goal, pony_credit_held(credit));
    /* PX-74. A frame for each message would cost more than it brings. With nothing in use, want is
     * below these two bounds only while at least half a floor is left. */
    if (want * 4 < goal || want * 2 < credit->floor) {
        return false;
    }
    uint32_t before = credit->limit;
    grant(pool, credit, potential, (uint32_t)want);
    return credit->limit != before;
}

struct pony_credit *pony_credit_next_waiting(struct pony_credit_pool *pool, uint64_t potential)
{
    struct base_list *first = base_list_first(&pool->waiting);
    if (first == NULL) {
        return NULL;
    }
    struct pony_credit *credit = base_list_entry(first, struct pony_credit, wait);
    bool may_go = base_sub_sat_u64(potential, pool->unused) >= credit->floor / 2;
    return may_go ? credit : NULL;
}
