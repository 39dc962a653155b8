/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_CERT_STORE_H
#define PONY_PROTOCOL_CERT_STORE_H

#include "transport/pony/protocol/key_schedule.h"
#include "transport/pony/protocol/seal.h"

#include <openssl/evp.h>

/**
 * Our certificate and private key, and who may be a peer: all of X.509 that mode certificates needs.
 *
 * Shape    leaf certificates with Ed25519 or ECDSA keys (P-256, P-384), of at most
 *          PONY_CERT_MAX_BYTES; the CA's own keys may be of any kind that is strong enough (OpenSSL's
 *          security level 2: 112 bits). Chains end at a self-signed certificate of `ca`.
 * Peers    by address: the certificate names the address that its packets come from; or by name: it
 *          has one of the DNS names that are configured
 * Memory   OpenSSL's; verify and sign allocate
 * Threads  one
 * Source   RFC 5280, RFC 6125 6.4; docs/protocol.md, PX-240..PX-248
 */
struct pony_cert_store;

/** @param wall_s  seconds since 1970. Errors  BASE_E_INVALID: the note names file, what and remedy. */
BASE_MUST_USE enum base_err pony_cert_store_create(const struct pony_certs *certs, uint64_t wall_s,
                                                   struct pony_cert_store **store);
void pony_cert_store_destroy(struct pony_cert_store *store); /**< accepts NULL */

/** Our certificate, as it goes into handshakes. Valid as long as the store. */
struct pony_bytes pony_cert_store_own(const struct pony_cert_store *store);

/** Who is at the other end, by what it sent. */
struct pony_cert_claim {
    const uint8_t *der;
    uint32_t der_len;
    const struct pony_addr *from;
    uint64_t wall_s;
};

/** May this be a peer? PONY_SEAL_OK: `key` is its public key, the caller's; else NULL. */
enum pony_seal_verdict pony_cert_store_verify(const struct pony_cert_store *store,
                                              const struct pony_cert_claim *claim, EVP_PKEY **key);

/** Signs `text` with our private key; at most PONY_CERT_SIG_MAX bytes at `sig`. 0: out of memory. */
uint32_t pony_cert_store_sign(const struct pony_cert_store *store, struct pony_bytes text,
                              uint8_t *sig);
bool pony_cert_is_signed(EVP_PKEY *key, struct pony_bytes text, struct pony_bytes sig);

#endif
