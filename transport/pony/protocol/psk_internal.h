/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_PSK_INTERNAL_H
#define PONY_PROTOCOL_PSK_INTERNAL_H

#include "transport/pony/protocol/seal_aead.h"

/**
 * What the files of mode psk share; nobody else includes this.
 *
 *   handshake_psk.c   HELLO and HELLO_OK: MACs, key agreement
 *   seal_psk.c        create, destroy, slots, packets
 */
enum {
    PSK_AGREEMENTS_MAX = 64, /**< at once */
    PSK_AGREEMENTS_PER_S = 2000
};

/** Of key agreements. PX-227 */
struct psk_limits {
    uint32_t per_s, at_once;
};

struct psk_flow {
    struct pony_aead_flow aead;
    struct pony_seal_self self;
    uint8_t public_key[PONY_PUBLIC_KEY_BYTES];
    EVP_PKEY *private_key; /**< until the flow is up */
    uint32_t key_id;       /**< that our HELLO or HELLO_OK names; 0: neither went out yet */
    bool has_begun, has_keys;
    bool is_gone;         /**< stands on a cluster key that was taken away */
    uint32_t move_key_id; /**< cluster key to send with from the next packet on; 0: as now */
    uint8_t peer[PONY_HELLO_DESCRIPTION_BYTES]; /**< whom the keys are shared with */
    uint8_t confirm_tx[PONY_HASH_BYTES], confirm_rx[PONY_HASH_BYTES];
};

/** Cluster keys; the first opens flows. */
struct psk_ring {
    uint32_t n;
    uint32_t ids[PONY_PSKS_MAX];
    struct pony_psk_keys keys[PONY_PSKS_MAX];
};

/** Made by make_keys(): for set_keys(), which leaves in it what there was before. */
struct pony_seal_keys {
    struct psk_ring ring;          /**< mode psk */
    struct pony_cert_store *store; /**< mode certificates */
};

struct pony_seal {
    struct pony_security security; /**< without its keys: what is needed is in `ring` */
    struct psk_ring ring;
    struct pony_aead aead;
    struct psk_flow *flows; /**< [n_slots] */
    uint32_t n_slots;
    struct psk_limits limits;
    uint32_t n_agreements; /**< allowed now */
    uint64_t refilled_ns;
    struct pony_seal_certs *certs; /**< mode certificates; else NULL */
};

/** Both ends of a flow, as they describe themselves, and what both chose by themselves. */
struct psk_agreement {
    uint8_t own[PONY_HELLO_DESCRIPTION_BYTES];
    uint8_t peer[PONY_HELLO_DESCRIPTION_BYTES];
    uint8_t version;
    enum pony_cipher cipher;
    uint32_t key_id;
    const uint8_t *peer_public_key;
    uint8_t own_cert[PONY_HASH_BYTES], peer_cert[PONY_HASH_BYTES]; /**< mode certificates */
    struct pony_sender_keys tx, rx;
};

/** NULL: it is not there. */
const struct pony_psk_keys *pony_psk_find(const struct psk_ring *ring, uint32_t id);

/** handshake_psk.c: these slots of struct pony_seal_ops. */
bool pony_psk_begin(struct pony_seal *seal, uint32_t idx, const struct pony_seal_self *self);
void pony_psk_put_hello(struct pony_seal *seal, uint32_t idx, bool is_ok, uint8_t *packet);
enum pony_seal_verdict pony_psk_check_hello(struct pony_seal *seal,
                                            const struct pony_seal_hello *in);
enum pony_seal_verdict pony_psk_agree(struct pony_seal *seal, uint32_t idx,
                                      const struct pony_seal_hello *in, uint64_t now_ns);

/** Of pony_psk_agree(), for mode certificates: who is it, and what confirms? handshake_certs.c */
enum pony_seal_verdict pony_certs_verify(struct pony_seal *seal, const struct pony_seal_hello *in,
                                         struct psk_agreement *a);
void pony_certs_confirm_mac(const uint8_t *key, const uint8_t *packet, uint8_t *mac);

/** Is a key agreement allowed now? */
bool pony_psk_may_agree(struct pony_seal *seal, uint64_t now_ns);
/** What an end is on a flow, for the transcript: 64 bytes, PX-213. */
void pony_psk_describe(const struct pony_seal_self *self, const struct pony_wire_hello_psk *psk,
                       uint8_t *at);
/** What we say of ourselves; from the first time on the key's number stays. */
struct pony_wire_hello_psk pony_psk_own_hello(const struct pony_seal *seal, struct psk_flow *flow,
                                              uint32_t key_id);

/** seal_psk.c: these slots of struct pony_seal_ops, which mode certificates has, too. */
enum base_err pony_psk_create(const struct pony_security *security, const struct psk_limits *limits,
                              uint32_t n_slots, uint64_t now_ns, struct pony_seal **out);
void pony_psk_destroy(struct pony_seal *seal);
void pony_psk_end(struct pony_seal *seal, uint32_t idx);
void pony_psk_up(struct pony_seal *seal, uint32_t idx);
uint32_t pony_psk_seal(struct pony_seal *seal, uint32_t idx, const struct pony_seal_out *out,
                       uint8_t *at);
enum pony_seal_verdict pony_psk_open(struct pony_seal *seal, uint32_t idx,
                                     const struct pony_seal_in *in, uint8_t *plain);
void pony_psk_on_note(struct pony_seal *seal, uint32_t idx, const struct pony_sealed_note *note);
enum pony_seal_verdict pony_psk_check_flow(const struct pony_seal *seal, uint32_t idx);
void pony_psk_info(const struct pony_seal *seal, uint32_t idx, struct pony_seal_info *info);

#endif
