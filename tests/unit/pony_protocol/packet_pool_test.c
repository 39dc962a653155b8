/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/packet_pool.h"

#include "tests/support/cmocka_all.h"

#include <string.h>

static void all_packets_can_be_out_and_no_more(void **state)
{
    (void)state;
    struct pony_packet_pool pool;
    struct pony_tx_packet *packets[5];
    assert_int_equal(pony_packet_pool_init(&pool, 5), BASE_OK);
    for (uint32_t i = 0; i < 5; i++) {
        packets[i] = pony_packet_pool_take(&pool);
        assert_non_null(packets[i]);
        memset(packets[i]->packet.head, (int)i, PONY_HEAD_BYTES);
        assert_int_equal((uintptr_t)packets[i]->packet.head % 64, 0);
    }
    assert_null(pony_packet_pool_take(&pool));
    for (uint32_t i = 0; i < 5; i++) { /* heads do not overlap */
        assert_int_equal(packets[i]->packet.head[0], i);
        assert_int_equal(packets[i]->packet.head[PONY_HEAD_BYTES - 1], i);
        pony_packet_pool_give(&pool, packets[i]);
    }
    pony_packet_pool_fini(&pool);
}

static void the_packet_given_last_comes_back_empty(void **state)
{
    (void)state;
    struct pony_packet_pool pool;
    assert_int_equal(pony_packet_pool_init(&pool, 5), BASE_OK);
    struct pony_tx_packet *packet = pony_packet_pool_take(&pool);
    packet->packet.head_len = 9000;
    packet->packet.payload_len = 1;
    packet->packet.payload = packet->packet.head;
    packet->packet.owner = (struct pony_tx_msg *)(void *)packet;
    packet->packet.n_sent = 3;
    packet->serial = 4;
    pony_packet_pool_give(&pool, packet);
    assert_ptr_equal(pony_packet_pool_take(&pool), packet);
    assert_int_equal(packet->packet.head_len, PONY_HEAD_ROOM);
    assert_int_equal(packet->packet.payload_len, 0);
    assert_null(packet->packet.payload);
    assert_null(packet->packet.owner);
    assert_int_equal(packet->packet.n_sent, 0);
    assert_int_equal(packet->serial, 0);
    pony_packet_pool_fini(&pool);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    struct pony_packet_pool pool;
    assert_int_equal(pony_packet_pool_init(&pool, 0), BASE_E_INVALID);
    pony_packet_pool_fini(&pool);
    assert_int_equal(pony_packet_pool_init(&pool, (1u << 20) + 1), BASE_E_INVALID);
    pony_packet_pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_packets_can_be_out_and_no_more),
        cmocka_unit_test(the_packet_given_last_comes_back_empty),
        cmocka_unit_test(impossible_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
