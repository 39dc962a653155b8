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

struct pony_seal {
    struct pony_security security; /**< its keys are erased: what is needed is in `keys` */
    struct pony_psk_keys keys[PONY_PSKS_MAX];
    struct pony_aead aead;
    struct psk_flow *flows; /**< [n_slots] */
    uint32_t n_slots;
    uint32_t n_agreements; /**< allowed now */
    uint64_t refilled_ns;
};

/** NULL: we do not have it. */
const struct pony_psk_keys *pony_psk_find(const struct pony_seal *seal, uint32_t id);

/** handshake_psk.c: these slots of struct pony_seal_ops. */
bool pony_psk_begin(struct pony_seal *seal, uint32_t idx, const struct pony_seal_self *self);
void pony_psk_put_hello(struct pony_seal *seal, uint32_t idx, bool is_ok, uint8_t *packet);
enum pony_seal_verdict pony_psk_check_hello(struct pony_seal *seal,
                                            const struct pony_seal_hello *in);
enum pony_seal_verdict pony_psk_agree(struct pony_seal *seal, uint32_t idx,
                                      const struct pony_seal_hello *in, uint64_t now_ns);

#endif
