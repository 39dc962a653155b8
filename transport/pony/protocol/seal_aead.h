/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_SEAL_AEAD_H
#define PONY_PROTOCOL_SEAL_AEAD_H

#include "transport/pony/protocol/key_schedule.h"
#include "transport/pony/protocol/replay_window.h"
#include "transport/pony/protocol/seal.h"

#include <openssl/evp.h>

/**
 * The two directions of a secured flow: AEAD, packet numbers, replay window, change of keys.
 *
 * Shape    a sender has one key; a receiver has three, by generation modulo 3: the one before, the
 *          present one, and the next, ready before the first packet needs it
 * Holds    a packet number is used once in a flow's life, whatever becomes of its keys, so no
 *          nonce is ever used twice with a key
 * Memory   contexts are made once by init; changing a key (same cipher) and a packet allocate
 *          nothing
 * Source   RFC 5116, RFC 8446 7.2, RFC 9001 6; docs/protocol.md from PX-218 on, PX-226 for memory
 */
enum {
    PONY_RX_KEYS = 3
};

/** Fetched once per table. */
struct pony_aead {
    EVP_CIPHER *ciphers[PONY_CIPHER_MAX]; /**< NULL: not to be had */
};

bool pony_aead_init(struct pony_aead *aead);
void pony_aead_fini(struct pony_aead *aead); /**< accepts a zeroed one */

struct pony_aead_key {
    EVP_CIPHER_CTX *ctx;
    uint8_t iv[PONY_AEAD_IV_BYTES];
};

struct pony_aead_tx {
    struct pony_aead_key key;
    uint8_t secret[PONY_HASH_BYTES]; /**< of the present generation */
    uint32_t generation;
    uint8_t seen;          /**< low byte of the newest generation that the peer has received */
    uint64_t next_number;  /**< never goes back */
    uint64_t key_end;      /**< packet number at which a new key is due */
    uint64_t key_start_ns; /**< when the present key began */
    uint32_t key_id;       /**< cluster key that the present one stands on */
    uint16_t first_key_id; /**< what packets say of our first one */
};

struct pony_aead_rx {
    struct pony_aead_key keys[PONY_RX_KEYS]; /**< by generation % PONY_RX_KEYS */
    uint8_t secret[PONY_HASH_BYTES];         /**< of the next generation */
    uint32_t generation;                     /**< newest with a packet whose tag was right */
    uint64_t old_until_ns;                   /**< the generation before is accepted so long */
    uint32_t key_id;                         /**< cluster key that the present one stands on */
    struct pony_replay_window window;
};

/** Both directions of a flow. */
struct pony_aead_flow {
    enum pony_cipher cipher;
    struct pony_aead_tx tx;
    struct pony_aead_rx rx;
};

/** Makes the contexts. False: no memory. fini accepts what that leaves. */
bool pony_aead_flow_init(struct pony_aead_flow *flow, const struct pony_aead *aead,
                         enum pony_cipher cipher);
void pony_aead_flow_fini(struct pony_aead_flow *flow);

/** Another flow takes the place: secrets are erased, numbers start anew. Contexts stay. */
void pony_aead_flow_reset(struct pony_aead_flow *flow);

/** What keys come from and how long they last. */
struct pony_aead_setup {
    const struct pony_aead *aead;
    enum pony_cipher cipher;
    const uint8_t *tx_secret, *rx_secret; /**< of generation 0 */
    uint64_t key_packets, now_ns;
    uint32_t key_id; /**< cluster key */
};

/** Begins with new keys in both directions; packet numbers to be sent go on. Another cipher than
 *  before may allocate. False: no memory; the flow has no keys then. */
bool pony_aead_flow_set_keys(struct pony_aead_flow *flow, const struct pony_aead_setup *setup);

/** The cluster key that a flow is to be moved to. */
struct pony_aead_move {
    uint32_t key_id;
    const uint8_t *rekey; /**< struct pony_psk_keys */
};

/** Goes to the next key if it is time, or there is a `move` (else NULL), and the peer has the
 *  present one. */
void pony_aead_tx_rotate(struct pony_aead_flow *flow, const struct pony_aead_setup *limits,
                         uint64_t key_ns, const struct pony_aead_move *move);

/** See struct pony_seal_ops.seal. */
uint32_t pony_aead_seal(struct pony_aead_flow *flow, const struct pony_seal_out *out, uint8_t *at);

/** See struct pony_seal_ops.open. */
enum pony_seal_verdict pony_aead_open(struct pony_aead_flow *flow, const struct pony_seal_in *in,
                                      uint8_t *plain);

/** The same for the first packet of the next generation, when that says that it stands on another
 *  cluster key. Nothing has changed unless its tag is right. */
enum pony_seal_verdict pony_aead_open_moved(struct pony_aead_flow *flow,
                                            const struct pony_seal_in *in,
                                            const struct pony_aead_move *move, uint8_t *plain);

#endif
