/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "tests/unit/pony_port/port_rig.h"

#include <string.h>

static const struct snapi_transport_ops *const ops = &pony_transport_ops;

static void death_is_told_to_every_connection_and_names_snapd(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0}, f = {0};
    const char *reason;
    port_rig_open(rig, &e);
    port_rig_connect(rig, &f);
    fake_snapd_kill(&rig->snapd);
    port_rig_turn(rig);
    assert_int_equal(e.n_closed + f.n_closed, 2);
    assert_int_equal(e.why.err, BASE_E_RESET);
    assert_non_null(strstr(e.why.message, "lost snapd at"));
    assert_int_equal(port_rig_state(rig, &reason), SNAPI_TRANSPORT_DOWN);
    assert_true(strlen(reason) > 0);
}

static void exactly_what_was_not_taken_is_unsent_with_its_bytes(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    port_rig_open(rig, &e);
    assert_int_equal(port_rig_send(&e, 1, 8, 1) | port_rig_send(&e, 2, 5000, 2), BASE_OK);
    port_rig_turn(rig); /* taken */
    rig->snapd.plan.stops_taking = true;
    assert_int_equal(port_rig_send(&e, 3, 8, 3) | port_rig_send(&e, 4, 5000, 4), BASE_OK);
    port_rig_turn(rig);                                    /* published, not taken */
    assert_int_equal(port_rig_send(&e, 5, 8, 5), BASE_OK); /* not even published */
    fake_snapd_kill(&rig->snapd);
    port_rig_turn(rig);
    assert_int_equal(e.n_closed, 1);
    assert_int_equal(e.n_unsent, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(e.unsent[i], 3 + i);
        assert_int_equal(e.unsent_byte[i], 3 + i);
    }
}

static void what_snapd_published_before_it_died_still_counts(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    port_rig_open(rig, &e);
    uint32_t conn = fake_snapd_command(&rig->snapd, 0)->conn;
    assert_int_equal(port_rig_send(&e, 1, 8, 1), BASE_OK);
    port_rig_turn(rig);
    struct shm_completion c = {.kind = SHM_CPL_RECEIVED, .conn = conn, .u.received.len = 8};
    fake_snapd_say(&rig->snapd, &c);
    port_rig_say_sent(rig, fake_snapd_command(&rig->snapd, 0), SHM_CPL_UNSENT);
    fake_snapd_kill(&rig->snapd);
    port_rig_turn(rig);
    assert_int_equal(e.n_messages, 1);
    assert_int_equal(e.n_unsent, 1);
    assert_int_equal(e.n_closed, 1);
}

static void a_taken_message_of_an_unopened_connection_is_not_certain(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    port_rig_connect(rig, &e);
    assert_int_equal(port_rig_send(&e, 1, 8, 1), BASE_OK);
    port_rig_turn(rig);
    fake_snapd_kill(&rig->snapd);
    port_rig_turn(rig);
    assert_int_equal(e.n_unsent, 0);
    assert_int_equal(e.n_closed, 1);
}

static void a_port_closed_by_snapd_says_why(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    port_rig_open(rig, &e);
    rig->snapd.engine->closed = SHM_REASON_SHUTDOWN;
    assert_false(ops->arm(rig->transport));
    port_rig_turn(rig);
    assert_int_equal(e.n_closed, 1);
    assert_non_null(strstr(e.why.message, "a snapd is stopping"));
    port_rig_attach(rig);
    assert_int_equal(rig->snapd.n_attached, 2);
}

static void it_attaches_anew_and_works_again(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0}, f = {0};
    port_rig_open(rig, &e);
    for (uint32_t i = 0; i < 20; i++) {
        fake_snapd_kill(&rig->snapd);
        port_rig_turn(rig);
        fake_snapd_start(&rig->snapd);
        port_rig_attach(rig);
        assert_int_equal(rig->snapd.n_attached, i + 2);
        memset(&f, 0, sizeof(f));
        port_rig_open(rig, &f);
        assert_int_equal(port_rig_send(&f, 9, 100, 1), BASE_OK);
        port_rig_turn(rig);
        assert_int_equal(fake_snapd_command(&rig->snapd, 0)->opcode, SHM_OP_SEND);
    }
    assert_int_equal(e.n_closed, 1);
}

static void the_first_retry_comes_soon(void **state)
{
    struct port_rig *rig = *state;
    fake_snapd_kill(&rig->snapd);
    port_rig_turn(rig);
    assert_true(ops->next_deadline_ns(rig->transport) <= rig->now_ns + 5 * BASE_NS_PER_MS);
}

/* In on_unsent of a dying connection: everything that a channel may do there. */
static struct port_events again;

static void do_much(struct port_events *e)
{
    struct snapi_tx tx;
    assert_int_equal(ops->begin(e->conn, 8, &tx), BASE_E_CLOSED);
    if (again.conn == NULL) {
        again.rig = e->rig;
        assert_int_equal(
            ops->connect(e->rig->transport, "pony:10.0.0.9:4741/00000000000000aa/0000000000000000",
                         SNAPI_TRAFFIC_DEFAULT, &port_rig_conn_events, &again, &again.conn),
            BASE_OK);
        assert_int_not_equal(ops->begin(again.conn, 8, &tx), BASE_OK);
    }
    ops->flush(e->rig->transport);
    ops->close(e->conn, SNAPI_CLOSE_ABORT);
}

static void callbacks_of_a_dying_port_may_do_anything(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {.on_unsent = do_much}, f = {.on_unsent = do_much};
    memset(&again, 0, sizeof(again));
    port_rig_open(rig, &e);
    port_rig_open(rig, &f);
    rig->snapd.plan.stops_taking = true;
    assert_int_equal(port_rig_send(&e, 1, 8, 1) | port_rig_send(&e, 2, 8, 2), BASE_OK);
    assert_int_equal(port_rig_send(&f, 3, 8, 3), BASE_OK);
    fake_snapd_kill(&rig->snapd);
    port_rig_turn(rig);
    assert_int_equal(e.n_unsent + f.n_unsent, 2);
    assert_int_equal(e.n_closed + f.n_closed, 0);
    assert_int_equal(again.n_closed, 1);
}

static void a_begun_message_that_is_sent_too_late_is_forgotten_or_unsent(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    struct snapi_tx tx;
    port_rig_open(rig, &e);
    assert_int_equal(ops->begin(e.conn, 8, &tx), BASE_OK);
    memset(tx.data, 6, 8);
    rig->snapd.engine->cmd_head = 50; /* a lie, seen by flush() */
    rig->snapd.plan.stops_taking = true;
    for (int i = 0; i < FAKE_SLOTS; i++) {
        (void)port_rig_send(&e, 1, 8, 1);
    }
    assert_true(rig->port->is_lost);
    ops->send(e.conn, &tx, 77);
    port_rig_turn(rig);
    assert_int_equal(e.n_closed, 1);
    assert_int_equal(e.unsent[e.n_unsent - 1], 77);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, port_rig_setup_up, port_rig_teardown)
    const struct CMUnitTest tests[] = {
        CASE(death_is_told_to_every_connection_and_names_snapd),
        CASE(exactly_what_was_not_taken_is_unsent_with_its_bytes),
        CASE(what_snapd_published_before_it_died_still_counts),
        CASE(a_taken_message_of_an_unopened_connection_is_not_certain),
        CASE(a_port_closed_by_snapd_says_why),
        CASE(it_attaches_anew_and_works_again),
        CASE(the_first_retry_comes_soon),
        CASE(callbacks_of_a_dying_port_may_do_anything),
        CASE(a_begun_message_that_is_sent_too_late_is_forgotten_or_unsent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
