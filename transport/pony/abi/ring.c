/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/abi/ring.h"

#include <sched.h>

/* The labels A1/R1 to A4/R4 and S1/S2 are listed in docs/shm-abi.md; in tests/model/, doorbell.pml
 * models the sleep protocol, ring.pml slots and cursors. Cursors that a sleeper may wait for are
 * stored and is_asleep is loaded with seq_cst: the single total order of these accesses is the fence
 * between "publish, then look whether the other sleeps" and "say that I sleep, then look whether
 * something was published". */

void shm_engine_end_init(struct shm_engine_end *end, const void *client, void *engine,
                         uint32_t cmd_slots, uint32_t cpl_slots)
{
    *end = (struct shm_engine_end){
        .client = client,
        .engine = engine,
        .commands = (const void *)((const uint8_t *)client + SHM_SLOTS_OFF),
        .completions = (void *)((uint8_t *)engine + SHM_SLOTS_OFF),
        .cmd_slots = cmd_slots,
        .cpl_slots = cpl_slots,
    };
}

static bool is_opcode(uint8_t opcode)
{
    return opcode >= SHM_OP_OPEN && opcode < SHM_OP_MAX;
}

enum base_err shm_engine_take(struct shm_engine_end *end, struct shm_command *out, uint32_t max,
                              uint32_t *taken)
{
    *taken = 0;
    /* A1: pairs with R1 in shm_client_publish(). Without acquire we could copy a slot that the
     * application has not written yet. */
    uint32_t tail = atomic_load_explicit(&end->client->cmd_tail, memory_order_acquire);
    uint32_t n = tail - end->cmd_head;
    BASE_ENSURE(n <= end->cmd_slots, BASE_E_PEER);
    n = base_min_u32(n, max);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t slot = (end->cmd_head + i) & (end->cmd_slots - 1);
        shm_copy_in(&out[i], &end->commands[slot], sizeof(out[i]));
        BASE_ENSURE(is_opcode(out[i].opcode), BASE_E_PEER);
    }
    if (n > 0) {
        end->cmd_head += n;
        /* R2: pairs with A2 in refresh_cmd_head(). Without release the application could write
         * over a slot that is still being copied. */
        atomic_store_explicit(&end->engine->cmd_head, end->cmd_head, memory_order_release);
    }
    *taken = n;
    return BASE_OK;
}

enum base_err shm_engine_consumed(struct shm_engine_end *end, uint32_t *cpl_head)
{
    *cpl_head = end->cpl_head;
    /* A4: pairs with R4 in shm_client_consume(). Without acquire we could write over a slot, or
     * reuse the rx memory it named, while the application still reads it. */
    uint32_t head = atomic_load_explicit(&end->client->cpl_head, memory_order_acquire);
    BASE_ENSURE((uint32_t)(head - end->cpl_head) <= end->cpl_published - end->cpl_head,
                BASE_E_PEER);
    end->cpl_head = head;
    *cpl_head = head;
    return BASE_OK;
}

uint32_t shm_engine_room(const struct shm_engine_end *end)
{
    return end->cpl_slots - (end->cpl_tail - end->cpl_head);
}

bool shm_engine_publish(struct shm_engine_end *end, bool has_news)
{
    if (end->cpl_published == end->cpl_tail) {
        return false;
    }
    end->cpl_published = end->cpl_tail;
    end->cpl_news = has_news ? end->cpl_tail : end->cpl_news;
    atomic_store_explicit(&end->engine->processor, shm_processor(), memory_order_relaxed);
    /* R3: pairs with A3 in shm_client_peek(). Without release the application could see the new
     * tail before the completion it covers. seq_cst: S2, see shm_client_set_asleep(). */
    atomic_store_explicit(&end->engine->cpl_tail, end->cpl_tail, memory_order_seq_cst);
    uint32_t how = atomic_load_explicit(&end->client->is_asleep, memory_order_seq_cst);
    return how != SHM_CLIENT_AWAKE && (has_news || how != SHM_CLIENT_ASLEEP_NEWS);
}

uint32_t shm_processor(void)
{
    return (uint32_t)(sched_getcpu() + 1);
}

enum shm_need shm_engine_need(const struct shm_engine_end *end, uint32_t processor)
{
    /* Relaxed: nothing is read because of it, and who believes it too long still looks for commands. */
    uint32_t waits = atomic_load_explicit(&end->client->waits, memory_order_relaxed);
    bool has_news = end->cpl_news - end->cpl_head - 1 < end->cpl_slots;
    if (waits == SHM_WAITS_NOT || has_news) {
        return SHM_NEED_IT;
    }
    if (waits == SHM_WAITS_ASLEEP) {
        return SHM_NEED_NONE;
    }
    return waits == processor ? SHM_NEED_NEWS : SHM_NEED_IT;
}

bool shm_engine_set_asleep(struct shm_engine_end *end, bool is_asleep)
{
    uint32_t asleep = SHM_ASLEEP_COMMANDS | (end->wants_room ? SHM_ASLEEP_ROOM : 0u);
    /* S1: without one total order of this store, the load below, and the store of cmd_tail and the
     * load of is_asleep in shm_client_publish(), each side could miss the other: the engine would
     * sleep with commands waiting and nobody to ring. */
    atomic_store_explicit(&end->engine->is_asleep, is_asleep ? asleep : 0, memory_order_seq_cst);
    if (atomic_load_explicit(&end->client->cmd_tail, memory_order_seq_cst) != end->cmd_head) {
        return true;
    }
    return end->wants_room &&
           atomic_load_explicit(&end->client->cpl_head, memory_order_seq_cst) != end->cpl_head;
}

void shm_client_end_init(struct shm_client_end *end, void *client, const void *engine,
                         uint32_t cmd_slots, uint32_t cpl_slots)
{
    *end = (struct shm_client_end){
        .client = client,
        .engine = engine,
        .commands = (void *)((uint8_t *)client + SHM_SLOTS_OFF),
        .completions = (const void *)((const uint8_t *)engine + SHM_SLOTS_OFF),
        .cmd_slots = cmd_slots,
        .cpl_slots = cpl_slots,
    };
}

static enum base_err refresh_cmd_head(struct shm_client_end *end)
{
    /* A2: pairs with R2 in shm_engine_take(). Without acquire we could write over a slot that
     * snapd is still copying. */
    uint32_t head = atomic_load_explicit(&end->engine->cmd_head, memory_order_acquire);
    BASE_ENSURE((uint32_t)(head - end->cmd_head) <= end->cmd_published - end->cmd_head,
                BASE_E_PEER);
    end->cmd_head = head;
    return BASE_OK;
}

enum base_err shm_client_room(struct shm_client_end *end, uint32_t *n)
{
    *n = 0;
    BASE_TRY(refresh_cmd_head(end));
    *n = end->cmd_slots - (end->cmd_tail - end->cmd_head);
    return BASE_OK;
}

bool shm_client_publish(struct shm_client_end *end)
{
    if (end->cmd_published == end->cmd_tail) {
        return false;
    }
    end->cmd_published = end->cmd_tail;
    /* R1: pairs with A1 in shm_engine_take(). Without release snapd could see the new tail before
     * the command it covers. seq_cst: S1, see shm_engine_set_asleep(). */
    atomic_store_explicit(&end->client->cmd_tail, end->cmd_tail, memory_order_seq_cst);
    return atomic_load_explicit(&end->engine->is_asleep, memory_order_seq_cst) != 0;
}

uint32_t shm_client_untaken(struct shm_client_end *end, uint32_t *first)
{
    /* A cursor that lies proves nothing: then only what was never published is certain. */
    *first = refresh_cmd_head(end) == BASE_OK ? end->cmd_head : end->cmd_published;
    return end->cmd_tail - *first;
}

static bool is_cpl_kind(uint8_t kind)
{
    return kind >= SHM_CPL_LISTENING && kind < SHM_CPL_MAX;
}

enum base_err shm_client_peek(struct shm_client_end *end, struct shm_completion *out, uint32_t max,
                              uint32_t *n)
{
    *n = 0;
    /* A3: pairs with R3 in shm_engine_publish(). Without acquire we could copy a slot that snapd
     * has not written yet. */
    uint32_t tail = atomic_load_explicit(&end->engine->cpl_tail, memory_order_acquire);
    uint32_t waiting = tail - end->cpl_head;
    BASE_ENSURE(waiting <= end->cpl_slots, BASE_E_PEER);
    waiting = base_min_u32(waiting, max);
    for (uint32_t i = 0; i < waiting; i++) {
        uint32_t slot = (end->cpl_head + i) & (end->cpl_slots - 1);
        shm_copy_in(&out[i], &end->completions[slot], sizeof(out[i]));
        BASE_ENSURE(is_cpl_kind(out[i].kind), BASE_E_PEER);
    }
    *n = waiting;
    return BASE_OK;
}

bool shm_client_consume(struct shm_client_end *end, uint32_t n)
{
    if (n == 0) {
        return false;
    }
    end->cpl_head += n;
    /* R4: pairs with A4 in shm_engine_consumed(). Without release snapd could reuse the slot and
     * the rx memory before our last read of them. seq_cst: S1, see shm_engine_set_asleep(). */
    atomic_store_explicit(&end->client->cpl_head, end->cpl_head, memory_order_seq_cst);
    uint32_t asleep = atomic_load_explicit(&end->engine->is_asleep, memory_order_seq_cst);
    return (asleep & SHM_ASLEEP_ROOM) != 0;
}

static void say_waits(struct shm_client_end *end, uint32_t waits)
{
    if (waits != end->waits) {
        end->waits = waits;
        atomic_store_explicit(&end->client->waits, waits, memory_order_relaxed);
    }
}

bool shm_client_set_asleep(struct shm_client_end *end, uint32_t how)
{
    /* S2: without one total order of this store, the load below, and the store of cpl_tail and the
     * load of is_asleep in shm_engine_publish(), each side could miss the other: the application
     * would sleep with completions waiting and nobody to wake it. */
    say_waits(end, how == SHM_CLIENT_AWAKE ? SHM_WAITS_NOT : SHM_WAITS_ASLEEP);
    atomic_store_explicit(&end->client->is_asleep, how, memory_order_seq_cst);
    return atomic_load_explicit(&end->engine->cpl_tail, memory_order_seq_cst) != end->cpl_head;
}

void shm_client_set_waiting(struct shm_client_end *end, bool is_waiting)
{
    if (!is_waiting) {
        say_waits(end, SHM_WAITS_NOT);
        return;
    }
    uint32_t here = shm_processor();
    uint32_t engine = atomic_load_explicit(&end->engine->processor, memory_order_relaxed);
    say_waits(end, engine == here ? here : SHM_WAITS_NOT);
}

enum shm_reason shm_client_closed(const struct shm_client_end *end)
{
    uint32_t closed = atomic_load_explicit(&end->engine->closed, memory_order_acquire);
    return closed < SHM_REASON_MAX ? (enum shm_reason)closed : SHM_REASON_PROTOCOL;
}
