/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_ABI_RING_H
#define PONY_ABI_RING_H

#include "base/compiler.h"
#include "base/error.h"
#include "transport/pony/abi/shm.h"

#include <stdbool.h>
#include <string.h>

/**
 * Both ends of a port's two queues: the only code that touches shared cursors and slots.
 *
 * Shape    two single-producer single-consumer rings of 64-byte slots
 * Trust    the other end's cursor is read once, with acquire, into a local, and accepted only if
 *          (uint32_t)(theirs - ours) <= slots; slots are copied out before anything looks at them
 * Threads  one per end
 * Sleeping a side that wants to sleep sets is_asleep and looks once more; the other publishes and
 *          reads is_asleep. These four accesses are seq_cst, which is the fence that the protocol
 *          needs. Labels A1/R1.. in docs/shm-abi.md; models in tests/model/
 */

/** Copies from shared memory to private memory, once: the barrier keeps the compiler from reading
 * the shared copy again (both gcc and clang do that to a plain memcpy). */
static inline void shm_copy_in(void *to, const void *from, size_t n_bytes)
{
    memcpy(to, from, n_bytes);
    base_compiler_barrier(to);
}

/** The engine's end. All fields are private to snapd. */
struct shm_engine_end {
    const struct shm_client_area *client;
    struct shm_engine_area *engine;
    const struct shm_command *commands;
    struct shm_completion *completions;
    uint32_t cmd_slots, cpl_slots;
    uint32_t cmd_head; /**< commands taken */
    uint32_t cpl_tail; /**< completions written, published or not */
    uint32_t cpl_published;
    uint32_t cpl_head; /**< last accepted value of the application's cursor */
    uint32_t cpl_news; /**< completions published when there was news last */
    bool wants_room;   /**< set by the engine: while asleep, wake me on consumed completions too */
};

/** `client` and `engine` are the mapped areas; slot counts are checked powers of two. */
void shm_engine_end_init(struct shm_engine_end *end, const void *client, void *engine,
                         uint32_t cmd_slots, uint32_t cpl_slots);

/**
 * Takes up to `max` commands: private copies, opcode checked to be one that exists.
 * The new cmd_head is published before this returns, so before any is acted on.
 *
 * Errors  BASE_E_PEER: the cursor or an opcode lies; detach the application
 */
BASE_MUST_USE enum base_err shm_engine_take(struct shm_engine_end *end, struct shm_command *out,
                                            uint32_t max, uint32_t *taken);

/** How many completions the application has consumed in all. Errors  BASE_E_PEER as above. */
BASE_MUST_USE enum base_err shm_engine_consumed(struct shm_engine_end *end, uint32_t *cpl_head);

/** Free completion slots by the last value of shm_engine_consumed(). */
uint32_t shm_engine_room(const struct shm_engine_end *end);

/** Where the next completion is to be written, all of it; the caller has seen room > 0. The slot is
 *  shared: not to be read. */
static inline struct shm_completion *shm_engine_next(struct shm_engine_end *end)
{
    return &end->completions[end->cpl_tail++ & (end->cpl_slots - 1)];
}

/** Writes a completion; the caller has seen room > 0. Returns its count (slot = count & mask). */
static inline uint32_t shm_engine_put(struct shm_engine_end *end,
                                      const struct shm_completion *completion)
{
    *shm_engine_next(end) = *completion;
    return end->cpl_tail - 1;
}

/** Publishes what was put; `has_news`: it is worth waking somebody who sleeps for news only. True:
 *  notify the application. */
bool shm_engine_publish(struct shm_engine_end *end, bool has_news);

/** 1 + the processor that the caller runs on; 0: not known. */
uint32_t shm_processor(void);

/** What the application needs `processor` (1 + its number) for, by what it says and by the news that
 *  it had not consumed in the last shm_engine_consumed(). A lie costs it that processor for as long
 *  as the engine believes it. */
enum shm_need {
    SHM_NEED_IT = 0,   /**< it may have something to do there */
    SHM_NEED_NONE = 1, /**< it sleeps */
    SHM_NEED_NEWS = 2  /**< it yields it to the engine, and waits there for news */
};
enum shm_need shm_engine_need(const struct shm_engine_end *end, uint32_t processor);

/** Says that the engine is about to sleep (or woke). Returns true if commands are waiting, or if
 *  the engine wants room and completions were consumed: then it must not sleep. */
bool shm_engine_set_asleep(struct shm_engine_end *end, bool is_asleep);

/** The application's end. */
struct shm_client_end {
    struct shm_client_area *client;
    const struct shm_engine_area *engine;
    struct shm_command *commands;
    const struct shm_completion *completions;
    uint32_t cmd_slots, cpl_slots;
    uint32_t cmd_tail; /**< commands written, published or not */
    uint32_t cmd_published;
    uint32_t cmd_head; /**< cached cursor of the engine */
    uint32_t cpl_head; /**< completions consumed */
    uint32_t waits;    /**< what it says in the client area */
};

void shm_client_end_init(struct shm_client_end *end, void *client, const void *engine,
                         uint32_t cmd_slots, uint32_t cpl_slots);

/** How many commands may be put now. BASE_E_PEER: snapd's cursor lies. */
BASE_MUST_USE enum base_err shm_client_room(struct shm_client_end *end, uint32_t *n);

/** Writes a command. BASE_AGAIN: the queue is full; BASE_E_PEER: snapd's cursor lies. */
BASE_MUST_USE static inline enum base_err shm_client_put(struct shm_client_end *end,
                                                         const struct shm_command *command)
{
    if (end->cmd_tail - end->cmd_head == end->cmd_slots) {
        uint32_t room;
        BASE_TRY(shm_client_room(end, &room));
        BASE_ENSURE(room > 0, BASE_AGAIN);
    }
    end->commands[end->cmd_tail & (end->cmd_slots - 1)] = *command;
    end->cmd_tail++;
    return BASE_OK;
}

/** Whether there is room by the last value of snapd's cursor. */
static inline bool shm_client_has_room(const struct shm_client_end *end)
{
    return end->cmd_tail - end->cmd_head != end->cmd_slots;
}

/** Puts a command whose slot the caller writes, all of it, before anything is published. There must be
 *  room. */
static inline struct shm_command *shm_client_put_next(struct shm_client_end *end)
{
    return &end->commands[end->cmd_tail++ & (end->cmd_slots - 1)];
}

/** Publishes what was put. True: the engine sleeps, ring its doorbell. */
bool shm_client_publish(struct shm_client_end *end);

/** Commands that snapd has certainly not taken: how many, counts from *first to cmd_tail - 1. */
uint32_t shm_client_untaken(struct shm_client_end *end, uint32_t *first);

/** Copies up to `max` completions without consuming them. BASE_E_PEER: snapd's cursor or a kind
 *  lies. */
BASE_MUST_USE enum base_err shm_client_peek(struct shm_client_end *end, struct shm_completion *out,
                                            uint32_t max, uint32_t *n);

/** Consumes `n` completions: their rx memory goes back to snapd. True: the engine sleeps and waits
 *  for room, ring its doorbell. */
bool shm_client_consume(struct shm_client_end *end, uint32_t n);

/** Says how the application is about to sleep (or that it woke): SHM_CLIENT_*. True if completions
 *  are waiting. */
bool shm_client_set_asleep(struct shm_client_end *end, uint32_t how);

/** Says that the application is about to yield its processor and waits for nothing but news (or has
 *  it back). An engine that runs elsewhere is not told: nothing is written then. */
void shm_client_set_waiting(struct shm_client_end *end, bool is_waiting);

/** Why snapd closed this port; SHM_REASON_NONE: it did not. */
enum shm_reason shm_client_closed(const struct shm_client_end *end);

#endif
