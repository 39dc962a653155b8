/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pony_protocol/pair.h"
#include "transport/pony/protocol/state.h"

#include <string.h>

/* PX-61, PX-62, PX-72: a peer that holds a real flow and sends what it must not. */

struct script {
    struct pair *pair;
    struct pony_engine *engine; /* of the server */
    struct pony_conn *conn;     /* its end of connection 1 */
    uint8_t bytes[1024];
    uint32_t n;
};

static const uint8_t zeroes[1024];

static struct script make_script(void)
{
    struct script script = {.pair = make_pair(false, NULL)};
    connect_pair(script.pair);
    (void)connect_more(script.pair, 2);
    script.engine = script.pair->world.hosts[1].engine;
    script.conn = pony_conn_find(script.engine, script.pair->server_conn & ~SHM_CONN_ACCEPTED);
    assert_non_null(script.conn);
    world_run(&script.pair->world, MS);
    assert_int_equal(script.conn->state, PONY_CONN_OPEN);
    return script;
}

static void add(struct script *script, struct pony_frame frame)
{
    frame.conn = frame.conn != 0 ? frame.conn : script->conn->number;
    frame.data = zeroes;
    script->n += pony_frame_put(script->bytes + script->n, &frame);
    memset(script->bytes + script->n, 0, frame.data_len);
    script->n += frame.data_len;
}

static bool deliver(struct script *script)
{
    struct world *world = &script->pair->world;
    bool is_ok = pony_receive_packet(script->engine, script->conn->link->flow, script->bytes,
                                     script->n, world->now_ns);
    script->n = 0;
    return is_ok;
}

/* The connection ends on both sides with PROTOCOL (or `reason`), the other one works on. */
static void expect_end(struct script *script, enum shm_reason reason)
{
    struct pair *pair = script->pair;
    struct shm_completion cpl;
    assert_true(deliver(script));
    assert_true(world_expect(pair->server, SHM_CPL_CLOSED, SECOND, &cpl));
    assert_int_equal(cpl.conn, pair->server_conn);
    assert_int_equal(cpl.reason, reason);
    assert_true(world_expect(pair->client, SHM_CPL_CLOSED, SECOND, &cpl));
    assert_int_equal(cpl.conn, 1);
    assert_int_equal(cpl.reason, reason);
    assert_true(world_send(pair->client, 2, 0, 100, 1));
    assert_int_equal(count_completions(pair->server, SHM_CPL_RECEIVED, 10 * MS), 1);
    world_run(&pair->world, MS);
    assert_true(pony_rxmem_is_empty(&pair->server->app->rx));
    assert_int_equal(pair->server->app->rx_msgs.n_taken, 0);
    free_pair(pair);
}

static void one_bad_frame(struct pony_frame frame)
{
    struct script script = make_script();
    add(&script, frame);
    expect_end(&script, SHM_REASON_PROTOCOL);
}

static void frames_that_have_no_place_end_the_connection(void **state)
{
    (void)state;
    one_bad_frame((struct pony_frame){.type = PONY_FRAME_OPEN_OK, .own_conn = 1});
    one_bad_frame((struct pony_frame){.type = PONY_FRAME_REFUSE, .reason = 4});
    one_bad_frame((struct pony_frame){.type = PONY_FRAME_GRANT, .msg_no = 0});
    one_bad_frame((struct pony_frame){.type = PONY_FRAME_CLOSE_OK});
}

/* PX-63: a later release's reason. */
static void an_unknown_reason_is_taken_as_protocol(void **state)
{
    (void)state;
    static const uint8_t reasons[] = {SHM_REASON_NONE, SHM_REASON_MAX, 255};
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        struct script script = make_script();
        struct shm_completion cpl;
        add(&script, (struct pony_frame){.type = PONY_FRAME_RESET, .reason = reasons[i]});
        assert_true(deliver(&script));
        assert_true(world_expect(script.pair->server, SHM_CPL_CLOSED, SECOND, &cpl));
        assert_int_equal(cpl.conn, script.pair->server_conn);
        assert_int_equal(cpl.reason, SHM_REASON_PROTOCOL);
        free_pair(script.pair);
    }
}

static void pieces_that_do_not_fit_end_the_connection(void **state)
{
    (void)state;
    const struct pony_frame base = {
        .type = PONY_FRAME_FRAG, .flags = PONY_FRAME_EAGER, .total_bytes = 200, .data_len = 100};
    struct pony_frame frame = base;
    frame.off = 101; /* past the end */
    one_bad_frame(frame);
    frame = base;
    frame.off = UINT32_MAX;
    one_bad_frame(frame);
    frame = base;
    frame.data_len = 0;
    one_bad_frame(frame);
    frame = base;
    frame.flags = 0; /* nobody granted it */
    one_bad_frame(frame);
    frame = base;
    frame.total_bytes = PONY_EAGER_MAX_BYTES + 1;
    one_bad_frame(frame);
}

static void the_same_piece_again_ends_the_connection(void **state)
{
    (void)state;
    struct script script = make_script();
    struct pony_frame frame = {
        .type = PONY_FRAME_FRAG, .flags = PONY_FRAME_EAGER, .total_bytes = 250, .data_len = 100};
    add(&script, frame);
    add(&script, frame);
    add(&script, frame); /* 300 of 250 bytes */
    expect_end(&script, SHM_REASON_PROTOCOL);
}

static void credit_may_be_used_up_and_not_overdrawn(void **state)
{
    (void)state;
    struct script script = make_script();
    uint32_t left = pony_credit_left(&script.conn->credit) / PONY_CHARGE_MIN;
    for (uint32_t i = 0; i < left; i++) {
        add(&script, (struct pony_frame){.type = PONY_FRAME_SMALL, .seq = i});
        assert_true(deliver(&script));
        assert_int_equal(script.conn->state, PONY_CONN_OPEN);
    }
    add(&script, (struct pony_frame){.type = PONY_FRAME_SMALL, .seq = left});
    expect_end(&script, SHM_REASON_PROTOCOL);
}

static void an_ordered_number_twice_ends_the_connection(void **state)
{
    (void)state;
    for (uint32_t seq = 0; seq < 2; seq++) { /* handed over already, or held */
        struct script script = make_script();
        const struct pony_frame frame = {
            .type = PONY_FRAME_SMALL, .flags = PONY_FRAME_ORDERED, .seq = seq, .data_len = 10};
        add(&script, frame);
        add(&script, frame);
        expect_end(&script, SHM_REASON_PROTOCOL);
    }
}

static void requests_for_memory_keep_their_numbers(void **state)
{
    (void)state;
    const struct pony_frame base = {.type = PONY_FRAME_RTS, .total_bytes = 300000};
    struct pony_frame frame = base;
    frame.rts_no = PONY_RTS_MAX; /* one too many */
    one_bad_frame(frame);
    frame = base;
    frame.rts_no = UINT32_MAX;
    one_bad_frame(frame);
    frame = base;
    frame.total_bytes = 0;
    one_bad_frame(frame);
    struct script script = make_script();
    frame = base;
    frame.rts_no = 1; /* waits for number 0 */
    add(&script, frame);
    add(&script, frame);
    expect_end(&script, SHM_REASON_PROTOCOL);
}

/* PX-73 */
static void what_could_never_have_memory_ends_with_no_memory(void **state)
{
    (void)state;
    struct script script = make_script();
    add(&script, (struct pony_frame){.type = PONY_FRAME_RTS, .total_bytes = 600 * 1024});
    expect_end(&script, SHM_REASON_NO_MEMORY);
}

static void closing_twice_ends_the_connection(void **state)
{
    (void)state;
    struct script script = make_script();
    const struct pony_frame frame = {.type = PONY_FRAME_CLOSE, .msg_no = 7};
    add(&script, frame);
    add(&script, frame);
    expect_end(&script, SHM_REASON_PROTOCOL);
}

static void frames_for_nobody_are_counted_and_dropped(void **state)
{
    (void)state;
    struct script script = make_script();
    uint64_t before = world_counter(&script.pair->world, 1, "frames_stale");
    add(&script, (struct pony_frame){.type = PONY_FRAME_CREDIT, .conn = 0x7ffffff0});
    add(&script, (struct pony_frame){.type = PONY_FRAME_RESET, .conn = script.conn->number + 1024});
    assert_true(deliver(&script));
    assert_int_equal(world_counter(&script.pair->world, 1, "frames_stale"), before + 2);
    assert_int_equal(script.conn->state, PONY_CONN_OPEN);
    free_pair(script.pair);
}

/* PX-78 */
static void a_pad_says_nothing(void **state)
{
    (void)state;
    struct script script = make_script();
    uint64_t before = world_counter(&script.pair->world, 1, "frames_stale");
    uint32_t limit = script.conn->tx_limit;
    add(&script, (struct pony_frame){.type = PONY_FRAME_PAD, .conn = 0x7ffffff0});
    add(&script, (struct pony_frame){.type = PONY_FRAME_PAD, .data_len = 500});
    add(&script, (struct pony_frame){.type = PONY_FRAME_CREDIT, .limit_bytes = limit + 64});
    add(&script, (struct pony_frame){.type = PONY_FRAME_PAD, .data_len = 1});
    assert_true(deliver(&script));
    assert_int_equal(world_counter(&script.pair->world, 1, "frames_stale"), before);
    assert_int_equal(script.conn->tx_limit, limit + 64);
    assert_int_equal(script.conn->state, PONY_CONN_OPEN);
    free_pair(script.pair);
}

/* PX-60 */
static void malformed_frames_end_the_flow(void **state)
{
    (void)state;
    struct script script = make_script();
    script.bytes[0] = PONY_FRAME_MAX;
    script.n = 8;
    assert_false(deliver(&script));
    assert_int_equal(world_counter(&script.pair->world, 1, "frames_malformed"), 1);
    free_pair(script.pair);
}

/* However many there are: frames are decoded ahead of being handled. */
static void what_comes_before_a_malformed_frame_counts(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 15, 16, 17, 32, 33};
    for (size_t c = 0; c < BASE_ARRAY_LEN(counts); c++) {
        struct script script = make_script();
        uint64_t before = world_counter(&script.pair->world, 1, "frames_received");
        uint32_t limit = script.conn->tx_limit;
        for (uint32_t i = 1; i <= counts[c]; i++) {
            add(&script,
                (struct pony_frame){.type = PONY_FRAME_CREDIT, .limit_bytes = limit + 64 * i});
        }
        memset(script.bytes + script.n, PONY_FRAME_MAX, 8);
        script.n += 8;
        assert_false(deliver(&script));
        assert_int_equal(script.conn->tx_limit, limit + 64 * counts[c]);
        assert_int_equal(world_counter(&script.pair->world, 1, "frames_received"),
                         before + counts[c]);
        assert_int_equal(world_counter(&script.pair->world, 1, "frames_malformed"), 1);
        free_pair(script.pair);
    }
}

static void an_older_credit_changes_nothing(void **state)
{
    (void)state;
    struct script script = make_script();
    uint32_t limit = script.conn->tx_limit;
    add(&script, (struct pony_frame){.type = PONY_FRAME_CREDIT, .limit_bytes = limit - 64});
    assert_true(deliver(&script));
    assert_int_equal(script.conn->tx_limit, limit);
    add(&script, (struct pony_frame){.type = PONY_FRAME_CREDIT, .limit_bytes = limit + 64});
    assert_true(deliver(&script));
    assert_int_equal(script.conn->tx_limit, limit + 64);
    free_pair(script.pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_that_have_no_place_end_the_connection),
        cmocka_unit_test(an_unknown_reason_is_taken_as_protocol),
        cmocka_unit_test(pieces_that_do_not_fit_end_the_connection),
        cmocka_unit_test(the_same_piece_again_ends_the_connection),
        cmocka_unit_test(credit_may_be_used_up_and_not_overdrawn),
        cmocka_unit_test(an_ordered_number_twice_ends_the_connection),
        cmocka_unit_test(requests_for_memory_keep_their_numbers),
        cmocka_unit_test(what_could_never_have_memory_ends_with_no_memory),
        cmocka_unit_test(closing_twice_ends_the_connection),
        cmocka_unit_test(frames_for_nobody_are_counted_and_dropped),
        cmocka_unit_test(a_pad_says_nothing),
        cmocka_unit_test(malformed_frames_end_the_flow),
        cmocka_unit_test(what_comes_before_a_malformed_frame_counts),
        cmocka_unit_test(an_older_credit_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
