/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/compiler.h"
#include "snapd/device/udp_internal.h"
#include "tests/support/cmocka_all.h"
#include "tests/unit/snapd/device_rig.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/**
 * The socket of a UDP device that is connected to its busiest peer. Time is virtual.
 */

enum {
    SIZE = 100,
    ALL = UDP_CONN_VOTES
};

static uint64_t now_ns;

static struct snapd_dev *open_dev(const char *listen, bool is_connecting)
{
    struct snapd_udp_config config = {.listen = listen,
                                      .has_segmentation = true,
                                      .n_ports = 2,
                                      .is_connecting = is_connecting,
                                      .buffer_bytes = 1 << 20};
    now_ns += 2 * (uint64_t)UDP_CONN_PAUSE_NS;
    return device_open(&config);
}

static void send_hinted(struct snapd_dev *dev, const struct pony_addr *to, uint16_t hint)
{
    static const uint8_t bytes[SIZE];
    const struct pony_packet_out out = {
        .to = *to, .head = bytes, .head_len = SIZE, .src_port_hint = hint};
    dev->ops->send(dev, &out, 1, now_ns);
}

static void send_one(struct snapd_dev *dev, const struct pony_addr *to)
{
    send_hinted(dev, to, 0);
}

/* The next packet, which must come from there; by fd(), like an engine that sleeps. */
static struct pony_packet_in expect_from(struct snapd_dev *dev, const struct pony_addr *from)
{
    struct pony_packet_in in;
    bool wants_write = false;
    while (dev->ops->receive(dev, &in, 1, now_ns) == 0) {
        (void)dev->ops->set_asleep(dev, true, &wants_write);
        struct pollfd p = {.fd = dev->ops->fd(dev), .events = POLLIN};
        assert_int_equal(poll(&p, 1, 5000), 1);
        (void)dev->ops->set_asleep(dev, false, &wants_write);
    }
    assert_int_equal(in.len, SIZE);
    assert_true(pony_addr_equal(&in.from, from));
    return in;
}

/* `n` packets there, all read. */
static void send_and_read(struct snapd_dev *a, struct snapd_dev *b, const struct pony_addr *from,
                          uint32_t n)
{
    const struct pony_addr to = device_address(b);
    for (uint32_t i = 0; i < n; i++) {
        send_one(a, &to);
        (void)expect_from(b, from);
    }
}

/* b speaks first, so that a knows which of its addresses b knows. */
static void make_busy(struct snapd_dev *a, struct snapd_dev *b)
{
    const struct pony_addr at = device_address(a);
    const struct pony_addr from = device_address(b);
    uint64_t connects = device_counter(a, "udp_connects");
    send_one(b, &at);
    (void)expect_from(a, &from);
    send_and_read(a, b, &at, ALL);
    assert_int_equal(device_counter(a, "udp_connects"), connects + 1);
}

static void exchange_connected(const char *listen)
{
    struct snapd_dev *a = open_dev(listen, true);
    struct snapd_dev *b = open_dev("127.0.0.1:0", false);
    const struct pony_addr at = device_address(a);
    const struct pony_addr from = device_address(b);
    make_busy(a, b);
    uint64_t sent = device_counter(a, "udp_connected_packets");
    send_and_read(a, b, &at, 10);
    assert_int_equal(device_counter(a, "udp_connected_packets"), sent + 10);
    for (uint32_t i = 0; i < 10; i++) {
        send_one(b, &at);
        struct pony_packet_in in = expect_from(a, &from);
        assert_true(in.ttl > 0);
    }
    assert_int_equal(device_counter(a, "udp_connected_received_datagrams"), 10);
    assert_int_equal(device_counter(a, "udp_kernel_drops"), 0);
    a->ops->destroy(a);
    b->ops->destroy(b);
}

static void the_busiest_peer_has_a_socket_at_the_same_port(void **state)
{
    (void)state;
    exchange_connected("*:0");
    exchange_connected("0.0.0.0:0");
    exchange_connected("127.0.0.1:0");
}

static void an_ipv6_peer_has_one_too(void **state)
{
    (void)state;
    struct snapd_dev *a = open_dev("[::1]:0", true);
    struct snapd_dev *b = open_dev("[::1]:0", false);
    struct pony_addr at = {.ip = {[15] = 1}, .udp_port = a->ops->udp_port(a)};
    struct pony_addr from = {.ip = {[15] = 1}, .udp_port = b->ops->udp_port(b)};
    for (uint32_t i = 0; i < ALL + 2; i++) {
        send_one(a, &from);
        (void)expect_from(b, &at);
    }
    assert_int_equal(device_counter(a, "udp_connected_packets"), 2);
    send_one(b, &at);
    (void)expect_from(a, &from);
    assert_int_equal(device_counter(a, "udp_connected_received_datagrams"), 1);
    a->ops->destroy(a);
    b->ops->destroy(b);
}

static void it_takes_a_majority_of_so_many_packets(void **state)
{
    (void)state;
    struct snapd_dev *a = open_dev("127.0.0.1:0", true);
    struct snapd_dev *b = open_dev("127.0.0.1:0", false);
    struct snapd_dev *c = open_dev("127.0.0.1:0", false);
    const struct pony_addr at = device_address(a);
    for (uint32_t i = 0; i < 2 * ALL; i++) {
        send_and_read(a, b, &at, 1);
        send_and_read(a, c, &at, 1);
    }
    assert_int_equal(device_counter(a, "udp_connects"), 0);
    send_and_read(a, b, &at, ALL - 1);
    assert_int_equal(device_counter(a, "udp_connects"), 0);
    send_and_read(a, b, &at, 1);
    assert_int_equal(device_counter(a, "udp_connects"), 1);
    a->ops->destroy(a);
    b->ops->destroy(b);
    c->ops->destroy(c);
}

static void a_busier_peer_takes_it_but_not_at_once(void **state)
{
    (void)state;
    struct snapd_dev *a = open_dev("*:0", true);
    struct snapd_dev *b = open_dev("127.0.0.1:0", false);
    struct snapd_dev *c = open_dev("127.0.0.1:0", false);
    const struct pony_addr at = device_address(a);
    const struct pony_addr from_b = device_address(b);
    const struct pony_addr from_c = device_address(c);
    make_busy(a, b);
    uint64_t connected_ns = now_ns;
    send_one(c, &at);
    (void)expect_from(a, &from_c);
    now_ns = connected_ns + UDP_CONN_PAUSE_NS - 1;
    send_and_read(a, c, &at, 3 * ALL);
    assert_int_equal(device_counter(a, "udp_connects"), 1);
    /* What waits at the socket when it changes hands stays b's. */
    send_one(b, &at);
    now_ns++;
    send_and_read(a, c, &at, 2 * ALL);
    assert_int_equal(device_counter(a, "udp_connects"), 2);
    (void)expect_from(a, &from_b);
    send_one(b, &at);
    (void)expect_from(a, &from_b);
    send_one(c, &at);
    (void)expect_from(a, &from_c);
    a->ops->destroy(a);
    b->ops->destroy(b);
    c->ops->destroy(c);
}

/* Somebody else's packet waits at the main socket; the one of the peer at its own. */
static void strangers_wait_no_longer_than_the_bound(void **state)
{
    (void)state;
    struct snapd_dev *a = open_dev("127.0.0.1:0", true);
    struct snapd_dev *b = open_dev("127.0.0.1:0", false);
    struct snapd_dev *c = open_dev("127.0.0.1:0", false);
    const struct pony_addr at = device_address(a);
    const struct pony_addr from_b = device_address(b);
    const struct pony_addr from_c = device_address(c);
    struct pony_packet_in in[SNAPD_DEV_RX_MAX];
    make_busy(a, b);
    now_ns += UDP_WARM_NS;
    send_one(b, &at);
    (void)expect_from(a, &from_b);
    (void)a->ops->receive(a, in, 1, now_ns);
    send_one(c, &at);
    now_ns += UDP_LOOK_NS - 1;
    assert_int_equal(a->ops->receive(a, in, 1, now_ns), 0);
    now_ns++;
    assert_int_equal(a->ops->receive(a, in, 1, now_ns), 1);
    assert_true(pony_addr_equal(&in[0].from, &from_c));
    /* From now on at once. */
    send_one(c, &at);
    assert_int_equal(a->ops->receive(a, in, 1, now_ns), 1);
    a->ops->destroy(a);
    b->ops->destroy(b);
    c->ops->destroy(c);
}

static void a_peer_that_never_pauses_keeps_nobody_out(void **state)
{
    (void)state;
    struct snapd_dev *a = open_dev("127.0.0.1:0", true);
    struct snapd_dev *b = open_dev("127.0.0.1:0", false);
    struct snapd_dev *c = open_dev("127.0.0.1:0", false);
    const struct pony_addr at = device_address(a);
    const struct pony_addr from_b = device_address(b);
    const struct pony_addr from_c = device_address(c);
    struct pony_packet_in in[SNAPD_DEV_RX_MAX];
    make_busy(a, b);
    now_ns += UDP_WARM_NS;
    send_one(b, &at);
    (void)expect_from(a, &from_b);
    (void)a->ops->receive(a, in, 1, now_ns);
    send_one(c, &at);
    uint64_t sent_ns = now_ns;
    do {
        now_ns += 1000;
        send_one(b, &at);
        assert_int_equal(a->ops->receive(a, in, 1, now_ns), 1);
    } while (!pony_addr_equal(&in[0].from, &from_c));
    assert_int_equal(now_ns - sent_ns, UDP_LOOK_FIRST_NS);
    a->ops->destroy(a);
    b->ops->destroy(b);
    c->ops->destroy(c);
}

/* And what comes to either socket wakes: expect_from() sleeps. */
static void who_sleeps_is_woken_by_either_socket(void **state)
{
    (void)state;
    struct snapd_dev *a = open_dev("*:0", true);
    struct snapd_dev *b = open_dev("127.0.0.1:0", false);
    struct snapd_dev *c = open_dev("127.0.0.1:0", false);
    const struct pony_addr at = device_address(a);
    struct snapd_dev *const peers[] = {b, c, c, b};
    struct pollfd p = {.fd = a->ops->fd(a), .events = POLLIN};
    make_busy(a, b);
    for (uint32_t i = 0; i < BASE_ARRAY_LEN(peers); i++) {
        const struct pony_addr from = device_address(peers[i]);
        bool wants_write = true;
        assert_false(a->ops->set_asleep(a, true, &wants_write));
        assert_false(wants_write);
        assert_int_equal(poll(&p, 1, 0), 0);
        send_one(peers[i], &at);
        assert_int_equal(poll(&p, 1, 5000), 1);
        (void)a->ops->set_asleep(a, false, &wants_write);
        struct pony_packet_in in;
        assert_int_equal(a->ops->receive(a, &in, 1, now_ns), 1);
        assert_true(pony_addr_equal(&in.from, &from));
    }
    a->ops->destroy(a);
    b->ops->destroy(b);
    c->ops->destroy(c);
}

static void a_peer_that_is_gone_is_told_and_may_come_back(void **state)
{
    (void)state;
    struct snapd_dev *a = open_dev("127.0.0.1:0", true);
    struct snapd_dev *b = open_dev("127.0.0.1:0", false);
    const struct pony_addr at = device_address(a);
    const struct pony_addr from = device_address(b);
    char listen[SNAPD_DEV_ADDRESS_MAX];
    struct pony_addr told;
    bool wants_write = false;
    make_busy(a, b);
    (void)snprintf(listen, sizeof(listen), "127.0.0.1:%u", from.udp_port);
    b->ops->destroy(b);
    send_one(a, &from);
    struct pollfd p = {.fd = a->ops->fd(a), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_true(a->ops->set_asleep(a, true, &wants_write));
    assert_true(a->ops->next_unreachable(a, &told));
    assert_true(pony_addr_equal(&told, &from));
    /* The result of the call is the error as well; it is for the packet before. */
    send_one(a, &from);
    send_one(a, &from);
    assert_true(a->ops->next_unreachable(a, &told));
    assert_false(a->ops->next_unreachable(a, &told));
    b = open_dev(listen, false);
    send_and_read(a, b, &at, 1);
    send_one(b, &at);
    (void)expect_from(a, &from);
    assert_int_equal(device_counter(a, "udp_connects"), 1);
    assert_int_equal(device_counter(a, "udp_dropped_packets"), 0);
    a->ops->destroy(a);
    b->ops->destroy(b);
}

/* The kernel would answer from the first. */
static void a_peer_is_answered_from_the_address_it_reached(void **state)
{
    (void)state;
    struct snapd_dev *a = open_dev("*:0", true);
    struct snapd_dev *b = open_dev("127.0.0.1:0", false);
    struct pony_addr second = device_address(a);
    const struct pony_addr from = device_address(b);
    second.ip[15] = 2;
    make_busy(a, b);
    send_one(b, &second);
    (void)expect_from(a, &from);
    uint64_t sent = device_counter(a, "udp_connected_packets");
    now_ns += UDP_CONN_PAUSE_NS;
    send_and_read(a, b, &second, 2 * ALL);
    assert_int_equal(device_counter(a, "udp_connected_packets"), sent);
    assert_int_equal(device_counter(a, "udp_connects"), 1);
    a->ops->destroy(a);
    b->ops->destroy(b);
}

static void side_ports_stay_what_they_are(void **state)
{
    (void)state;
    struct snapd_dev *a = open_dev("127.0.0.1:0", true);
    struct snapd_dev *b = open_dev("127.0.0.1:0", false);
    const struct pony_addr to = device_address(b);
    struct pony_packet_in in;
    make_busy(a, b);
    send_hinted(a, &to, 1);
    assert_int_equal(device_receive(b, &in, 1), 1);
    assert_true(in.from.udp_port != a->ops->udp_port(a));
    assert_int_equal(device_counter(a, "udp_side_packets"), 1);
    a->ops->destroy(a);
    b->ops->destroy(b);
}

/* A connected Unix socket fills up, unlike loopback: in the place of the peer's. */
static void when_it_is_full_the_main_socket_takes_over(void **state)
{
    (void)state;
    struct snapd_dev *a = open_dev("127.0.0.1:0", true);
    struct snapd_dev *b = open_dev("127.0.0.1:0", false);
    const struct pony_addr at = device_address(a);
    const struct pony_addr to = device_address(b);
    int pair[2];
    int bytes = 4096;
    uint8_t packet[SIZE] = {0};
    make_busy(a, b);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
    while (send(pair[0], packet, sizeof(packet), MSG_NOSIGNAL) > 0) {
    }
    const struct snapd_udp *udp = base_container_of(a, struct snapd_udp, dev);
    assert_true(dup2(pair[0], udp->fds[UDP_CONN_V4]) >= 0);
    (void)close(pair[0]);
    send_one(a, &to);
    (void)expect_from(b, &at);
    assert_int_equal(device_counter(a, "udp_stashed_packets"), 0);
    /* And when it is broken. */
    (void)close(pair[1]);
    send_one(a, &to);
    (void)expect_from(b, &at);
    assert_int_equal(device_counter(a, "udp_dropped_packets"), 0);
    a->ops->destroy(a);
    b->ops->destroy(b);
}

static void nobody_else_can_bind_the_port(void **state)
{
    (void)state;
    static const int options[] = {SO_REUSEPORT, SO_REUSEADDR};
    struct snapd_dev *a = open_dev("*:0", true);
    struct snapd_dev *b = open_dev("127.0.0.1:0", false);
    make_busy(a, b);
    for (uint32_t i = 0; i < 4; i++) {
        struct sockaddr_in name = {.sin_family = AF_INET,
                                   .sin_port = htons(a->ops->udp_port(a)),
                                   .sin_addr.s_addr = htonl(i < 2 ? INADDR_ANY : INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        int on = 1;
        assert_int_equal(setsockopt(fd, SOL_SOCKET, options[i % 2], &on, sizeof(on)), 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), -1);
        (void)close(fd);
    }
    a->ops->destroy(a);
    b->ops->destroy(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_busiest_peer_has_a_socket_at_the_same_port),
        cmocka_unit_test(an_ipv6_peer_has_one_too),
        cmocka_unit_test(it_takes_a_majority_of_so_many_packets),
        cmocka_unit_test(a_busier_peer_takes_it_but_not_at_once),
        cmocka_unit_test(strangers_wait_no_longer_than_the_bound),
        cmocka_unit_test(a_peer_that_never_pauses_keeps_nobody_out),
        cmocka_unit_test(who_sleeps_is_woken_by_either_socket),
        cmocka_unit_test(a_peer_that_is_gone_is_told_and_may_come_back),
        cmocka_unit_test(a_peer_is_answered_from_the_address_it_reached),
        cmocka_unit_test(side_ports_stay_what_they_are),
        cmocka_unit_test(when_it_is_full_the_main_socket_takes_over),
        cmocka_unit_test(nobody_else_can_bind_the_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
