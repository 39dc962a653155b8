/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_GCM_H
#define PONY_PROTOCOL_GCM_H

#include <stdbool.h>
#include <stdint.h>

/**
 * AES-128-GCM by libipsec-mb, where that is there and the processor has AES instructions: three times as
 * fast as OpenSSL 3.0 for a packet of 9 KB, which does not use the wide ones, and four times for one of
 * 100 bytes.
 *
 * Shape    begin, any number of pieces, end: the tag of what was sealed or opened
 * Threads  one at a time for each key; several keys of one library may be used at once
 * Memory   a key is made once; setting it and using it allocate nothing
 * Source   NIST SP 800-38D; gcm_mb.c, or gcm_absent.c where there is no libipsec-mb
 */
struct pony_gcm;
struct pony_gcm_key;

enum {
    PONY_GCM_KEY_BYTES = 16,
    PONY_GCM_NONCE_BYTES = 12,
    PONY_GCM_TAG_BYTES = 16
};

/** NULL: not to be had here; OpenSSL does it all. */
struct pony_gcm *pony_gcm_create(void);
void pony_gcm_destroy(struct pony_gcm *gcm); /**< NULL is fine */

/** A key that is still to be set. NULL: no memory. `gcm` outlives it. */
struct pony_gcm_key *pony_gcm_key_create(const struct pony_gcm *gcm);
void pony_gcm_key_destroy(struct pony_gcm_key *key); /**< erases it; NULL is fine */

void pony_gcm_key_set(struct pony_gcm_key *key, const uint8_t *bytes);
/** Erases what was set, and what is left of packets. */
void pony_gcm_key_forget(struct pony_gcm_key *key);

/** What one packet is sealed or opened with. */
struct pony_gcm_start {
    const uint8_t *nonce;   /**< [PONY_GCM_NONCE_BYTES] */
    const uint8_t *covered; /**< authenticated, not encrypted */
    uint32_t covered_len;
};

void pony_gcm_begin(struct pony_gcm_key *key, const struct pony_gcm_start *start);
/** `to` may be `from`, else they do not overlap. `from` is read once. */
void pony_gcm_encrypt(struct pony_gcm_key *key, uint8_t *to, const uint8_t *from, uint32_t len);
void pony_gcm_decrypt(struct pony_gcm_key *key, uint8_t *to, const uint8_t *from, uint32_t len);
void pony_gcm_end_encrypt(struct pony_gcm_key *key, uint8_t *tag);
/** True: `tag` is that of the packet. Until then nothing may be done with what came out. */
bool pony_gcm_end_decrypt(struct pony_gcm_key *key, const uint8_t *tag);

#endif
