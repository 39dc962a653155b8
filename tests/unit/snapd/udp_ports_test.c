/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/compiler.h"
#include "snapd/device/udp.h"
#include "tests/support/cmocka_all.h"
#include "tests/unit/snapd/device_rig.h"

#include <poll.h>
#include <string.h>

/**
 * Packets of a UDP device leave from several ports of this host.
 */

enum {
    SIZE = 1000
};

static struct snapd_dev *open_with_ports(const char *listen, uint32_t n_ports)
{
    struct snapd_udp_config config = {
        .listen = listen, .has_segmentation = true, .n_ports = n_ports, .buffer_bytes = 1 << 20};
    return device_open(&config);
}

/* One packet for each hint, in one batch. */
static void send_hints(struct snapd_dev *dev, const struct pony_addr *to, const uint16_t *hints,
                       uint32_t n)
{
    static const uint8_t bytes[SIZE];
    struct pony_packet_out out[PONY_TX_BATCH_MAX];
    for (uint32_t i = 0; i < n; i++) {
        out[i] = (struct pony_packet_out){
            .to = *to, .head = bytes, .head_len = SIZE, .src_port_hint = hints[i]};
    }
    dev->ops->send(dev, out, n, base_clock_now_ns());
}

/* How many of the n packets that arrive came from each port; returns how many ports. */
static uint32_t count_ports(struct snapd_dev *dev, uint32_t n, uint16_t *ports, uint32_t *counts)
{
    uint32_t n_ports = 0;
    struct pony_packet_in in[SNAPD_DEV_RX_MAX];
    while (n > 0) {
        uint32_t k = device_receive(dev, in, n);
        for (uint32_t i = 0; i < k; i++) {
            uint32_t at = 0;
            while (at < n_ports && ports[at] != in[i].from.udp_port) {
                at++;
            }
            if (at == n_ports) {
                ports[n_ports] = in[i].from.udp_port;
                counts[n_ports++] = 0;
            }
            counts[at]++;
        }
        n -= k;
    }
    return n_ports;
}

static void a_hint_chooses_the_port_and_0_the_one_that_peers_know(void **state)
{
    (void)state;
    static const uint16_t hints[] = {0, 1, 2, 3, 4, 5, UINT16_MAX};
    struct snapd_dev *a = open_with_ports("127.0.0.1:0", 4);
    struct snapd_dev *b = open_with_ports("127.0.0.1:0", 1);
    struct pony_addr to = device_address(b);
    uint16_t ports[8];
    uint32_t counts[8];
    for (uint32_t i = 0; i < BASE_ARRAY_LEN(hints); i++) {
        uint16_t port;
        send_hints(a, &to, &hints[i], 1);
        assert_int_equal(count_ports(b, 1, &port, counts), 1);
        assert_true((port == a->ops->udp_port(a)) == (hints[i] % 4 == 0));
    }
    send_hints(a, &to, hints, BASE_ARRAY_LEN(hints));
    assert_int_equal(count_ports(b, BASE_ARRAY_LEN(hints), ports, counts), 4);
    for (uint32_t i = 0; i < 4; i++) {
        if (ports[i] == a->ops->udp_port(a)) {
            assert_int_equal(counts[i], 2); /* hints 0 and 4 */
        }
    }
    assert_int_equal(device_counter(a, "udp_side_packets"), 10);
    a->ops->destroy(a);
    b->ops->destroy(b);
}

static void one_source_port_ignores_hints(void **state)
{
    (void)state;
    static const uint16_t hints[] = {0, 1, 7, UINT16_MAX};
    for (uint32_t n_ports = 0; n_ports < 2; n_ports++) {
        struct snapd_dev *a = open_with_ports("127.0.0.1:0", n_ports);
        struct snapd_dev *b = open_with_ports("127.0.0.1:0", 1);
        struct pony_addr to = device_address(b);
        uint16_t port;
        uint32_t n_packets;
        send_hints(a, &to, hints, BASE_ARRAY_LEN(hints));
        assert_int_equal(count_ports(b, BASE_ARRAY_LEN(hints), &port, &n_packets), 1);
        assert_int_equal(port, a->ops->udp_port(a));
        assert_int_equal(device_counter(a, "udp_sent_datagrams"), 1);
        assert_int_equal(device_counter(a, "udp_side_packets"), 0);
        assert_true(a->ops->next_deadline_ns(a) == UINT64_MAX);
        a->ops->destroy(a);
        b->ops->destroy(b);
    }
}

static void runs_end_where_the_port_changes(void **state)
{
    (void)state;
    static const uint16_t hints[] = {0, 0, 0, 1, 1, 5, 0, 2, 3, 3};
    struct snapd_dev *a = open_with_ports("127.0.0.1:0", 4);
    struct snapd_dev *b = open_with_ports("127.0.0.1:0", 1);
    struct pony_addr to = device_address(b);
    uint16_t ports[8];
    uint32_t counts[8];
    send_hints(a, &to, hints, BASE_ARRAY_LEN(hints));
    assert_int_equal(count_ports(b, BASE_ARRAY_LEN(hints), ports, counts), 4);
    /* 000 115 0 2 33: 1 and 5 are the same port of 4. */
    assert_int_equal(device_counter(a, "udp_sent_datagrams"), 5);
    assert_int_equal(device_counter(a, "udp_send_calls"), 5);
    a->ops->destroy(a);
    b->ops->destroy(b);
}

/* Where the engine would sleep until the deadline of the device. */
static void await_deadline(const struct snapd_dev *dev)
{
    uint64_t due_ns = dev->ops->next_deadline_ns(dev);
    assert_true(due_ns != UINT64_MAX);
    while (base_clock_now_ns() < due_ns) {
        uint64_t left_ns = due_ns - base_min_u64(due_ns, base_clock_now_ns());
        struct pollfd p = {.fd = dev->ops->fd(dev)};
        (void)poll(&p, 1, (int)(left_ns / 1000000) + 1);
    }
}

static void what_comes_to_a_side_port_is_received_by_the_deadline(void **state)
{
    (void)state;
    static const uint16_t hints[] = {1, 2};
    static const uint16_t none = 0;
    struct snapd_dev *a = open_with_ports("127.0.0.1:0", 3);
    struct snapd_dev *b = open_with_ports("127.0.0.1:0", 1);
    struct pony_addr to = device_address(b);
    struct pony_packet_in in[4];
    send_hints(a, &to, hints, 2);
    for (uint32_t n = 0; n < 2;) {
        uint32_t k = device_receive(b, in, 4);
        for (uint32_t i = 0; i < k; i++, n++) {
            send_hints(b, &in[i].from, &none, 1);
        }
    }
    await_deadline(a);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(a->ops->receive(a, in, 4, base_clock_now_ns()), 1);
        assert_true(pony_addr_equal(&in[0].from, &to));
    }
    assert_int_equal(a->ops->receive(a, in, 4, base_clock_now_ns()), 0);
    assert_int_equal(device_counter(a, "udp_side_received_datagrams"), 2);
    assert_true(a->ops->next_deadline_ns(a) == UINT64_MAX);
    a->ops->destroy(a);
    b->ops->destroy(b);
}

static void an_error_at_a_side_port_is_told_by_the_deadline(void **state)
{
    (void)state;
    static const uint16_t hint = 1;
    struct snapd_dev *a = open_with_ports("127.0.0.1:0", 2);
    struct snapd_dev *b = open_with_ports("127.0.0.1:0", 1);
    struct pony_addr to = device_address(b);
    struct pony_addr told;
    struct pony_packet_in in;
    b->ops->destroy(b);
    send_hints(a, &to, &hint, 1);
    assert_false(a->ops->next_unreachable(a, &told));
    await_deadline(a);
    assert_int_equal(a->ops->receive(a, &in, 1, base_clock_now_ns()), 0);
    assert_true(a->ops->next_unreachable(a, &told));
    assert_true(pony_addr_equal(&told, &to));
    assert_false(a->ops->next_unreachable(a, &told));
    /* And a second one by the next packet. */
    send_hints(a, &to, &hint, 1);
    send_hints(a, &to, &hint, 1);
    assert_true(a->ops->next_unreachable(a, &told));
    a->ops->destroy(a);
}

/* `listen` is every address; the peer's packets come from its side ports but for the first. */
static void a_peer_of_several_ports_is_answered_from_one_address(void **state)
{
    (void)state;
    static const uint16_t hints[] = {1, 2};
    struct snapd_dev *a = open_with_ports("*:0", 3);
    struct snapd_dev *b = open_with_ports("127.0.0.1:0", 3);
    struct pony_addr second = device_address(a);
    struct pony_addr main_port = device_address(b);
    struct pony_packet_in in[4];
    second.ip[15] = 2;
    send_hints(b, &second, hints, 2);
    for (uint32_t n = 0; n < 2;) {
        n += device_receive(a, in, 4);
    }
    send_hints(a, &main_port, hints, 2);
    for (uint32_t n = 0; n < 2;) {
        uint32_t k = device_receive(b, in, 4);
        for (uint32_t i = 0; i < k; i++, n++) {
            assert_memory_equal(in[i].from.ip, second.ip, sizeof(second.ip));
            assert_true(in[i].from.udp_port != second.udp_port);
        }
    }
    a->ops->destroy(a);
    b->ops->destroy(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hint_chooses_the_port_and_0_the_one_that_peers_know),
        cmocka_unit_test(one_source_port_ignores_hints),
        cmocka_unit_test(runs_end_where_the_port_changes),
        cmocka_unit_test(what_comes_to_a_side_port_is_received_by_the_deadline),
        cmocka_unit_test(an_error_at_a_side_port_is_told_by_the_deadline),
        cmocka_unit_test(a_peer_of_several_ports_is_answered_from_one_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
