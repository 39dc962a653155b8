/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

/**
 * What C11 leaves to the compiler, and the arithmetic every layer needs. Pure; any thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes; what two threads write must not share one. */
enum {
    BASE_CACHE_LINE = 64
};

#define BASE_LIKELY(cond)   __builtin_expect(!!(cond), 1)
#define BASE_UNLIKELY(cond) __builtin_expect(!!(cond), 0)

#define BASE_ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/** The object of `type` whose `member` is at `ptr`. */
#define base_container_of(ptr, type, member) \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/** Stops the compiler from loading or storing around this point, and from assuming `*ptr`. */
static inline void base_compiler_barrier(const void *ptr)
{
    __asm__ volatile("" : : "r"(ptr) : "memory");
}

/** Fetches the line at `ptr` into the cache while other work goes on; any address will do. */
static inline void base_prefetch(const void *ptr)
{
    __builtin_prefetch(ptr, 1); /* most that is worth this is written soon */
}

/** Tells the core that this is a spin loop. */
static inline void base_cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline uint32_t base_min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline uint32_t base_max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static inline uint64_t base_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t base_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline size_t base_min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t base_max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/** 0 is not a power of two. */
static inline bool base_is_pow2_u32(uint32_t v)
{
    return v != 0 && (v & (v - 1)) == 0;
}

/** Least power of two >= v; 1 for 0; 0 when it does not fit (v > 2^31). */
static inline uint32_t base_ceil_pow2_u32(uint32_t v)
{
    if (v <= 1) {
        return 1;
    }
    if (v > UINT32_C(1) << 31) {
        return 0;
    }
    return UINT32_C(1) << (32 - __builtin_clz(v - 1));
}

/** Least multiple of `align` (a power of two) that is >= v; wraps to 0 past UINT64_MAX. */
static inline uint64_t base_round_up_u64(uint64_t v, uint64_t align)
{
    return (v + align - 1) & ~(align - 1);
}

static inline size_t base_round_up_size(size_t v, size_t align)
{
    return (v + align - 1) & ~(align - 1);
}

static inline size_t base_round_down_size(size_t v, size_t align)
{
    return v & ~(align - 1);
}

/** Ceiling of a / b, b > 0. */
static inline uint64_t base_div_ceil_u64(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

static inline bool base_is_aligned(uint64_t v, uint64_t align)
{
    return (v & (align - 1)) == 0;
}

/** a + b, UINT64_MAX where it would wrap: for deadlines. */
static inline uint64_t base_add_sat_u64(uint64_t a, uint64_t b)
{
    uint64_t sum = a + b;
    return sum < a ? UINT64_MAX : sum;
}

/** a - b, 0 where it would wrap. */
static inline uint64_t base_sub_sat_u64(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

#endif
