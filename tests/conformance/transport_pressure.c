/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "tests/conformance/transport.h"

enum {
    LEN = 16000,
    QUEUED_MAX = 64 << 20,      /* bytes that a peer which does not read may make us hold */
    LONG_QUEUED_MAX = 128 << 20 /* of long messages: all of an rx region, and our share of tx */
};

/* Fills a connection to a sleeping server until nothing more is taken, whoever is asked. */
static uint64_t fill_up(struct rig *rig, struct rig_end *a)
{
    uint64_t next = 0;
    uint64_t before = 1;
    for (int idle = 0; idle < 20; idle = next == before ? idle + 1 : 0) {
        before = next;
        rig_send_until_full(a, &next, LEN);
        rig_turn(rig);
        assert_true(next * LEN < QUEUED_MAX);
    }
    return next;
}

static void a_peer_that_does_not_read_pushes_back(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig->is_server_asleep = true;
    uint64_t n = fill_up(rig, a);
    assert_true(n > 0);
    uint32_t n_writable = a->n_writable;
    rig_count_ids(b, n + 1);
    rig->is_server_asleep = false;
    rig_wait(rig, a->n_writable > n_writable);
    rig_must_send(a, n, LEN);
    rig_wait(rig, b->n_messages == n + 1);
    assert_int_equal(b->n_bad, 0);
    for (uint64_t id = 0; id <= n; id++) {
        assert_int_equal(b->seen[id], 1);
    }
}

static void long_messages_are_pushed_back_too(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig->is_server_asleep = true;
    uint64_t n = 0;
    for (int i = 0; i < 10; i++) {
        rig_send_until_full(a, &n, 1 << 20);
        rig_turn(rig);
        assert_true(n << 20 < LONG_QUEUED_MAX);
    }
    rig_send_until_full(a, &n, 1 << 20); /* the last turn may have told of room */
    uint32_t n_writable = a->n_writable;
    rig->is_server_asleep = false;
    rig_wait(rig, a->n_writable > n_writable);
    rig_wait(rig, b->n_messages == n);
    assert_int_equal(b->n_bad, 0);
}

enum {
    REFILL = 5000
};

struct refill {
    uint64_t next;
};

static void send_more(struct rig_end *end)
{
    struct refill *refill = end->arg;
    while (refill->next < REFILL && rig_send(end, refill->next, LEN) == BASE_OK) {
        refill->next++;
    }
}

static void on_writable_alone_keeps_the_flow_going(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    struct refill refill = {0};
    a->arg = &refill;
    a->on_writable = send_more;
    rig_count_ids(b, REFILL);
    send_more(a);
    assert_true(refill.next < REFILL);
    rig_wait(rig, b->n_messages == REFILL);
    assert_int_equal(b->n_bad, 0);
    for (uint64_t id = 0; id < REFILL; id++) {
        assert_int_equal(b->seen[id], 1);
    }
}

static void a_blocked_connection_holds_up_no_other(struct rig *rig)
{
    struct rig_end *b1, *b2;
    struct rig_end *a1 = rig_pair(rig, &b1);
    struct rig_end *a2 = rig_pair(rig, &b2);
    rig->is_server_asleep = true;
    (void)fill_up(rig, a1);
    for (uint64_t id = 0; id < 50; id++) {
        rig_must_send(a2, id, 64);
    }
    uint64_t start_ns = base_clock_now_ns();
    rig_close_conn(a1, SNAPI_CLOSE_ABORT); /* a deadline passed: given up while blocked */
    assert_true(base_clock_now_ns() - start_ns < BASE_NS_PER_S);
    rig->is_server_asleep = false;
    rig_wait(rig, b2->n_messages == 50 && b1->n_closed == 1);
    assert_int_not_equal(b1->why.err, BASE_E_CLOSED);
    assert_int_equal(b1->n_bad + b2->n_bad, 0);
}

static void a_callback_may_abort_when_writable(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig->is_server_asleep = true;
    (void)fill_up(rig, a);
    uint32_t n_writable = a->n_writable;
    rig->is_server_asleep = false;
    while (a->n_writable == n_writable) {
        rig_turn(rig);
    }
    rig_close_conn(a, SNAPI_CLOSE_ABORT);
    rig_wait(rig, b->n_closed == 1);
}

static void a_flush_that_a_peer_does_not_read_ends_in_time(struct rig *rig)
{
    if (!rig->fixture->obeys_given_time) {
        return;
    }
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig->is_server_asleep = true;
    (void)fill_up(rig, a);
    rig_close_conn(a, SNAPI_CLOSE_FLUSH);
    rig_turn(rig);
    assert_int_equal(a->n_closed, 0);
    rig->skew_ns = UINT64_C(60) * BASE_NS_PER_S;
    rig_wait(rig, a->n_closed == 1);
    assert_int_equal(a->why.err, BASE_E_TIMEOUT);
    assert_true(a->n_unsent > 0);
}

static void flush_gives_it_away_without_calling_back(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig_must_send(a, 1, 64);
    rig->client->ops->flush(rig->client);
    /* Only the server is driven from here on. */
    uint64_t deadline = rig_deadline();
    while (b->n_messages == 0) {
        uint32_t n_ready;
        assert_int_equal(snapi_poller_wait(&rig->server_poller, BASE_NS_PER_MS, &n_ready), BASE_OK);
        (void)rig->server->ops->poll(rig->server, base_clock_now_ns(), 100);
        rig_check_deadline(deadline, "a flushed message arrives", __FILE__, __LINE__);
    }
    assert_int_equal(b->n_bad, 0);
}

static void what_flush_finds_broken_is_told_by_poll(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig_kill_server(rig);
    uint64_t deadline = rig_deadline();
    uint64_t id = 0;
    while (rig_send(a, id++, 64) == BASE_OK) {
        rig->client->ops->flush(rig->client);
        assert_int_equal(a->n_closed + a->n_unsent, 0);
        rig_check_deadline(deadline, "flush finds it broken", __FILE__, __LINE__);
    }
    rig_wait(rig, a->n_closed == 1);
    assert_int_not_equal(a->why.err, BASE_E_CLOSED);
}

#define CASE(name) \
    { \
#        name, name \
    }
const struct transport_case transport_pressure_cases[] = {
    CASE(a_peer_that_does_not_read_pushes_back),
    CASE(long_messages_are_pushed_back_too),
    CASE(on_writable_alone_keeps_the_flow_going),
    CASE(a_blocked_connection_holds_up_no_other),
    CASE(a_callback_may_abort_when_writable),
    CASE(a_flush_that_a_peer_does_not_read_ends_in_time),
    CASE(flush_gives_it_away_without_calling_back),
    CASE(what_flush_finds_broken_is_told_by_poll),
    {NULL, NULL},
};
