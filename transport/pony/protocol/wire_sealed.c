/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/wire_sealed.h"

#include "base/compiler.h"
#include "base/endian.h"

#include <string.h>

/* Offsets in the readable part: version to destination flow as in every packet. */
enum {
    AT_GENERATION = 0,
    AT_VERSION = 4,
    AT_TYPE = 5,
    AT_KEY_ID = 6,
    AT_TOKEN = 8,
    AT_DST_FLOW = 16,
    AT_NUMBER = 20
};

/* Offsets in what is encrypted. */
enum {
    IN_TYPE = 0,
    IN_FLAGS = 1,
    IN_N_SACK = 2,
    IN_SEEN = 3,
    IN_SEQ = 4,
    IN_ACK = 8,
    IN_TX_TS = 12,
    IN_ECHO_TS = 16,
    IN_ECHO_DELAY = 20,
    IN_HOPS = 24,
    IN_N_DUP = 25,
    IN_N_CE = 26,
    IN_BODY_LEN = 28,
    IN_FIRST_KEY = 30
};

void pony_sealed_encode_outer(const struct pony_sealed_outer *outer, uint8_t *at)
{
    base_store_u32(at + AT_GENERATION, outer->generation);
    at[AT_VERSION] = outer->version;
    at[AT_TYPE] = PONY_WIRE_SEALED;
    base_store_u16(at + AT_KEY_ID, outer->key_id);
    base_store_u64(at + AT_TOKEN, outer->token);
    base_store_u32(at + AT_DST_FLOW, outer->dst_flow);
    base_store_u64(at + AT_NUMBER, outer->number);
}

enum pony_wire_verdict pony_sealed_decode_outer(const struct pony_wire_versions *versions,
                                                const uint8_t *data, uint32_t len,
                                                struct pony_sealed_outer *outer)
{
    if (len < PONY_SEALED_MIN_BYTES) {
        return PONY_WIRE_SHORT;
    }
    outer->generation = base_load_u32(data + AT_GENERATION);
    outer->version = data[AT_VERSION];
    outer->key_id = base_load_u16(data + AT_KEY_ID);
    outer->token = base_load_u64(data + AT_TOKEN);
    outer->dst_flow = base_load_u32(data + AT_DST_FLOW);
    outer->number = base_load_u64(data + AT_NUMBER);
    if (data[AT_TYPE] != PONY_WIRE_SEALED) {
        return PONY_WIRE_TYPE;
    }
    if (outer->version < versions->min || outer->version > versions->max) {
        return PONY_WIRE_VERSION;
    }
    return PONY_WIRE_OK;
}

uint32_t pony_sealed_encode_inner(const struct pony_wire_hdr *hdr,
                                  const struct pony_sealed_note *note, uint8_t *at)
{
    at[IN_TYPE] = hdr->type;
    at[IN_FLAGS] = hdr->flags;
    at[IN_N_SACK] = hdr->n_sack;
    at[IN_SEEN] = note->seen;
    base_store_u32(at + IN_SEQ, hdr->seq);
    base_store_u32(at + IN_ACK, hdr->ack);
    base_store_u32(at + IN_TX_TS, hdr->tx_ts);
    base_store_u32(at + IN_ECHO_TS, hdr->echo_ts);
    base_store_u32(at + IN_ECHO_DELAY, hdr->echo_delay_ns);
    at[IN_HOPS] = hdr->hops;
    at[IN_N_DUP] = hdr->n_dup;
    base_store_u16(at + IN_N_CE, hdr->n_ce);
    base_store_u16(at + IN_BODY_LEN, hdr->body_len);
    base_store_u16(at + IN_FIRST_KEY, note->first_key_id);
    for (uint32_t i = 0; i < hdr->n_sack; i++) {
        base_store_u64(at + PONY_SEALED_INNER_BYTES + 8 * (size_t)i, hdr->sack[i]);
    }
    return PONY_SEALED_INNER_BYTES + 8 * (uint32_t)hdr->n_sack;
}

static void load_inner(const struct pony_sealed_outer *outer, const uint8_t *at,
                       struct pony_wire_hdr *hdr)
{
    hdr->version = outer->version;
    hdr->token = outer->token;
    hdr->dst_flow = outer->dst_flow;
    hdr->type = at[IN_TYPE];
    hdr->flags = at[IN_FLAGS];
    hdr->n_sack = at[IN_N_SACK];
    hdr->seq = base_load_u32(at + IN_SEQ);
    hdr->ack = base_load_u32(at + IN_ACK);
    hdr->tx_ts = base_load_u32(at + IN_TX_TS);
    hdr->echo_ts = base_load_u32(at + IN_ECHO_TS);
    hdr->echo_delay_ns = base_load_u32(at + IN_ECHO_DELAY);
    hdr->hops = at[IN_HOPS];
    hdr->n_dup = at[IN_N_DUP];
    hdr->n_ce = base_load_u16(at + IN_N_CE);
    hdr->body_len = base_load_u16(at + IN_BODY_LEN);
    hdr->covered_len = hdr->body_len;
}

enum pony_wire_verdict pony_sealed_decode_inner(const struct pony_sealed_outer *outer,
                                                const uint8_t *data, uint32_t len,
                                                struct pony_wire_hdr *hdr,
                                                struct pony_sealed_note *note, const uint8_t **body)
{
    if (len < PONY_SEALED_INNER_BYTES) {
        return PONY_WIRE_SHORT;
    }
    load_inner(outer, data, hdr);
    if (hdr->n_sack > PONY_WIRE_SACK_WORDS_MAX) {
        return PONY_WIRE_SACK;
    }
    uint32_t hdr_len = PONY_SEALED_INNER_BYTES + 8 * (uint32_t)hdr->n_sack;
    if (len < hdr_len) {
        return PONY_WIRE_SHORT;
    }
    if (hdr->body_len != len - hdr_len) {
        return PONY_WIRE_LENGTH;
    }
    for (uint32_t i = 0; i < hdr->n_sack; i++) {
        hdr->sack[i] = base_load_u64(data + PONY_SEALED_INNER_BYTES + 8 * (size_t)i);
    }
    /* What begins or refuses a flow is never sealed; UNKNOWN says that there is none. */
    if (hdr->type < PONY_WIRE_DATA) {
        return PONY_WIRE_TYPE;
    }
    const struct pony_wire_versions versions = {outer->version, outer->version};
    enum pony_wire_verdict verdict = pony_wire_check(&versions, hdr);
    if (verdict == PONY_WIRE_OK && (hdr->flags & PONY_WIRE_FLAG_UNKNOWN) != 0) {
        verdict = PONY_WIRE_FLAGS;
    }
    if (verdict == PONY_WIRE_OK) {
        note->seen = data[IN_SEEN];
        note->first_key_id = base_load_u16(data + IN_FIRST_KEY);
        *body = data + hdr_len;
    }
    return verdict;
}

/* Offsets in the body of HELLO and HELLO_OK, after the 32 bytes that all have. */
enum {
    HELLO_VERSION_MIN = 32,
    HELLO_VERSION_MAX = 33,
    HELLO_CIPHERS = 34,
    HELLO_PREFERRED = 35,
    HELLO_KEY_ID = 36,
    HELLO_PUBLIC_KEY = 40
};

void pony_wire_encode_hello_psk(const struct pony_wire_hello_psk *psk, uint8_t *body)
{
    body[HELLO_VERSION_MIN] = psk->version_min;
    body[HELLO_VERSION_MAX] = psk->version_max;
    body[HELLO_CIPHERS] = psk->ciphers;
    body[HELLO_PREFERRED] = psk->cipher_preferred;
    base_store_u32(body + HELLO_KEY_ID, psk->key_id);
    memcpy(body + HELLO_PUBLIC_KEY, psk->public_key, PONY_PUBLIC_KEY_BYTES);
}

bool pony_wire_decode_hello_psk(const uint8_t *body, uint32_t len, struct pony_wire_hello_psk *psk)
{
    if (len < PONY_HELLO_KEY_BYTES) {
        return false;
    }
    psk->version_min = body[HELLO_VERSION_MIN];
    psk->version_max = body[HELLO_VERSION_MAX];
    psk->ciphers = body[HELLO_CIPHERS];
    psk->cipher_preferred = body[HELLO_PREFERRED];
    psk->key_id = base_load_u32(body + HELLO_KEY_ID);
    memcpy(psk->public_key, body + HELLO_PUBLIC_KEY, PONY_PUBLIC_KEY_BYTES);
    return psk->version_min != 0 && psk->version_min <= psk->version_max;
}

enum {
    CERTS_LEN = 88,
    CERTS_SIG_LEN = 90
};

void pony_wire_encode_hello_certs(const struct pony_wire_hello_certs *certs, uint8_t *body)
{
    memcpy(body + PONY_HELLO_CERTS_COOKIE_AT, certs->cookie, PONY_WIRE_COOKIE_BYTES);
    base_store_u16(body + CERTS_LEN, certs->cert_len);
    body[CERTS_SIG_LEN] = certs->sig_len;
    if (certs->cert_len > 0) {
        memcpy(body + PONY_HELLO_CERTS_FIXED, certs->cert, certs->cert_len);
        memcpy(body + PONY_HELLO_CERTS_FIXED + certs->cert_len, certs->sig, certs->sig_len);
    }
}

bool pony_wire_decode_hello_certs(const uint8_t *body, uint32_t len,
                                  struct pony_wire_hello_certs *certs)
{
    if (len < PONY_HELLO_CERTS_BYTES) {
        return false;
    }
    certs->cookie = body + PONY_HELLO_CERTS_COOKIE_AT;
    certs->cert_len = base_load_u16(body + CERTS_LEN);
    certs->sig_len = body[CERTS_SIG_LEN];
    certs->cert = body + PONY_HELLO_CERTS_FIXED;
    certs->sig = certs->cert + base_min_u32(certs->cert_len, PONY_CERT_MAX_BYTES);
    return certs->cert_len <= PONY_CERT_MAX_BYTES && certs->sig_len <= PONY_CERT_SIG_MAX &&
           (certs->cert_len == 0) == (certs->sig_len == 0);
}
