/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What HELLO and HELLO_OK of mode certificates have beside those of mode psk: a cookie that shows that
 * the sender of HELLO receives at its address, a certificate, and a signature. PX-240..PX-248
 */
#include "base/clock.h"
#include "base/compiler.h"
#include "base/endian.h"
#include "transport/pony/protocol/certs_internal.h"

#include <openssl/crypto.h>
#include <string.h>

enum {
    LABEL_BYTES = 64,
    SIGNED_BYTES = LABEL_BYTES + PONY_HELLO_DESCRIPTION_BYTES + 2 * PONY_HASH_BYTES
};

#define COOKIE_NS (UINT64_C(10) * BASE_NS_PER_S) /* a cookie is good for that long, at least */

static bool decode(const struct pony_seal_hello *in, struct pony_wire_hello_certs *certs)
{
    return in->covered > PONY_WIRE_HDR_BYTES &&
           pony_wire_decode_hello_certs(in->packet + PONY_WIRE_HDR_BYTES,
                                        in->covered - PONY_WIRE_HDR_BYTES, certs);
}

/* PX-241: of the address, and of all that makes this HELLO another one than others. */
static void bake(const struct pony_seal *seal, const struct pony_seal_hello *in, uint64_t epoch,
                 uint8_t *cookie)
{
    uint8_t mac[PONY_HASH_BYTES];
    uint8_t number[8];
    base_store_u64(number, epoch);
    const struct pony_bytes runs[] = {
        {number, sizeof(number)},
        {in->from->ip, sizeof(in->from->ip)},
        {&in->from->udp_port, sizeof(in->from->udp_port)},
        {&in->hello->token, sizeof(in->hello->token)},
        {&in->hello->flow, sizeof(in->hello->flow)},
        {&in->hello->instance, sizeof(in->hello->instance)},
        {&in->first_seq, sizeof(in->first_seq)},
        {in->packet + PONY_WIRE_HDR_BYTES + PONY_WIRE_HELLO_BYTES,
         PONY_HELLO_CERTS_COOKIE_AT - PONY_WIRE_HELLO_BYTES},
    };
    pony_kdf_mac(seal->certs->cookie_key, runs, BASE_ARRAY_LEN(runs), mac);
    memcpy(cookie, mac, PONY_WIRE_COOKIE_BYTES);
}

void pony_certs_make_cookie(const struct pony_seal *seal, const struct pony_seal_hello *in,
                            uint8_t *cookie)
{
    bake(seal, in, in->now_ns / COOKIE_NS, cookie);
}

static bool is_cookie_right(const struct pony_seal *seal, const struct pony_seal_hello *in,
                            const uint8_t *cookie)
{
    uint8_t ours[PONY_WIRE_COOKIE_BYTES];
    uint64_t epoch = in->now_ns / COOKIE_NS;
    for (uint64_t back = 0; back < 2 && back <= epoch; back++) {
        bake(seal, in, epoch - back, ours);
        if (CRYPTO_memcmp(ours, cookie, sizeof(ours)) == 0) {
            return true;
        }
    }
    return false;
}

bool pony_certs_on_cookie(struct pony_seal *seal, uint32_t idx, const uint8_t *cookie)
{
    struct cert_flow *flow = &seal->certs->flows[idx];
    flow->has_cookie = true;
    memcpy(flow->cookie, cookie, sizeof(flow->cookie));
    return true;
}

/* Nothing in here costs more than a few hashes. PX-241, PX-242 */
enum pony_seal_verdict pony_certs_check_hello(struct pony_seal *seal,
                                              const struct pony_seal_hello *in)
{
    struct pony_wire_hello_certs certs;
    struct pony_wire_hello_psk peer;
    if (in->hello->features != PONY_WIRE_FEATURE_CERTS) {
        return PONY_SEAL_MODE;
    }
    if (!decode(in, &certs) || (in->is_ok && certs.cert_len == 0) ||
        !pony_wire_decode_hello_psk(in->packet + PONY_WIRE_HDR_BYTES, PONY_HELLO_KEY_BYTES,
                                    &peer) ||
        peer.key_id != 0) {
        return PONY_SEAL_MALFORMED;
    }
    if (in->is_ok) {
        return PONY_SEAL_OK;
    }
    if (in->hello->version_min != peer.version_min || in->hello->version_max != peer.version_max) {
        return PONY_SEAL_MALFORMED;
    }
    if (certs.cert_len == 0 || !is_cookie_right(seal, in, certs.cookie)) {
        return PONY_SEAL_COOKIE;
    }
    return pony_psk_may_agree(seal, in->now_ns) ? PONY_SEAL_OK : PONY_SEAL_BUSY;
}

/* PX-245: what the private key signs. `challenge` is the receiver's: nothing old can be repeated. */
static void write_signed(bool is_ok, const uint8_t *description, const uint8_t *challenge,
                         struct pony_bytes cert, uint8_t *at)
{
    static const char labels[2][LABEL_BYTES] = {"snaprpc pony HELLO 1", "snaprpc pony HELLO_OK 1"};
    memcpy(at, labels[is_ok], LABEL_BYTES);
    memcpy(at + LABEL_BYTES, description, PONY_HELLO_DESCRIPTION_BYTES);
    memcpy(at + LABEL_BYTES + PONY_HELLO_DESCRIPTION_BYTES, challenge, PONY_HASH_BYTES);
    pony_kdf_hash(&cert, 1, at + SIGNED_BYTES - PONY_HASH_BYTES);
}

/* HELLO: the cookie and zeros. HELLO_OK: hash of the description of who asked. */
static void make_challenge(bool is_ok, const uint8_t *cookie, const uint8_t *asker, uint8_t *at)
{
    memset(at, 0, PONY_HASH_BYTES);
    if (is_ok) {
        const struct pony_bytes run = {asker, PONY_HELLO_DESCRIPTION_BYTES};
        pony_kdf_hash(&run, 1, at);
    } else {
        memcpy(at, cookie, PONY_WIRE_COOKIE_BYTES);
    }
}

/* Signing costs some 30 us, and a HELLO may be sent again and again: signed once per challenge. */
static const struct cert_signature *sign(struct pony_seal *seal, uint32_t idx, bool is_ok,
                                         const struct pony_wire_hello_psk *own)
{
    struct cert_flow *flow = &seal->certs->flows[idx];
    struct cert_signature *sig = &flow->signatures[is_ok];
    uint8_t challenge[PONY_HASH_BYTES];
    make_challenge(is_ok, flow->cookie, seal->flows[idx].peer, challenge);
    if (sig->len > 0 && memcmp(sig->challenge, challenge, sizeof(challenge)) == 0) {
        return sig;
    }
    uint8_t description[PONY_HELLO_DESCRIPTION_BYTES];
    uint8_t text[SIGNED_BYTES];
    pony_psk_describe(&seal->flows[idx].self, own, description);
    write_signed(is_ok, description, challenge, pony_cert_store_own(seal->certs->store), text);
    memcpy(sig->challenge, challenge, sizeof(challenge));
    const struct pony_bytes all = {text, sizeof(text)};
    sig->len = (uint8_t)pony_cert_store_sign(seal->certs->store, all, sig->bytes);
    return sig;
}

/* PX-246: all of the packet but the checksum, this MAC, and padding. */
void pony_certs_confirm_mac(const uint8_t *key, const uint8_t *packet, uint8_t *mac)
{
    const uint8_t *body = packet + PONY_WIRE_HDR_BYTES;
    const struct pony_bytes runs[] = {
        {packet + 4, PONY_WIRE_HDR_BYTES + PONY_HELLO_CERTS_CONFIRM_AT - 4},
        {body + PONY_HELLO_CERTS_FIXED, PONY_HELLO_CERTS_BYTES - PONY_HELLO_CERTS_FIXED},
    };
    pony_kdf_mac(key, runs, BASE_ARRAY_LEN(runs), mac);
}

void pony_certs_put_hello(struct pony_seal *seal, uint32_t idx, bool is_ok, uint8_t *packet)
{
    static const uint8_t no_cookie[PONY_WIRE_COOKIE_BYTES];
    struct psk_flow *flow = &seal->flows[idx];
    const struct cert_flow *cert = &seal->certs->flows[idx];
    uint8_t *body = packet + PONY_WIRE_HDR_BYTES;
    const struct pony_wire_hello_psk own = pony_psk_own_hello(seal, flow, 0);
    struct pony_wire_hello_certs out = {.cookie = is_ok ? no_cookie : cert->cookie};
    if (is_ok || cert->has_cookie) { /* else it would be for nothing: we are asked for a cookie */
        const struct cert_signature *sig = sign(seal, idx, is_ok, &own);
        struct pony_bytes store = pony_cert_store_own(seal->certs->store);
        out.cert = store.at;
        out.cert_len = (uint16_t)(sig->len > 0 ? store.n : 0);
        out.sig = sig->bytes;
        out.sig_len = sig->len;
    }
    pony_wire_encode_hello_psk(&own, body);
    pony_wire_encode_hello_certs(&out, body);
    if (is_ok) {
        pony_certs_confirm_mac(flow->confirm_tx, packet, body + PONY_HELLO_CERTS_CONFIRM_AT);
    }
}

/* PX-243..PX-245. The order: what strangers can make us do costs the least. */
enum pony_seal_verdict pony_certs_verify(struct pony_seal *seal, const struct pony_seal_hello *in,
                                         struct psk_agreement *a)
{
    struct pony_wire_hello_certs certs;
    uint8_t challenge[PONY_HASH_BYTES];
    uint8_t text[SIGNED_BYTES];
    EVP_PKEY *key;
    if (!decode(in, &certs) || certs.cert_len == 0) {
        return PONY_SEAL_MALFORMED;
    }
    const struct pony_cert_claim claim = {
        .der = certs.cert,
        .der_len = certs.cert_len,
        .from = in->from,
        .wall_s = seal->security.wall_s(seal->security.wall_ctx),
    };
    enum pony_seal_verdict verdict = pony_cert_store_verify(seal->certs->store, &claim, &key);
    if (verdict != PONY_SEAL_OK) {
        return verdict;
    }
    const struct pony_bytes cert = {certs.cert, certs.cert_len};
    const struct pony_bytes own = pony_cert_store_own(seal->certs->store);
    make_challenge(in->is_ok, certs.cookie, a->own, challenge);
    write_signed(in->is_ok, a->peer, challenge, cert, text);
    const struct pony_bytes all = {text, sizeof(text)};
    const struct pony_bytes sig = {certs.sig, certs.sig_len};
    verdict = pony_cert_is_signed(key, all, sig) ? PONY_SEAL_OK : PONY_SEAL_SIGNATURE;
    EVP_PKEY_free(key);
    pony_kdf_hash(&own, 1, a->own_cert);
    pony_kdf_hash(&cert, 1, a->peer_cert);
    return verdict;
}
