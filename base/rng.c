/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"

#include "base/assert.h"

#include <errno.h>
#include <sys/random.h>

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = (*x += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void base_rng_init(struct base_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        rng->s[i] = splitmix(&seed);
    }
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t base_rng_u64(struct base_rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

/* Lemire, "Fast random integer generation in an interval" (2019). */
uint64_t base_rng_below(struct base_rng *rng, uint64_t n)
{
    base_assert(n > 0);
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)base_rng_u64(rng) * n;
    if ((uint64_t)product < n) {
        uint64_t threshold = (0 - n) % n;
        while ((uint64_t)product < threshold) {
            product = (wide)base_rng_u64(rng) * n;
        }
    }
    return (uint64_t)(product >> 64);
}

uint64_t base_rng_range(struct base_rng *rng, uint64_t lo, uint64_t hi)
{
    base_assert(lo <= hi);
    uint64_t n = hi - lo + 1;
    return n == 0 ? base_rng_u64(rng) : lo + base_rng_below(rng, n);
}

bool base_rng_chance(struct base_rng *rng, uint32_t ppm)
{
    return base_rng_below(rng, 1000000) < ppm;
}

double base_rng_double(struct base_rng *rng)
{
    return (double)(base_rng_u64(rng) >> 11) * 0x1.0p-53;
}

enum base_err base_random_bytes(void *out, size_t n)
{
    unsigned char *at = out;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            return BASE_E_IO;
        }
        at += got;
        n -= (size_t)got;
    }
    return BASE_OK;
}
