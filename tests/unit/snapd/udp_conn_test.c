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

/* The device that connects, and two peers of it. */
struct three {
    struct snapd_dev *a, *b, *c; /* b NULL: it is gone */
    struct pony_addr at_a, at_b, at_c;
};

static int open_three(void **state, const char *listen)
{
    static struct three three;
    three.a = open_dev(listen, true);
    three.b = open_dev("127.0.0.1:0", false);
    three.c = open_dev("127.0.0.1:0", false);
    three.at_a = device_address(three.a);
    three.at_b = device_address(three.b);
    three.at_c = device_address(three.c);
    *state = &three;
    return 0;
}

static int on_loopback(void **state)
{
    return open_three(state, "127.0.0.1:0");
}

static int on_any_address(void **state)
{
    return open_three(state, "*:0");
}

static int close_three(void **state)
{
    const struct three *three = *state;
    three->a->ops->destroy(three->a);
    if (three->b != NULL) {
        three->b->ops->destroy(three->b);
    }
    three->c->ops->destroy(three->c);
    return 0;
}

static void it_takes_a_majority_of_so_many_packets(void **state)
{
    const struct three *t = *state;
    for (uint32_t i = 0; i < 2 * ALL; i++) {
        send_and_read(t->a, t->b, &t->at_a, 1);
        send_and_read(t->a, t->c, &t->at_a, 1);
    }
    assert_int_equal(device_counter(t->a, "udp_connects"), 0);
    send_and_read(t->a, t->b, &t->at_a, ALL - 1);
    assert_int_equal(device_counter(t->a, "udp_connects"), 0);
    send_and_read(t->a, t->b, &t->at_a, 1);
    assert_int_equal(device_counter(t->a, "udp_connects"), 1);
}

static void a_busier_peer_takes_it_but_not_at_once(void **state)
{
    const struct three *t = *state;
    make_busy(t->a, t->b);
    uint64_t connected_ns = now_ns;
    send_one(t->c, &t->at_a);
    (void)expect_from(t->a, &t->at_c);
    now_ns = connected_ns + UDP_CONN_PAUSE_NS - 1;
    send_and_read(t->a, t->c, &t->at_a, 3 * ALL);
    assert_int_equal(device_counter(t->a, "udp_connects"), 1);
    /* What waits at the socket when it changes hands stays b's. */
    send_one(t->b, &t->at_a);
    now_ns++;
    send_and_read(t->a, t->c, &t->at_a, 2 * ALL);
    assert_int_equal(device_counter(t->a, "udp_connects"), 2);
    (void)expect_from(t->a, &t->at_b);
    send_one(t->b, &t->at_a);
    (void)expect_from(t->a, &t->at_b);
    send_one(t->c, &t->at_a);
    (void)expect_from(t->a, &t->at_c);
}

/* Somebody else's packet waits at the main socket; the one of the peer at its own. */
static void strangers_wait_no_longer_than_the_bound(void **state)
{
    const struct three *t = *state;
    struct pony_packet_in in[SNAPD_DEV_RX_MAX];
    make_busy(t->a, t->b);
    now_ns += UDP_WARM_NS;
    send_one(t->b, &t->at_a);
    (void)expect_from(t->a, &t->at_b);
    (void)t->a->ops->receive(t->a, in, 1, now_ns);
    send_one(t->c, &t->at_a);
    now_ns += UDP_LOOK_NS - 1;
    assert_int_equal(t->a->ops->receive(t->a, in, 1, now_ns), 0);
    now_ns++;
    assert_int_equal(t->a->ops->receive(t->a, in, 1, now_ns), 1);
    assert_true(pony_addr_equal(&in[0].from, &t->at_c));
    /* From now on at once. */
    send_one(t->c, &t->at_a);
    assert_int_equal(t->a->ops->receive(t->a, in, 1, now_ns), 1);
}

static void a_peer_that_never_pauses_keeps_nobody_out(void **state)
{
    const struct three *t = *state;
    struct pony_packet_in in[SNAPD_DEV_RX_MAX];
    make_busy(t->a, t->b);
    now_ns += UDP_WARM_NS;
    send_one(t->b, &t->at_a);
    (void)expect_from(t->a, &t->at_b);
    (void)t->a->ops->receive(t->a, in, 1, now_ns);
    send_one(t->c, &t->at_a);
    uint64_t sent_ns = now_ns;
    do {
        now_ns += 1000;
        send_one(t->b, &t->at_a);
        assert_int_equal(t->a->ops->receive(t->a, in, 1, now_ns), 1);
    } while (!pony_addr_equal(&in[0].from, &t->at_c));
    assert_int_equal(now_ns - sent_ns, UDP_LOOK_FIRST_NS);
}

/* And what comes to either socket wakes: expect_from() sleeps. */
static void who_sleeps_is_woken_by_either_socket(void **state)
{
    const struct three *t = *state;
    struct snapd_dev *const peers[] = {t->b, t->c, t->c, t->b};
    struct pollfd p = {.fd = t->a->ops->fd(t->a), .events = POLLIN};
    make_busy(t->a, t->b);
    for (uint32_t i = 0; i < BASE_ARRAY_LEN(peers); i++) {
        const struct pony_addr from = device_address(peers[i]);
        bool wants_write = true;
        assert_false(t->a->ops->set_asleep(t->a, true, &wants_write));
        assert_false(wants_write);
        assert_int_equal(poll(&p, 1, 0), 0);
        send_one(peers[i], &t->at_a);
        assert_int_equal(poll(&p, 1, 5000), 1);
        (void)t->a->ops->set_asleep(t->a, false, &wants_write);
        struct pony_packet_in in;
        assert_int_equal(t->a->ops->receive(t->a, &in, 1, now_ns), 1);
        assert_true(pony_addr_equal(&in.from, &from));
    }
}

static void a_peer_that_is_gone_is_told_and_may_come_back(void **state)
{
    struct three *t = *state;
    char listen[SNAPD_DEV_ADDRESS_MAX];
    struct pony_addr told;
    bool wants_write = false;
    make_busy(t->a, t->b);
    (void)snprintf(listen, sizeof(listen), "127.0.0.1:%u", t->at_b.udp_port);
    t->b->ops->destroy(t->b);
    t->b = NULL;
    send_one(t->a, &t->at_b);
    struct pollfd p = {.fd = t->a->ops->fd(t->a), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_true(t->a->ops->set_asleep(t->a, true, &wants_write));
    assert_true(t->a->ops->next_unreachable(t->a, &told));
    assert_true(pony_addr_equal(&told, &t->at_b));
    /* The result of the call is the error as well; it is for the packet before. */
    send_one(t->a, &t->at_b);
    send_one(t->a, &t->at_b);
    assert_true(t->a->ops->next_unreachable(t->a, &told));
    assert_false(t->a->ops->next_unreachable(t->a, &told));
    t->b = open_dev(listen, false);
    send_and_read(t->a, t->b, &t->at_a, 1);
    send_one(t->b, &t->at_a);
    (void)expect_from(t->a, &t->at_b);
    assert_int_equal(device_counter(t->a, "udp_connects"), 1);
    assert_int_equal(device_counter(t->a, "udp_dropped_packets"), 0);
}

/* The kernel would answer from the first. */
static void a_peer_is_answered_from_the_address_it_reached(void **state)
{
    const struct three *t = *state;
    struct pony_addr second = device_address(t->a);
    second.ip[15] = 2;
    make_busy(t->a, t->b);
    send_one(t->b, &second);
    (void)expect_from(t->a, &t->at_b);
    uint64_t sent = device_counter(t->a, "udp_connected_packets");
    now_ns += UDP_CONN_PAUSE_NS;
    send_and_read(t->a, t->b, &second, 2 * ALL);
    assert_int_equal(device_counter(t->a, "udp_connected_packets"), sent);
    assert_int_equal(device_counter(t->a, "udp_connects"), 1);
}

static void side_ports_stay_what_they_are(void **state)
{
    const struct three *t = *state;
    struct pony_packet_in in;
    make_busy(t->a, t->b);
    send_hinted(t->a, &t->at_b, 1);
    assert_int_equal(device_receive(t->b, &in, 1), 1);
    assert_true(in.from.udp_port != t->a->ops->udp_port(t->a));
    assert_int_equal(device_counter(t->a, "udp_side_packets"), 1);
}

/* A connected Unix socket fills up, unlike loopback: in the place of the peer's. */
static void when_it_is_full_the_main_socket_takes_over(void **state)
{
    const struct three *t = *state;
    int pair[2];
    int bytes = 4096;
    uint8_t packet[SIZE] = {0};
    make_busy(t->a, t->b);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
    while (send(pair[0], packet, sizeof(packet), MSG_NOSIGNAL) > 0) {
    }
    const struct snapd_udp *udp = base_container_of(t->a, struct snapd_udp, dev);
    assert_true(dup2(pair[0], udp->fds[UDP_CONN_V4]) >= 0);
    (void)close(pair[0]);
    send_one(t->a, &t->at_b);
    (void)expect_from(t->b, &t->at_a);
    assert_int_equal(device_counter(t->a, "udp_stashed_packets"), 0);
    /* And when it is broken. */
    (void)close(pair[1]);
    send_one(t->a, &t->at_b);
    (void)expect_from(t->b, &t->at_a);
    assert_int_equal(device_counter(t->a, "udp_dropped_packets"), 0);
}

static void nobody_else_can_bind_the_port(void **state)
{
    const struct three *t = *state;
    static const int options[] = {SO_REUSEPORT, SO_REUSEADDR};
    make_busy(t->a, t->b);
    for (uint32_t i = 0; i < 4; i++) {
        struct sockaddr_in name = {.sin_family = AF_INET,
                                   .sin_port = htons(t->a->ops->udp_port(t->a)),
                                   .sin_addr.s_addr = htonl(i < 2 ? INADDR_ANY : INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        int on = 1;
        assert_int_equal(setsockopt(fd, SOL_SOCKET, options[i % 2], &on, sizeof(on)), 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), -1);
        (void)close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_busiest_peer_has_a_socket_at_the_same_port),
        cmocka_unit_test(an_ipv6_peer_has_one_too),
        cmocka_unit_test_setup_teardown(it_takes_a_majority_of_so_many_packets, on_loopback,
                                        close_three),
        cmocka_unit_test_setup_teardown(a_busier_peer_takes_it_but_not_at_once, on_any_address,
                                        close_three),
        cmocka_unit_test_setup_teardown(strangers_wait_no_longer_than_the_bound, on_loopback,
                                        close_three),
        cmocka_unit_test_setup_teardown(a_peer_that_never_pauses_keeps_nobody_out, on_loopback,
                                        close_three),
        cmocka_unit_test_setup_teardown(who_sleeps_is_woken_by_either_socket, on_any_address,
                                        close_three),
        cmocka_unit_test_setup_teardown(a_peer_that_is_gone_is_told_and_may_come_back, on_loopback,
                                        close_three),
        cmocka_unit_test_setup_teardown(a_peer_is_answered_from_the_address_it_reached,
                                        on_any_address, close_three),
        cmocka_unit_test_setup_teardown(side_ports_stay_what_they_are, on_loopback, close_three),
        cmocka_unit_test_setup_teardown(when_it_is_full_the_main_socket_takes_over, on_loopback,
                                        close_three),
        cmocka_unit_test_setup_teardown(nobody_else_can_bind_the_port, on_any_address, close_three),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
