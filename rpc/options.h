/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RPC_OPTIONS_H
#define RPC_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/**
 * Options structs of the API begin with their size, so that they can grow: an older caller's is
 * shorter, a newer caller's is longer.
 */

/**
 * Lays the caller's options over the defaults that `to` holds.
 *
 * @param from  begins with a size_t `size`; NULL: the defaults
 *
 * @return  false: the size is 0 or absurd, so the struct was not initialised
 */
static inline bool snapi_options_copy(void *to, size_t to_size, const void *from)
{
    if (from == NULL) {
        return true;
    }
    size_t size;
    memcpy(&size, from, sizeof(size));
    if (size < sizeof(size) || size > 4096) {
        return false;
    }
    memcpy(to, from, size < to_size ? size : to_size);
    return true;
}

#endif
