/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/device/udp.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "tests/support/cmocka_all.h"
#include "tests/unit/snapd/device_rig.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DEADLINE_MS = 5000,
    SIZE = 1000
};

static struct snapd_dev *open_dev(const char *listen, bool has_segmentation)
{
    struct snapd_udp_config config = {
        .listen = listen, .has_segmentation = has_segmentation, .buffer_bytes = 4 << 20};
    return device_open(&config);
}

/* Packets of these lengths, filled with their number, from a head of 40 bytes and a payload. */
static void send_packets(struct snapd_dev *dev, const struct pony_addr *to, const uint32_t *lengths,
                         uint32_t n)
{
    static uint8_t bytes[PONY_TX_BATCH_MAX][PONY_MTU_MAX];
    struct pony_packet_out out[PONY_TX_BATCH_MAX];
    for (uint32_t i = 0; i < n; i++) {
        memset(bytes[i], (int)i + 1, lengths[i]);
        uint32_t head = base_min_u32(lengths[i], 40);
        out[i] = (struct pony_packet_out){.to = *to,
                                          .head = bytes[i],
                                          .head_len = head,
                                          .payload = bytes[i] + head,
                                          .payload_len = lengths[i] - head};
    }
    dev->ops->send(dev, out, n, 0);
    /* Nothing of ours may be looked at from here on. */
    memset(bytes, 0xee, sizeof(bytes));
}

static void send_lengths(struct snapd_dev *dev, const struct pony_addr *to, const uint32_t *lengths,
                         uint32_t n)
{
    assert_int_equal(dev->ops->room(dev, 0), PONY_TX_BATCH_MAX);
    send_packets(dev, to, lengths, n);
}

static void expect_lengths(struct snapd_dev *dev, const uint32_t *lengths, uint32_t n,
                           uint32_t at_a_time)
{
    for (uint32_t got = 0; got < n;) {
        struct pony_packet_in in[SNAPD_DEV_RX_MAX];
        uint32_t k = device_receive(dev, in, at_a_time);
        for (uint32_t i = 0; i < k; i++, got++) {
            assert_in_range(got, 0, n - 1);
            assert_int_equal(in[i].len, lengths[got]);
            for (uint32_t j = 0; j < in[i].len; j++) {
                assert_int_equal(in[i].data[j], got + 1);
            }
        }
    }
}

static void exchange(const uint32_t *lengths, uint32_t n, bool has_segmentation, uint32_t at_a_time)
{
    struct snapd_dev *a = open_dev("127.0.0.1:0", has_segmentation);
    struct snapd_dev *b = open_dev("127.0.0.1:0", has_segmentation);
    struct pony_addr to = device_address(b);
    send_lengths(a, &to, lengths, n);
    expect_lengths(b, lengths, n, at_a_time);
    assert_int_equal(device_counter(a, "udp_sent_packets"), n);
    assert_int_equal(device_counter(b, "udp_received_packets"), n);
    a->ops->destroy(a);
    b->ops->destroy(b);
}

static void fill(uint32_t *lengths, uint32_t n, uint32_t value)
{
    for (uint32_t i = 0; i < n; i++) {
        lengths[i] = value;
    }
}

static void equal_packets_leave_as_one_datagram_and_arrive_singly(void **state)
{
    (void)state;
    uint32_t lengths[PONY_TX_BATCH_MAX];
    fill(lengths, PONY_TX_BATCH_MAX, SIZE);
    struct snapd_dev *a = open_dev("127.0.0.1:0", true);
    struct snapd_dev *b = open_dev("127.0.0.1:0", true);
    struct pony_addr to = device_address(b);
    send_lengths(a, &to, lengths, PONY_TX_BATCH_MAX);
    expect_lengths(b, lengths, PONY_TX_BATCH_MAX, SNAPD_DEV_RX_MAX);
    assert_int_equal(device_counter(a, "udp_sent_datagrams"), 1);
    assert_int_equal(device_counter(a, "udp_send_calls"), 1);
    assert_int_equal(device_counter(b, "udp_received_datagrams"), 1);
    a->ops->destroy(a);
    b->ops->destroy(b);
}

static void runs_end_at_a_shorter_packet_and_before_a_longer_one(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {SIZE, SIZE, 500, SIZE, SIZE + 1, SIZE + 1, 1, 1, 700};
    exchange(lengths, BASE_ARRAY_LEN(lengths), true, SNAPD_DEV_RX_MAX);
}

static void packets_are_handed_out_in_any_portions(void **state)
{
    (void)state;
    uint32_t lengths[50];
    fill(lengths, 50, SIZE);
    lengths[49] = 3;
    exchange(lengths, 50, true, 1);
    exchange(lengths, 50, true, 7);
}

static void a_run_stays_below_the_longest_datagram(void **state)
{
    (void)state;
    uint32_t lengths[PONY_TX_BATCH_MAX];
    fill(lengths, PONY_TX_BATCH_MAX, PONY_MTU_MAX);
    exchange(lengths, PONY_TX_BATCH_MAX, true, SNAPD_DEV_RX_MAX);
}

static void without_segmentation_packets_travel_singly(void **state)
{
    (void)state;
    uint32_t lengths[20];
    fill(lengths, 20, SIZE);
    exchange(lengths, 20, false, SNAPD_DEV_RX_MAX);
}

/* A call for many that finds one looks twice. In the place of the device's socket a Unix one, which
 * has all at once. */
static void one_call_asks_for_as_many_datagrams_as_come(void **state)
{
    (void)state;
    struct snapd_dev *dev = open_dev("127.0.0.1:0", false);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    assert_true(dup2(pair[0], dev->ops->fd(dev)) >= 0);
    (void)close(pair[0]);
    for (uint32_t round = 1; round <= 2; round++) {
        static const uint32_t expected[] = {1, 2, 4, 8, 5, 0};
        for (uint32_t i = 0; i < 1 + 2 + 4 + 8 + 5; i++) {
            assert_int_equal(send(pair[1], "x", 1, 0), 1);
        }
        for (uint32_t i = 0; i < BASE_ARRAY_LEN(expected); i++) {
            struct pony_packet_in in[SNAPD_DEV_RX_MAX];
            assert_int_equal(dev->ops->receive(dev, in, SNAPD_DEV_RX_MAX, 0), expected[i]);
        }
        assert_int_equal(device_counter(dev, "udp_receive_calls"), 6 * round);
    }
    (void)close(pair[1]);
    dev->ops->destroy(dev);
}

static void peers_in_one_batch_each_get_theirs(void **state)
{
    (void)state;
    struct snapd_dev *a = open_dev("127.0.0.1:0", true);
    struct snapd_dev *b = open_dev("127.0.0.1:0", true);
    struct snapd_dev *c = open_dev("127.0.0.1:0", true);
    const uint8_t bytes[4] = {1, 2, 3, 4};
    struct pony_packet_out out[6];
    for (uint32_t i = 0; i < 6; i++) {
        out[i] = (struct pony_packet_out){
            .to = device_address(i < 3 ? b : c), .head = bytes, .head_len = sizeof(bytes)};
    }
    a->ops->send(a, out, 6, 0);
    struct pony_packet_in in[8];
    uint32_t n_b = 0;
    uint32_t n_c = 0;
    while (n_b < 3) {
        n_b += device_receive(b, in, 8);
    }
    while (n_c < 3) {
        n_c += device_receive(c, in, 8);
    }
    assert_int_equal(n_b, 3);
    assert_int_equal(n_c, 3);
    assert_int_equal(in[0].from.udp_port, a->ops->udp_port(a));
    assert_int_equal(device_counter(a, "udp_send_calls"), 1);
    a->ops->destroy(a);
    b->ops->destroy(b);
    c->ops->destroy(c);
}

static void dual_stack_sends_to_both_families(void **state)
{
    (void)state;
    struct snapd_dev *a = open_dev("*:0", true);
    struct snapd_dev *b = open_dev("*:0", true);
    struct pony_addr v4 = device_address(b);
    static const uint32_t length[] = {SIZE};
    send_lengths(a, &v4, length, 1);
    struct pony_packet_in in;
    assert_int_equal(device_receive(b, &in, 1), 1);
    assert_memory_equal(in.from.ip, v4.ip, 16);
    assert_true(in.ttl > 0);
    if (a->ops->address(a)[0] == '[') {
        struct pony_addr v6 = {.ip = {[15] = 1}, .udp_port = v4.udp_port};
        send_lengths(a, &v6, length, 1);
        assert_int_equal(device_receive(b, &in, 1), 1);
        assert_memory_equal(in.from.ip, v6.ip, 16);
        assert_true(in.ttl > 0);
    }
    a->ops->destroy(a);
    b->ops->destroy(b);
}

static void an_ipv4_socket_takes_no_ipv6_address_for_an_ipv4_one(void **state)
{
    (void)state;
    struct snapd_dev *a = open_dev("127.0.0.1:0", true);
    struct snapd_dev *b = open_dev("127.0.0.1:0", true);
    const uint32_t lengths[] = {SIZE};
    for (size_t i = 0; i < 12; i++) { /* the last four bytes alone would lead to b */
        struct pony_addr to = device_address(b);
        to.ip[i] ^= 0x10;
        send_lengths(a, &to, lengths, 1);
        assert_int_equal(device_counter(a, "udp_dropped_packets"), i + 1);
    }
    struct pony_addr to = device_address(b);
    send_lengths(a, &to, lengths, 1);
    expect_lengths(b, lengths, 1, SNAPD_DEV_RX_MAX);
    assert_int_equal(device_counter(b, "udp_received_packets"), 1);
    a->ops->destroy(a);
    b->ops->destroy(b);
}

static void a_port_where_nobody_listens_is_told_once(void **state)
{
    (void)state;
    struct snapd_dev *a = open_dev("127.0.0.1:0", true);
    struct snapd_dev *b = open_dev("127.0.0.1:0", true);
    struct pony_addr to = device_address(b);
    b->ops->destroy(b);
    static const uint32_t length[] = {SIZE};
    send_lengths(a, &to, length, 1);
    struct pollfd p = {.fd = a->ops->fd(a), .events = POLLIN};
    assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
    bool wants_write = true;
    assert_true(a->ops->set_asleep(a, true, &wants_write));
    assert_false(wants_write);
    struct pony_addr told;
    assert_true(a->ops->next_unreachable(a, &told));
    assert_true(pony_addr_equal(&told, &to));
    assert_false(a->ops->next_unreachable(a, &told));
    assert_int_equal(poll(&p, 1, 0), 0);
    a->ops->destroy(a);
}

/* Loopback never fills up. A connected Unix socket does, and ignores the names: put in the place
 * of the device's socket, it shows what happens then. */
static void a_full_socket_keeps_packets_aside_until_there_is_room(void **state)
{
    (void)state;
    struct snapd_dev *a = open_dev("127.0.0.1:0", false);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    int bytes = 65536;
    assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
    assert_true(dup2(pair[0], a->ops->fd(a)) >= 0);
    (void)close(pair[0]);
    struct pony_addr to = device_address(a);
    uint32_t lengths[PONY_TX_BATCH_MAX];
    fill(lengths, PONY_TX_BATCH_MAX, PONY_MTU_MAX);
    send_lengths(a, &to, lengths, PONY_TX_BATCH_MAX);
    assert_int_equal(a->ops->room(a, 0), 0);
    bool wants_write = false;
    (void)a->ops->set_asleep(a, true, &wants_write);
    assert_true(wants_write);
    assert_true(device_counter(a, "udp_stashed_packets") > 0);
    static uint8_t in[PONY_MTU_MAX + 1];
    for (uint32_t i = 0; i < PONY_TX_BATCH_MAX; i++) {
        assert_int_equal(recv(pair[1], in, sizeof(in), 0), PONY_MTU_MAX);
        assert_int_equal(in[0], i + 1);
        assert_int_equal(in[PONY_MTU_MAX - 1], i + 1);
        (void)a->ops->room(a, 0);
    }
    assert_int_equal(a->ops->room(a, 0), PONY_TX_BATCH_MAX);
    assert_int_equal(recv(pair[1], in, sizeof(in), 0), -1);
    (void)a->ops->set_asleep(a, true, &wants_write);
    assert_false(wants_write);
    assert_int_equal(device_counter(a, "udp_dropped_packets"), 0);
    (void)close(pair[1]);
    a->ops->destroy(a);
}

/* `listen` is every address; a peer reaches us at our second one. */
static void expect_answer_from_second(const char *listen)
{
    struct snapd_dev *a = open_dev(listen, true);
    struct snapd_dev *b = open_dev("127.0.0.1:0", true);
    struct pony_addr second = device_address(a);
    second.ip[15] = 2;
    static const uint32_t lengths[] = {SIZE, SIZE, 10};
    send_lengths(b, &second, lengths, 3);
    struct pony_packet_in in[4];
    for (uint32_t n = 0; n < 3;) {
        n += device_receive(a, in, 4);
    }
    send_lengths(a, &in[0].from, lengths, 3);
    send_lengths(a, &in[0].from, lengths, 1);
    for (uint32_t n = 0; n < 4;) {
        uint32_t k = device_receive(b, in, 4);
        for (uint32_t i = 0; i < k; i++, n++) {
            assert_true(pony_addr_equal(&in[i].from, &second));
        }
    }
    a->ops->destroy(a);
    b->ops->destroy(b);
}

static void answers_leave_from_the_address_that_was_reached(void **state)
{
    (void)state;
    expect_answer_from_second("*:0");
    expect_answer_from_second("0.0.0.0:0");
}

static void the_room_is_what_one_datagram_takes(void **state)
{
    (void)state;

    static const struct {
        uint32_t mtu, room;
    } cases[] = {{0, 64}, {1023, 64}, {1024, 63}, {1452, 45}, {9216, 7}};

    for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
        struct snapd_udp_config config = {.listen = "127.0.0.1:0",
                                          .has_segmentation = true,
                                          .buffer_bytes = 1 << 20,
                                          .mtu_bytes = cases[i].mtu};
        struct snapd_dev *a = NULL;
        assert_int_equal(snapd_udp_create(&config, &a), BASE_OK);
        struct snapd_dev *b = open_dev("127.0.0.1:0", true);
        assert_int_equal(a->ops->room(a, 0), cases[i].room);
        /* And that many do leave as one. */
        uint32_t lengths[PONY_TX_BATCH_MAX];
        fill(lengths, cases[i].room, cases[i].mtu != 0 ? cases[i].mtu : 100);
        struct pony_addr to = device_address(b);
        send_packets(a, &to, lengths, cases[i].room);
        expect_lengths(b, lengths, cases[i].room, SNAPD_DEV_RX_MAX);
        assert_int_equal(device_counter(a, "udp_sent_datagrams"), 1);
        a->ops->destroy(a);
        b->ops->destroy(b);
    }
}

static void a_port_in_use_is_named_in_the_note(void **state)
{
    (void)state;
    struct snapd_dev *a = open_dev("127.0.0.1:0", true);
    char listen[64];
    (void)snprintf(listen, sizeof(listen), "127.0.0.1:%u", a->ops->udp_port(a));
    struct snapd_udp_config config = {.listen = listen, .buffer_bytes = 65536};
    struct snapd_dev *b = NULL;
    assert_int_equal(snapd_udp_create(&config, &b), BASE_E_IN_USE);
    assert_non_null(strstr(base_error_last_note(), listen));
    assert_non_null(strstr(base_error_last_note(), "--listen"));
    a->ops->destroy(a);
}

static void addresses_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",          ":",          "*",         "*:",          "*:65536",
        "*:-1",      "*:1x",       "host:1",    "::1:4741",    "[::1]",
        "[::1:4741", "1.2.3:4741", "[*]x:4741", "1.2.3.4:4 1", "127.0.0.1:"};
    for (size_t i = 0; i < BASE_ARRAY_LEN(bad); i++) {
        struct snapd_udp_config config = {.listen = bad[i], .buffer_bytes = 65536};
        struct snapd_dev *dev = NULL;
        if (snapd_udp_create(&config, &dev) != BASE_E_INVALID) {
            fail_msg("\"%s\" was taken", bad[i]);
        }
    }
    struct snapd_udp_config past = {
        .listen = "127.0.0.1:65535", .port_offset = 1, .buffer_bytes = 65536};
    struct snapd_dev *dev = NULL;
    assert_int_equal(snapd_udp_create(&past, &dev), BASE_E_INVALID);
}

static void the_automatic_mtu_is_within_bounds(void **state)
{
    (void)state;
    assert_in_range(snapd_udp_auto_mtu(), PONY_MTU_MIN, PONY_MTU_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_packets_leave_as_one_datagram_and_arrive_singly),
        cmocka_unit_test(runs_end_at_a_shorter_packet_and_before_a_longer_one),
        cmocka_unit_test(packets_are_handed_out_in_any_portions),
        cmocka_unit_test(a_run_stays_below_the_longest_datagram),
        cmocka_unit_test(without_segmentation_packets_travel_singly),
        cmocka_unit_test(one_call_asks_for_as_many_datagrams_as_come),
        cmocka_unit_test(peers_in_one_batch_each_get_theirs),
        cmocka_unit_test(dual_stack_sends_to_both_families),
        cmocka_unit_test(an_ipv4_socket_takes_no_ipv6_address_for_an_ipv4_one),
        cmocka_unit_test(a_port_where_nobody_listens_is_told_once),
        cmocka_unit_test(a_full_socket_keeps_packets_aside_until_there_is_room),
        cmocka_unit_test(answers_leave_from_the_address_that_was_reached),
        cmocka_unit_test(the_room_is_what_one_datagram_takes),
        cmocka_unit_test(a_port_in_use_is_named_in_the_note),
        cmocka_unit_test(addresses_that_are_none_are_refused),
        cmocka_unit_test(the_automatic_mtu_is_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
