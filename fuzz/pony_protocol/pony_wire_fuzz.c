/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet parser by itself: headers, bodies of the handshake, frames, the two parts of a sealed
 * packet. What is accepted lies inside the datagram, and written again gives the same bytes: so
 * there is one way to say a thing, and nothing that the parser skips.
 *
 * Input: a datagram. It is read as it is, then with its checksum made right.
 */
#include "base/assert.h"
#include "base/endian.h"
#include "base/hash.h"
#include "transport/pony/protocol/frames.h"
#include "transport/pony/protocol/wire.h"
#include "transport/pony/protocol/wire_sealed.h"

#include <stdlib.h>
#include <string.h>

enum {
    DATAGRAM_MAX = 65535,
    COVERED_AT = 46, /* of the header: how much of the body is under the checksum */
    N_SACK_AT = 7
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_frames(const uint8_t *body, uint32_t len)
{
    uint8_t again[PONY_FRAME_BYTES_MAX];
    struct base_cursor cursor = base_cursor_make(body, len);
    struct pony_frame frame;
    while (base_cursor_left(&cursor) > 0) {
        const uint8_t *at = body + cursor.pos;
        if (!pony_frame_get(&cursor, &frame)) {
            return;
        }
        uint32_t n = pony_frame_put(again, &frame);
        base_assert(n == pony_frame_bytes(frame.type) && memcmp(again, at, n) == 0);
        base_assert(frame.data_len == 0 || frame.data == at + n);
        base_assert(body + cursor.pos == at + n + frame.data_len);
    }
}

static void check_hello(const uint8_t *body, uint32_t len)
{
    uint8_t again[PONY_HELLO_MAC_AT];
    struct pony_wire_hello hello;
    struct pony_wire_hello_psk psk;
    if (!pony_wire_decode_hello(body, len, &hello)) {
        return;
    }
    pony_wire_encode_hello(&hello, again);
    base_assert(memcmp(again, body, PONY_WIRE_HELLO_BYTES) == 0);
    if (pony_wire_decode_hello_psk(body, len, &psk)) {
        pony_wire_encode_hello_psk(&psk, again);
        base_assert(memcmp(again, body, PONY_HELLO_MAC_AT) == 0);
    }
}

static void check_hello_certs(const uint8_t *body, uint32_t len)
{
    uint8_t again[PONY_HELLO_CERTS_BYTES] = {0};
    struct pony_wire_hello_certs certs;
    if (!pony_wire_decode_hello_certs(body, len, &certs)) {
        return;
    }
    const uint32_t used = (uint32_t)certs.cert_len + certs.sig_len;
    base_assert(PONY_HELLO_CERTS_FIXED + used <= PONY_HELLO_CERTS_BYTES);
    pony_wire_encode_hello_certs(&certs, again);
    base_assert(memcmp(again + PONY_HELLO_CERTS_COOKIE_AT, body + PONY_HELLO_CERTS_COOKIE_AT, 19) ==
                0);
    base_assert(memcmp(again + PONY_HELLO_CERTS_FIXED, body + PONY_HELLO_CERTS_FIXED, used) == 0);
}

static void check_body(uint8_t type, const uint8_t *body, uint32_t len)
{
    struct pony_wire_end end;
    if (type == PONY_WIRE_HELLO || type == PONY_WIRE_HELLO_OK) {
        check_hello(body, len);
        check_hello_certs(body, len);
    } else if (type == PONY_WIRE_DATA) {
        check_frames(body, len);
    } else {
        (void)pony_wire_decode_end(body, len, &end);
    }
}

static void check_plain(const uint8_t *data, uint32_t len)
{
    uint8_t again[PONY_WIRE_HDR_MAX + DATAGRAM_MAX];
    struct pony_wire_hdr hdr;
    const uint8_t *body = NULL;
    if (pony_wire_decode(data, len, &hdr, &body) != PONY_WIRE_OK) {
        return;
    }
    uint32_t hdr_len = pony_wire_hdr_len(hdr.n_sack);
    base_assert(body == data + hdr_len && hdr_len + hdr.body_len == len);
    base_assert(hdr.covered_len <= hdr.body_len && hdr.type < PONY_WIRE_TYPE_MAX);
    memcpy(again + hdr_len, body, hdr.body_len);
    pony_wire_encode(&hdr, again);
    base_assert(memcmp(again, data, len) == 0);
    check_body(hdr.type, body, hdr.body_len);
}

/* What is encrypted is taken as if it had been decrypted: a peer with the key may write anything. */
static void check_sealed(const uint8_t *data, uint32_t len)
{
    static const struct pony_wire_versions versions = {PONY_WIRE_VERSION_MIN,
                                                       PONY_WIRE_VERSION_MAX};
    uint8_t again[PONY_SEALED_INNER_BYTES + 8 * PONY_WIRE_SACK_WORDS_MAX];
    struct pony_sealed_outer outer;
    struct pony_wire_hdr hdr;
    const uint8_t *body = NULL;
    struct pony_sealed_note note = {0};
    if (!pony_wire_is_sealed(data, len) ||
        pony_sealed_decode_outer(&versions, data, len, &outer) != PONY_WIRE_OK) {
        return;
    }
    pony_sealed_encode_outer(&outer, again);
    base_assert(memcmp(again, data, PONY_SEALED_OUTER_BYTES) == 0);
    const uint8_t *inner = data + PONY_SEALED_OUTER_BYTES;
    uint32_t inner_len = len - PONY_SEALED_OUTER_BYTES - PONY_SEALED_TAG_BYTES;
    if (pony_sealed_decode_inner(&outer, inner, inner_len, &hdr, &note, &body) != PONY_WIRE_OK) {
        return;
    }
    uint32_t n = pony_sealed_encode_inner(&hdr, &note, again);
    base_assert(body == inner + n && n + hdr.body_len == inner_len);
    base_assert(memcmp(again, inner, n) == 0);
    check_body(hdr.type, body, hdr.body_len);
}

static void repair(uint8_t *data, uint32_t len)
{
    if (len < PONY_WIRE_HDR_BYTES) {
        return;
    }
    uint32_t covered =
        PONY_WIRE_HDR_BYTES - 4u + 8u * data[N_SACK_AT] + base_load_u16(data + COVERED_AT);
    if (4 + covered <= len) {
        base_store_u32(data, base_crc32c(0, data + 4, covered));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > DATAGRAM_MAX) {
        return 0;
    }
    uint32_t len = (uint32_t)size;
    check_plain(data, len);
    check_sealed(data, len);
    uint8_t *repaired = malloc(size > 0 ? size : 1); /* its end is watched */
    base_assert(repaired != NULL);
    memcpy(repaired, data, size);
    repair(repaired, len);
    check_plain(repaired, len);
    free(repaired);
    return 0;
}
