/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RPC_MESSAGE_H
#define RPC_MESSAGE_H

#include "base/arena.h"
#include "base/error.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Messages: protobuf-c objects to and from bytes, with one arena per call.
 *
 * Shape    an unpacked message is preceded by a hidden head that names its arena, so that
 *          snap_message_free() needs only the message
 * Threads  arenas are taken and given from any thread (lock-free); one thread at a time uses one
 * Memory   an arena may outlive its pool's owner: the pool goes when the last arena is given back
 */
struct snapi_arena_pool;

enum {
    SNAPI_ARENAS_OWNED_MAX = 128 /**< that the owner of a loop keeps for itself */
};

/** The owner's arenas: the first member of a pool. */
struct snapi_arenas_owned {
    uint32_t n;
    struct snapi_arena *arenas[SNAPI_ARENAS_OWNED_MAX];
};

/** Memory of one call. The first chunk is kept when it is given back. */
struct snapi_arena {
    struct base_arena mem;
    struct snapi_arena_pool *pool;
    uint32_t slot; /**< in the pool; UINT32_MAX: made beyond the pool's size, freed when given */
};

/** NULL: out of memory. Ended by snapi_arena_pool_close(). */
struct snapi_arena_pool *snapi_arena_pool_open(void);

/** The owner does without it. Arenas that are out may still be given back. NULL is fine. */
void snapi_arena_pool_close(struct snapi_arena_pool *pool);

/** An empty arena; NULL: out of memory. No heap allocation once as many were given back. */
struct snapi_arena *snapi_arena_take(struct snapi_arena_pool *pool);

/** Ends the life of all that lies in it. NULL is fine. */
void snapi_arena_give(struct snapi_arena *arena);

/** The same for the owner of the pool's loop: no atomic access while it keeps to these. Take and give
 *  may be mixed with those above. */
static inline struct snapi_arena *snapi_arena_take_owned(struct snapi_arena_pool *pool)
{
    struct snapi_arenas_owned *owned = (struct snapi_arenas_owned *)(void *)pool;
    return owned->n > 0 ? owned->arenas[--owned->n] : snapi_arena_take(pool);
}

static inline void snapi_arena_give_owned(struct snapi_arena *arena)
{
    struct snapi_arenas_owned *owned =
        arena == NULL ? NULL : (struct snapi_arenas_owned *)(void *)arena->pool;
    if (owned == NULL || owned->n == SNAPI_ARENAS_OWNED_MAX) {
        snapi_arena_give(arena);
        return;
    }
    base_arena_reset(&arena->mem);
    owned->arenas[owned->n++] = arena;
}

/** Size of the encoded message. */
size_t snapi_message_size(const ProtobufCMessage *message);

/** Encodes and measures in one: a message of at most `room` bytes is in `out` then, of a longer one only
 * a part. Returns its size. */
size_t snapi_message_try_pack(const ProtobufCMessage *message, uint8_t *out, size_t room);

/** Encodes into `out`: `size` bytes, what snapi_message_size() said. */
void snapi_message_pack(const ProtobufCMessage *message, size_t size, uint8_t *out);

struct snapi_unpack {
    const ProtobufCMessageDescriptor *type;
    const uint8_t *data; /**< hostile; may go when unpack returns */
    size_t len;
    size_t max_message_bytes; /**< bounds what decoding may allocate, with `len` */
    bool may_borrow; /**< `data` stays until the message is kept or its arena given back: one large
                          bytes field may point into it (borrow.h) */
};

/**
 * Decodes into the arena. On success the message and arena are one: give the arena back when the
 * message is done, or let the application do so with snap_message_free(); see
 * snapi_message_watch().
 *
 * Errors  BASE_E_MALFORMED not a message of that type; BASE_E_LIMIT decoding would take too much
 *         memory or nests too deep; BASE_E_NOMEM. The arena stays the caller's
 */
BASE_MUST_USE enum base_err snapi_message_unpack(struct snapi_arena *arena,
                                                 const struct snapi_unpack *in,
                                                 ProtobufCMessage **message);

/** The arena of an unpacked message. */
struct snapi_arena *snapi_message_arena(const ProtobufCMessage *message);

/**
 * Notes in *is_kept, false at first, when the application takes the message with snap_message_keep().
 * From then on the message is the application's, which may have freed it already: so the note lies
 * with the caller, and must stay until the callback has returned.
 */
void snapi_message_watch(ProtobufCMessage *message, bool *is_kept);

#endif
