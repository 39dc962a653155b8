/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_POISON_H
#define BASE_POISON_H

/**
 * Poison: tells the address sanitizer which of our own free memory may not be touched. Without the
 * sanitizer nothing remains of it. Any thread.
 */
#include <stdbool.h>
#include <stddef.h>

#if defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define BASE_HAS_POISON 1
#    endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#    define BASE_HAS_POISON 1
#endif

#ifdef BASE_HAS_POISON
#    include <sanitizer/asan_interface.h>

static inline void base_poison(const void *at, size_t bytes)
{
    __asan_poison_memory_region(at, bytes);
}

static inline void base_unpoison(const void *at, size_t bytes)
{
    __asan_unpoison_memory_region(at, bytes);
}

/** Whether the byte may not be touched; false where nobody checks. */
static inline bool base_is_poisoned(const void *at)
{
    return __asan_address_is_poisoned(at) != 0;
}

#else

static inline void base_poison(const void *at, size_t bytes)
{
    (void)at;
    (void)bytes;
}

static inline void base_unpoison(const void *at, size_t bytes)
{
    (void)at;
    (void)bytes;
}

/** Whether the byte may not be touched; false where nobody checks. */
static inline bool base_is_poisoned(const void *at)
{
    (void)at;
    return false;
}

#endif

#endif
