/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"
#include "transport/pony/protocol/gcm.h"

#include <stddef.h>

/* There is never a key: pony_gcm_create() gives none. */

struct pony_gcm *pony_gcm_create(void)
{
    return NULL;
}

void pony_gcm_destroy(struct pony_gcm *gcm)
{
    (void)gcm;
}

struct pony_gcm_key *pony_gcm_key_create(const struct pony_gcm *gcm)
{
    (void)gcm;
    return NULL;
}

void pony_gcm_key_destroy(struct pony_gcm_key *key)
{
    (void)key;
}

void pony_gcm_key_set(struct pony_gcm_key *key, const uint8_t *bytes)
{
    (void)bytes;
    base_assert(key == NULL);
}

void pony_gcm_key_forget(struct pony_gcm_key *key)
{
    base_assert(key == NULL);
}

void pony_gcm_begin(struct pony_gcm_key *key, const struct pony_gcm_start *start)
{
    (void)start;
    base_assert(key == NULL);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the signature of gcm.h */
void pony_gcm_encrypt(struct pony_gcm_key *key, uint8_t *to, const uint8_t *from, uint32_t len)
{
    (void)to;
    (void)from;
    (void)len;
    base_assert(key == NULL);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the signature of gcm.h */
void pony_gcm_decrypt(struct pony_gcm_key *key, uint8_t *to, const uint8_t *from, uint32_t len)
{
    (void)to;
    (void)from;
    (void)len;
    base_assert(key == NULL);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the signature of gcm.h */
void pony_gcm_end_encrypt(struct pony_gcm_key *key, uint8_t *tag)
{
    (void)tag;
    base_assert(key == NULL);
}

bool pony_gcm_end_decrypt(struct pony_gcm_key *key, const uint8_t *tag)
{
    (void)tag;
    base_assert(key == NULL);
    return false;
}
