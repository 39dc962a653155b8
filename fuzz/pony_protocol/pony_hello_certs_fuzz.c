/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake of mode certificates: one of its packets is changed, and its checksum made right again.
 * What must hold: no crash, and nobody comes up with other keys than its peer: after a changed HELLO_OK
 * nobody does, after another changed packet both ends or none.
 *
 * Input: which packet (one byte), then triples of offset (two bytes) and new value.
 */
#include "base/assert.h"
#include "base/endian.h"
#include "fuzz/pony_protocol/hello_pair.h"
#include "tests/support/test_certs.h"

#include <string.h>

enum {
    HELLO_OK = 3 /* after HELLO, REFUSE with the cookie, HELLO */
};

static struct test_cert ca, certs[2];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void secure(struct pony_security *security, uint32_t idx)
{
    static const struct test_cert_spec leaves[2] = {{.kind = "ED25519", .san = "IP:::1"},
                                                    {.kind = "P-256", .san = "IP:::2"}};
    static struct pony_certs files[2];
    if (ca.cert == NULL) {
        test_cert_make(&ca, NULL, &(struct test_cert_spec){.kind = "P-256", .is_ca = true});
    }
    test_cert_make(&certs[idx], &ca, &leaves[idx]);
    files[idx] = (struct pony_certs){
        .certificate = {"host.crt", certs[idx].cert_pem},
        .private_key = {"host.key", certs[idx].key_pem},
        .ca = {"ca.crt", ca.cert_pem},
        .peers = "address",
    };
    security->mode = PONY_SECURITY_CERTS;
    security->certs = &files[idx];
    security->wall_s = test_certs_wall_s;
}

static bool change(struct hello_packet *packet, const uint8_t *data, size_t size)
{
    const struct hello_packet before = *packet;
    for (size_t i = 0; i + 3 <= size; i += 3) {
        packet->data[base_load_u16(data + i) % packet->len] = data[i + 2];
    }
    hello_packet_sum(packet);
    return memcmp(before.data, packet->data, packet->len) != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool is_changed;
    const struct hello_script script = {
        .secure = secure,
        .change = change,
        .which = size > 0 ? data[0] % (HELLO_OK + 1) : 0,
        .data = size > 0 ? data + 1 : data,
        .size = size > 0 ? size - 1 : 0,
    };
    uint32_t n_ups = hello_pair_play(&script, &is_changed);
    base_assert(is_changed || n_ups == 2);
    base_assert(n_ups == 0 || (n_ups == 2 && !(is_changed && script.which == HELLO_OK)));
    return 0;
}
