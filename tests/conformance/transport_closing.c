/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "tests/conformance/transport.h"

static void a_close_in_order_is_told_to_both(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig_close_conn(b, SNAPI_CLOSE_FLUSH);
    assert_int_equal(b->n_closed, 0); /* never from within the op */
    rig_wait(rig, a->n_closed == 1 && b->n_closed == 1);
    assert_int_equal(a->why.err, BASE_E_CLOSED);
    assert_int_equal(b->why.err, BASE_E_CLOSED);
}

/* KT-15, for TCP */
static void a_flush_delivers_all_that_was_queued(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig_count_ids(b, 201);
    rig_must_send(a, 200, 8 << 20);
    for (uint64_t id = 0; id < 200; id++) {
        rig_must_send(a, id, 1000);
    }
    rig_close_conn(a, SNAPI_CLOSE_FLUSH);
    rig_close_conn(a, SNAPI_CLOSE_FLUSH); /* says it again: nothing changes */
    struct snapi_tx tx;
    assert_int_equal(a->ops->begin(a->conn, 8, &tx), BASE_E_CLOSED);
    rig_wait(rig, a->n_closed == 1 && b->n_closed == 1);
    assert_int_equal(a->why.err, BASE_E_CLOSED);
    assert_int_equal(b->why.err, BASE_E_CLOSED);
    assert_int_equal(a->n_unsent, 0);
    assert_int_equal(b->n_messages, 201);
    assert_int_equal(b->n_bad, 0);
}

static void both_may_close_at_once(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig_must_send(a, 1, 100);
    rig_must_send(b, 2, 100);
    rig_close_conn(a, SNAPI_CLOSE_FLUSH);
    rig_close_conn(b, SNAPI_CLOSE_FLUSH);
    rig_wait(rig, a->n_closed == 1 && b->n_closed == 1);
    assert_int_equal(a->why.err, BASE_E_CLOSED);
    assert_int_equal(b->why.err, BASE_E_CLOSED);
    /* Each was delivered, or it is told that it was not. */
    assert_true((b->n_messages == 1) != rig_is_unsent(a, 1));
    assert_true((a->n_messages == 1) != rig_is_unsent(b, 2));
}

static void an_abort_in_flight_is_no_close_in_order(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig_must_send(a, 1, 32 << 20);
    rig_turn(rig);
    rig_close_conn(a, SNAPI_CLOSE_ABORT);
    rig_wait(rig, b->n_closed == 1);
    assert_int_not_equal(b->why.err, BASE_E_CLOSED);
    assert_int_equal(base_err_kind(b->why.err), BASE_KIND_PEER);
    assert_int_equal(b->n_messages, 0);
    assert_int_equal(a->n_closed + a->n_unsent, 0);
}

static void a_flush_may_be_cut_short_by_an_abort(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig_must_send(a, 1, 8 << 20);
    rig_close_conn(a, SNAPI_CLOSE_FLUSH);
    rig_close_conn(a, SNAPI_CLOSE_ABORT);
    rig_wait(rig, b->n_closed == 1);
    assert_int_not_equal(b->why.err, BASE_E_CLOSED);
    assert_int_equal(a->n_closed, 0);
}

static void the_end_of_the_peers_process_is_told(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig_kill_server(rig);
    rig_wait(rig, a->n_closed == 1);
    assert_int_not_equal(a->why.err, BASE_E_CLOSED);
    struct rig_end *late = rig_connect(rig, rig->address);
    rig_wait(rig, late->n_closed == 1);
    assert_int_equal(late->n_opened, 0);
}

static void abort_at_first_message(struct rig_end *end)
{
    rig_close_conn(end, SNAPI_CLOSE_ABORT);
}

/* What is named unsent was certainly not delivered, with its bytes as they were; what was delivered
 * is not named. */
static void what_is_unsent_was_not_delivered(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig_count_ids(b, RIG_TAGS_MAX);
    rig->is_server_asleep = true;
    uint64_t next = 0;
    for (int i = 0; i < 3; i++) {
        rig_send_until_full(a, &next, 16000);
        rig_turn(rig);
    }
    while (next < RIG_TAGS_MAX && rig_send(a, next, 100000) == BASE_OK) {
        next++;
    }
    b->on_message = abort_at_first_message;
    rig->is_server_asleep = false;
    rig_wait(rig, a->n_closed == 1);
    assert_int_equal(b->n_messages, 1);
    assert_true(a->n_unsent > 60);
    assert_true(a->n_unsent + b->n_messages <= next);
    assert_int_equal(a->n_bad, 0);
    for (uint32_t i = 0; i < a->n_unsent; i++) {
        assert_true(a->unsent[i] < next);
        assert_int_equal(b->seen[a->unsent[i]], 0);
        for (uint32_t k = 0; k < i; k++) {
            assert_int_not_equal(a->unsent[i], a->unsent[k]);
        }
    }
}

static void a_callback_may_abort_its_own_connection(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    b->on_message = abort_at_first_message;
    for (uint64_t id = 0; id < 100; id++) {
        rig_must_send(a, id, 50);
    }
    rig_wait(rig, a->n_closed == 1);
    assert_int_equal(b->n_messages, 1);
    assert_int_equal(b->n_closed, 0);
}

static void flush_at_first_message(struct rig_end *end)
{
    if (end->n_messages == 1) {
        rig_must_send(end, 77, 4 << 20);
        rig_close_conn(end, SNAPI_CLOSE_FLUSH);
    }
}

static void a_callback_may_answer_and_close(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    b->on_message = flush_at_first_message;
    rig_must_send(a, 1, 50);
    rig_wait(rig, a->n_closed == 1 && b->n_closed == 1);
    assert_int_equal(a->n_messages, 1);
    assert_int_equal(a->last_id, 77);
    assert_int_equal(a->n_bad, 0);
    assert_int_equal(a->why.err, BASE_E_CLOSED);
    assert_int_equal(b->why.err, BASE_E_CLOSED);
}

static void abort_the_other(struct rig_end *end)
{
    struct rig_end *other = end->arg;
    if (other->conn != NULL) {
        rig_close_conn(other, SNAPI_CLOSE_ABORT);
    }
}

static void a_callback_may_abort_another_connection(struct rig *rig)
{
    struct rig_end *b1, *b2;
    struct rig_end *a1 = rig_pair(rig, &b1);
    struct rig_end *a2 = rig_pair(rig, &b2);
    b1->on_message = b2->on_message = abort_the_other;
    b1->arg = b2;
    b2->arg = b1;
    rig_must_send(a1, 1, 50);
    rig_must_send(a2, 2, 50);
    rig_wait(rig, a1->n_closed + a2->n_closed == 1);
    assert_int_equal(b1->n_messages + b2->n_messages, 1);
}

static void abort_itself(struct rig_end *end)
{
    rig_close_conn(end, SNAPI_CLOSE_ABORT);
}

static void a_callback_may_abort_when_it_opens(struct rig *rig)
{
    struct rig_end *a = rig_connect(rig, rig->address);
    a->on_open = abort_itself;
    rig_must_send(a, 1, 50);
    rig_wait(rig, a->n_opened == 1);
    rig->on_accepted = abort_itself;
    struct rig_end *c = rig_connect(rig, rig->address);
    rig_wait(rig, c->n_closed == 1);
    assert_int_equal(a->n_closed, 0);
}

static void a_callback_may_abort_when_told_what_is_unsent(struct rig *rig)
{
    struct rig_end *a = rig_connect(rig, rig->fixture->refused_address());
    a->on_unsent = abort_itself;
    rig_must_send(a, 1, 50);
    rig_must_send(a, 2, 50);
    struct rig_end *c = rig_connect(rig, rig->fixture->refused_address());
    rig_wait(rig, a->n_unsent == 1 && c->n_closed == 1);
    assert_int_equal(a->n_closed, 0);
}

static void connect_again(struct rig_end *end)
{
    end->arg = rig_connect(end->rig, end->rig->address);
}

static void a_callback_may_connect_again_when_it_closes(struct rig *rig)
{
    struct rig_end *a = rig_connect(rig, rig->fixture->refused_address());
    a->on_closed = connect_again;
    rig_wait(rig, a->arg != NULL);
    struct rig_end *again = a->arg;
    rig_wait(rig, again->n_opened == 1);
}

static void a_connection_that_never_opened_may_be_aborted(struct rig *rig)
{
    struct rig_end *a = rig_connect(rig, rig->address);
    rig_must_send(a, 1, 100);
    rig_close_conn(a, SNAPI_CLOSE_ABORT);
    struct rig_end *b;
    (void)rig_pair(rig, &b);
    assert_int_equal(a->n_opened + a->n_closed, 0);
}

static void a_transport_may_end_with_everything_open(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig_must_send(a, 1, 8 << 20);
    rig_must_send(b, 1, 100);
    rig_turn(rig);
    (void)rig_connect(rig, rig->address);
    /* rig_close() follows; the leak checker does the rest */
}

static void a_peer_that_never_speaks_times_out(struct rig *rig)
{
    if (!rig->fixture->obeys_given_time) {
        return;
    }
    rig->is_server_asleep = true;
    struct rig_end *a = rig_connect(rig, rig->address);
    rig_must_send(a, 3, 100000);
    rig_turn(rig);
    rig_turn(rig);
    assert_int_equal(a->n_opened + a->n_closed, 0);
    assert_true(rig->client->ops->next_deadline_ns(rig->client) <
                base_clock_now_ns() + UINT64_C(60) * BASE_NS_PER_S);
    rig->skew_ns = UINT64_C(60) * BASE_NS_PER_S;
    rig_wait(rig, a->n_closed == 1);
    assert_int_equal(a->why.err, BASE_E_TIMEOUT);
    assert_int_equal(rig->client->ops->next_deadline_ns(rig->client), UINT64_MAX);
}

#define CASE(name) \
    { \
#        name, name \
    }
const struct transport_case transport_closing_cases[] = {
    CASE(a_close_in_order_is_told_to_both),
    CASE(a_flush_delivers_all_that_was_queued),
    CASE(both_may_close_at_once),
    CASE(an_abort_in_flight_is_no_close_in_order),
    CASE(a_flush_may_be_cut_short_by_an_abort),
    CASE(the_end_of_the_peers_process_is_told),
    CASE(what_is_unsent_was_not_delivered),
    CASE(a_callback_may_abort_its_own_connection),
    CASE(a_callback_may_answer_and_close),
    CASE(a_callback_may_abort_another_connection),
    CASE(a_callback_may_abort_when_it_opens),
    CASE(a_callback_may_abort_when_told_what_is_unsent),
    CASE(a_callback_may_connect_again_when_it_closes),
    CASE(a_connection_that_never_opened_may_be_aborted),
    CASE(a_transport_may_end_with_everything_open),
    CASE(a_peer_that_never_speaks_times_out),
    {NULL, NULL},
};
