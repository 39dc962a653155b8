/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_TEST_SECURITY_H
#define TESTS_SUPPORT_TEST_SECURITY_H

#include "base/rng.h"
#include "transport/pony/protocol/seal.h"

#include <string.h>

/** Bytes from a seeded generator, for pony_security.random: a world replays exactly. */
static inline void test_random(void *ctx, void *out, size_t n)
{
    uint8_t *at = out;
    for (size_t i = 0; i < n; i++) {
        at[i] = (uint8_t)base_rng_u64(ctx);
    }
}

/** Mode psk with one cluster key, number 7. */
static inline void test_security_init(struct pony_security *security, struct base_rng *rng)
{
    pony_security_init(security);
    security->mode = PONY_SECURITY_PSK;
    security->cipher_preferred = PONY_CIPHER_AES128_GCM; /* the same on every machine */
    security->n_psks = 1;
    security->psks[0].id = 7;
    memset(security->psks[0].key, 0x5a, PONY_PSK_BYTES);
    security->random = test_random;
    security->random_ctx = rng;
}

#endif
