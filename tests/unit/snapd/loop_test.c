/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/device/loop.h"

#include "base/compiler.h"
#include "tests/support/cmocka_all.h"
#include "tests/unit/snapd/device_rig.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

enum {
    MTU = 1500,
    SLOTS = 8,
    PORT = 4741
};

struct pair {
    struct snapd_loop_fabric *fabric;
    struct snapd_waker wakers[2];
    struct snapd_dev *devs[2];
};

static int make_pair(void **state)
{
    static struct pair pair;
    struct snapd_loop_config config = {.n_engines = 2, .mtu_bytes = MTU, .slots = SLOTS};
    assert_int_equal(snapd_loop_fabric_create(&config, &pair.fabric), BASE_OK);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(snapd_waker_init(&pair.wakers[i]), BASE_OK);
        assert_int_equal(
            snapd_loop_create(pair.fabric, i, (uint16_t)(PORT + i), &pair.wakers[i], &pair.devs[i]),
            BASE_OK);
    }
    *state = &pair;
    return 0;
}

static int free_pair(void **state)
{
    struct pair *pair = *state;
    for (uint32_t i = 0; i < 2; i++) {
        pair->devs[i]->ops->destroy(pair->devs[i]);
        snapd_waker_fini(&pair->wakers[i]);
    }
    snapd_loop_fabric_destroy(pair->fabric);
    return 0;
}

static struct pony_packet_out packet(const uint8_t *head, uint32_t head_len, const uint8_t *payload,
                                     uint32_t payload_len)
{
    return (struct pony_packet_out){.to = {.ip = {[15] = 1}, .udp_port = PORT + 1},
                                    .head = head,
                                    .head_len = head_len,
                                    .payload = payload,
                                    .payload_len = payload_len};
}

static void a_packet_arrives_whole_with_the_way_back(void **state)
{
    struct pair *pair = *state;
    struct pony_packet_out p = packet((const uint8_t *)"head", 4, (const uint8_t *)"payload", 7);
    pair->devs[0]->ops->send(pair->devs[0], &p, 1, 0);
    struct pony_packet_in in[4];
    assert_int_equal(pair->devs[1]->ops->receive(pair->devs[1], in, 4, 55), 1);
    assert_int_equal(in[0].len, 11);
    assert_memory_equal(in[0].data, "headpayload", 11);
    assert_int_equal(in[0].from.udp_port, PORT);
    assert_memory_equal(in[0].from.ip, p.to.ip, 16);
    assert_int_equal(in[0].rx_ns, 55);
    assert_int_equal(pair->devs[1]->ops->receive(pair->devs[1], in, 4, 56), 0);
}

static void a_full_ring_loses_what_is_too_much(void **state)
{
    struct pair *pair = *state;
    struct pony_packet_out p = packet((const uint8_t *)"x", 1, NULL, 0);
    for (uint32_t i = 0; i < SLOTS + 1; i++) {
        pair->devs[0]->ops->send(pair->devs[0], &p, 1, 0);
    }
    assert_int_equal(device_counter(pair->devs[0], "loop_sent_packets"), SLOTS);
    assert_int_equal(device_counter(pair->devs[0], "loop_dropped_packets"), 1);
    struct pony_packet_in in[SLOTS + 1];
    assert_int_equal(pair->devs[1]->ops->receive(pair->devs[1], in, SLOTS + 1, 0), SLOTS);
    /* The buffers are the receiver's until it asks again. */
    pair->devs[0]->ops->send(pair->devs[0], &p, 1, 0);
    assert_int_equal(device_counter(pair->devs[0], "loop_dropped_packets"), 2);
    assert_int_equal(pair->devs[1]->ops->receive(pair->devs[1], in, SLOTS + 1, 0), 0);
    pair->devs[0]->ops->send(pair->devs[0], &p, 1, 0);
    assert_int_equal(device_counter(pair->devs[0], "loop_dropped_packets"), 2);
}

static void the_longest_packet_fits_and_a_longer_one_does_not(void **state)
{
    struct pair *pair = *state;
    static uint8_t bytes[MTU + 1];
    struct pony_packet_out fits = packet(bytes, 100, bytes, MTU - 100);
    struct pony_packet_out long_one = packet(bytes, 100, bytes, MTU - 99);
    struct pony_packet_out wraps = packet(bytes, 100, bytes, UINT32_MAX - 50);
    pair->devs[0]->ops->send(pair->devs[0], &fits, 1, 0);
    pair->devs[0]->ops->send(pair->devs[0], &long_one, 1, 0);
    pair->devs[0]->ops->send(pair->devs[0], &wraps, 1, 0);
    assert_int_equal(device_counter(pair->devs[0], "loop_sent_packets"), 1);
    assert_int_equal(device_counter(pair->devs[0], "loop_dropped_packets"), 2);
}

static void ports_of_strangers_and_our_own_are_not_siblings(void **state)
{
    struct pair *pair = *state;
    assert_true(snapd_loop_has_port(pair->devs[0], PORT + 1));
    assert_false(snapd_loop_has_port(pair->devs[0], PORT));
    assert_false(snapd_loop_has_port(pair->devs[0], PORT + 2));
}

static void a_sleeping_receiver_is_woken_and_one_that_is_up_is_not(void **state)
{
    struct pair *pair = *state;
    struct pony_packet_out p = packet((const uint8_t *)"x", 1, NULL, 0);
    pair->devs[0]->ops->send(pair->devs[0], &p, 1, 0);
    assert_int_equal(base_eventfd_drain(pair->wakers[1].fd), 0);
    bool wants_write = true;
    snapd_waker_set_asleep(&pair->wakers[1], true);
    assert_true(pair->devs[1]->ops->set_asleep(pair->devs[1], true, &wants_write));
    assert_false(wants_write);
    pair->devs[0]->ops->send(pair->devs[0], &p, 1, 0);
    assert_int_equal(base_eventfd_drain(pair->wakers[1].fd), 1);
}

enum {
    N_THROUGH = 4000
};

static void *produce(void *arg)
{
    struct pair *pair = arg;
    for (uint32_t i = 0; i < N_THROUGH;) {
        struct pony_packet_out p = packet((const uint8_t *)&i, sizeof(i), NULL, 0);
        uint64_t before = device_counter(pair->devs[0], "loop_sent_packets");
        pair->devs[0]->ops->send(pair->devs[0], &p, 1, 0);
        if (device_counter(pair->devs[0], "loop_sent_packets") != before) {
            i++;
        } else {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void two_threads_pass_packets_in_order(void **state)
{
    struct pair *pair = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, produce, pair), 0);
    for (uint32_t expected = 0; expected < N_THROUGH;) {
        struct pony_packet_in in[5];
        uint32_t n = pair->devs[1]->ops->receive(pair->devs[1], in, 5, 0);
        for (uint32_t i = 0; i < n; i++, expected++) {
            uint32_t number;
            memcpy(&number, in[i].data, sizeof(number));
            assert_int_equal(number, expected);
        }
        if (n == 0) {
            (void)sched_yield();
        }
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_pair, free_pair)
        T(a_packet_arrives_whole_with_the_way_back),
        T(a_full_ring_loses_what_is_too_much),
        T(the_longest_packet_fits_and_a_longer_one_does_not),
        T(ports_of_strangers_and_our_own_are_not_siblings),
        T(a_sleeping_receiver_is_woken_and_one_that_is_up_is_not),
        T(two_threads_pass_packets_in_order),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
