/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_HEAP_COUNTER_H
#define TESTS_SUPPORT_HEAP_COUNTER_H

#include <stdint.h>

/**
 * Counts what a program allocates: with heap_counter.c in it, its own malloc and the like count for
 * every library that it loads, protobuf-c included.
 *
 * Threads  any
 */
#if defined(__has_feature)
#    if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#        define HEAP_HAS_SANITIZER 1
#    endif
#endif
#if defined(HEAP_HAS_SANITIZER) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum {
    HEAP_COUNTS = 0 /* the sanitizer's allocator is in the way */
};
#else
enum {
    HEAP_COUNTS = 1
};
#endif

/** Allocations until now, by all threads; 0 where nothing is counted. */
uint64_t heap_allocations(void);

#endif
