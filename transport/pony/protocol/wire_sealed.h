/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_WIRE_SEALED_H
#define PONY_PROTOCOL_WIRE_SEALED_H

#include "transport/pony/protocol/wire.h"

/**
 * Sealed packets on the wire, and what HELLO says more on a secured flow.
 *
 * Shape    28 readable bytes, then what is encrypted: 32 bytes of header, SACK words, body; then
 *          a tag of 16 bytes. The readable bytes are authenticated too.
 * Checks   lengths, type, version, fields; nothing secret happens here
 * Memory   the caller's; pure; any thread
 * Source   docs/protocol.md, PX-201, PX-204, PX-205, PX-206
 */
enum {
    PONY_SEALED_OUTER_BYTES = 28,
    PONY_SEALED_INNER_BYTES = 32, /**< before the SACK words */
    PONY_SEALED_TAG_BYTES = 16,
    /** How much longer a sealed packet is than the same one in the open. */
    PONY_SEALED_OVERHEAD = PONY_SEALED_OUTER_BYTES + PONY_SEALED_INNER_BYTES +
                           PONY_SEALED_TAG_BYTES - PONY_WIRE_HDR_BYTES,
    PONY_SEALED_MIN_BYTES =
        PONY_SEALED_OUTER_BYTES + PONY_SEALED_INNER_BYTES + PONY_SEALED_TAG_BYTES
};

/** The readable part. */
struct pony_sealed_outer {
    uint32_t generation; /**< of the key: how often the sender has changed it */
    uint8_t version;
    uint16_t key_id; /**< low bits of the number of the cluster key that it stands on */
    uint64_t token;
    uint32_t dst_flow;
    uint64_t number; /**< of the packet: never twice on a flow, whatever the key */
};

void pony_sealed_encode_outer(const struct pony_sealed_outer *outer, uint8_t *at);

/** Reads the readable part of a packet of type SEALED. */
enum pony_wire_verdict pony_sealed_decode_outer(const struct pony_wire_versions *versions,
                                                const uint8_t *data, uint32_t len,
                                                struct pony_sealed_outer *outer);

/** What a sender says of keys inside each packet. */
struct pony_sealed_note {
    uint8_t seen;          /**< low byte of the newest generation that it has received */
    uint16_t first_key_id; /**< low bits of the number of its first cluster key */
};

/**
 * Writes header and SACK words, to be encrypted, to `at`. hdr->token, dst_flow, version and
 * covered_len are not in there: the first three are readable, the tag covers all.
 *
 * @return  bytes written: PONY_SEALED_INNER_BYTES + 8 * n_sack
 */
uint32_t pony_sealed_encode_inner(const struct pony_wire_hdr *hdr,
                                  const struct pony_sealed_note *note, uint8_t *at);

/**
 * Reads and checks what was decrypted.
 *
 * @param hdr   filled, also from `outer`; covered_len is body_len
 * @param body  hdr->body_len bytes inside `data`; written when PONY_WIRE_OK
 */
enum pony_wire_verdict pony_sealed_decode_inner(const struct pony_sealed_outer *outer,
                                                const uint8_t *data, uint32_t len,
                                                struct pony_wire_hdr *hdr,
                                                struct pony_sealed_note *note,
                                                const uint8_t **body);

enum {
    PONY_PUBLIC_KEY_BYTES = 32,
    PONY_MAC_BYTES = 32,
    PONY_HELLO_KEY_BYTES = 72,   /**< of the body: what modes psk and certificates share */
    PONY_HELLO_PSK_BYTES = 136,  /**< body of HELLO and HELLO_OK with PONY_WIRE_FEATURE_PSK */
    PONY_HELLO_MAC_AT = 72,      /**< of all before it, with the cluster key */
    PONY_HELLO_CONFIRM_AT = 104, /**< HELLO_OK: of all before it, with the flow's key */
    PONY_HELLO_DESCRIPTION_BYTES = 64
};

/** What follows the 32 bytes of HELLO and HELLO_OK on a secured flow, but for the MACs. */
struct pony_wire_hello_psk {
    uint8_t version_min, version_max;  /**< the sender's range, in HELLO_OK too */
    uint8_t ciphers, cipher_preferred; /**< bit 1 << enum pony_cipher; enum pony_cipher */
    uint32_t key_id;                   /**< cluster key of the PSK MAC */
    uint8_t public_key[PONY_PUBLIC_KEY_BYTES];
};

enum {
    PONY_HELLO_CERTS_FIXED = 124,  /**< of the body, before certificate and signature */
    PONY_HELLO_CERTS_BYTES = 1152, /**< of the body: what the least packet has room for */
    PONY_HELLO_CERTS_COOKIE_AT = 72,
    PONY_HELLO_CERTS_CONFIRM_AT = 92, /**< HELLO_OK: of all before it and after it */
    PONY_CERT_MAX_BYTES = 900,
    PONY_CERT_SIG_MAX = PONY_HELLO_CERTS_BYTES - PONY_HELLO_CERTS_FIXED - PONY_CERT_MAX_BYTES
};

/** What HELLO and HELLO_OK say with PONY_WIRE_FEATURE_CERTS after that of PSK (key_id 0), whose MACs
 *  are not there. */
struct pony_wire_hello_certs {
    const uint8_t *cookie; /**< [PONY_WIRE_COOKIE_BYTES]; HELLO_OK: zeros */
    const uint8_t *cert;   /**< DER; with cert_len 0 there is none, and no signature */
    const uint8_t *sig;
    uint16_t cert_len;
    uint8_t sig_len;
};

/** The confirmation is not written. */
void pony_wire_encode_hello_certs(const struct pony_wire_hello_certs *certs, uint8_t *body);
/** Pointers into `body`. False: too short, or lengths that do not fit. */
bool pony_wire_decode_hello_certs(const uint8_t *body, uint32_t len,
                                  struct pony_wire_hello_certs *certs);

/** `body` is that of the packet: HELLO_PSK_BYTES. */
void pony_wire_encode_hello_psk(const struct pony_wire_hello_psk *psk, uint8_t *body);
/** False: too short, or a field out of range. */
bool pony_wire_decode_hello_psk(const uint8_t *body, uint32_t len, struct pony_wire_hello_psk *psk);

#endif
