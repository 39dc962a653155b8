/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/message.h"

#include "base/assert.h"
#include "base/compiler.h"
#include "base/copy.h"
#include "rpc/borrow.h"

#include <snaprpc/channel.h>

#include <string.h>

/* Lies right before an unpacked message, at the start of its arena. */
struct message_head {
    struct snapi_arena *arena;
    bool *is_kept; /* where keeping is noted; NULL: nobody asks, or it was */
    const ProtobufCFieldDescriptor *borrowed; /* lies where it arrived; NULL: none does */
    const uint8_t *data;                      /* there */
    size_t len;
    uint8_t *own; /* room for it in the arena */
};

enum {
    PIECEWISE_MIN_BYTES = 2 * BASE_COPY_MIN_BYTES, /* from here on packed with base_copy() */
    HEAD_BYTES = 48,                               /* keeps the message 16-aligned */
    /* protobuf-c decodes nested messages by recursion and has no limit of its own; a level takes
     * about 1.2 KiB of stack. Every level allocates first, and that is where we look. */
    STACK_MAX_BYTES = 128 * 1024,
    /* What decoding may allocate: an empty sub-message of 2 bytes becomes an object of 40 and more.
     * 64 times the input and a base, but never more than 4 times the limit on a message. */
    EXPAND_BASE_BYTES = 1024 * 1024,
    EXPAND_FACTOR = 64,
    EXPAND_LIMIT_FACTOR = 4
};

_Static_assert(sizeof(struct message_head) <= HEAD_BYTES, "the head fits before the message");

struct unpacking {
    struct snapi_arena *arena;
    struct message_head *head; /* NULL until the first allocation */
    uintptr_t stack_start;
    size_t bytes_left;
    enum base_err err;
};

static uintptr_t stack_here(void)
{
    return (uintptr_t)__builtin_frame_address(0);
}

/* Whichever way the stack grows. */
static inline bool is_too_deep(const struct unpacking *u)
{
    return stack_here() - u->stack_start + STACK_MAX_BYTES > (uintptr_t)2 * STACK_MAX_BYTES;
}

__attribute__((noinline)) static void *refuse_alloc(struct unpacking *u)
{
    if (is_too_deep(u)) {
        base_error_note("messages nested deeper than %d KiB of stack can hold",
                        STACK_MAX_BYTES / 1024);
    } else {
        base_error_note("decoding would take more memory than a message of that size may");
    }
    u->err = BASE_E_LIMIT;
    return NULL;
}

__attribute__((noinline)) static void *alloc_from_new(struct unpacking *u, size_t size)
{
    void *at = base_arena_alloc_from_new(&u->arena->mem, size);
    if (at == NULL) {
        u->err = BASE_E_NOMEM;
    }
    return at;
}

/* The first piece is the outermost message, and its head goes before it. */
static inline void *set_head(struct unpacking *u, uint8_t *at)
{
    u->head = (struct message_head *)(void *)at;
    u->head->arena = u->arena;
    u->head->is_kept = NULL;
    u->head->borrowed = NULL;
    return at + HEAD_BYTES;
}

__attribute__((noinline)) static void *alloc_first_from_new(struct unpacking *u, size_t size)
{
    void *at = alloc_from_new(u, HEAD_BYTES + size);
    return at != NULL ? set_head(u, at) : NULL;
}

static inline void *alloc_first(struct unpacking *u, size_t size)
{
    void *at = base_arena_try_alloc(&u->arena->mem, HEAD_BYTES + size);
    return BASE_LIKELY(at != NULL) ? set_head(u, at) : alloc_first_from_new(u, size);
}

static void *unpack_alloc(void *data, size_t size)
{
    struct unpacking *u = data;
    size_t charged = base_round_up_size(size, 16);
    if (BASE_UNLIKELY(is_too_deep(u) || charged < size || charged > u->bytes_left)) {
        return refuse_alloc(u);
    }
    u->bytes_left -= charged;
    if (u->head == NULL) {
        return alloc_first(u, size);
    }
    void *at = base_arena_try_alloc(&u->arena->mem, size);
    return BASE_LIKELY(at != NULL) ? at : alloc_from_new(u, size);
}

static void unpack_free(void *data, void *piece)
{
    (void)data;
    (void)piece; /* goes with its arena */
}

static size_t may_take(const struct snapi_unpack *in)
{
    size_t most = EXPAND_BASE_BYTES + in->max_message_bytes * EXPAND_LIMIT_FACTOR;
    size_t wanted = EXPAND_BASE_BYTES + in->len * EXPAND_FACTOR;
    return base_min_size(most, wanted);
}

/* All but the borrowed field. NULL: no memory. */
static const uint8_t *rest_of(struct snapi_arena *arena, const struct snapi_unpack *in,
                              const struct snapi_borrow *borrow)
{
    size_t n_after = in->len - borrow->end;
    if (n_after == 0) {
        return in->data;
    }
    if (borrow->begin == 0) {
        return in->data + borrow->end;
    }
    uint8_t *rest = base_arena_alloc(&arena->mem, borrow->begin + n_after);
    if (rest != NULL) {
        memcpy(rest, in->data, borrow->begin);
        memcpy(rest + borrow->begin, in->data + borrow->end, n_after);
    }
    return rest;
}

/* The message without its large field, and that field by reference. */
__attribute__((noinline)) static ProtobufCMessage *unpack_borrowing(
    struct unpacking *u, ProtobufCAllocator *allocator, const struct snapi_unpack *in,
    const struct snapi_borrow *borrow)
{
    size_t len = in->len - (borrow->end - borrow->begin);
    const uint8_t *rest = rest_of(u->arena, in, borrow);
    /* Taken now, filled if the application keeps the message: keeping cannot fail. */
    uint8_t *own = base_arena_alloc(&u->arena->mem, borrow->len);
    if (rest == NULL || own == NULL) {
        u->err = BASE_E_NOMEM;
        return NULL;
    }
    ProtobufCMessage *message = protobuf_c_message_unpack(in->type, allocator, len, rest);
    if (message != NULL) {
        snapi_borrow_set(borrow, message);
        u->head->borrowed = borrow->field;
        u->head->data = borrow->data;
        u->head->len = borrow->len;
        u->head->own = own;
    }
    return message;
}

enum base_err snapi_message_unpack(struct snapi_arena *arena, const struct snapi_unpack *in,
                                   ProtobufCMessage **message)
{
    *message = NULL;
    if (in->len > in->max_message_bytes) {
        base_error_note("message of %zu bytes is longer than max_message_bytes %zu", in->len,
                        in->max_message_bytes);
        return BASE_E_LIMIT;
    }
    struct unpacking u = {
        .arena = arena,
        .stack_start = stack_here(),
        .bytes_left = may_take(in),
    };
    ProtobufCAllocator allocator = {unpack_alloc, unpack_free, &u};
    struct snapi_borrow borrow;
    bool is_borrowing = in->may_borrow && in->len >= SNAPI_BORROW_MIN_BYTES &&
                        snapi_borrow_find(in->type, in->data, in->len, &borrow);
    ProtobufCMessage *unpacked =
        is_borrowing ? unpack_borrowing(&u, &allocator, in, &borrow)
                     : protobuf_c_message_unpack(in->type, &allocator, in->len, in->data);
    if (unpacked == NULL) {
        if (u.err != BASE_OK) {
            return u.err;
        }
        base_error_note("%zu bytes are not a %s", in->len, in->type->name);
        return BASE_E_MALFORMED;
    }
    /* protobuf-c allocates the outermost message first; the head relies on it. */
    base_assert((uint8_t *)unpacked == (uint8_t *)u.head + HEAD_BYTES);
    *message = unpacked;
    return BASE_OK;
}

static struct message_head *head_of(const ProtobufCMessage *message)
{
    return (struct message_head *)(void *)((uintptr_t)message - HEAD_BYTES);
}

struct snapi_arena *snapi_message_arena(const ProtobufCMessage *message)
{
    return head_of(message)->arena;
}

void snapi_message_watch(ProtobufCMessage *message, bool *is_kept)
{
    *is_kept = false;
    head_of(message)->is_kept = is_kept;
}

size_t snapi_message_size(const ProtobufCMessage *message)
{
    return protobuf_c_message_get_packed_size(message);
}

/* Where protobuf-c puts a message as far as there is room; counts on when there is none. */
struct attempt {
    ProtobufCBuffer base; /* must be the first */
    uint8_t *out;
    size_t room;
    size_t len;
};

/* Tags and lengths come in a few bytes: no call for those. */
static inline void copy_piece(uint8_t *to, const uint8_t *from, size_t n)
{
    if (n > 3) {
        memcpy(to, from, n);
    } else if (n > 0) {
        to[0] = from[0];
        to[n / 2] = from[n / 2];
        to[n - 1] = from[n - 1];
    }
}

static void append_if_room(ProtobufCBuffer *buffer, size_t len, const uint8_t *data)
{
    struct attempt *attempt = (struct attempt *)(void *)buffer;
    size_t at = attempt->len;
    attempt->len += len;
    if (BASE_LIKELY(attempt->len <= attempt->room)) {
        copy_piece(attempt->out + at, data, len);
    }
}

/* NOLINTNEXTLINE(readability-non-const-parameter): written by append_if_room() */
size_t snapi_message_try_pack(const ProtobufCMessage *message, uint8_t *out, size_t room)
{
    struct attempt attempt = {.base.append = append_if_room, .out = out, .room = room};
    (void)protobuf_c_message_pack_to_buffer(message, &attempt.base);
    return attempt.len;
}

/* Where protobuf-c puts a long message, piece by piece. */
struct room {
    ProtobufCBuffer base; /* must be the first */
    uint8_t *at;
    size_t left;
};

static void append(ProtobufCBuffer *buffer, size_t len, const uint8_t *data)
{
    struct room *room = (struct room *)(void *)buffer;
    len = base_min_size(len, room->left); /* it grew since it was measured */
    base_copy(room->at, data, len);
    room->at += len;
    room->left -= len;
}

void snapi_message_pack(const ProtobufCMessage *message, size_t size, uint8_t *out)
{
    if (size < PIECEWISE_MIN_BYTES) {
        (void)protobuf_c_message_pack(message, out);
        return;
    }
    struct room room = {.base.append = append, .at = out, .left = size};
    (void)protobuf_c_message_pack_to_buffer(message, &room.base);
}

void snap_message_keep(ProtobufCMessage *response)
{
    if (response == NULL) {
        return;
    }
    struct message_head *head = head_of(response);
    if (head->is_kept != NULL) {
        *head->is_kept = true;
        head->is_kept = NULL;
    }
    if (head->borrowed == NULL) {
        return;
    }
    ProtobufCBinaryData *bytes = snapi_borrow_field(head->borrowed, response);
    head->borrowed = NULL;
    if (bytes->data == head->data) { /* else the application has put something of its own there */
        base_copy(head->own, head->data, head->len);
        bytes->data = head->own;
    }
}

void snap_message_free(ProtobufCMessage *response)
{
    if (response != NULL) {
        snapi_arena_give(snapi_message_arena(response));
    }
}
