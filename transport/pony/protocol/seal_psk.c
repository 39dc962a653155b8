/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mode psk: a table's cluster keys and the secrets of its flows.
 */
#include "base/compiler.h"
#include "transport/pony/protocol/psk_internal.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

static void psk_end(struct pony_seal *seal, uint32_t idx)
{
    struct psk_flow *flow = &seal->flows[idx];
    if (!flow->has_begun) {
        return;
    }
    struct pony_aead_flow aead = flow->aead;
    pony_aead_flow_reset(&aead);
    EVP_PKEY_free(flow->private_key);
    OPENSSL_cleanse(flow, sizeof(*flow));
    flow->aead = aead;
}

static void psk_destroy(struct pony_seal *seal)
{
    if (seal == NULL) {
        return;
    }
    for (uint32_t i = 0; seal->flows != NULL && i < seal->n_slots; i++) {
        EVP_PKEY_free(seal->flows[i].private_key);
        pony_aead_flow_fini(&seal->flows[i].aead);
    }
    if (seal->flows != NULL) {
        OPENSSL_cleanse(seal->flows, sizeof(*seal->flows) * seal->n_slots);
    }
    free(seal->flows);
    pony_aead_fini(&seal->aead);
    OPENSSL_cleanse(seal, sizeof(*seal));
    free(seal);
}

static bool is_good(const struct pony_security *security)
{
    if (security->n_psks == 0 || security->n_psks > PONY_PSKS_MAX || security->random == NULL ||
        security->key_packets == 0 || security->key_ns == 0 ||
        (security->ciphers >> security->cipher_preferred & 1) == 0) {
        return false;
    }
    for (uint32_t i = 0; i < security->n_psks; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (security->psks[i].id == security->psks[j].id) {
                return false;
            }
        }
        if (security->psks[i].id == 0) {
            return false;
        }
    }
    return security->cipher_preferred > PONY_CIPHER_NONE &&
           security->cipher_preferred < PONY_CIPHER_MAX;
}

static enum base_err make(struct pony_seal *seal, const struct pony_security *security)
{
    BASE_ENSURE(pony_aead_init(&seal->aead), BASE_E_UNSUPPORTED);
    for (int i = PONY_CIPHER_NONE + 1; i < PONY_CIPHER_MAX; i++) {
        bool is_wanted = (security->ciphers >> i & 1) != 0;
        BASE_ENSURE(!is_wanted || seal->aead.ciphers[i] != NULL, BASE_E_UNSUPPORTED);
    }
    for (uint32_t i = 0; i < security->n_psks; i++) {
        pony_psk_keys_derive(security->psks[i].key, &seal->keys[i]);
        OPENSSL_cleanse(seal->security.psks[i].key, PONY_PSK_BYTES);
    }
    seal->flows = calloc(seal->n_slots, sizeof(*seal->flows));
    BASE_ENSURE(seal->flows != NULL, BASE_E_NOMEM);
    for (uint32_t i = 0; i < seal->n_slots; i++) {
        BASE_ENSURE(pony_aead_flow_init(&seal->flows[i].aead, &seal->aead,
                                        (enum pony_cipher)security->cipher_preferred),
                    BASE_E_NOMEM);
    }
    return BASE_OK;
}

static enum base_err psk_create(const struct pony_security *security, uint32_t n_slots,
                                uint64_t now_ns, struct pony_seal **out)
{
    *out = NULL;
    BASE_ENSURE(is_good(security), BASE_E_INVALID);
    struct pony_seal *seal = calloc(1, sizeof(*seal));
    BASE_ENSURE(seal != NULL, BASE_E_NOMEM);
    seal->security = *security;
    seal->n_slots = n_slots;
    seal->n_agreements = PSK_AGREEMENTS_MAX;
    seal->refilled_ns = now_ns;
    enum base_err err = make(seal, security);
    if (err != BASE_OK) {
        ERR_clear_error();
        psk_destroy(seal);
        return err;
    }
    *out = seal;
    return BASE_OK;
}

static void psk_up(struct pony_seal *seal, uint32_t idx)
{
    EVP_PKEY_free(seal->flows[idx].private_key);
    seal->flows[idx].private_key = NULL;
}

static uint32_t psk_seal(struct pony_seal *seal, uint32_t idx, const struct pony_seal_out *out,
                         uint8_t *at)
{
    struct pony_aead_flow *aead = &seal->flows[idx].aead;
    const struct pony_aead_setup limits = {.key_packets = seal->security.key_packets,
                                           .now_ns = out->now_ns};
    pony_aead_tx_rotate(aead, &limits, seal->security.key_ns);
    return pony_aead_seal(aead, out, at);
}

static enum pony_seal_verdict psk_open(struct pony_seal *seal, uint32_t idx,
                                       const struct pony_seal_in *in, uint8_t *plain)
{
    struct psk_flow *flow = &seal->flows[idx];
    return flow->has_keys ? pony_aead_open(&flow->aead, in, plain) : PONY_SEAL_FORGED;
}

static void psk_on_seen(struct pony_seal *seal, uint32_t idx, uint8_t seen)
{
    seal->flows[idx].aead.tx.seen = seen;
}

static void psk_info(const struct pony_seal *seal, uint32_t idx, struct pony_seal_info *info)
{
    const struct psk_flow *flow = &seal->flows[idx];
    *info = (struct pony_seal_info){
        .cipher = pony_cipher_name(flow->has_keys ? flow->aead.cipher : PONY_CIPHER_NONE),
        .tx_generation = flow->aead.tx.generation,
        .rx_generation = flow->aead.rx.generation,
    };
}

const struct pony_seal_ops pony_seal_psk = {
    .name = "psk",
    .mode = PONY_SECURITY_PSK,
    .features = PONY_WIRE_FEATURE_PSK,
    .hello_bytes = PONY_HELLO_PSK_BYTES,
    .overhead_bytes = PONY_SEALED_OVERHEAD,
    .is_built = true,
    .is_sealing = true,
    .create = psk_create,
    .destroy = psk_destroy,
    .begin = pony_psk_begin,
    .end = psk_end,
    .up = psk_up,
    .put_hello = pony_psk_put_hello,
    .check_hello = pony_psk_check_hello,
    .agree = pony_psk_agree,
    .seal = psk_seal,
    .open = psk_open,
    .on_seen = psk_on_seen,
    .info = psk_info,
};
