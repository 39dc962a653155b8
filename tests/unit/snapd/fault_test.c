/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/device/fault.h"

#include "base/compiler.h"
#include "tests/support/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

enum {
    N_PACKETS = 20000
};

/* A device that keeps what it is sent: the number in the first four bytes. */
struct sink {
    struct snapd_dev dev;
    uint32_t n;
    uint32_t numbers[2 * N_PACKETS + 1];
    uint32_t damaged;
};

static void sink_destroy(struct snapd_dev *dev)
{
    (void)dev;
}

static uint32_t sink_room(struct snapd_dev *dev, uint64_t now_ns)
{
    (void)dev;
    (void)now_ns;
    return PONY_TX_BATCH_MAX;
}

static void sink_send(struct snapd_dev *dev, const struct pony_packet_out *packets, uint32_t n,
                      uint64_t now_ns)
{
    (void)now_ns;
    struct sink *sink = base_container_of(dev, struct sink, dev);
    assert_in_range(n, 1, PONY_TX_BATCH_MAX);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t bytes[8];
        assert_int_equal(packets[i].head_len + packets[i].payload_len, sizeof(bytes));
        memcpy(bytes, packets[i].head, packets[i].head_len);
        if (packets[i].payload_len > 0) {
            memcpy(bytes + packets[i].head_len, packets[i].payload, packets[i].payload_len);
        }
        uint32_t number;
        uint32_t copy;
        memcpy(&number, bytes, 4);
        memcpy(&copy, bytes + 4, 4);
        sink->damaged += number != ~copy;
        sink->numbers[sink->n++] = number;
    }
}

static uint64_t sink_deadline(const struct snapd_dev *dev)
{
    (void)dev;
    return UINT64_MAX;
}

static const struct snapd_dev_ops sink_ops = {
    .name = "sink",
    .destroy = sink_destroy,
    .room = sink_room,
    .send = sink_send,
    .next_deadline_ns = sink_deadline,
};

static struct sink sink;

/* Sends numbers 0..n-1 one by one, a microsecond apart, then waits until nothing is held. */
static void run(const struct snapd_fault_config *config)
{
    memset(&sink, 0, sizeof(sink));
    sink.dev.ops = &sink_ops;
    struct snapd_dev *dev = NULL;
    assert_int_equal(snapd_fault_create(config, &sink.dev, &dev), BASE_OK);
    uint64_t now_ns = 1;
    for (uint32_t i = 0; i < N_PACKETS; i++, now_ns += 1000) {
        uint32_t inverse = ~i;
        struct pony_packet_out p = {.head = (const uint8_t *)&i,
                                    .head_len = 4,
                                    .payload = (const uint8_t *)&inverse,
                                    .payload_len = 4};
        assert_int_equal(dev->ops->room(dev, now_ns), PONY_TX_BATCH_MAX);
        dev->ops->send(dev, &p, 1, now_ns);
    }
    while ((now_ns = dev->ops->next_deadline_ns(dev)) != UINT64_MAX) {
        (void)dev->ops->room(dev, now_ns);
    }
    dev->ops->destroy(dev);
}

/* Places where a number is followed by a smaller one. */
static uint32_t descents(void)
{
    uint32_t n = 0;
    for (uint32_t i = 1; i < sink.n; i++) {
        n += sink.numbers[i] < sink.numbers[i - 1];
    }
    return n;
}

static void without_faults_everything_passes_in_order(void **state)
{
    (void)state;
    run(&(struct snapd_fault_config){.seed = 1});
    assert_int_equal(sink.n, N_PACKETS);
    assert_int_equal(sink.damaged, 0);
    assert_int_equal(descents(), 0);
}

/* 5 sigma of 20,000 draws: 1 % +- 0.35 %, 10 % +- 1.06 %, 30 % +- 1.62 %. */
static void drops_as_many_as_asked(void **state)
{
    (void)state;

    static const struct {
        uint32_t ppm, low, high;
    } cases[] = {{10000, 130, 270}, {100000, 1788, 2212}, {300000, 5676, 6324}};

    for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
        run(&(struct snapd_fault_config){.drop_ppm = cases[i].ppm, .seed = 7 + i});
        assert_in_range(N_PACKETS - sink.n, cases[i].low, cases[i].high);
        assert_int_equal(sink.damaged, 0);
    }
}

static void duplicates_as_many_as_asked(void **state)
{
    (void)state;
    run(&(struct snapd_fault_config){.duplicate_ppm = 100000, .seed = 3});
    assert_in_range(sink.n, N_PACKETS + 1788, N_PACKETS + 2212);
}

static void reordered_packets_arrive_later_and_none_is_lost(void **state)
{
    (void)state;
    run(&(struct snapd_fault_config){.reorder_ppm = 100000, .seed = 4});
    assert_int_equal(sink.n, N_PACKETS);
    assert_in_range(descents(), 1000, 2212);
    for (uint32_t i = 0; i < sink.n; i++) {
        /* Overtaken by at most 8 that came later, each of which may have been held too. */
        assert_in_range(sink.numbers[i] + 2 * SNAPD_FAULT_OVERTAKE, i,
                        i + 4 * SNAPD_FAULT_OVERTAKE);
    }
}

static void corrupted_packets_differ_and_keep_their_length(void **state)
{
    (void)state;
    run(&(struct snapd_fault_config){.corrupt_ppm = 100000, .seed = 5});
    assert_int_equal(sink.n, N_PACKETS);
    assert_in_range(sink.damaged, 1788, 2212);
}

static void delayed_packets_come_when_their_time_is_there(void **state)
{
    (void)state;
    run(&(struct snapd_fault_config){.delay_ppm = 10000, .delay_ns = 50000, .seed = 6});
    assert_int_equal(sink.n, N_PACKETS);
    assert_true(descents() > 50);
}

static void the_same_seed_gives_the_same_fate(void **state)
{
    (void)state;
    static struct sink first;
    struct snapd_fault_config config = {.drop_ppm = 50000,
                                        .duplicate_ppm = 50000,
                                        .reorder_ppm = 50000,
                                        .corrupt_ppm = 50000,
                                        .seed = 99};
    run(&config);
    first = sink;
    run(&config);
    assert_int_equal(sink.n, first.n);
    assert_memory_equal(sink.numbers, first.numbers, sizeof(sink.numbers));
    config.seed = 100;
    run(&config);
    assert_memory_not_equal(sink.numbers, first.numbers, sizeof(sink.numbers));
}

static void all_dropped_is_possible(void **state)
{
    (void)state;
    run(&(struct snapd_fault_config){.drop_ppm = 1000000, .seed = 8});
    assert_int_equal(sink.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_faults_everything_passes_in_order),
        cmocka_unit_test(drops_as_many_as_asked),
        cmocka_unit_test(duplicates_as_many_as_asked),
        cmocka_unit_test(reordered_packets_arrive_later_and_none_is_lost),
        cmocka_unit_test(corrupted_packets_differ_and_keep_their_length),
        cmocka_unit_test(delayed_packets_come_when_their_time_is_there),
        cmocka_unit_test(the_same_seed_gives_the_same_fate),
        cmocka_unit_test(all_dropped_is_possible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
