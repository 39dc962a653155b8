/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_CONFIG_VALUE_H
#define SNAPD_CONFIG_VALUE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/**
 * One setting: its name, type, bounds and place in a struct; text to value and back.
 *
 * Shape    a rule per setting; all types are unsigned, so that bounds are two numbers
 * Errors   BASE_E_INVALID with the place, the value and what would be right in the error note
 * Threads  pure
 */

enum snapd_value_type {
    SNAPD_VALUE_TEXT,  /**< char[max]; length min..max-1 */
    SNAPD_VALUE_U32,   /**< uint32_t, decimal */
    SNAPD_VALUE_U64,   /**< uint64_t, decimal */
    SNAPD_VALUE_OCTAL, /**< uint32_t, octal */
    SNAPD_VALUE_NS,    /**< uint64_t; "10ms": suffix ns, us, ms or s */
    SNAPD_VALUE_BYTES, /**< uint64_t; "64M": suffix K, M or G (powers of 1024) or none */
    SNAPD_VALUE_PPM,   /**< uint32_t parts per million; "1.5%" */
    SNAPD_VALUE_NAME,  /**< uint32_t: index in names */
    SNAPD_VALUE_AUTO   /**< uint32_t, or "auto" for 0 */
};

enum {
    SNAPD_VALUE_TEXT_MAX = 256
};

struct snapd_value_rule {
    const char *section;
    const char *key;
    enum snapd_value_type type;
    size_t offset;            /**< of the field in the struct */
    uint64_t min, max;        /**< inclusive, but for TEXT see there */
    const char *const *names; /**< NAME only; ends with NULL */
};

/** Reads `text` into the field of `object`; unchanged on error. `where` begins the note. */
BASE_MUST_USE enum base_err snapd_value_set(const struct snapd_value_rule *rule, void *object,
                                            const char *where, const char *text);

/** Writes the field in the form that set() reads; cut at `size`. */
void snapd_value_format(const struct snapd_value_rule *rule, const void *object, char *text,
                        size_t size);

/** Edits (insert, delete, replace) between two words; words are cut at 31 characters. */
uint32_t snapd_value_distance(const char *a, const char *b);

#endif
