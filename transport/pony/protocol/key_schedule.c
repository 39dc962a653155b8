/* SPDX-License-Identifier: Apache-2.0 */
/* SHA256_Init and its like are deprecated in favour of what allocates: see the header. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "transport/pony/protocol/key_schedule.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

enum {
    BLOCK_BYTES = 64 /* of SHA-256 */
};

/* These calls return 1, always. */

static void add(SHA256_CTX *ctx, const struct pony_bytes *runs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)SHA256_Update(ctx, runs[i].at, runs[i].n);
    }
}

void pony_kdf_hash(const struct pony_bytes *runs, size_t n, uint8_t *out)
{
    SHA256_CTX ctx;
    (void)SHA256_Init(&ctx);
    add(&ctx, runs, n);
    (void)SHA256_Final(out, &ctx);
}

static void begin_padded(SHA256_CTX *ctx, const uint8_t *key, uint8_t pad)
{
    uint8_t block[BLOCK_BYTES];
    for (size_t i = 0; i < BLOCK_BYTES; i++) {
        block[i] = (uint8_t)((i < PONY_HASH_BYTES ? key[i] : 0) ^ pad);
    }
    (void)SHA256_Init(ctx);
    (void)SHA256_Update(ctx, block, sizeof(block));
    OPENSSL_cleanse(block, sizeof(block));
}

void pony_kdf_mac(const uint8_t *key, const struct pony_bytes *runs, size_t n, uint8_t *out)
{
    SHA256_CTX ctx;
    uint8_t inner[PONY_HASH_BYTES];
    begin_padded(&ctx, key, 0x36);
    add(&ctx, runs, n);
    (void)SHA256_Final(inner, &ctx);
    begin_padded(&ctx, key, 0x5c);
    (void)SHA256_Update(&ctx, inner, sizeof(inner));
    (void)SHA256_Final(out, &ctx);
    OPENSSL_cleanse(&ctx, sizeof(ctx));
    OPENSSL_cleanse(inner, sizeof(inner));
}

void pony_kdf_expand(const uint8_t *secret, const char *label, struct pony_bytes context,
                     uint8_t *out)
{
    static const uint8_t block_number = 1;
    const struct pony_bytes runs[] = {
        {label, strlen(label)},
        context,
        {&block_number, 1},
    };
    pony_kdf_mac(secret, runs, 3, out);
}

void pony_kdf_extract(const uint8_t *salt, const uint8_t *input, uint8_t *out)
{
    const struct pony_bytes run = {input, PONY_HASH_BYTES};
    pony_kdf_mac(salt, &run, 1, out);
}

void pony_psk_keys_derive(const uint8_t *psk, struct pony_psk_keys *keys)
{
    static const uint8_t salt[PONY_HASH_BYTES] = "snaprpc pony psk 1";
    const struct pony_bytes nothing = {"", 0};
    uint8_t root[PONY_HASH_BYTES];
    pony_kdf_extract(salt, psk, root);
    pony_kdf_expand(root, "pony hello", nothing, keys->hello);
    pony_kdf_expand(root, "pony mix", nothing, keys->mix);
    pony_kdf_expand(root, "pony rekey", nothing, keys->rekey);
    OPENSSL_cleanse(root, sizeof(root));
}

void pony_sender_keys_derive(const uint8_t *master, const uint8_t *transcript,
                             const uint8_t *public_key, struct pony_sender_keys *keys)
{
    uint8_t context[2 * PONY_HASH_BYTES];
    memcpy(context, transcript, PONY_HASH_BYTES);
    memcpy(context + PONY_HASH_BYTES, public_key, PONY_HASH_BYTES);
    const struct pony_bytes info = {context, sizeof(context)};
    pony_kdf_expand(master, "pony traffic", info, keys->traffic);
    pony_kdf_expand(master, "pony confirm", info, keys->confirm);
}

void pony_traffic_next(uint8_t *secret)
{
    const struct pony_bytes nothing = {"", 0};
    uint8_t next[PONY_HASH_BYTES];
    pony_kdf_expand(secret, "pony next", nothing, next);
    memcpy(secret, next, sizeof(next));
    OPENSSL_cleanse(next, sizeof(next));
}

void pony_traffic_mix(uint8_t *secret, const uint8_t *rekey)
{
    uint8_t mixed[PONY_HASH_BYTES];
    pony_kdf_extract(rekey, secret, mixed);
    memcpy(secret, mixed, sizeof(mixed));
    OPENSSL_cleanse(mixed, sizeof(mixed));
}

void pony_traffic_keys(const uint8_t *secret, size_t key_bytes, uint8_t *key, uint8_t *iv)
{
    const struct pony_bytes nothing = {"", 0};
    uint8_t block[PONY_HASH_BYTES];
    pony_kdf_expand(secret, "pony key", nothing, block);
    memcpy(key, block, key_bytes);
    pony_kdf_expand(secret, "pony iv", nothing, block);
    memcpy(iv, block, PONY_AEAD_IV_BYTES);
    OPENSSL_cleanse(block, sizeof(block));
}
