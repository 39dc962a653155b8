/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_KEY_SCHEDULE_H
#define PONY_PROTOCOL_KEY_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Key schedule: from the cluster key and a key agreement to the keys of a flow.
 *
 * Shape    HMAC-SHA256 and HKDF (RFC 2104, RFC 5869) over OpenSSL's plain SHA-256 functions: all
 *          its newer ways to a digest allocate with each use (112 bytes, OpenSSL 3.0.19), and keys
 *          change on engines' threads, which may neither allocate nor fail
 * Memory   the caller's; nothing is allocated
 * Threads  any; pure
 * Source   docs/protocol.md, "Keys"; PX-217
 */
enum {
    PONY_HASH_BYTES = 32,
    PONY_AEAD_KEY_MAX = 32,
    PONY_AEAD_IV_BYTES = 12
};

/** A run of bytes to be hashed. */
struct pony_bytes {
    const void *at;
    size_t n;
};

/** SHA-256 of all runs, one after the other. */
void pony_kdf_hash(const struct pony_bytes *runs, size_t n, uint8_t *out);

/** HMAC-SHA256 of all runs under a key of 32 bytes. */
void pony_kdf_mac(const uint8_t *key, const struct pony_bytes *runs, size_t n, uint8_t *out);

/** HKDF-Expand with info = label, then context; the first 32 bytes, which is one block of it. */
void pony_kdf_expand(const uint8_t *secret, const char *label, struct pony_bytes context,
                     uint8_t *out);

/** HKDF-Extract, both 32 bytes. */
void pony_kdf_extract(const uint8_t *salt, const uint8_t *input, uint8_t *out);

/** What comes of a cluster key: independent keys for its uses. */
struct pony_psk_keys {
    uint8_t hello[PONY_HASH_BYTES]; /**< MAC of HELLO and HELLO_OK */
    uint8_t mix[PONY_HASH_BYTES];   /**< enters the key agreement */
    uint8_t rekey[PONY_HASH_BYTES]; /**< enters the keys of a flow that is moved to it */
};

void pony_psk_keys_derive(const uint8_t *psk, struct pony_psk_keys *keys);

/** What comes of a handshake, for what one end sends. */
struct pony_sender_keys {
    uint8_t traffic[PONY_HASH_BYTES]; /**< secret of generation 0 */
    uint8_t confirm[PONY_HASH_BYTES]; /**< proves in HELLO_OK that these keys were reached */
};

/**
 * @param master      from pony_kdf_extract(mix, agreed)
 * @param transcript  hash of what both ends said
 * @param public_key  the sender's: makes the two directions differ
 */
void pony_sender_keys_derive(const uint8_t *master, const uint8_t *transcript,
                             const uint8_t *public_key, struct pony_sender_keys *keys);

/** Secret of the next generation; the old one cannot be computed from it. In place. */
void pony_traffic_next(uint8_t *secret);
/** Makes the secret of a generation stand on another cluster key (its `rekey`). In place. */
void pony_traffic_mix(uint8_t *secret, const uint8_t *rekey);
/** Key (key_bytes of it) and start value of the nonces of a generation. */
void pony_traffic_keys(const uint8_t *secret, size_t key_bytes, uint8_t *key, uint8_t *iv);

#endif
