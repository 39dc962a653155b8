/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mode psk: a table's cluster keys and the secrets of its flows.
 */
#include "base/compiler.h"
#include "transport/pony/protocol/psk_internal.h"
#include "transport/pony/protocol/seal_none.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

void pony_psk_end(struct pony_seal *seal, uint32_t idx)
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

void pony_psk_destroy(struct pony_seal *seal)
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

/* Packets name them by their low 16 bits. PX-210 */
static bool are_keys_good(const struct pony_security *security)
{
    for (uint32_t i = 0; i < security->n_psks && i < PONY_PSKS_MAX; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if ((uint16_t)security->psks[i].id == (uint16_t)security->psks[j].id) {
                return false;
            }
        }
        if (security->psks[i].id == 0) {
            return false;
        }
    }
    return security->n_psks > 0 && security->n_psks <= PONY_PSKS_MAX;
}

static bool is_good(const struct pony_security *security)
{
    return security->random != NULL && security->key_packets > 0 && security->key_ns > 0 &&
           security->cipher_preferred > PONY_CIPHER_NONE &&
           security->cipher_preferred < PONY_CIPHER_MAX &&
           (security->ciphers >> security->cipher_preferred & 1) != 0;
}

static void fill_ring(struct psk_ring *ring, const struct pony_security *security)
{
    ring->n = security->n_psks;
    for (uint32_t i = 0; i < ring->n; i++) {
        ring->ids[i] = security->psks[i].id;
        pony_psk_keys_derive(security->psks[i].key, &ring->keys[i]);
    }
}

static enum base_err make(struct pony_seal *seal, const struct pony_security *security)
{
    BASE_ENSURE(pony_aead_init(&seal->aead), BASE_E_UNSUPPORTED);
    for (int i = PONY_CIPHER_NONE + 1; i < PONY_CIPHER_MAX; i++) {
        bool is_wanted = (security->ciphers >> i & 1) != 0;
        BASE_ENSURE(!is_wanted || seal->aead.ciphers[i] != NULL, BASE_E_UNSUPPORTED);
    }
    OPENSSL_cleanse(seal->security.psks, sizeof(seal->security.psks));
    seal->security.n_psks = 0;
    fill_ring(&seal->ring, security);
    seal->flows = calloc(seal->n_slots, sizeof(*seal->flows));
    BASE_ENSURE(seal->flows != NULL, BASE_E_NOMEM);
    for (uint32_t i = 0; i < seal->n_slots; i++) {
        BASE_ENSURE(pony_aead_flow_init(&seal->flows[i].aead, &seal->aead,
                                        (enum pony_cipher)security->cipher_preferred),
                    BASE_E_NOMEM);
    }
    return BASE_OK;
}

enum base_err pony_psk_create(const struct pony_security *security, const struct psk_limits *limits,
                              uint32_t n_slots, uint64_t now_ns, struct pony_seal **out)
{
    *out = NULL;
    BASE_ENSURE(is_good(security), BASE_E_INVALID);
    struct pony_seal *seal = calloc(1, sizeof(*seal));
    BASE_ENSURE(seal != NULL, BASE_E_NOMEM);
    seal->security = *security;
    seal->n_slots = n_slots;
    seal->limits = *limits;
    seal->n_agreements = limits->at_once;
    seal->refilled_ns = now_ns;
    enum base_err err = make(seal, security);
    if (err != BASE_OK) {
        ERR_clear_error();
        pony_psk_destroy(seal);
        return err;
    }
    *out = seal;
    return BASE_OK;
}

static enum base_err psk_create(const struct pony_security *security, uint32_t n_slots,
                                uint64_t now_ns, struct pony_seal **out)
{
    static const struct psk_limits limits = {PSK_AGREEMENTS_PER_S, PSK_AGREEMENTS_MAX};
    BASE_ENSURE(are_keys_good(security), BASE_E_INVALID);
    return pony_psk_create(security, &limits, n_slots, now_ns, out);
}

void pony_psk_up(struct pony_seal *seal, uint32_t idx)
{
    EVP_PKEY_free(seal->flows[idx].private_key);
    seal->flows[idx].private_key = NULL;
}

/* To be sent with from the next packet on, if the peer has the present key. PX-228 */
static bool find_move(const struct pony_seal *seal, uint32_t key_id, struct pony_aead_move *move)
{
    const struct pony_psk_keys *keys = key_id != 0 ? pony_psk_find(&seal->ring, key_id) : NULL;
    if (keys != NULL) {
        *move = (struct pony_aead_move){.key_id = key_id, .rekey = keys->rekey};
    }
    return keys != NULL;
}

uint32_t pony_psk_seal(struct pony_seal *seal, uint32_t idx, const struct pony_seal_out *out,
                       uint8_t *at)
{
    struct psk_flow *flow = &seal->flows[idx];
    const struct pony_aead_setup limits = {.key_packets = seal->security.key_packets,
                                           .now_ns = out->now_ns};
    struct pony_aead_move move;
    bool is_moving = find_move(seal, flow->move_key_id, &move);
    pony_aead_tx_rotate(&flow->aead, &limits, seal->security.key_ns, is_moving ? &move : NULL);
    if (flow->aead.tx.key_id == flow->move_key_id) {
        flow->move_key_id = 0;
    }
    return pony_aead_seal(&flow->aead, out, at);
}

/* Ours with these low bits and a higher number; 0: none. Keys only go up. */
static uint32_t find_higher(const struct pony_seal *seal, uint16_t low, uint32_t key_id)
{
    for (uint32_t i = 0; i < seal->ring.n; i++) {
        uint32_t id = seal->ring.ids[i];
        if ((uint16_t)id == low && id > key_id) {
            return id;
        }
    }
    return 0;
}

enum pony_seal_verdict pony_psk_open(struct pony_seal *seal, uint32_t idx,
                                     const struct pony_seal_in *in, uint8_t *plain)
{
    struct psk_flow *flow = &seal->flows[idx];
    struct pony_aead_rx *rx = &flow->aead.rx;
    struct pony_aead_move move;
    if (!flow->has_keys) {
        return PONY_SEAL_FORGED;
    }
    bool is_next = in->outer->generation == rx->generation + 1;
    if (!is_next || in->outer->key_id == (uint16_t)rx->key_id ||
        !find_move(seal, find_higher(seal, in->outer->key_id, rx->key_id), &move)) {
        return pony_aead_open(&flow->aead, in, plain);
    }
    return pony_aead_open_moved(&flow->aead, in, &move, plain);
}

/* The peer has a newer one if it sends with it, or names it as its first. */
void pony_psk_on_note(struct pony_seal *seal, uint32_t idx, const struct pony_sealed_note *note)
{
    struct psk_flow *flow = &seal->flows[idx];
    struct pony_aead_tx *tx = &flow->aead.tx;
    tx->seen = note->seen;
    if (flow->aead.rx.key_id > tx->key_id) {
        flow->move_key_id = flow->aead.rx.key_id;
    } else if (note->first_key_id != (uint16_t)tx->key_id) {
        flow->move_key_id = find_higher(seal, note->first_key_id, tx->key_id);
    }
}

/* Was key `id` there before, the same? */
static bool is_kept(const struct psk_ring *before, const struct psk_ring *after, uint32_t id)
{
    const struct pony_psk_keys *old = pony_psk_find(before, id);
    const struct pony_psk_keys *new = pony_psk_find(after, id);
    return old != NULL &&
           new != NULL &&CRYPTO_memcmp(old->hello, new->hello, sizeof(old->hello)) == 0;
}

static void look_at_flow(const struct psk_ring *before, const struct psk_ring *now,
                         struct psk_flow *flow)
{
    const struct pony_aead_flow *aead = &flow->aead;
    flow->aead.tx.first_key_id = (uint16_t)now->ids[0];
    flow->move_key_id = 0; /* the peer's next packet says it again */
    if (flow->has_keys) {
        flow->is_gone = flow->is_gone || !is_kept(before, now, aead->tx.key_id) ||
                        !is_kept(before, now, aead->rx.key_id);
    }
    if (flow->key_id != 0 && !is_kept(before, now, flow->key_id)) {
        flow->is_gone = flow->is_gone || (flow->has_keys && flow->private_key != NULL);
        flow->key_id = 0; /* its next HELLO names another one */
    }
}

static enum base_err psk_make_keys(const struct pony_security *security,
                                   struct pony_seal_keys **out)
{
    *out = NULL;
    BASE_ENSURE(are_keys_good(security), BASE_E_INVALID);
    struct pony_seal_keys *keys = calloc(1, sizeof(*keys));
    BASE_ENSURE(keys != NULL, BASE_E_NOMEM);
    fill_ring(&keys->ring, security);
    *out = keys;
    return BASE_OK;
}

static void psk_free_keys(struct pony_seal_keys *keys)
{
    if (keys != NULL) {
        OPENSSL_cleanse(keys, sizeof(*keys));
        free(keys);
    }
}

/* PX-229 */
static void psk_set_keys(struct pony_seal *seal, struct pony_seal_keys *keys)
{
    struct psk_ring before = seal->ring;
    seal->ring = keys->ring;
    keys->ring = before;
    OPENSSL_cleanse(&before, sizeof(before));
    for (uint32_t i = 0; i < seal->n_slots; i++) {
        if (seal->flows[i].has_begun) {
            look_at_flow(&keys->ring, &seal->ring, &seal->flows[i]);
        }
    }
}

enum pony_seal_verdict pony_psk_check_flow(const struct pony_seal *seal, uint32_t idx)
{
    return seal->flows[idx].is_gone ? PONY_SEAL_GONE : PONY_SEAL_OK;
}

void pony_psk_info(const struct pony_seal *seal, uint32_t idx, struct pony_seal_info *info)
{
    const struct psk_flow *flow = &seal->flows[idx];
    *info = (struct pony_seal_info){
        .cipher = pony_cipher_name(flow->has_keys ? flow->aead.cipher : PONY_CIPHER_NONE),
        .tx_generation = flow->aead.tx.generation,
        .rx_generation = flow->aead.rx.generation,
        .key_id = flow->has_keys ? base_min_u32(flow->aead.tx.key_id, flow->aead.rx.key_id) : 0,
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
    .destroy = pony_psk_destroy,
    .begin = pony_psk_begin,
    .end = pony_psk_end,
    .up = pony_psk_up,
    .put_hello = pony_psk_put_hello,
    .check_hello = pony_psk_check_hello,
    .make_cookie = pony_seal_none_make_cookie,
    .on_cookie = pony_seal_none_on_cookie,
    .agree = pony_psk_agree,
    .seal = pony_psk_seal,
    .open = pony_psk_open,
    .on_note = pony_psk_on_note,
    .make_keys = psk_make_keys,
    .free_keys = psk_free_keys,
    .set_keys = psk_set_keys,
    .check_flow = pony_psk_check_flow,
    .info = pony_psk_info,
};
