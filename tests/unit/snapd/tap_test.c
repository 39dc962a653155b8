/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/engine/tap.h"

#include "base/endian.h"
#include "tests/support/cmocka_all.h"
#include "transport/pony/protocol/wire.h"

#include <stdlib.h>
#include <string.h>

enum {
    FLOW = 0x00020003,
    PORT = 4741
};

struct rig {
    struct shm_capture_sizes sizes;
    void *records;
    void *cursors;
    struct snapd_tap tap;
    struct shm_capture_reader reader;
};

static const struct pony_addr peer = {.ip = {[15] = 1}, .udp_port = PORT};
static const struct pony_addr other = {.ip = {[15] = 2}, .udp_port = PORT + 1};

static int make_rig(void **state)
{
    static struct rig rig;
    rig.sizes =
        (struct shm_capture_sizes){.n_rings = 1, .slots = 64, .slot_bytes = 256, .snap_bytes = 192};
    rig.records = aligned_alloc(64, shm_capture_records_bytes(&rig.sizes));
    rig.cursors = aligned_alloc(64, shm_capture_cursors_bytes(&rig.sizes));
    assert_non_null(rig.records);
    assert_non_null(rig.cursors);
    memset(rig.records, 0, shm_capture_records_bytes(&rig.sizes));
    memset(rig.cursors, 0, shm_capture_cursors_bytes(&rig.sizes));
    rig.tap.filter = (struct snapd_tap_filter){.has_peer = false};
    shm_capture_writer_init(&rig.tap.writer, &rig.sizes, 0, rig.records, rig.cursors);
    assert_int_equal(shm_capture_reader_init(&rig.reader, &rig.sizes, 0, rig.records, rig.cursors),
                     BASE_OK);
    *state = &rig;
    return 0;
}

static int free_rig(void **state)
{
    struct rig *rig = *state;
    free(rig->records);
    free(rig->cursors);
    return 0;
}

static uint32_t count(struct rig *rig)
{
    struct shm_capture_packet packet;
    const uint8_t *bytes = NULL;
    uint32_t n = 0;
    while (shm_capture_peek(&rig->reader, &packet, &bytes) == BASE_OK) {
        shm_capture_consume(&rig->reader);
        n++;
    }
    return n;
}

static struct pony_packet_in arrived(const struct pony_addr *from, const uint8_t *data)
{
    return (struct pony_packet_in){
        .from = *from, .data = data, .len = PONY_WIRE_HDR_BYTES, .rx_ns = 5, .ttl = 9, .ecn = 3};
}

static void what_arrives_is_copied_with_what_the_device_knows(void **state)
{
    struct rig *rig = *state;
    uint8_t data[PONY_WIRE_HDR_BYTES];
    memset(data, 0x5a, sizeof(data));
    struct pony_packet_in in = arrived(&peer, data);
    snapd_tap_in(&rig->tap, &in, 1);
    struct shm_capture_packet packet;
    const uint8_t *bytes = NULL;
    assert_int_equal(shm_capture_peek(&rig->reader, &packet, &bytes), BASE_OK);
    assert_int_equal(packet.time_ns, 5);
    assert_int_equal(packet.ttl, 9);
    assert_int_equal(packet.ecn, 3);
    assert_int_equal(packet.flags, 0);
    assert_int_equal(packet.peer_port, PORT);
    assert_memory_equal(packet.peer_ip, peer.ip, 16);
    assert_int_equal(packet.bytes, sizeof(data));
    assert_memory_equal(bytes, data, sizeof(data));
}

static void what_leaves_is_copied_in_one_piece(void **state)
{
    struct rig *rig = *state;
    const struct pony_packet_out out = {.to = other,
                                        .head = (const uint8_t *)"head",
                                        .head_len = 4,
                                        .payload = (const uint8_t *)"payload",
                                        .payload_len = 7};
    snapd_tap_out(&rig->tap, &out, 1, 77);
    struct shm_capture_packet packet;
    const uint8_t *bytes = NULL;
    assert_int_equal(shm_capture_peek(&rig->reader, &packet, &bytes), BASE_OK);
    assert_int_equal(packet.time_ns, 77);
    assert_int_equal(packet.flags, SHM_CAPTURE_OUT);
    assert_int_equal(packet.peer_port, PORT + 1);
    assert_int_equal(packet.bytes, 11);
    assert_memory_equal(bytes, "headpayload", 11);
}

static void a_filter_by_flow_takes_its_peer_and_its_number(void **state)
{
    struct rig *rig = *state;
    uint8_t for_it[PONY_WIRE_HDR_BYTES] = {0};
    uint8_t for_another[PONY_WIRE_HDR_BYTES] = {0};
    base_store_u32(for_it + PONY_WIRE_DST_FLOW_OFF, FLOW);
    base_store_u32(for_another + PONY_WIRE_DST_FLOW_OFF, FLOW + 1);
    rig->tap.filter = (struct snapd_tap_filter){.has_peer = true, .flow = FLOW, .peer = peer};
    const struct pony_packet_in in[] = {
        arrived(&peer, for_it),       /* yes */
        arrived(&other, for_it),      /* yes: by its number */
        arrived(&other, for_another), /* no */
        arrived(&peer, for_another),  /* yes: a HELLO has no number of ours */
    };
    snapd_tap_in(&rig->tap, in, 4);
    assert_int_equal(count(rig), 3);
    struct pony_packet_in tiny = arrived(&other, for_it);
    tiny.len = PONY_WIRE_HDR_BYTES - 1;
    snapd_tap_in(&rig->tap, &tiny, 1);
    assert_int_equal(count(rig), 0);
    const struct pony_packet_out out[] = {{.to = peer, .head = for_it, .head_len = 48},
                                          {.to = other, .head = for_it, .head_len = 48}};
    snapd_tap_out(&rig->tap, out, 2, 1);
    assert_int_equal(count(rig), 1);
}

static void a_filter_by_port_takes_that_port_of_peers(void **state)
{
    struct rig *rig = *state;
    uint8_t data[PONY_WIRE_HDR_BYTES] = {0};
    rig->tap.filter = (struct snapd_tap_filter){.peer_port = PORT + 1};
    const struct pony_packet_in in[] = {arrived(&peer, data), arrived(&other, data)};
    snapd_tap_in(&rig->tap, in, 2);
    assert_int_equal(count(rig), 1);
    const struct pony_packet_out out[] = {{.to = peer, .head = data, .head_len = 48},
                                          {.to = other, .head = data, .head_len = 48}};
    snapd_tap_out(&rig->tap, out, 2, 1);
    assert_int_equal(count(rig), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_rig, free_rig)
        T(what_arrives_is_copied_with_what_the_device_knows),
        T(what_leaves_is_copied_in_one_piece),
        T(a_filter_by_flow_takes_its_peer_and_its_number),
        T(a_filter_by_port_takes_that_port_of_peers),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
