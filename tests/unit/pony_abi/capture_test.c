/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/abi/capture.h"

#include "base/endian.h"
#include "tests/support/cmocka_all.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLOTS = 64,
    SNAP = 100,
    THREADED = 200000
};

struct rig {
    struct shm_capture_sizes sizes;
    void *records;
    void *cursors;
    struct shm_capture_writer writers[2];
    struct shm_capture_reader readers[2];
};

static void *zeroed(uint64_t bytes)
{
    void *at = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(at);
    memset(at, 0, bytes);
    return at;
}

static int make_rig(void **state)
{
    static struct rig rig;
    rig.sizes = (struct shm_capture_sizes){
        .n_rings = 2, .slots = SLOTS, .slot_bytes = 192, .snap_bytes = SNAP};
    assert_true(shm_capture_sizes_are_good(&rig.sizes));
    rig.records = zeroed(shm_capture_records_bytes(&rig.sizes));
    rig.cursors = zeroed(shm_capture_cursors_bytes(&rig.sizes));
    for (uint32_t i = 0; i < 2; i++) {
        shm_capture_writer_init(&rig.writers[i], &rig.sizes, i, rig.records, rig.cursors);
        assert_int_equal(
            shm_capture_reader_init(&rig.readers[i], &rig.sizes, i, rig.records, rig.cursors),
            BASE_OK);
    }
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

/* A packet whose bytes say its number. */
static void put(struct shm_capture_writer *writer, uint32_t number)
{
    uint8_t head[4];
    base_store_u32(head, number);
    const struct shm_capture_packet packet = {.time_ns = number, .flags = SHM_CAPTURE_OUT};
    const struct shm_capture_bytes bytes = {.head = head, .head_len = sizeof(head)};
    shm_capture_put(writer, &packet, &bytes);
}

static void take(struct shm_capture_reader *reader, uint32_t number)
{
    struct shm_capture_packet packet;
    const uint8_t *bytes = NULL;
    assert_int_equal(shm_capture_peek(reader, &packet, &bytes), BASE_OK);
    assert_int_equal(packet.time_ns, number);
    assert_int_equal(packet.bytes, 4);
    assert_int_equal(packet.kept_bytes, 4);
    assert_int_equal(base_load_u32(bytes), number);
    shm_capture_consume(reader);
}

static void assert_empty(struct shm_capture_reader *reader)
{
    struct shm_capture_packet packet;
    const uint8_t *bytes = NULL;
    assert_int_equal(shm_capture_peek(reader, &packet, &bytes), BASE_AGAIN);
}

static void nothing_is_seen_before_it_is_published(void **state)
{
    struct rig *rig = *state;
    put(&rig->writers[0], 1);
    assert_empty(&rig->readers[0]);
    shm_capture_publish(&rig->writers[0]);
    take(&rig->readers[0], 1);
    assert_empty(&rig->readers[0]);
    assert_empty(&rig->readers[1]);
}

static void a_full_ring_counts_what_it_misses(void **state)
{
    struct rig *rig = *state;
    for (uint32_t i = 0; i < SLOTS + 3; i++) {
        put(&rig->writers[1], i);
    }
    shm_capture_publish(&rig->writers[1]);
    assert_int_equal(shm_capture_missed(&rig->readers[1]), 3);
    assert_int_equal(shm_capture_missed(&rig->readers[0]), 0);
    take(&rig->readers[1], 0);
    put(&rig->writers[1], 1000);
    put(&rig->writers[1], 1001);
    shm_capture_publish(&rig->writers[1]);
    assert_int_equal(shm_capture_missed(&rig->readers[1]), 4);
    for (uint32_t i = 1; i < SLOTS; i++) {
        take(&rig->readers[1], i);
    }
    take(&rig->readers[1], 1000);
    assert_empty(&rig->readers[1]);
}

static void cursors_wrap(void **state)
{
    struct rig *rig = *state;
    struct shm_capture_writer *w = &rig->writers[0];
    struct shm_capture_reader *r = &rig->readers[0];
    const uint32_t start = UINT32_MAX - SLOTS / 2;
    struct shm_capture_cursor *cursor = rig->cursors;
    w->tail = w->tail_published = w->head_seen = start;
    r->head = r->tail_seen = start;
    atomic_store(&w->ring->tail, start);
    atomic_store(&cursor->head, start);
    for (uint32_t i = 0; i < 3 * SLOTS; i++) {
        put(w, i);
        shm_capture_publish(w);
        take(r, i);
    }
    assert_int_equal(w->n_missed, 0);
}

static void packets_are_cut_at_the_snap_length(void **state)
{
    struct rig *rig = *state;
    uint8_t head[SNAP + 1];
    uint8_t payload[SNAP];
    memset(head, 'h', sizeof(head));
    memset(payload, 'p', sizeof(payload));
    for (uint32_t n = SNAP - 1; n <= SNAP + 1; n++) {
        const struct shm_capture_packet about = {.time_ns = n};
        const struct shm_capture_bytes bytes = {
            .head = head, .head_len = n, .payload = payload, .payload_len = sizeof(payload)};
        shm_capture_put(&rig->writers[0], &about, &bytes);
        shm_capture_publish(&rig->writers[0]);
        struct shm_capture_packet packet;
        const uint8_t *at = NULL;
        assert_int_equal(shm_capture_peek(&rig->readers[0], &packet, &at), BASE_OK);
        assert_int_equal(packet.bytes, n + sizeof(payload));
        assert_int_equal(packet.kept_bytes, SNAP);
        assert_int_equal(at[SNAP - 1], n < SNAP ? 'p' : 'h');
        shm_capture_consume(&rig->readers[0]);
    }
}

static void a_reader_that_lies_misses_packets_and_no_more(void **state)
{
    struct rig *rig = *state;
    struct shm_capture_cursor *cursor = rig->cursors;
    static const uint32_t lies[] = {UINT32_MAX, SLOTS + 1, 1u << 31, SLOTS * 2};
    for (uint32_t i = 0; i < SLOTS; i++) {
        put(&rig->writers[0], i);
    }
    shm_capture_publish(&rig->writers[0]);
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        atomic_store(&cursor[0].head, lies[i]);
        put(&rig->writers[0], 7);
        assert_int_equal(rig->writers[0].n_missed, i + 1);
        assert_int_equal(rig->writers[0].tail, SLOTS);
    }
    put(&rig->writers[1], 5);
    shm_capture_publish(&rig->writers[1]);
    take(&rig->readers[1], 5);
}

static void a_reader_refuses_what_cannot_be(void **state)
{
    struct rig *rig = *state;
    struct shm_capture_packet packet;
    const uint8_t *bytes = NULL;
    atomic_store(&rig->writers[0].ring->tail, SLOTS + 1);
    assert_int_equal(shm_capture_peek(&rig->readers[0], &packet, &bytes), BASE_E_PEER);
    put(&rig->writers[1], 5);
    shm_capture_publish(&rig->writers[1]);
    struct shm_capture_packet *slot = (void *)rig->writers[1].slots;
    slot->kept_bytes = SNAP + 1;
    slot->bytes = SNAP + 1;
    assert_int_equal(shm_capture_peek(&rig->readers[1], &packet, &bytes), BASE_E_PEER);
    slot->kept_bytes = 5;
    slot->bytes = 4;
    assert_int_equal(shm_capture_peek(&rig->readers[1], &packet, &bytes), BASE_E_PEER);
}

static void sizes_have_bounds(void **state)
{
    struct rig *rig = *state;
    const struct shm_capture_sizes good = rig->sizes;
#define REFUSED(field, value) \
    do { \
        struct shm_capture_sizes s = good; \
        s.field = (value); \
        assert_false(shm_capture_sizes_are_good(&s)); \
    } while (0)
    REFUSED(n_rings, 0);
    REFUSED(n_rings, SHM_CAPTURE_RINGS_MAX + 1);
    REFUSED(slots, 0);
    REFUSED(slots, SLOTS / 2);
    REFUSED(slots, SLOTS + 1);
    REFUSED(slots, SHM_CAPTURE_SLOTS_MAX * 2);
    REFUSED(snap_bytes, 0);
    REFUSED(snap_bytes, 192 - 64 + 1);
    REFUSED(snap_bytes, UINT32_MAX);
    REFUSED(slot_bytes, 191);
    REFUSED(slot_bytes, 128);
    REFUSED(slot_bytes, SHM_CAPTURE_SNAP_MAX + 128);
#undef REFUSED
    struct shm_capture_sizes other = good;
    other.slots *= 2;
    struct shm_capture_reader reader;
    assert_int_equal(shm_capture_reader_init(&reader, &other, 0, rig->records, rig->cursors),
                     BASE_E_MALFORMED);
    assert_int_equal(shm_capture_reader_init(&reader, &good, 2, rig->records, rig->cursors),
                     BASE_E_MALFORMED);
}

static void *write_many(void *arg)
{
    struct shm_capture_writer *w = arg;
    for (uint32_t i = 0; i < THREADED; i++) {
        put(w, i);
        if (i % 7 == 0) {
            shm_capture_publish(w);
            (void)sched_yield();
        }
    }
    shm_capture_end(w);
    return NULL;
}

static void what_is_read_while_it_is_written_is_whole_and_in_order(void **state)
{
    struct rig *rig = *state;
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, write_many, &rig->writers[0]), 0);
    uint64_t n = 0;
    uint64_t next = 0;
    for (bool is_over = false; !is_over;) {
        is_over = shm_capture_is_over(&rig->readers[0]);
        struct shm_capture_packet packet;
        const uint8_t *bytes = NULL;
        while (shm_capture_peek(&rig->readers[0], &packet, &bytes) == BASE_OK) {
            assert_true(packet.time_ns >= next);
            assert_int_equal(base_load_u32(bytes), packet.time_ns);
            next = packet.time_ns + 1;
            shm_capture_consume(&rig->readers[0]);
            n++;
        }
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_int_equal(n + shm_capture_missed(&rig->readers[0]), THREADED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_rig, free_rig)
        T(nothing_is_seen_before_it_is_published),
        T(a_full_ring_counts_what_it_misses),
        T(cursors_wrap),
        T(packets_are_cut_at_the_snap_length),
        T(a_reader_that_lies_misses_packets_and_no_more),
        T(a_reader_refuses_what_cannot_be),
        T(sizes_have_bounds),
        T(what_is_read_while_it_is_written_is_whole_and_in_order),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
