/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vectors were made with Python's hmac and hashlib from docs/protocol.md; the comparisons are
 * with OpenSSL's own HMAC and HKDF.
 */
#include "transport/pony/protocol/key_schedule.h"

#include "base/rng.h"
#include "tests/support/cmocka_all.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

static void assert_hex(const uint8_t *bytes, size_t n, const char *expected)
{
    char text[2 * PONY_HASH_BYTES + 1];
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
    assert_string_equal(text, expected);
}

/* PX-214, PX-216, PX-217 */
static void the_schedule_gives_the_documented_vectors(void **state)
{
    (void)state;
    uint8_t psk[PONY_HASH_BYTES];
    uint8_t agreed[PONY_HASH_BYTES];
    uint8_t transcript[PONY_HASH_BYTES];
    uint8_t public_key[PONY_HASH_BYTES];
    uint8_t master[PONY_HASH_BYTES];
    uint8_t key[PONY_AEAD_KEY_MAX];
    uint8_t iv[PONY_AEAD_IV_BYTES];
    struct pony_psk_keys psk_keys;
    struct pony_sender_keys sender;
    for (uint32_t i = 0; i < PONY_HASH_BYTES; i++) {
        psk[i] = (uint8_t)i;
    }
    memset(agreed, 0x11, sizeof(agreed));
    memset(transcript, 0x22, sizeof(transcript));
    memset(public_key, 0x33, sizeof(public_key));
    pony_psk_keys_derive(psk, &psk_keys);
    assert_hex(psk_keys.hello, 32,
               "04cbec52e39bc6191951fd870057d4d5d3ac1e8d25ae5959c1c712da70f0a4f6");
    assert_hex(psk_keys.mix, 32,
               "323c8942640ae5826d53bd170ef2e771cafedec3878d4d0769178ddeb7bb7526");
    pony_kdf_extract(psk_keys.mix, agreed, master);
    assert_hex(master, 32, "df926973f2e2e68b7a5e37b638ae9732f802065759692ce85eeff4f8e49e2bcb");
    pony_sender_keys_derive(master, transcript, public_key, &sender);
    assert_hex(sender.traffic, 32,
               "0abb6c3a9f5f14344259f2b487cb5e2e9fa40f2675d87d1fed6d54986aa75aae");
    assert_hex(sender.confirm, 32,
               "bfe8c34dc5d9bb0022f7a61e3b67ee5cf9255ae0e3dfd8d71394f6a8be37d9bd");
    pony_traffic_next(sender.traffic);
    assert_hex(sender.traffic, 32,
               "c032895bbcfcb87e19f343f2dec02938f3afea5ca8746c582ad16a8ddbc5c456");
    pony_traffic_keys(sender.traffic, 32, key, iv);
    assert_hex(key, 32, "d6f9e8e435124728511452d5f5362966819bc9d90b4898a283b6999c83de30f3");
    assert_hex(iv, 12, "11251834f4030e2265f71416");
}

static void macs_are_those_of_openssl(void **state)
{
    (void)state;
    struct base_rng rng;
    uint8_t key[PONY_HASH_BYTES];
    uint8_t text[300];
    base_rng_init(&rng, 5);
    for (size_t n = 0; n <= sizeof(text); n++) {
        uint8_t ours[PONY_HASH_BYTES];
        uint8_t theirs[PONY_HASH_BYTES];
        for (size_t i = 0; i < sizeof(key); i++) {
            key[i] = (uint8_t)base_rng_u64(&rng);
        }
        memset(text, (int)n, sizeof(text));
        struct pony_bytes runs[] = {{text, n / 3}, {text + n / 3, n - n / 3}};
        pony_kdf_mac(key, runs, 2, ours);
        assert_non_null(HMAC(EVP_sha256(), key, sizeof(key), text, n, theirs, NULL));
        assert_memory_equal(ours, theirs, sizeof(ours));
    }
}

static void run_hkdf(int mode, const uint8_t *key, const uint8_t *salt, const char *info,
                     uint8_t *out)
{
    EVP_KDF *hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(hkdf);
    OSSL_PARAM params[6];
    size_t n = 0;
    char digest[] = "SHA256";
    /* OpenSSL only reads these; its parameters have no const. */
    params[n++] = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    params[n++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    params[n++] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key, 32);
    if (salt != NULL) {
        params[n++] =
            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt, 32);
    }
    if (info != NULL) {
        params[n++] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO,
                                                        (void *)(uintptr_t)info, strlen(info));
    }
    params[n] = OSSL_PARAM_construct_end();
    assert_int_equal(EVP_KDF_derive(ctx, out, 32, params), 1);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(hkdf);
}

static void hkdf_is_that_of_openssl(void **state)
{
    (void)state;
    for (uint8_t i = 0; i < 50; i++) {
        uint8_t key[32];
        uint8_t salt[32];
        uint8_t ours[32];
        uint8_t theirs[32];
        memset(key, i, sizeof(key));
        memset(salt, 255 - i, sizeof(salt));
        pony_kdf_extract(salt, key, ours);
        run_hkdf(EVP_KDF_HKDF_MODE_EXTRACT_ONLY, key, salt, NULL, theirs);
        assert_memory_equal(ours, theirs, sizeof(ours));
        const struct pony_bytes context = {"and more", 8};
        pony_kdf_expand(key, "a label", context, ours);
        run_hkdf(EVP_KDF_HKDF_MODE_EXPAND_ONLY, key, NULL, "a labeland more", theirs);
        assert_memory_equal(ours, theirs, sizeof(ours));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_schedule_gives_the_documented_vectors),
        cmocka_unit_test(macs_are_those_of_openssl),
        cmocka_unit_test(hkdf_is_that_of_openssl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
