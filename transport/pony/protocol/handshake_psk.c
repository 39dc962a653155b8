/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HELLO and HELLO_OK of mode psk. Either end may have spoken first, or both at once, so nothing
 * depends on who did: each end has one public key for a flow, describes itself in the same 64
 * bytes whether it asks or answers, and the keys come from both descriptions. PX-210..PX-217
 */
#include "base/clock.h"
#include "base/compiler.h"
#include "base/endian.h"
#include "transport/pony/protocol/psk_internal.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <string.h>

enum {
    FROM = 4, /* MACs leave out the checksum */
    MAC_AT = PONY_WIRE_HDR_BYTES + PONY_HELLO_MAC_AT,
    CONFIRM_AT = PONY_WIRE_HDR_BYTES + PONY_HELLO_CONFIRM_AT
};

const struct pony_psk_keys *pony_psk_find(const struct psk_ring *ring, uint32_t id)
{
    for (uint32_t i = 0; i < ring->n; i++) {
        if (ring->ids[i] == id) {
            return &ring->keys[i];
        }
    }
    return NULL;
}

bool pony_psk_begin(struct pony_seal *seal, uint32_t idx, const struct pony_seal_self *self)
{
    struct psk_flow *flow = &seal->flows[idx];
    uint8_t secret[PONY_PUBLIC_KEY_BYTES];
    size_t n = sizeof(flow->public_key);
    pony_aead_flow_reset(&flow->aead);
    flow->has_begun = true;
    flow->has_keys = false;
    flow->is_gone = false;
    flow->move_key_id = 0;
    flow->key_id = 0;
    flow->self = *self;
    seal->security.random(seal->security.random_ctx, secret, sizeof(secret));
    /* PX-212: a key pair for this flow only. */
    flow->private_key =
        EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, secret, sizeof(secret));
    OPENSSL_cleanse(secret, sizeof(secret));
    if (flow->private_key == NULL ||
        EVP_PKEY_get_raw_public_key(flow->private_key, flow->public_key, &n) != 1) {
        ERR_clear_error();
        EVP_PKEY_free(flow->private_key);
        flow->private_key = NULL;
        return false;
    }
    return true;
}

void pony_psk_describe(const struct pony_seal_self *self, const struct pony_wire_hello_psk *psk,
                       uint8_t *at)
{
    base_store_u64(at, self->instance);
    base_store_u64(at + 8, self->token);
    base_store_u32(at + 16, self->flow);
    base_store_u32(at + 20, self->first_seq);
    base_store_u32(at + 24, psk->key_id);
    at[28] = psk->version_min;
    at[29] = psk->version_max;
    at[30] = psk->ciphers;
    at[31] = psk->cipher_preferred;
    memcpy(at + 32, psk->public_key, PONY_PUBLIC_KEY_BYTES);
}

struct pony_wire_hello_psk pony_psk_own_hello(const struct pony_seal *seal, struct psk_flow *flow,
                                              uint32_t key_id)
{
    if (flow->key_id == 0) {
        flow->key_id = key_id;
    }
    struct pony_wire_hello_psk own = {
        .version_min = flow->self.version_min,
        .version_max = flow->self.version_max,
        .ciphers = seal->security.ciphers,
        .cipher_preferred = seal->security.cipher_preferred,
        .key_id = flow->key_id,
    };
    memcpy(own.public_key, flow->public_key, sizeof(own.public_key));
    return own;
}

void pony_psk_put_hello(struct pony_seal *seal, uint32_t idx, bool is_ok, uint8_t *packet)
{
    struct psk_flow *flow = &seal->flows[idx];
    struct pony_wire_hello_psk own = pony_psk_own_hello(seal, flow, seal->ring.ids[0]);
    pony_wire_encode_hello_psk(&own, packet + PONY_WIRE_HDR_BYTES);
    const struct pony_bytes first = {packet + FROM, MAC_AT - FROM};
    pony_kdf_mac(pony_psk_find(&seal->ring, own.key_id)->hello, &first, 1, packet + MAC_AT);
    if (!is_ok) {
        memset(packet + CONFIRM_AT, 0, PONY_MAC_BYTES);
        return;
    }
    const struct pony_bytes all = {packet + FROM, CONFIRM_AT - FROM};
    pony_kdf_mac(flow->confirm_tx, &all, 1, packet + CONFIRM_AT);
}

static bool is_mac_right(const uint8_t *key, const uint8_t *packet, uint32_t at)
{
    uint8_t mac[PONY_MAC_BYTES];
    const struct pony_bytes run = {packet + FROM, at - FROM};
    pony_kdf_mac(key, &run, 1, mac);
    return CRYPTO_memcmp(mac, packet + at, sizeof(mac)) == 0;
}

enum pony_seal_verdict pony_psk_check_hello(struct pony_seal *seal,
                                            const struct pony_seal_hello *in)
{
    struct pony_wire_hello_psk peer;
    if (in->hello->features != PONY_WIRE_FEATURE_PSK) {
        return PONY_SEAL_MODE;
    }
    if (in->covered < PONY_WIRE_HDR_BYTES + PONY_HELLO_PSK_BYTES ||
        !pony_wire_decode_hello_psk(in->packet + PONY_WIRE_HDR_BYTES,
                                    in->covered - PONY_WIRE_HDR_BYTES, &peer)) {
        return PONY_SEAL_MALFORMED;
    }
    const struct pony_psk_keys *key = pony_psk_find(&seal->ring, peer.key_id);
    if (key == NULL || !is_mac_right(key->hello, in->packet, MAC_AT)) {
        return PONY_SEAL_KEY;
    }
    bool is_range_same =
        in->hello->version_min == peer.version_min && in->hello->version_max == peer.version_max;
    if (!in->is_ok && !is_range_same) {
        return PONY_SEAL_MALFORMED;
    }
    /* Before there is a flow: to begin one makes a key pair. */
    return in->is_ok || pony_psk_may_agree(seal, in->now_ns) ? PONY_SEAL_OK : PONY_SEAL_BUSY;
}

/* PX-215: AES if it is fast at both ends, else the one that is fast without help. */
static enum pony_cipher choose_cipher(const struct pony_wire_hello_psk *a,
                                      const struct pony_wire_hello_psk *b)
{
    uint32_t common = a->ciphers & b->ciphers;
    for (int i = PONY_CIPHER_NONE + 1; i < PONY_CIPHER_MAX; i++) {
        if (a->cipher_preferred == i && b->cipher_preferred == i && (common >> i & 1) != 0) {
            return (enum pony_cipher)i;
        }
    }
    if ((common >> PONY_CIPHER_CHACHA20_POLY1305 & 1) != 0) {
        return PONY_CIPHER_CHACHA20_POLY1305;
    }
    return (common >> PONY_CIPHER_AES128_GCM & 1) != 0 ? PONY_CIPHER_AES128_GCM : PONY_CIPHER_NONE;
}

static bool agree_secret(const struct psk_flow *flow, const uint8_t *peer_public_key,
                         uint8_t *secret)
{
    size_t n = PONY_HASH_BYTES;
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, peer_public_key,
                                                    PONY_PUBLIC_KEY_BYTES);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, flow->private_key, NULL);
    /* PX-214. Points that give zero whatever our key is are refused by OpenSSL. */
    bool is_agreed = peer != NULL && ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 &&
                     EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
                     EVP_PKEY_derive(ctx, secret, &n) == 1 && n == PONY_HASH_BYTES;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    ERR_clear_error();
    return is_agreed;
}

/* Mode certificates adds the hashes of both. */
static void hash_transcript(const struct psk_agreement *a, bool has_certs, uint8_t *out)
{
    size_t n_cert = has_certs ? PONY_HASH_BYTES : 0;
    bool is_own_first = memcmp(a->own, a->peer, sizeof(a->own)) < 0;
    const uint8_t chosen[4] = {a->version, (uint8_t)a->cipher};
    uint8_t key_id[4];
    base_store_u32(key_id, a->key_id);
    const struct pony_bytes runs[] = {
        {"snaprpc pony transcript 1", 25},
        {is_own_first ? a->own : a->peer, sizeof(a->own)},
        {is_own_first ? a->peer : a->own, sizeof(a->own)},
        {chosen, sizeof(chosen)},
        {key_id, sizeof(key_id)},
        {is_own_first ? a->own_cert : a->peer_cert, n_cert},
        {is_own_first ? a->peer_cert : a->own_cert, n_cert},
    };
    pony_kdf_hash(runs, BASE_ARRAY_LEN(runs), out);
}

/* The keys of both directions. */
static bool derive(struct pony_seal *seal, const struct psk_flow *flow, struct psk_agreement *a)
{
    uint8_t agreed[PONY_HASH_BYTES];
    uint8_t master[PONY_HASH_BYTES];
    uint8_t transcript[PONY_HASH_BYTES];
    const struct pony_psk_keys *key = pony_psk_find(&seal->ring, a->key_id);
    if (key == NULL || !agree_secret(flow, a->peer_public_key, agreed)) {
        return false;
    }
    hash_transcript(a, seal->certs != NULL, transcript);
    pony_kdf_extract(key->mix, agreed, master);
    pony_sender_keys_derive(master, transcript, flow->public_key, &a->tx);
    pony_sender_keys_derive(master, transcript, a->peer_public_key, &a->rx);
    OPENSSL_cleanse(agreed, sizeof(agreed));
    OPENSSL_cleanse(master, sizeof(master));
    return true;
}

static bool install(struct pony_seal *seal, struct psk_flow *flow, const struct psk_agreement *a,
                    uint64_t now_ns)
{
    const struct pony_aead_setup setup = {
        .aead = &seal->aead,
        .cipher = a->cipher,
        .tx_secret = a->tx.traffic,
        .rx_secret = a->rx.traffic,
        .key_packets = seal->security.key_packets,
        .now_ns = now_ns,
        .key_id = a->key_id,
    };
    flow->move_key_id = 0;
    flow->aead.tx.first_key_id = (uint16_t)seal->ring.ids[0];
    flow->has_keys = pony_aead_flow_set_keys(&flow->aead, &setup);
    memcpy(flow->confirm_tx, a->tx.confirm, sizeof(flow->confirm_tx));
    memcpy(flow->confirm_rx, a->rx.confirm, sizeof(flow->confirm_rx));
    memcpy(flow->peer, a->peer, sizeof(flow->peer));
    return flow->has_keys;
}

/* A key agreement takes some 100 us: replayed HELLOs must not keep the engine from its work. PX-227 */
bool pony_psk_may_agree(struct pony_seal *seal, uint64_t now_ns)
{
    const uint64_t step_ns = BASE_NS_PER_S / seal->limits.per_s;
    uint64_t n = base_sub_sat_u64(now_ns, seal->refilled_ns) / step_ns;
    if (n > 0) {
        seal->refilled_ns += n * step_ns;
        seal->n_agreements = (uint32_t)base_min_u64(seal->n_agreements + n, seal->limits.at_once);
    }
    return seal->n_agreements > 0;
}

/* What both ends chose, if they could; HELLO_OK must say the same. PX-210, PX-215 */
static enum pony_seal_verdict choose(const struct pony_seal_hello *in,
                                     const struct pony_wire_hello_psk *own,
                                     const struct pony_wire_hello_psk *peer,
                                     struct psk_agreement *a)
{
    uint8_t min = own->version_min > peer->version_min ? own->version_min : peer->version_min;
    uint8_t max = own->version_max < peer->version_max ? own->version_max : peer->version_max;
    if (min > max || (in->is_ok && in->hello->version_max != max)) {
        return PONY_SEAL_MALFORMED;
    }
    a->version = max;
    a->cipher = choose_cipher(own, peer);
    a->key_id = base_max_u32(own->key_id, peer->key_id);
    return a->cipher != PONY_CIPHER_NONE ? PONY_SEAL_OK : PONY_SEAL_CIPHER;
}

/* PX-216 */
static enum pony_seal_verdict confirm(const struct pony_seal *seal, const uint8_t *key,
                                      const struct pony_seal_hello *in)
{
    if (!in->is_ok) {
        return PONY_SEAL_OK;
    }
    if (seal->certs == NULL) {
        return is_mac_right(key, in->packet, CONFIRM_AT) ? PONY_SEAL_OK : PONY_SEAL_FORGED;
    }
    const uint8_t *said = in->packet + PONY_WIRE_HDR_BYTES + PONY_HELLO_CERTS_CONFIRM_AT;
    uint8_t mac[PONY_MAC_BYTES];
    pony_certs_confirm_mac(key, in->packet, mac);
    return CRYPTO_memcmp(mac, said, sizeof(mac)) == 0 ? PONY_SEAL_OK : PONY_SEAL_FORGED;
}

enum pony_seal_verdict pony_psk_agree(struct pony_seal *seal, uint32_t idx,
                                      const struct pony_seal_hello *in, uint64_t now_ns)
{
    struct psk_flow *flow = &seal->flows[idx];
    struct pony_wire_hello_psk peer;
    struct psk_agreement a;
    if (!pony_wire_decode_hello_psk(in->packet + PONY_WIRE_HDR_BYTES,
                                    in->covered - PONY_WIRE_HDR_BYTES, &peer)) {
        return PONY_SEAL_MALFORMED;
    }
    const struct pony_seal_self said = {
        .instance = in->hello->instance,
        .token = in->hello->token,
        .flow = in->hello->flow,
        .first_seq = in->first_seq,
    };
    pony_psk_describe(&said, &peer, a.peer);
    if (flow->has_keys && memcmp(a.peer, flow->peer, sizeof(a.peer)) == 0) {
        return confirm(seal, flow->confirm_rx, in);
    }
    /* Our own words, sent back to us. */
    bool is_echo = CRYPTO_memcmp(peer.public_key, flow->public_key, sizeof(peer.public_key)) == 0;
    if (flow->private_key == NULL || is_echo) {
        return PONY_SEAL_MALFORMED;
    }
    struct pony_wire_hello_psk own = pony_psk_own_hello(seal, flow, peer.key_id);
    pony_psk_describe(&flow->self, &own, a.own);
    a.peer_public_key = peer.public_key;
    enum pony_seal_verdict verdict = choose(in, &own, &peer, &a);
    if (verdict != PONY_SEAL_OK) {
        return verdict;
    }
    if (!pony_psk_may_agree(seal, now_ns)) {
        return PONY_SEAL_BUSY;
    }
    seal->n_agreements--;
    verdict = seal->certs != NULL ? pony_certs_verify(seal, in, &a) : PONY_SEAL_OK;
    if (verdict != PONY_SEAL_OK) {
        return verdict;
    }
    verdict = PONY_SEAL_FORGED;
    if (derive(seal, flow, &a)) {
        verdict = confirm(seal, a.rx.confirm, in);
        if (verdict == PONY_SEAL_OK && !install(seal, flow, &a, now_ns)) {
            verdict = PONY_SEAL_BUSY;
        }
        OPENSSL_cleanse(&a, sizeof(a));
    }
    return verdict;
}
