/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake of mode psk, by one who has the cluster key: HELLO and HELLO_OK are changed, their
 * checksum and first MAC made right again. What must hold: no crash, and nobody comes up on a
 * handshake that was changed, because the last MAC needs the key that only both ends have.
 *
 * Input: which packet (one byte), then pairs of offset and new value.
 */
#include "base/assert.h"
#include "fuzz/pony_protocol/hello_pair.h"
#include "transport/pony/protocol/key_schedule.h"

#include <string.h>

enum {
    FIRST_MAC_AT = PONY_WIRE_HDR_BYTES + PONY_HELLO_MAC_AT,
    CONFIRM_AT = PONY_WIRE_HDR_BYTES + PONY_HELLO_CONFIRM_AT
};

static uint8_t cluster_key[PONY_PSK_BYTES];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void secure(struct pony_security *security, uint32_t idx)
{
    (void)idx;
    memcpy(cluster_key, security->psks[0].key, sizeof(cluster_key));
}

/* What anybody with the cluster key can do. */
static void repair(struct hello_packet *packet)
{
    struct pony_psk_keys keys;
    pony_psk_keys_derive(cluster_key, &keys);
    const struct pony_bytes run = {packet->data + 4, FIRST_MAC_AT - 4};
    pony_kdf_mac(keys.hello, &run, 1, packet->data + FIRST_MAC_AT);
    hello_packet_sum(packet);
}

static bool change(struct hello_packet *packet, const uint8_t *data, size_t size)
{
    const struct hello_packet before = *packet;
    for (size_t i = 0; i + 2 <= size; i += 2) {
        packet->data[data[i] % CONFIRM_AT] = data[i + 1];
    }
    repair(packet);
    return memcmp(before.data, packet->data, CONFIRM_AT) != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool is_changed;
    const struct hello_script script = {
        .secure = secure,
        .change = change,
        .which = size > 0 ? data[0] & 1 : 0,
        .data = size > 0 ? data + 1 : data,
        .size = size > 0 ? size - 1 : 0,
    };
    uint32_t n_ups = hello_pair_play(&script, &is_changed);
    /* Time stamps and the like in HELLO are the sender's own business; it said them, or nobody did:
     * a changed HELLO may be answered, but the answer is of no use to who asked. */
    base_assert(is_changed || n_ups == 2);
    base_assert(!is_changed || script.which == 0 || n_ups == 0);
    return 0;
}
