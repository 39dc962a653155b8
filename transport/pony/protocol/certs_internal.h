/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_CERTS_INTERNAL_H
#define PONY_PROTOCOL_CERTS_INTERNAL_H

#include "transport/pony/protocol/cert_store.h"
#include "transport/pony/protocol/psk_internal.h"

/**
 * What the files of mode certificates share; nobody else includes this.
 *
 *   cert_store.c       X.509: our certificate, who may be a peer
 *   handshake_certs.c  HELLO and HELLO_OK: cookies, signatures
 *   seal_certs.c       create, destroy; all else is that of mode psk
 *
 * A flow's keys come about as in mode psk, with a cluster key that everybody knows, number 0: who the
 * ends are is proven by signatures of their public keys, and by both certificates in the transcript.
 */
enum {
    CERT_VERIFICATIONS_MAX =
        4, /**< at once: some 0.5 ms each, which engines' other work waits for */
    CERT_VERIFICATIONS_PER_S = 250
};

struct cert_signature {
    uint8_t challenge[PONY_HASH_BYTES]; /**< that it answers */
    uint8_t bytes[PONY_CERT_SIG_MAX];
    uint8_t len; /**< 0: none yet */
};

struct cert_flow {
    bool has_cookie;
    uint8_t cookie[PONY_WIRE_COOKIE_BYTES]; /**< that the peer wants in our HELLO */
    struct cert_signature signatures[2];    /**< of HELLO, HELLO_OK */
};

struct pony_seal_certs {
    struct pony_cert_store *store;
    struct cert_flow *flows; /**< [n_slots] */
    uint8_t cookie_key[PONY_HASH_BYTES];
};

/** handshake_certs.c: these slots of struct pony_seal_ops. */
void pony_certs_put_hello(struct pony_seal *seal, uint32_t idx, bool is_ok, uint8_t *packet);
enum pony_seal_verdict pony_certs_check_hello(struct pony_seal *seal,
                                              const struct pony_seal_hello *in);
void pony_certs_make_cookie(const struct pony_seal *seal, const struct pony_seal_hello *in,
                            uint8_t *cookie);
bool pony_certs_on_cookie(struct pony_seal *seal, uint32_t idx, const uint8_t *cookie);

#endif
