/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/wire.h"

#include "base/endian.h"
#include "base/hash.h"

/* Offsets in the header; the CRC is first so that one run of bytes lies under it. */
enum {
    AT_CRC = 0,
    AT_VERSION = 4,
    AT_TYPE = 5,
    AT_FLAGS = 6,
    AT_N_SACK = 7,
    AT_TOKEN = 8,
    AT_DST_FLOW = PONY_WIRE_DST_FLOW_OFF,
    AT_SEQ = 20,
    AT_ACK = 24,
    AT_TX_TS = 28,
    AT_ECHO_TS = 32,
    AT_ECHO_DELAY = 36,
    AT_HOPS = 40,
    AT_N_DUP = 41,
    AT_N_CE = 42,
    AT_BODY_LEN = 44,
    AT_COVERED_LEN = 46
};

/* PX-1 */
static uint32_t checksum(const uint8_t *at, uint32_t n_sack, uint32_t covered_len)
{
    return base_crc32c(0, at + AT_VERSION, pony_wire_hdr_len(n_sack) + covered_len - AT_VERSION);
}

void pony_wire_encode(const struct pony_wire_hdr *hdr, uint8_t *at)
{
    at[AT_VERSION] = hdr->version;
    at[AT_TYPE] = hdr->type;
    at[AT_FLAGS] = hdr->flags;
    at[AT_N_SACK] = hdr->n_sack;
    base_store_u64(at + AT_TOKEN, hdr->token);
    base_store_u32(at + AT_DST_FLOW, hdr->dst_flow);
    base_store_u32(at + AT_SEQ, hdr->seq);
    base_store_u32(at + AT_ACK, hdr->ack);
    base_store_u32(at + AT_TX_TS, hdr->tx_ts);
    base_store_u32(at + AT_ECHO_TS, hdr->echo_ts);
    base_store_u32(at + AT_ECHO_DELAY, hdr->echo_delay_ns);
    at[AT_HOPS] = hdr->hops;
    at[AT_N_DUP] = hdr->n_dup;
    base_store_u16(at + AT_N_CE, hdr->n_ce);
    base_store_u16(at + AT_BODY_LEN, hdr->body_len);
    base_store_u16(at + AT_COVERED_LEN, hdr->covered_len);
    for (uint32_t i = 0; i < hdr->n_sack; i++) {
        base_store_u64(at + pony_wire_hdr_len(i), hdr->sack[i]);
    }
    base_store_u32(at + AT_CRC, checksum(at, hdr->n_sack, hdr->covered_len));
}

static void load_fixed(const uint8_t *at, struct pony_wire_hdr *hdr)
{
    hdr->version = at[AT_VERSION];
    hdr->type = at[AT_TYPE];
    hdr->flags = at[AT_FLAGS];
    hdr->n_sack = at[AT_N_SACK];
    hdr->token = base_load_u64(at + AT_TOKEN);
    hdr->dst_flow = base_load_u32(at + AT_DST_FLOW);
    hdr->seq = base_load_u32(at + AT_SEQ);
    hdr->ack = base_load_u32(at + AT_ACK);
    hdr->tx_ts = base_load_u32(at + AT_TX_TS);
    hdr->echo_ts = base_load_u32(at + AT_ECHO_TS);
    hdr->echo_delay_ns = base_load_u32(at + AT_ECHO_DELAY);
    hdr->hops = at[AT_HOPS];
    hdr->n_dup = at[AT_N_DUP];
    hdr->n_ce = base_load_u16(at + AT_N_CE);
    hdr->body_len = base_load_u16(at + AT_BODY_LEN);
    hdr->covered_len = base_load_u16(at + AT_COVERED_LEN);
}

static bool is_handshake(uint8_t type)
{
    return type == PONY_WIRE_HELLO || type == PONY_WIRE_HELLO_OK || type == PONY_WIRE_REFUSE;
}

/* PX-5. Handshakes and ends are looked at where they are worked on. */
static bool is_body_right(const struct pony_wire_hdr *hdr)
{
    bool has_number =
        hdr->body_len >= PONY_WIRE_NUMBER_BYTES && hdr->covered_len >= PONY_WIRE_NUMBER_BYTES;
    switch (hdr->type) {
    case PONY_WIRE_DATA:
    case PONY_WIRE_PART:
        return hdr->body_len > 0;
    case PONY_WIRE_ACK:
        return hdr->body_len == 0 || (has_number && hdr->body_len == PONY_WIRE_NUMBER_BYTES);
    case PONY_WIRE_PROBE:
        return hdr->body_len == 0 || has_number;
    default:
        return true;
    }
}

/* What the fields mean: only looked at once the CRC says that they are as they were sent. PX-3, PX-4,
 * PX-5 */
enum pony_wire_verdict pony_wire_check(const struct pony_wire_versions *versions,
                                       const struct pony_wire_hdr *hdr)
{
    if (hdr->type == 0 || hdr->type >= PONY_WIRE_TYPE_MAX || hdr->type == PONY_WIRE_SEALED) {
        return PONY_WIRE_TYPE;
    }
    bool is_spoken = hdr->version >= versions->min && hdr->version <= versions->max;
    if (is_handshake(hdr->type) ? hdr->version != PONY_WIRE_HANDSHAKE_VERSION : !is_spoken) {
        return PONY_WIRE_VERSION; /* PX-12, PX-58 */
    }
    if ((hdr->flags & ~PONY_WIRE_FLAGS_ALL) != 0 ||
        ((hdr->flags & PONY_WIRE_FLAG_UNKNOWN) != 0 && hdr->type != PONY_WIRE_RESET)) {
        return PONY_WIRE_FLAGS;
    }
    if (!is_body_right(hdr)) {
        return PONY_WIRE_LENGTH;
    }
    if (hdr->n_sack > 0 && (is_handshake(hdr->type) || hdr->sack[hdr->n_sack - 1] == 0)) {
        return PONY_WIRE_SACK;
    }
    return PONY_WIRE_OK;
}

enum pony_wire_verdict pony_wire_decode(const uint8_t *data, uint32_t len,
                                        struct pony_wire_hdr *hdr, const uint8_t **body)
{
    static const struct pony_wire_versions ours = {PONY_WIRE_VERSION_MIN, PONY_WIRE_VERSION_MAX};
    return pony_wire_decode_as(&ours, data, len, hdr, body);
}

enum pony_wire_verdict pony_wire_decode_as(const struct pony_wire_versions *versions,
                                           const uint8_t *data, uint32_t len,
                                           struct pony_wire_hdr *hdr, const uint8_t **body)
{
    if (len < PONY_WIRE_HDR_BYTES) {
        return PONY_WIRE_SHORT;
    }
    load_fixed(data, hdr);
    if (hdr->n_sack > PONY_WIRE_SACK_WORDS_MAX) { /* PX-3 */
        return PONY_WIRE_SACK;
    }
    uint32_t hdr_len = pony_wire_hdr_len(hdr->n_sack);
    if (len < hdr_len) {
        return PONY_WIRE_SHORT;
    }
    if (hdr->body_len != len - hdr_len || hdr->covered_len > hdr->body_len) { /* PX-2 */
        return PONY_WIRE_LENGTH;
    }
    if (base_load_u32(data + AT_CRC) != checksum(data, hdr->n_sack, hdr->covered_len)) {
        return PONY_WIRE_CHECKSUM;
    }
    for (uint32_t i = 0; i < hdr->n_sack; i++) {
        hdr->sack[i] = base_load_u64(data + pony_wire_hdr_len(i));
    }
    enum pony_wire_verdict verdict = pony_wire_check(versions, hdr);
    if (verdict == PONY_WIRE_OK) {
        *body = data + hdr_len;
    }
    return verdict;
}

void pony_wire_encode_hello(const struct pony_wire_hello *hello, uint8_t *at)
{
    at[0] = hello->version_min;
    at[1] = hello->version_max;
    base_store_u16(at + 2, hello->mtu_bytes);
    base_store_u32(at + 4, hello->flow);
    base_store_u64(at + 8, hello->token);
    base_store_u64(at + 16, hello->instance);
    base_store_u64(at + 24, hello->features);
    at[31] = hello->slot;
}

bool pony_wire_decode_hello(const uint8_t *body, uint32_t len, struct pony_wire_hello *hello)
{
    if (len < PONY_WIRE_HELLO_BYTES) {
        return false;
    }
    hello->version_min = body[0];
    hello->version_max = body[1];
    hello->mtu_bytes = base_load_u16(body + 2);
    hello->flow = base_load_u32(body + 4);
    hello->token = base_load_u64(body + 8);
    hello->instance = base_load_u64(body + 16);
    hello->features = base_load_u64(body + 24) & UINT64_MAX >> 8;
    hello->slot = body[31];
    return hello->version_min != 0 && hello->version_min <= hello->version_max &&
           hello->instance != 0 && hello->slot < PONY_WIRE_SLOTS;
}

void pony_wire_encode_end(const struct pony_wire_end *end, uint8_t *at)
{
    at[0] = end->reason;
    at[1] = end->version_min;
    at[2] = end->version_max;
    at[3] = end->mode;
    base_store_u32(at + 4, end->detail);
    base_store_u64(at + 8, end->instance);
}

bool pony_wire_decode_end(const uint8_t *body, uint32_t len, struct pony_wire_end *end)
{
    if (len < PONY_WIRE_END_BYTES) {
        return false;
    }
    end->reason = body[0];
    end->version_min = body[1];
    end->version_max = body[2];
    end->mode = body[3];
    end->detail = body[4];
    end->instance = base_load_u64(body + 8);
    return true;
}

const char *pony_wire_type_name(uint8_t type)
{
    static const char *const names[PONY_WIRE_TYPE_MAX] = {
        "?", "HELLO", "HELLO_OK", "REFUSE", "DATA", "ACK", "PROBE", "RESET", "SEALED", "PART",
    };
    return names[type < PONY_WIRE_TYPE_MAX ? type : 0];
}
