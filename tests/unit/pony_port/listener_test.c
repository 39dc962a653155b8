/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pony_port/port_rig.h"

#include <string.h>

static const struct snapi_transport_ops *const ops = &pony_transport_ops;

enum {
    FIRST_ACCEPTED = 5
};

static void listen_at(struct port_rig *rig, struct port_listening *l)
{
    assert_int_equal(ops->listen(rig->transport, "", SNAPI_TRAFFIC_DEFAULT,
                                 &port_rig_listener_events, l, &l->listener),
                     BASE_OK);
    port_rig_turn(rig);
}

static void say_listening(struct port_rig *rig)
{
    const struct shm_command *listen = fake_snapd_command(&rig->snapd, 0);
    assert_int_equal(listen->opcode, SHM_OP_LISTEN);
    struct shm_completion c = {
        .kind = SHM_CPL_LISTENING,
        .conn = listen->conn,
        .u.listening = {.service = 0xabc, .instance = rig->snapd.instance, .udp_port = 4741}};
    fake_snapd_say(&rig->snapd, &c);
    port_rig_turn(rig);
}

static uint32_t say_accepted(struct port_rig *rig, uint32_t listener, uint32_t n)
{
    uint32_t conn = SHM_CONN_ACCEPTED | n;
    struct shm_completion c = {.kind = SHM_CPL_ACCEPTED, .conn = conn, .tag = listener};
    c.u.peer.addr = (struct shm_addr){.ip = {[10] = 0xff, 0xff, 192, 168, 1, 2}, .udp_port = 4000};
    fake_snapd_say(&rig->snapd, &c);
    port_rig_turn(rig);
    return conn;
}

static void a_listener_learns_its_address(void **state)
{
    struct port_rig *rig = *state;
    struct port_listening l = {0};
    listen_at(rig, &l);
    assert_string_equal(ops->listener_address(l.listener), "");
    say_listening(rig);
    assert_int_equal(l.n_address, 1);
    assert_string_equal(l.address, "pony:*:4741/0000000000000abc/00000000000003e9");
    assert_string_equal(ops->listener_address(l.listener), l.address);
}

static void listen_names_the_traffic_class(void **state)
{
    struct port_rig *rig = *state;
    struct port_listening l = {0};
    assert_int_equal(ops->listen(rig->transport, "", SNAPI_TRAFFIC_BULK, &port_rig_listener_events,
                                 &l, &l.listener),
                     BASE_OK);
    port_rig_turn(rig);
    const struct shm_command *listen = fake_snapd_command(&rig->snapd, 0);
    assert_int_equal(listen->opcode, SHM_OP_LISTEN);
    assert_int_equal(listen->u.listen.traffic, SHM_TRAFFIC_BULK);
}

static void an_address_of_its_own_is_refused(void **state)
{
    struct port_rig *rig = *state;
    struct snapi_listener *listener;
    assert_int_equal(ops->listen(rig->transport, "0.0.0.0:1", SNAPI_TRAFFIC_DEFAULT,
                                 &port_rig_listener_events, NULL, &listener),
                     BASE_E_INVALID);
    assert_null(listener);
}

static void an_accepted_connection_names_its_peer_and_talks(void **state)
{
    struct port_rig *rig = *state;
    struct port_listening l = {0};
    listen_at(rig, &l);
    uint32_t number = fake_snapd_command(&rig->snapd, 0)->conn;
    say_listening(rig);
    uint32_t conn = say_accepted(rig, number, FIRST_ACCEPTED);
    assert_int_equal(l.n_accepted, 1);
    assert_string_equal(ops->peer(l.accepted.conn), "pony:192.168.1.2:4000");
    assert_int_equal(port_rig_send(&l.accepted, 1, 10, 1), BASE_OK);
    port_rig_turn(rig);
    assert_int_equal(fake_snapd_command(&rig->snapd, 0)->conn, conn);
    struct shm_completion c = {.kind = SHM_CPL_RECEIVED, .conn = conn, .u.received.len = 3};
    fake_snapd_say(&rig->snapd, &c);
    port_rig_turn(rig);
    assert_int_equal(l.accepted.n_messages, 1);
    port_rig_say_sent(rig, fake_snapd_command(&rig->snapd, 0), 0);
    port_rig_say_closed(rig, conn, 0, SHM_REASON_CLOSED);
    port_rig_turn(rig);
    assert_int_equal(l.accepted.n_closed, 1);
    /* The engine may give the number out again at once. */
    assert_int_equal(say_accepted(rig, number, FIRST_ACCEPTED), conn);
    assert_int_equal(l.n_accepted, 2);
}

static void the_number_of_a_closed_one_is_free_while_its_messages_come_back(void **state)
{
    struct port_rig *rig = *state;
    struct port_listening l = {0};
    listen_at(rig, &l);
    uint32_t number = fake_snapd_command(&rig->snapd, 0)->conn;
    say_listening(rig);
    uint32_t conn = say_accepted(rig, number, FIRST_ACCEPTED);
    assert_int_equal(port_rig_send(&l.accepted, 1, 10, 42), BASE_OK);
    port_rig_turn(rig);
    const struct shm_command send = *fake_snapd_command(&rig->snapd, 0);
    port_rig_say_closed(rig, conn, 0, SHM_REASON_APP_GONE);
    port_rig_turn(rig);
    assert_int_equal(l.accepted.n_closed, 0);
    struct port_events first = l.accepted; /* its events still go to l.accepted */
    (void)say_accepted(rig, number, FIRST_ACCEPTED);
    assert_int_equal(l.n_accepted, 2);
    port_rig_say_sent(rig, &send, SHM_CPL_UNSENT);
    port_rig_turn(rig);
    assert_int_equal(first.n_unsent, 0);
    assert_int_equal(l.accepted.n_unsent, 1);
    assert_int_equal(l.accepted.unsent[0], 42);
    assert_int_equal(l.accepted.n_closed, 1);
}

static void a_refused_connection_is_aborted(void **state)
{
    struct port_rig *rig = *state;
    struct port_listening l = {.refuses = true};
    listen_at(rig, &l);
    uint32_t number = fake_snapd_command(&rig->snapd, 0)->conn;
    say_listening(rig);
    uint32_t conn = say_accepted(rig, number, FIRST_ACCEPTED);
    port_rig_turn(rig);
    const struct shm_command *close = fake_snapd_command(&rig->snapd, 0);
    assert_int_equal(close->opcode, SHM_OP_CLOSE);
    assert_int_equal(close->flags, SHM_CLOSE_ABORT);
    assert_int_equal(close->conn, conn);
    struct shm_completion c = {.kind = SHM_CPL_RECEIVED, .conn = conn, .u.received.len = 3};
    fake_snapd_say(&rig->snapd, &c);
    port_rig_say_closed(rig, conn, 0, SHM_REASON_CLOSED);
    port_rig_turn(rig);
    const char *reason;
    assert_int_equal(port_rig_state(rig, &reason), SNAPI_TRANSPORT_UP);
}

static void after_unlisten_nothing_is_accepted(void **state)
{
    struct port_rig *rig = *state;
    struct port_listening l = {0};
    listen_at(rig, &l);
    uint32_t number = fake_snapd_command(&rig->snapd, 0)->conn;
    say_listening(rig);
    ops->unlisten(l.listener);
    uint32_t conn = say_accepted(rig, number, FIRST_ACCEPTED); /* was on its way */
    port_rig_turn(rig);
    assert_int_equal(l.n_accepted, 0);
    assert_int_equal(fake_snapd_command(&rig->snapd, 1)->opcode, SHM_OP_UNLISTEN);
    assert_int_equal(fake_snapd_command(&rig->snapd, 0)->conn, conn);
    port_rig_say_closed(rig, number, SHM_CPL_LISTENER, SHM_REASON_CLOSED);
    port_rig_turn(rig);
    const char *reason;
    assert_int_equal(port_rig_state(rig, &reason), SNAPI_TRANSPORT_UP);
    assert_int_equal(l.n_address, 1);
}

static void listeners_survive_snapds_death(void **state)
{
    struct port_rig *rig = *state;
    struct port_listening l = {0}, m = {0};
    listen_at(rig, &l);
    say_listening(rig);
    listen_at(rig, &m);
    ops->unlisten(m.listener);
    fake_snapd_kill(&rig->snapd);
    port_rig_turn(rig);
    assert_int_equal(l.n_address, 2);
    assert_string_equal(l.address, "");
    fake_snapd_start(&rig->snapd);
    port_rig_attach(rig);
    assert_int_equal(rig->snapd.n_commands, 1);
    say_listening(rig);
    assert_int_equal(l.n_address, 3);
    assert_string_equal(l.address, "pony:*:4741/0000000000000abc/00000000000003ea");
    assert_int_equal(m.n_address, 0);
}

static void listening_before_there_is_a_snapd_waits_for_it(void **state)
{
    struct port_rig *rig = *state;
    struct port_listening l = {0}, m = {0};
    fake_snapd_kill(&rig->snapd);
    port_rig_turn(rig);
    listen_at(rig, &l);
    listen_at(rig, &m);
    ops->unlisten(m.listener);
    fake_snapd_start(&rig->snapd);
    port_rig_attach(rig);
    assert_int_equal(rig->snapd.n_commands, 1);
    say_listening(rig);
    assert_int_equal(l.n_address, 1);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, port_rig_setup_up, port_rig_teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_listener_learns_its_address),
        CASE(listen_names_the_traffic_class),
        CASE(an_address_of_its_own_is_refused),
        CASE(an_accepted_connection_names_its_peer_and_talks),
        CASE(the_number_of_a_closed_one_is_free_while_its_messages_come_back),
        CASE(a_refused_connection_is_aborted),
        CASE(after_unlisten_nothing_is_accepted),
        CASE(listeners_survive_snapds_death),
        CASE(listening_before_there_is_a_snapd_waits_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
