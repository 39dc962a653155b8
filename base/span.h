/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

/**
 * The one bounds check: every offset and length that comes from outside goes through it.
 */
#include <stdbool.h>
#include <stdint.h>

/** True when [off, off + len) lies inside [0, size). No combination of inputs wraps. */
static inline bool base_span_fits(uint64_t off, uint64_t len, uint64_t size)
{
    return off <= size && len <= size - off;
}

#endif
