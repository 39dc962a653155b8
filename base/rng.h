/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

/**
 * Random numbers: a seeded generator for jitter, choice and simulation, and the system's for keys.
 *
 * Shape    xoshiro256** seeded by splitmix64: the same seed gives the same numbers everywhere
 * Threads  a generator has one owner; base_random_bytes may be called from any thread
 * Source   Blackman and Vigna, "Scrambled linear pseudorandom number generators" (2021)
 *
 * base_rng is guessable. Whatever a stranger must not guess comes from base_random_bytes.
 */
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct base_rng {
    uint64_t s[4];
};

/** Every seed is good, also 0. */
void base_rng_init(struct base_rng *rng, uint64_t seed);

uint64_t base_rng_u64(struct base_rng *rng);

/** Uniform in [0, n); n >= 1. */
uint64_t base_rng_below(struct base_rng *rng, uint64_t n);

/** Uniform in [lo, hi], lo <= hi. */
uint64_t base_rng_range(struct base_rng *rng, uint64_t lo, uint64_t hi);

/** True with probability ppm / 1,000,000. */
bool base_rng_chance(struct base_rng *rng, uint32_t ppm);

/** Uniform in [0, 1). */
double base_rng_double(struct base_rng *rng);

/** Fills `out` from the system's generator (getrandom). Errors: BASE_E_IO. */
BASE_MUST_USE enum base_err base_random_bytes(void *out, size_t n);

#endif
