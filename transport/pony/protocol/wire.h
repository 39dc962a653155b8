/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_WIRE_H
#define PONY_PROTOCOL_WIRE_H

#include <stdbool.h>
#include <stdint.h>

/**
 * The packet header on the wire, and the bodies of the flow layer's own packets.
 *
 * Shape    48 fixed bytes, 0..16 SACK words of 8 bytes, body; little endian
 * Checks   lengths, type, flags, version and CRC; not whether the packet belongs anywhere
 * Memory   the caller's; pure; any thread
 * Source   docs/protocol.md, PX-1..PX-12
 */

enum pony_wire_type {
    PONY_WIRE_HELLO = 1,
    PONY_WIRE_HELLO_OK = 2,
    PONY_WIRE_REFUSE = 3,
    PONY_WIRE_DATA = 4,
    PONY_WIRE_ACK = 5,
    PONY_WIRE_PROBE = 6,
    PONY_WIRE_RESET = 7,
    PONY_WIRE_SEALED = 8, /**< encrypted: what it is stands inside; wire_sealed.h */
    PONY_WIRE_PART = 9,   /**< a piece of a DATA packet that is too large for its path; parts.h */
    PONY_WIRE_TYPE_MAX = 10
};

enum {
    PONY_WIRE_FLAG_ECHO = 1u << 0,    /**< echo_ts and echo_delay_ns mean something */
    PONY_WIRE_FLAG_UNKNOWN = 1u << 1, /**< RESET: dst_flow and token are those of the packet that
                                           found no flow, not of the receiver */
    PONY_WIRE_FLAGS_ALL = 3
};

enum {
    PONY_WIRE_HDR_BYTES = 48,
    PONY_WIRE_DST_FLOW_OFF = 16, /**< for those who sort packets without reading them */
    PONY_WIRE_SACK_WORDS_MAX = 16,
    PONY_WIRE_HDR_MAX = PONY_WIRE_HDR_BYTES + 8 * PONY_WIRE_SACK_WORDS_MAX,
    PONY_WIRE_HELLO_BYTES = 32,
    PONY_WIRE_SLOTS = 16,          /**< flows between two engines */
    PONY_WIRE_SLOTS_PER_CLASS = 4, /**< slot / 4 is the class that it is meant for */
    PONY_WIRE_END_BYTES = 16,
    PONY_WIRE_NUMBER_BYTES = 4, /**< body of an ACK that answers a padded PROBE */
    PONY_WIRE_COOKIE_BYTES = 16,
    PONY_WIRE_HOPS_UNKNOWN = 255,
    PONY_WIRE_TS_SHIFT = 6 /**< time stamps count 64 ns: 2^32 of them are 275 s */
};

enum {
    PONY_WIRE_HANDSHAKE_VERSION = 1, /**< of HELLO, HELLO_OK, REFUSE; never changes */
    PONY_WIRE_VERSION_MIN = 1,       /**< what this code speaks on established flows */
    PONY_WIRE_VERSION_MAX = 1
};

/** Bits of pony_wire_hello.features. Who does not know one of them refuses. */
#define PONY_WIRE_FEATURE_PSK   UINT64_C(1) /* secured with a cluster key, and only so: PX-202 */
#define PONY_WIRE_FEATURE_CERTS UINT64_C(2) /* with certificates, and only so */

struct pony_wire_hdr {
    uint8_t version;
    uint8_t type;   /**< enum pony_wire_type */
    uint8_t flags;  /**< PONY_WIRE_FLAG_* */
    uint8_t n_sack; /**< words used in sack[] */
    uint64_t token; /**< the receiver's, from its HELLO or HELLO_OK */
    uint32_t dst_flow;
    uint32_t seq; /**< DATA: of this packet; else the next one that will be sent */
    uint32_t ack; /**< all packets before this one were received */
    uint32_t tx_ts;
    uint32_t echo_ts;
    uint32_t echo_delay_ns; /**< from the echoed packet's arrival to now; saturates */
    uint8_t hops;           /**< of the echoed packet; PONY_WIRE_HOPS_UNKNOWN */
    uint8_t n_dup;          /**< duplicates received in all, mod 2^8 */
    uint16_t n_ce;          /**< packets received with ECN CE in all, mod 2^16 */
    uint16_t body_len;      /**< bytes after the SACK words; the packet ends there */
    uint16_t covered_len;   /**< leading bytes of the body under the CRC */
    uint64_t sack[PONY_WIRE_SACK_WORDS_MAX]; /**< bit i of word w: ack + 1 + 64 w + i received */
};

/** Body of HELLO and HELLO_OK. In HELLO_OK version_min == version_max is what was chosen. */
struct pony_wire_hello {
    uint8_t version_min;
    uint8_t version_max;
    uint16_t mtu_bytes; /**< the packet itself is padded to this size */
    uint32_t flow;      /**< sender's number for this flow */
    uint64_t token;     /**< to be put in every packet to the sender */
    uint64_t instance;
    uint64_t features; /**< HELLO: offered; HELLO_OK: chosen; 56 bits */
    uint8_t slot;      /**< which of the flows between the two this is: < PONY_WIRE_SLOTS */
};

/** Body of REFUSE and RESET. */
struct pony_wire_end {
    uint8_t reason; /**< enum shm_reason */
    uint8_t version_min;
    uint8_t version_max;
    uint8_t mode;   /**< REFUSE: enum pony_security_mode that the sender wants */
    uint8_t detail; /**< REFUSE, SECURITY: enum pony_wire_detail */
    uint64_t instance;
};

/** Why a REFUSE of reason SECURITY. PX-246 */
enum pony_wire_detail {
    PONY_WIRE_DETAIL_NONE,
    PONY_WIRE_DETAIL_COOKIE, /**< nothing is wrong: say HELLO again with the cookie after the body */
    PONY_WIRE_DETAIL_UNTRUSTED,
    PONY_WIRE_DETAIL_EXPIRED,
    PONY_WIRE_DETAIL_USAGE,
    PONY_WIRE_DETAIL_IDENTITY,
    PONY_WIRE_DETAIL_SIGNATURE,
    PONY_WIRE_DETAIL_MAX
};

enum pony_wire_verdict {
    PONY_WIRE_OK,
    PONY_WIRE_SHORT,    /**< no room for the header it announces */
    PONY_WIRE_CHECKSUM, /**< damaged */
    PONY_WIRE_TYPE,     /**< no such type */
    PONY_WIRE_VERSION,  /**< not a version that we speak */
    PONY_WIRE_FLAGS,    /**< reserved flags set */
    PONY_WIRE_LENGTH,   /**< the lengths contradict each other or the datagram */
    PONY_WIRE_SACK      /**< too many SACK words, or the last one is empty */
};

/** Is it a sealed packet, for wire_sealed.h? */
static inline bool pony_wire_is_sealed(const uint8_t *data, uint32_t len)
{
    return len >= PONY_WIRE_HDR_BYTES && data[5] == PONY_WIRE_SEALED;
}

static inline uint32_t pony_wire_hdr_len(uint32_t n_sack)
{
    return PONY_WIRE_HDR_BYTES + 8 * n_sack;
}

/**
 * Writes header, SACK words and CRC to `at`. The first hdr->covered_len bytes of the body stand
 * behind them already, at `at + pony_wire_hdr_len(hdr->n_sack)`.
 */
void pony_wire_encode(const struct pony_wire_hdr *hdr, uint8_t *at);

/** What one end speaks on established flows, 1 <= min <= max. */
struct pony_wire_versions {
    uint8_t min, max;
};

/**
 * Checks and reads a datagram for an end that speaks `versions`.
 *
 * @param hdr   filled as far as it could be read; sack[] only up to n_sack
 * @param body  hdr->body_len bytes inside `data`; written when PONY_WIRE_OK
 */
enum pony_wire_verdict pony_wire_decode_as(const struct pony_wire_versions *versions,
                                           const uint8_t *data, uint32_t len,
                                           struct pony_wire_hdr *hdr, const uint8_t **body);

/** The same for PONY_WIRE_VERSION_MIN..MAX. */
enum pony_wire_verdict pony_wire_decode(const uint8_t *data, uint32_t len,
                                        struct pony_wire_hdr *hdr, const uint8_t **body);

/** What the fields of a header mean, whatever brought them here. Part of pony_wire_decode. */
enum pony_wire_verdict pony_wire_check(const struct pony_wire_versions *versions,
                                       const struct pony_wire_hdr *hdr);

void pony_wire_encode_hello(const struct pony_wire_hello *hello, uint8_t *at);
/** False: too short, or a field out of range. */
bool pony_wire_decode_hello(const uint8_t *body, uint32_t len, struct pony_wire_hello *hello);

void pony_wire_encode_end(const struct pony_wire_end *end, uint8_t *at);
bool pony_wire_decode_end(const uint8_t *body, uint32_t len, struct pony_wire_end *end);

const char *pony_wire_type_name(uint8_t type); /**< "HELLO"; "?" for an unknown one */

#endif
