/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "tests/conformance/transport.h"

static void a_message_of_no_bytes_arrives(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig_must_send(a, 0, 0);
    rig_wait(rig, b->n_messages == 1);
    assert_int_equal(b->last_len, 0);
    rig_must_send(a, 0, 0);
    rig_must_send(a, 0, 0);
    rig_wait(rig, b->n_messages == 3);
}

static void every_size_around_a_boundary_arrives_whole(struct rig *rig)
{
    static const size_t near[] = {8,     16,    64,     4096,   16384,  65464,
                                  65472, 65536, 131072, 262144, 1 << 20};
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    uint32_t n = 0;
    for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++) {
        for (size_t len = near[i] - 8; len <= near[i] + 17; len++) {
            rig_must_send(a, n, len);
            n++;
            rig_wait(rig, b->n_messages == n);
            assert_int_equal(b->last_len, len);
            assert_int_equal(b->n_bad, 0);
        }
    }
}

static void many_sizes_in_a_row_arrive_once_each(struct rig *rig)
{
    enum {
        N = 20000
    };
    struct base_rng rng;
    base_rng_init(&rng, 42);
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig_count_ids(b, N);
    uint64_t n_bytes = 0;
    for (uint64_t id = 0; id < N; id++) {
        size_t len = 8 + (size_t)base_rng_below(&rng, base_rng_chance(&rng, 10000) ? 300000 : 700);
        while (rig_send(a, id, len) == BASE_AGAIN) {
            rig_turn(rig);
        }
        n_bytes += len;
    }
    rig_wait(rig, b->n_messages == N);
    assert_int_equal(b->n_bad, 0);
    assert_int_equal(b->n_bytes, n_bytes);
    for (uint64_t id = 0; id < N; id++) {
        assert_int_equal(b->seen[id], 1);
    }
}

static void the_longest_message_arrives_and_one_more_byte_is_refused(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    assert_int_equal(a->conn->ops->max_message(a->conn), RIG_MAX_MESSAGE_BYTES);
    assert_int_equal(b->conn->ops->max_message(b->conn), RIG_MAX_MESSAGE_BYTES);
    rig_must_send(a, 5, RIG_MAX_MESSAGE_BYTES);
    rig_wait(rig, b->n_messages == 1);
    assert_int_equal(b->last_len, RIG_MAX_MESSAGE_BYTES);
    assert_int_equal(b->last_id, 5);
    assert_int_equal(b->n_bad, 0);
    base_error_clear_note();
    assert_int_equal(rig_send(a, 6, (size_t)RIG_MAX_MESSAGE_BYTES + 1), BASE_E_LIMIT);
    assert_true(base_error_last_note()[0] != '\0');
    rig_must_send(a, 7, 8);
    rig_wait(rig, b->n_messages == 2);
}

static void small_messages_pass_a_long_one(struct rig *rig)
{
    enum {
        N = 100
    };
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig_must_send(a, 1000, RIG_MAX_MESSAGE_BYTES);
    rig_turn(rig);
    for (uint64_t id = 0; id < N; id++) {
        rig_must_send(a, id, 64);
    }
    /* The long one is the last to arrive whole. */
    rig_wait(rig, b->n_messages == N);
    assert_true(b->last_id < N);
    rig_wait(rig, b->n_messages == N + 1);
    assert_int_equal(b->last_id, 1000);
    assert_int_equal(b->n_bad, 0);
}

static void several_long_messages_share_the_way(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig_count_ids(b, 12);
    for (uint64_t id = 0; id < 12; id++) {
        while (rig_send(a, id, (1 << 20) + (size_t)id * 12345) == BASE_AGAIN) {
            rig_turn(rig);
        }
    }
    rig_wait(rig, b->n_messages == 12);
    assert_int_equal(b->n_bad, 0);
    for (int id = 0; id < 12; id++) {
        assert_int_equal(b->seen[id], 1);
    }
}

static void both_sides_send_at_once(struct rig *rig)
{
    enum {
        N = 3000
    };
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig_count_ids(a, N);
    rig_count_ids(b, N);
    uint64_t next_a = 0;
    uint64_t next_b = 0;
    while (next_a < N || next_b < N) {
        size_t len = 8 + (size_t)((next_a * 2654435761u) % 40000);
        bool is_full = true;
        if (next_a < N && rig_send(a, next_a, len) == BASE_OK) {
            next_a++;
            is_full = false;
        }
        if (next_b < N && rig_send(b, next_b, len / 3 + 8) == BASE_OK) {
            next_b++;
            is_full = false;
        }
        if (is_full || (next_a + next_b) % 7 == 0) {
            rig_turn(rig);
        }
    }
    rig_wait(rig, a->n_messages == N && b->n_messages == N);
    assert_int_equal(a->n_bad + b->n_bad, 0);
    for (uint64_t id = 0; id < N; id++) {
        assert_int_equal(a->seen[id], 1);
        assert_int_equal(b->seen[id], 1);
    }
}

static void an_abandoned_message_does_not_leave(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    static const size_t lens[] = {0, 100, 60000, 1 << 20};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct snapi_tx tx;
        assert_int_equal(a->ops->begin(a->conn, lens[i], &tx), BASE_OK);
        a->ops->abandon(a->conn, &tx);
        rig_must_send(a, i, 32);
    }
    rig_wait(rig, b->n_messages == 4);
    assert_int_equal(b->n_bytes, 4 * 32);
    assert_int_equal(b->n_bad, 0);
}

static void a_message_may_be_sent_shorter_than_begun(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    static const size_t lens[][2] = {{100, 0},         {100, 3},         {60000, 9},
                                     {1 << 20, 70000}, {1 << 20, 65536}, {1 << 20, 100},
                                     {1 << 20, 0}};
    uint32_t n = 0;
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct snapi_tx tx;
        assert_int_equal(a->ops->begin(a->conn, lens[i][0], &tx), BASE_OK);
        for (size_t at = 0; at < lens[i][0]; at++) {
            tx.data[at] = 0;
        }
        tx.len = lens[i][1];
        a->ops->send(a->conn, &tx, 1);
        n++;
        rig_wait(rig, b->n_messages == n);
        assert_int_equal(b->last_len, lens[i][1]);
        rig_must_send(a, n, 64);
        n++;
        rig_wait(rig, b->n_messages == n);
        assert_int_equal(b->last_id, n - 1);
    }
}

static void several_may_be_begun_and_sent_in_another_order(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    struct snapi_tx first, second;
    assert_int_equal(a->ops->begin(a->conn, 16, &first), BASE_OK);
    assert_int_equal(a->ops->begin(a->conn, 24, &second), BASE_OK);
    for (size_t at = 0; at < 16; at++) {
        first.data[at] = 1;
    }
    for (size_t at = 0; at < 24; at++) {
        second.data[at] = 2;
    }
    a->ops->send(a->conn, &second, 2);
    a->ops->send(a->conn, &first, 1);
    rig_wait(rig, b->n_messages == 2);
    assert_int_equal(b->n_bytes, 40);
}

#define CASE(name) \
    { \
#        name, name \
    }
const struct transport_case transport_message_cases[] = {
    CASE(a_message_of_no_bytes_arrives),
    CASE(every_size_around_a_boundary_arrives_whole),
    CASE(many_sizes_in_a_row_arrive_once_each),
    CASE(the_longest_message_arrives_and_one_more_byte_is_refused),
    CASE(small_messages_pass_a_long_one),
    CASE(several_long_messages_share_the_way),
    CASE(both_sides_send_at_once),
    CASE(an_abandoned_message_does_not_leave),
    CASE(a_message_may_be_sent_shorter_than_begun),
    CASE(several_may_be_begun_and_sent_in_another_order),
    {NULL, NULL},
};
