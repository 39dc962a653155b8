/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

/**
 * Slab: objects of whole cache lines, one behind the other.
 *
 * Shape    for what each of thousands of objects has that is used often, apart from the rest of it:
 *          no header and no other memory lies between them, so that they fill no more lines and pages
 *          than they must. An address never changes. The object given back last is taken first.
 * Memory   grows chunk by chunk, to the most that were out at once; freed with the slab. The address
 *          sanitizer is told what is free
 * Threads  one owner
 */
#include <stddef.h>
#include <stdint.h>

struct base_slab {
    size_t object_bytes; /**< a multiple of BASE_CACHE_LINE */
    void *free;          /**< objects, each begins with a pointer to the next */
    void *chunks;        /**< likewise */
    uint32_t n_taken;
};

/** @param object_bytes  1..2^16; rounded up to whole cache lines */
void base_slab_init(struct base_slab *slab, size_t object_bytes);

/** Frees all memory, and with it every object. Accepts a zeroed slab. */
void base_slab_fini(struct base_slab *slab);

/** A zeroed object that begins a cache line. NULL: out of memory. */
void *base_slab_take(struct base_slab *slab);

/** Gives back one that was taken; NULL is fine. */
void base_slab_give(struct base_slab *slab, void *object);

#endif
