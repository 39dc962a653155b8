/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_SEAL_H
#define PONY_PROTOCOL_SEAL_H

#include "base/error.h"
#include "transport/pony/protocol/addr.h"
#include "transport/pony/protocol/wire_sealed.h"

#include <stddef.h>

/**
 * Seal: how flows are secured. One vtable, `plain`, `psk` or `certificates`, for all flows of a table.
 *
 * Shape    HELLO and HELLO_OK are written and checked through it; packets of an established flow
 *          are sealed and opened by it if is_sealing, else they never come here
 * Slots    a flow's secrets lie in slot `idx`, its index in its table; begin() and end() pair
 * Threads  one engine
 * Memory   all at create(), but for what OpenSSL needs for one X25519 key agreement: begin() and
 *          agree() allocate there, seal() and open() never
 * Source   docs/protocol.md, "Secured flows"
 */

enum pony_security_mode {
    PONY_SECURITY_PLAIN,
    PONY_SECURITY_PSK,
    PONY_SECURITY_CERTS,
    PONY_SECURITY_MODE_MAX
};

enum pony_cipher {
    PONY_CIPHER_NONE,
    PONY_CIPHER_AES128_GCM = 1,
    PONY_CIPHER_CHACHA20_POLY1305 = 2,
    PONY_CIPHER_MAX
};

enum {
    PONY_PSK_BYTES = 32,
    PONY_PSKS_MAX = 8
};

/** A key that all snapds of a cluster share. */
struct pony_psk {
    uint32_t id; /**< 1..2^32-1: names it on the wire, so that it can be replaced */
    uint8_t key[PONY_PSK_BYTES];
};

/** A file's text. */
struct pony_pem {
    const char *name; /**< for messages */
    const char *text; /**< with a NUL at its end */
};

/** Mode certificates. */
struct pony_certs {
    struct pony_pem certificate; /**< ours */
    struct pony_pem private_key;
    struct pony_pem ca; /**< self-signed ones, where chains end, and those that stand between */
    const char *peers;  /**< "address", or DNS names: who may be one */
};

/** What the administrator decided. Copied by create(). */
struct pony_security {
    enum pony_security_mode mode;
    struct pony_psk psks[PONY_PSKS_MAX]; /**< the first opens flows; all answer */
    uint32_t n_psks;
    uint8_t ciphers;              /**< allowed: bits 1 << enum pony_cipher */
    uint8_t cipher_preferred;     /**< the one that is fast here; among `ciphers` */
    uint64_t key_packets, key_ns; /**< a key seals that many packets, for that long */
    /** Unguessable bytes: getrandom in snapd, a seeded generator in the simulator. */
    void (*random)(void *ctx, void *out, size_t n);
    void *random_ctx;
    const struct pony_certs *certs; /**< mode certificates; read by create and make_keys only */
    /** Seconds since 1970, for the dates of certificates. */
    uint64_t (*wall_s)(void *ctx);
    void *wall_ctx;
};

enum pony_seal_verdict {
    PONY_SEAL_OK,
    PONY_SEAL_MODE,      /**< the peer wants another mode */
    PONY_SEAL_KEY,       /**< a cluster key that is not ours, or not the same */
    PONY_SEAL_CIPHER,    /**< no cipher in common */
    PONY_SEAL_MALFORMED, /**< contradicts itself, or comes from ourselves */
    PONY_SEAL_FORGED,    /**< the tag is wrong */
    PONY_SEAL_OLD_KEY,   /**< a generation that is over or not begun */
    PONY_SEAL_REPLAYED,  /**< seen already, or too old to tell */
    PONY_SEAL_BUSY,      /**< more key agreements than may be; again later */
    PONY_SEAL_GONE,      /**< the cluster key that it stands on was taken away */
    PONY_SEAL_COOKIE,    /**< it must show first that it is where it says */
    PONY_SEAL_UNTRUSTED, /**< its certificate is not from our CA */
    PONY_SEAL_EXPIRED,   /**< its certificate is over, or not begun */
    PONY_SEAL_USAGE,     /**< its certificate is not for this */
    PONY_SEAL_IDENTITY,  /**< its certificate does not name who may be a peer */
    PONY_SEAL_SIGNATURE, /**< it does not have the certificate's private key */
    PONY_SEAL_VERDICT_MAX
};

/** What HELLO and HELLO_OK of a flow say of its own end; constant from begin() on. */
struct pony_seal_self {
    uint64_t instance, token;
    uint32_t flow, first_seq;
    uint8_t version_min, version_max;
};

/** A HELLO or HELLO_OK that arrived: `packet` is all of it, `covered` the checked part. */
struct pony_seal_hello {
    const uint8_t *packet;
    uint32_t covered; /**< bytes from packet[0] */
    bool is_ok;       /**< HELLO_OK */
    uint32_t first_seq;
    const struct pony_wire_hello *hello;
    const struct pony_addr *from;
    uint64_t now_ns;
};

/** A packet to be sealed: header, the start of its body, the rest. */
struct pony_seal_out {
    const struct pony_wire_hdr *hdr;
    const uint8_t *body;    /**< body_len bytes of ours */
    const uint8_t *payload; /**< payload_len bytes of an application: may change, read once */
    uint32_t body_len, payload_len;
    uint64_t now_ns;
};

/** A sealed packet that arrived. */
struct pony_seal_in {
    const struct pony_sealed_outer *outer; /**< as decoded from `packet` */
    const uint8_t *packet;
    uint32_t len; /**< at least PONY_SEALED_MIN_BYTES */
    uint64_t now_ns;
};

struct pony_seal_info {
    const char *cipher; /**< "aes-128-gcm"; "" in the open */
    uint32_t tx_generation, rx_generation;
    uint32_t
        key_id; /**< cluster key that both directions stand on; the older one of two; 0: none */
};

struct pony_seal;
struct pony_seal_keys;

struct pony_seal_ops {
    const char *name; /**< "plain", "psk": the configuration value */
    enum pony_security_mode mode;
    uint64_t features;       /**< in HELLO and HELLO_OK */
    uint32_t hello_bytes;    /**< of the body of both */
    uint32_t overhead_bytes; /**< what packets of a flow grow by */
    bool is_built;   /**< false: create() fails, OpenSSL was not there when this was built */
    bool is_sealing; /**< packets of a flow go through seal() and open() */

    /** Errors  BASE_E_INVALID, BASE_E_NOMEM, BASE_E_UNSUPPORTED: built without OpenSSL. */
    enum base_err (*create)(const struct pony_security *security, uint32_t n_slots, uint64_t now_ns,
                            struct pony_seal **seal);
    void (*destroy)(struct pony_seal *seal);

    /** A flow begins. False: no memory for its key. */
    bool (*begin)(struct pony_seal *seal, uint32_t idx, const struct pony_seal_self *self);
    /** Forgets its secrets. Also of a slot that never began. */
    void (*end)(struct pony_seal *seal, uint32_t idx);
    /** It is up: what only the handshake needed is erased. */
    void (*up)(struct pony_seal *seal, uint32_t idx);

    /** Completes the HELLO or HELLO_OK at `packet`, written but for bytes 32.. of its body and
     *  the checksum. HELLO_OK only after agree(). */
    void (*put_hello)(struct pony_seal *seal, uint32_t idx, bool is_ok, uint8_t *packet);
    /** May its sender speak with us? Cheap, changes nothing. */
    enum pony_seal_verdict (*check_hello)(struct pony_seal *seal, const struct pony_seal_hello *in);
    /** PONY_SEAL_COOKIE: what the sender of that HELLO must say to be believed. */
    void (*make_cookie)(const struct pony_seal *seal, const struct pony_seal_hello *in,
                        uint8_t *cookie);
    /** The peer wants this in our HELLO. False: this mode has no use for it. */
    bool (*on_cookie)(struct pony_seal *seal, uint32_t idx, const uint8_t *cookie);
    /** Takes the peer that this checked one describes; of HELLO_OK only if it proves that its
     *  sender has come to the same keys. Changes nothing unless PONY_SEAL_OK. */
    enum pony_seal_verdict (*agree)(struct pony_seal *seal, uint32_t idx,
                                    const struct pony_seal_hello *in, uint64_t now_ns);

    /** Writes the sealed packet to `at`, overhead_bytes longer than in the open. Returns its
     *  length. Cannot fail. */
    uint32_t (*seal)(struct pony_seal *seal, uint32_t idx, const struct pony_seal_out *out,
                     uint8_t *at);
    /** Opens a packet into `plain`: [in->len - PONY_SEALED_OUTER_BYTES - PONY_SEALED_TAG_BYTES]. */
    enum pony_seal_verdict (*open)(struct pony_seal *seal, uint32_t idx,
                                   const struct pony_seal_in *in, uint8_t *plain);
    /** What a packet whose tag was right says of the peer's keys. */
    void (*on_note)(struct pony_seal *seal, uint32_t idx, const struct pony_sealed_note *note);

    /** Makes other cluster keys, or another certificate, ready for one seal: all that can fail.
     *  Nothing else of `security` counts. Any thread. Errors  BASE_E_INVALID: the note may say what;
     *  BASE_E_UNSUPPORTED: this mode has none. */
    enum base_err (*make_keys)(const struct pony_security *security, struct pony_seal_keys **keys);
    void (*free_keys)(struct pony_seal_keys *keys); /**< accepts NULL; any thread */
    /** From now on these, of make_keys(); they change places with those of before. Flows move to the
     *  first one when their peers have it, too. Cannot fail. */
    void (*set_keys)(struct pony_seal *seal, struct pony_seal_keys *keys);
    /** PONY_SEAL_GONE: set_keys() took away the key that it stands on; it must end. */
    enum pony_seal_verdict (*check_flow)(const struct pony_seal *seal, uint32_t idx);

    void (*info)(const struct pony_seal *seal, uint32_t idx, struct pony_seal_info *info);
};

extern const struct pony_seal_ops pony_seal_plain, pony_seal_psk, pony_seal_certs;
extern const struct pony_seal_ops *const pony_seal_all[]; /**< by mode; ends with NULL */

/** Mode plain, everything else as it should be for psk but the keys and `random`. */
void pony_security_init(struct pony_security *security);

/** Is AES done by the processor itself? */
bool pony_cpu_has_aes(void);

const char *pony_cipher_name(enum pony_cipher cipher);              /**< "" for none */
const char *pony_security_mode_name(enum pony_security_mode mode);  /**< "?" for an unknown one */
const char *pony_seal_verdict_text(enum pony_seal_verdict verdict); /**< for the log */

#endif
