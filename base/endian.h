/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ENDIAN_H
#define BASE_ENDIAN_H

/**
 * Little-endian numbers in unaligned bytes, and two bounded cursors over them.
 *
 * Shape    base_cursor reads, base_put_cursor writes. Both fail for good at the first access that
 *          does not fit: reads then give 0 or NULL, writes do nothing, and one check at the end
 *          (`base_cursor_is_ok`) covers a whole parse. All parsing goes through them.
 * Memory   the caller's; a cursor only points. Never point one at shared memory: copy first.
 * Threads  one owner
 */
#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t base_load_u16(const void *from)
{
    uint16_t v;
    memcpy(&v, from, sizeof(v));
    return le16toh(v);
}

static inline uint32_t base_load_u32(const void *from)
{
    uint32_t v;
    memcpy(&v, from, sizeof(v));
    return le32toh(v);
}

static inline uint64_t base_load_u64(const void *from)
{
    uint64_t v;
    memcpy(&v, from, sizeof(v));
    return le64toh(v);
}

static inline void base_store_u16(void *to, uint16_t v)
{
    v = htole16(v);
    memcpy(to, &v, sizeof(v));
}

static inline void base_store_u32(void *to, uint32_t v)
{
    v = htole32(v);
    memcpy(to, &v, sizeof(v));
}

static inline void base_store_u64(void *to, uint64_t v)
{
    v = htole64(v);
    memcpy(to, &v, sizeof(v));
}

/** Reads from [data, data + size). */
struct base_cursor {
    const uint8_t *data;
    size_t size; /**< bytes */
    size_t pos;  /**< next byte to read; <= size */
    bool is_failed;
};

static inline struct base_cursor base_cursor_make(const void *data, size_t size)
{
    return (struct base_cursor){.data = data, .size = size};
}

/** False once any read did not fit. */
static inline bool base_cursor_is_ok(const struct base_cursor *c)
{
    return !c->is_failed;
}

/** Bytes not yet read; 0 after a failure. */
static inline size_t base_cursor_left(const struct base_cursor *c)
{
    return c->is_failed ? 0 : c->size - c->pos;
}

/** The next `n` bytes where they lie, or NULL; n may be 0. Valid as long as the cursor's bytes. */
static inline const uint8_t *base_cursor_get_bytes(struct base_cursor *c, size_t n)
{
    if (c->is_failed || n > c->size - c->pos) {
        c->is_failed = true;
        return NULL;
    }
    const uint8_t *at = c->data + c->pos;
    c->pos += n;
    return at;
}

/** Steps over `n` bytes. */
static inline void base_cursor_skip(struct base_cursor *c, size_t n)
{
    (void)base_cursor_get_bytes(c, n);
}

/** Copies the next `n` bytes to `to`, or zeroes them when they are not there. */
static inline void base_cursor_get_copy(struct base_cursor *c, void *to, size_t n)
{
    const uint8_t *at = base_cursor_get_bytes(c, n);
    if (n == 0) {
        return;
    }
    if (at != NULL) {
        memcpy(to, at, n);
    } else {
        memset(to, 0, n);
    }
}

static inline uint8_t base_cursor_get_u8(struct base_cursor *c)
{
    const uint8_t *at = base_cursor_get_bytes(c, 1);
    return at != NULL ? *at : 0;
}

static inline uint16_t base_cursor_get_u16(struct base_cursor *c)
{
    const uint8_t *at = base_cursor_get_bytes(c, 2);
    return at != NULL ? base_load_u16(at) : 0;
}

static inline uint32_t base_cursor_get_u32(struct base_cursor *c)
{
    const uint8_t *at = base_cursor_get_bytes(c, 4);
    return at != NULL ? base_load_u32(at) : 0;
}

static inline uint64_t base_cursor_get_u64(struct base_cursor *c)
{
    const uint8_t *at = base_cursor_get_bytes(c, 8);
    return at != NULL ? base_load_u64(at) : 0;
}

/** Writes to [data, data + size). */
struct base_put_cursor {
    uint8_t *data;
    size_t size; /**< bytes */
    size_t pos;  /**< bytes written so far; <= size */
    bool is_failed;
};

static inline struct base_put_cursor base_put_cursor_make(void *data, size_t size)
{
    return (struct base_put_cursor){.data = data, .size = size};
}

static inline bool base_put_cursor_is_ok(const struct base_put_cursor *c)
{
    return !c->is_failed;
}

/** Room left; 0 after a failure. */
static inline size_t base_put_cursor_left(const struct base_put_cursor *c)
{
    return c->is_failed ? 0 : c->size - c->pos;
}

/** Room for `n` bytes that the caller fills itself, or NULL. */
static inline uint8_t *base_cursor_put_room(struct base_put_cursor *c, size_t n)
{
    if (c->is_failed || n > c->size - c->pos) {
        c->is_failed = true;
        return NULL;
    }
    uint8_t *at = c->data + c->pos;
    c->pos += n;
    return at;
}

static inline void base_cursor_put_bytes(struct base_put_cursor *c, const void *from, size_t n)
{
    uint8_t *at = base_cursor_put_room(c, n);
    if (at != NULL && n > 0) {
        memcpy(at, from, n);
    }
}

static inline void base_cursor_put_u8(struct base_put_cursor *c, uint8_t v)
{
    base_cursor_put_bytes(c, &v, 1);
}

static inline void base_cursor_put_u16(struct base_put_cursor *c, uint16_t v)
{
    uint8_t *at = base_cursor_put_room(c, 2);
    if (at != NULL) {
        base_store_u16(at, v);
    }
}

static inline void base_cursor_put_u32(struct base_put_cursor *c, uint32_t v)
{
    uint8_t *at = base_cursor_put_room(c, 4);
    if (at != NULL) {
        base_store_u32(at, v);
    }
}

static inline void base_cursor_put_u64(struct base_put_cursor *c, uint64_t v)
{
    uint8_t *at = base_cursor_put_room(c, 8);
    if (at != NULL) {
        base_store_u64(at, v);
    }
}

#endif
