/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/seal_aead.h"

#include "base/assert.h"
#include "base/clock.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <string.h>

/* Packets sealed with the key before may be under way for so long. PX-225 */
#define GRACE_NS (UINT64_C(10) * BASE_NS_PER_S)

static const char *const cipher_names[PONY_CIPHER_MAX] = {
    [PONY_CIPHER_AES128_GCM] = "AES-128-GCM",
    [PONY_CIPHER_CHACHA20_POLY1305] = "ChaCha20-Poly1305",
};

static const size_t key_bytes[PONY_CIPHER_MAX] = {
    [PONY_CIPHER_AES128_GCM] = 16,
    [PONY_CIPHER_CHACHA20_POLY1305] = 32,
};

bool pony_aead_init(struct pony_aead *aead)
{
    bool has_any = false;
    for (int i = PONY_CIPHER_NONE + 1; i < PONY_CIPHER_MAX; i++) {
        aead->ciphers[i] = EVP_CIPHER_fetch(NULL, cipher_names[i], NULL);
        has_any = has_any || aead->ciphers[i] != NULL;
    }
    ERR_clear_error();
    return has_any;
}

void pony_aead_fini(struct pony_aead *aead)
{
    for (int i = 0; i < PONY_CIPHER_MAX; i++) {
        EVP_CIPHER_free(aead->ciphers[i]);
        aead->ciphers[i] = NULL;
    }
}

/* A cipher that a context has had before costs no memory. */
static bool set_cipher(struct pony_aead_key *key, const EVP_CIPHER *cipher)
{
    static const uint8_t zero[PONY_AEAD_KEY_MAX];
    return EVP_CipherInit_ex(key->ctx, cipher, NULL, zero, zero, 1) == 1;
}

bool pony_aead_flow_init(struct pony_aead_flow *flow, const struct pony_aead *aead,
                         enum pony_cipher cipher)
{
    memset(flow, 0, sizeof(*flow));
    flow->cipher = cipher;
    struct pony_aead_key *all[] = {&flow->tx.key, &flow->rx.keys[0], &flow->rx.keys[1],
                                   &flow->rx.keys[2]};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        all[i]->ctx = EVP_CIPHER_CTX_new();
        if (all[i]->ctx == NULL || !set_cipher(all[i], aead->ciphers[cipher])) {
            return false;
        }
    }
    return true;
}

void pony_aead_flow_fini(struct pony_aead_flow *flow)
{
    EVP_CIPHER_CTX_free(flow->tx.key.ctx);
    for (int i = 0; i < PONY_RX_KEYS; i++) {
        EVP_CIPHER_CTX_free(flow->rx.keys[i].ctx);
    }
    OPENSSL_cleanse(flow, sizeof(*flow));
}

/* In the contexts zeros take the keys' place. */
static void forget_key(struct pony_aead_key *key)
{
    static const uint8_t zero[PONY_AEAD_KEY_MAX];
    OPENSSL_cleanse(key->iv, sizeof(key->iv));
    if (EVP_CipherInit_ex(key->ctx, NULL, NULL, zero, zero, -1) != 1) {
        ERR_clear_error();
    }
}

void pony_aead_flow_reset(struct pony_aead_flow *flow)
{
    struct pony_aead_key tx = flow->tx.key;
    struct pony_aead_key rx[PONY_RX_KEYS];
    memcpy(rx, flow->rx.keys, sizeof(rx));
    forget_key(&tx);
    OPENSSL_cleanse(&flow->tx, sizeof(flow->tx));
    OPENSSL_cleanse(&flow->rx, sizeof(flow->rx));
    flow->tx.key = tx;
    for (int i = 0; i < PONY_RX_KEYS; i++) {
        forget_key(&rx[i]);
        flow->rx.keys[i] = rx[i];
    }
}

static bool set_key(struct pony_aead_key *key, const struct pony_aead_setup *setup,
                    const uint8_t *secret, int is_sealing)
{
    uint8_t bytes[PONY_AEAD_KEY_MAX] = {0};
    pony_traffic_keys(secret, key_bytes[setup->cipher], bytes, key->iv);
    const EVP_CIPHER *cipher = setup->aead != NULL ? setup->aead->ciphers[setup->cipher] : NULL;
    bool is_set = EVP_CipherInit_ex(key->ctx, cipher, NULL, bytes, key->iv, is_sealing) == 1;
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return is_set;
}

bool pony_aead_flow_set_keys(struct pony_aead_flow *flow, const struct pony_aead_setup *setup)
{
    struct pony_aead_tx *tx = &flow->tx;
    struct pony_aead_rx *rx = &flow->rx;
    flow->cipher = setup->cipher;
    memcpy(tx->secret, setup->tx_secret, PONY_HASH_BYTES);
    tx->generation = 0;
    tx->seen = 0;
    tx->key_end = tx->next_number + setup->key_packets;
    tx->key_start_ns = setup->now_ns;
    tx->key_id = setup->key_id;
    rx->key_id = setup->key_id;
    memcpy(rx->secret, setup->rx_secret, PONY_HASH_BYTES);
    rx->generation = 0;
    rx->old_until_ns = 0;
    memset(&rx->window, 0, sizeof(rx->window));
    bool is_set =
        set_key(&tx->key, setup, tx->secret, 1) && set_key(&rx->keys[0], setup, rx->secret, 0);
    pony_traffic_next(rx->secret);
    is_set = is_set && set_key(&rx->keys[1], setup, rx->secret, 0) &&
             set_key(&rx->keys[2], setup, rx->secret, 0); /* the third waits for its turn */
    if (!is_set) {
        ERR_clear_error();
    }
    return is_set;
}

void pony_aead_tx_rotate(struct pony_aead_flow *flow, const struct pony_aead_setup *limits,
                         uint64_t key_ns, const struct pony_aead_move *move)
{
    struct pony_aead_tx *tx = &flow->tx;
    /* PX-224, PX-228 */
    bool is_due = move != NULL || tx->next_number >= tx->key_end ||
                  limits->now_ns - tx->key_start_ns >= key_ns;
    if (!is_due || tx->seen != (uint8_t)tx->generation) {
        return;
    }
    struct pony_aead_setup setup = {.cipher = flow->cipher};
    pony_traffic_next(tx->secret);
    if (move != NULL) {
        pony_traffic_mix(tx->secret, move->rekey);
        tx->key_id = move->key_id;
    }
    base_assert(set_key(&tx->key, &setup, tx->secret, 1));
    tx->generation++;
    tx->key_end = tx->next_number + limits->key_packets;
    tx->key_start_ns = limits->now_ns;
}

/* PX-221 */
static void make_nonce(const struct pony_aead_key *key, uint64_t number, uint8_t *nonce)
{
    memcpy(nonce, key->iv, PONY_AEAD_IV_BYTES);
    for (int i = 0; i < 8; i++) {
        nonce[PONY_AEAD_IV_BYTES - 1 - i] ^= (uint8_t)(number >> (8 * i));
    }
}

/* Sealing is memory and arithmetic: only a context that was never set up could fail. */
static void must(int is_done)
{
    base_assert(is_done == 1);
}

/* PX-218, PX-220, PX-221 */
uint32_t pony_aead_seal(struct pony_aead_flow *flow, const struct pony_seal_out *out, uint8_t *at)
{
    struct pony_aead_tx *tx = &flow->tx;
    const struct pony_sealed_outer outer = {
        .generation = tx->generation,
        .version = out->hdr->version,
        .key_id = (uint16_t)tx->key_id,
        .token = out->hdr->token,
        .dst_flow = out->hdr->dst_flow,
        .number = tx->next_number++,
    };
    const struct pony_sealed_note note = {(uint8_t)flow->rx.generation, tx->first_key_id};
    uint8_t nonce[PONY_AEAD_IV_BYTES];
    uint8_t *text = at + PONY_SEALED_OUTER_BYTES;
    pony_sealed_encode_outer(&outer, at);
    uint32_t len = pony_sealed_encode_inner(out->hdr, &note, text);
    if (out->body_len > 0) {
        memcpy(text + len, out->body, out->body_len);
        len += out->body_len;
    }
    make_nonce(&tx->key, outer.number, nonce);
    EVP_CIPHER_CTX *ctx = tx->key.ctx;
    int n = 0;
    must(EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, nonce));
    must(EVP_EncryptUpdate(ctx, NULL, &n, at, PONY_SEALED_OUTER_BYTES));
    must(EVP_EncryptUpdate(ctx, text, &n, text, (int)len));
    if (out->payload_len > 0) {
        /* The only reading of an application's bytes: the tag is of what comes out here. */
        must(EVP_EncryptUpdate(ctx, text + len, &n, out->payload, (int)out->payload_len));
        len += out->payload_len;
    }
    must(EVP_EncryptFinal_ex(ctx, text + len, &n));
    must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, PONY_SEALED_TAG_BYTES, text + len));
    return PONY_SEALED_OUTER_BYTES + len + PONY_SEALED_TAG_BYTES;
}

/* PX-219 */
static bool decrypt(const struct pony_aead_key *key, const struct pony_seal_in *in, uint8_t *plain)
{
    uint8_t nonce[PONY_AEAD_IV_BYTES];
    uint8_t tag[PONY_SEALED_TAG_BYTES];
    const uint8_t *text = in->packet + PONY_SEALED_OUTER_BYTES;
    uint32_t len = in->len - PONY_SEALED_OUTER_BYTES - PONY_SEALED_TAG_BYTES;
    int n = 0;
    make_nonce(key, in->outer->number, nonce);
    memcpy(tag, text + len, sizeof(tag));
    return EVP_DecryptInit_ex(key->ctx, NULL, NULL, NULL, nonce) == 1 &&
           EVP_DecryptUpdate(key->ctx, NULL, &n, in->packet, PONY_SEALED_OUTER_BYTES) == 1 &&
           EVP_DecryptUpdate(key->ctx, plain, &n, text, (int)len) == 1 &&
           EVP_CIPHER_CTX_ctrl(key->ctx, EVP_CTRL_AEAD_SET_TAG, PONY_SEALED_TAG_BYTES, tag) == 1 &&
           EVP_DecryptFinal_ex(key->ctx, plain + len, &n) == 1;
}

/* The first packet of the next generation was right: it is the present one now, and the key for
 * the one after it takes the place of the oldest. */
static void promote(struct pony_aead_flow *flow, uint64_t now_ns)
{
    struct pony_aead_rx *rx = &flow->rx;
    struct pony_aead_setup setup = {.cipher = flow->cipher};
    rx->generation++;
    rx->old_until_ns = now_ns + GRACE_NS;
    pony_traffic_next(rx->secret);
    base_assert(set_key(&rx->keys[(rx->generation + 1) % PONY_RX_KEYS], &setup, rx->secret, 0));
}

enum pony_seal_verdict pony_aead_open(struct pony_aead_flow *flow, const struct pony_seal_in *in,
                                      uint8_t *plain)
{
    struct pony_aead_rx *rx = &flow->rx;
    uint32_t ahead = in->outer->generation - rx->generation;
    bool is_old = ahead == UINT32_MAX && rx->generation > 0 && in->now_ns < rx->old_until_ns;
    if (ahead > 1 && !is_old) {
        return PONY_SEAL_OLD_KEY;
    }
    if (!pony_replay_window_may(&rx->window, in->outer->number)) {
        return PONY_SEAL_REPLAYED;
    }
    if (!decrypt(&rx->keys[in->outer->generation % PONY_RX_KEYS], in, plain)) {
        ERR_clear_error();
        return PONY_SEAL_FORGED;
    }
    pony_replay_window_take(&rx->window, in->outer->number);
    if (ahead == 1) {
        promote(flow, in->now_ns);
    }
    return PONY_SEAL_OK;
}

static void set_next_key(struct pony_aead_flow *flow)
{
    struct pony_aead_rx *rx = &flow->rx;
    const struct pony_aead_setup setup = {.cipher = flow->cipher};
    base_assert(set_key(&rx->keys[(rx->generation + 1) % PONY_RX_KEYS], &setup, rx->secret, 0));
}

/* PX-228 */
enum pony_seal_verdict pony_aead_open_moved(struct pony_aead_flow *flow,
                                            const struct pony_seal_in *in,
                                            const struct pony_aead_move *move, uint8_t *plain)
{
    struct pony_aead_rx *rx = &flow->rx;
    uint8_t unmoved[PONY_HASH_BYTES];
    memcpy(unmoved, rx->secret, sizeof(unmoved));
    pony_traffic_mix(rx->secret, move->rekey);
    set_next_key(flow);
    enum pony_seal_verdict verdict = pony_aead_open(flow, in, plain);
    if (verdict == PONY_SEAL_OK) {
        rx->key_id = move->key_id;
    } else {
        memcpy(rx->secret, unmoved, sizeof(unmoved));
        set_next_key(flow);
    }
    OPENSSL_cleanse(unmoved, sizeof(unmoved));
    return verdict;
}
