/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "tests/unit/pony_port/port_rig.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

static const struct snapi_transport_ops *const ops = &pony_transport_ops;

static void say_received(struct port_rig *rig, uint32_t conn, uint64_t off, uint32_t len)
{
    struct shm_completion c = {
        .kind = SHM_CPL_RECEIVED, .conn = conn, .u.received = {.off = off, .len = len}};
    fake_snapd_say(&rig->snapd, &c);
}

static void connect_posts_open_and_opened_is_told_once(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    port_rig_open(rig, &e);
    const struct shm_command *open = fake_snapd_command(&rig->snapd, 0);
    static const uint8_t ip[16] = {[10] = 0xff, 0xff, 10, 0, 0, 9};
    assert_memory_equal(open->u.open.to.ip, ip, 16);
    assert_int_equal(open->u.open.to.udp_port, 4741);
    assert_int_equal(open->u.open.service, 0xaa);
    assert_int_equal(open->u.open.instance, 0);
    assert_int_equal(open->conn & SHM_CONN_ACCEPTED, 0);
    assert_int_not_equal(open->conn, 0);
    assert_string_equal(ops->peer(e.conn), "pony:10.0.0.9:4741");
    port_rig_turns(rig, 3);
    assert_int_equal(e.n_open, 1);
    assert_int_equal(e.n_closed, 0);
}

static void open_names_the_traffic_class(void **state)
{
    struct port_rig *rig = *state;
    for (uint32_t traffic = 0; traffic < SNAPI_TRAFFIC_MAX; traffic++) {
        struct port_events e = {.rig = rig};
        assert_int_equal(
            ops->connect(rig->transport, "pony:10.0.0.9:4741/00000000000000aa/0000000000000000",
                         (enum snapi_traffic)traffic, &port_rig_conn_events, &e, &e.conn),
            BASE_OK);
        port_rig_turn(rig);
        const struct shm_command *open = fake_snapd_command(&rig->snapd, 0);
        assert_int_equal(open->opcode, SHM_OP_OPEN);
        assert_int_equal(open->u.open.traffic, traffic);
        ops->close(e.conn, SNAPI_CLOSE_ABORT);
    }
}

static void a_bad_address_is_invalid(void **state)
{
    struct port_rig *rig = *state;
    struct snapi_conn *conn;
    assert_int_equal(ops->connect(rig->transport, "10.0.0.1:7000", SNAPI_TRAFFIC_DEFAULT,
                                  &port_rig_conn_events, NULL, &conn),
                     BASE_E_INVALID);
    assert_null(conn);
}

static void a_message_reaches_snapd_as_it_was_written(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    port_rig_open(rig, &e);
    assert_int_equal(port_rig_send(&e, 0x5a, 100, 7), BASE_OK);
    uint32_t before = rig->snapd.n_commands;
    fake_snapd_turn(&rig->snapd);
    assert_int_equal(rig->snapd.n_commands, before); /* leaves with the next poll or flush */
    ops->flush(rig->transport);
    fake_snapd_turn(&rig->snapd);
    const struct shm_command *send = fake_snapd_command(&rig->snapd, 0);
    assert_int_equal(send->opcode, SHM_OP_SEND);
    assert_int_equal(send->u.send.len, 100);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(rig->snapd.tx[send->u.send.off + i], 0x5a);
    }
    port_rig_say_sent(rig, send, 0);
    port_rig_turn(rig);
    assert_int_equal(e.n_unsent + e.n_closed, 0);
}

static void a_shortened_an_empty_and_an_abandoned_message_are_fine(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    struct snapi_tx tx;
    port_rig_open(rig, &e);
    assert_int_equal(ops->begin(e.conn, 1000, &tx), BASE_OK);
    tx.len = 10;
    ops->send(e.conn, &tx, 1);
    assert_int_equal(ops->begin(e.conn, 1000, &tx), BASE_OK);
    ops->abandon(e.conn, &tx);
    assert_int_equal(port_rig_send(&e, 0, 0, 2), BASE_OK);
    port_rig_turn(rig);
    assert_int_equal(fake_snapd_command(&rig->snapd, 1)->u.send.len, 10);
    assert_int_equal(fake_snapd_command(&rig->snapd, 0)->u.send.len, 0);
    assert_int_equal(rig->port->messages.n_taken, 2);
}

static void a_message_that_arrives_is_read_in_place_and_its_memory_given_back(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    uint32_t consumed;
    port_rig_open(rig, &e);
    memset(rig->snapd.rx + 4096, 0x33, 50);
    say_received(rig, fake_snapd_command(&rig->snapd, 0)->conn, 4096, 50);
    port_rig_turn(rig);
    assert_int_equal(e.n_messages, 1);
    assert_int_equal(e.last_len, 50);
    assert_int_equal(e.last[49], 0x33);
    assert_int_equal(shm_engine_consumed(&rig->snapd.end, &consumed), BASE_OK);
    assert_int_equal(consumed, 2);
}

static void a_message_up_to_the_end_of_the_region_is_accepted(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    port_rig_open(rig, &e);
    uint32_t conn = fake_snapd_command(&rig->snapd, 0)->conn;
    say_received(rig, conn, FAKE_REGION_BYTES - 64, 64);
    say_received(rig, conn, FAKE_REGION_BYTES, 0);
    port_rig_turn(rig);
    assert_int_equal(e.n_messages, 2);
}

static void without_memory_begin_says_again_and_writable_follows(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    struct snapi_tx tx;
    port_rig_open(rig, &e);
    assert_int_equal(port_rig_send(&e, 1, FAKE_REGION_BYTES, 1), BASE_OK);
    assert_int_equal(ops->begin(e.conn, 1, &tx), BASE_AGAIN);
    port_rig_turns(rig, 3);
    assert_int_equal(e.n_writable, 0);
    assert_int_equal(ops->next_deadline_ns(rig->transport), UINT64_MAX);
    port_rig_say_sent(rig, fake_snapd_command(&rig->snapd, 0), 0);
    port_rig_turns(rig, 3);
    assert_int_equal(e.n_writable, 1);
    assert_int_equal(port_rig_send(&e, 1, FAKE_REGION_BYTES, 2), BASE_OK);
}

enum {
    LONG = PONY_PORT_SMALL_BYTES + 1,
    AHEAD = FAKE_REGION_BYTES / 8
};

/* Begins long messages until there is no more room; returns how many. */
static uint32_t send_while_room(struct port_events *e)
{
    uint32_t n = 0;
    for (; ops->has_room(e->conn); n++) {
        assert_int_equal(port_rig_send(e, 1, LONG, n), BASE_OK);
    }
    return n;
}

static void long_messages_have_room_until_enough_are_under_way(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    port_rig_open(rig, &e);
    for (int i = 0; i < 20; i++) { /* small ones never count */
        assert_int_equal(port_rig_send(&e, 1, PONY_PORT_SMALL_BYTES, 0), BASE_OK);
    }
    uint32_t n = send_while_room(&e);
    assert_int_equal(n, AHEAD / LONG + 1);
    port_rig_turns(rig, 3);
    assert_int_equal(e.n_writable, 0);
    port_rig_say_sent(rig, fake_snapd_command(&rig->snapd, 0), 0);
    port_rig_turns(rig, 3);
    assert_int_equal(e.n_writable, 1);
    assert_int_equal(send_while_room(&e), 1);
}

static void two_messages_have_room_however_long_they_are(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    port_rig_open(rig, &e);
    assert_int_equal(port_rig_send(&e, 1, AHEAD * 2, 1), BASE_OK);
    assert_true(ops->has_room(e.conn));
    assert_int_equal(port_rig_send(&e, 1, AHEAD * 2, 2), BASE_OK);
    assert_false(ops->has_room(e.conn));
}

static void what_does_not_move_is_not_waited_for(void **state)
{
    struct port_rig *rig = *state;
    struct port_events stuck = {0}, e = {0};
    port_rig_open(rig, &stuck);
    port_rig_open(rig, &e);
    (void)send_while_room(&stuck);
    assert_false(ops->has_room(e.conn));
    uint64_t due_ns = ops->next_deadline_ns(rig->transport);
    assert_int_equal(due_ns, rig->now_ns + PONY_PORT_STALL_NS);
    rig->now_ns = due_ns - 1;
    port_rig_turn(rig);
    assert_int_equal(e.n_writable, 0);
    rig->now_ns = due_ns;
    port_rig_turn(rig);
    assert_int_equal(e.n_writable, 1);
    assert_int_equal(ops->next_deadline_ns(rig->transport), UINT64_MAX);
    assert_int_equal(send_while_room(&e), AHEAD / LONG + 1);
    /* What was given up counting is not counted down when it is done after all. */
    uint32_t n = rig->snapd.n_commands;
    port_rig_turn(rig);
    uint32_t n_new = rig->snapd.n_commands - n;
    for (uint32_t i = 0; i < n_new; i++) {
        port_rig_say_sent(rig, fake_snapd_command(&rig->snapd, n_new + i), 0);
    }
    port_rig_turns(rig, 2);
    assert_false(ops->has_room(e.conn));
}

static void what_finds_the_command_queue_full_goes_later_in_order(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0}, late = {0};
    port_rig_open(rig, &e);
    rig->snapd.plan.stops_taking = true;
    for (uint32_t i = 0; i < FAKE_SLOTS + 10; i++) {
        assert_int_equal(port_rig_send(&e, 1, 64, i), BASE_OK);
    }
    port_rig_connect(rig, &late);
    assert_int_equal(port_rig_send(&late, 1, 64, 1), BASE_OK);
    ops->close(late.conn, SNAPI_CLOSE_FLUSH);
    ops->close(e.conn, SNAPI_CLOSE_FLUSH);
    port_rig_turns(rig, 2);
    assert_true(ops->next_deadline_ns(rig->transport) <= rig->now_ns + BASE_NS_PER_MS);
    rig->snapd.plan.stops_taking = false;
    port_rig_turns(rig, 3);
    assert_int_equal(rig->snapd.n_commands, 1 + FAKE_SLOTS + 10 + 4);
    static const uint8_t last[] = {SHM_OP_CLOSE, SHM_OP_SEND, SHM_OP_OPEN, SHM_OP_CLOSE};
    for (uint32_t i = 0; i < sizeof(last); i++) {
        assert_int_equal(fake_snapd_command(&rig->snapd, i)->opcode, last[i]);
    }
    assert_int_equal(e.n_closed + e.n_unsent + late.n_closed, 0);
}

static void what_waited_for_the_command_queue_is_unsent_when_it_ends(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0}, f = {0};
    port_rig_open(rig, &e);
    uint32_t conn = fake_snapd_command(&rig->snapd, 0)->conn;
    port_rig_open(rig, &f);
    rig->snapd.plan.stops_taking = true;
    for (uint32_t i = 0; i < FAKE_SLOTS; i++) {
        assert_int_equal(port_rig_send(&f, 1, 8, i), BASE_OK);
    }
    assert_int_equal(port_rig_send(&e, 0x21, 8, 100), BASE_OK);
    port_rig_turn(rig);
    port_rig_say_closed(rig, conn, 0, SHM_REASON_APP_GONE);
    port_rig_turn(rig);
    assert_int_equal(e.n_closed, 1);
    assert_int_equal(e.n_unsent, 1);
    assert_int_equal(e.unsent[0], 100);
    assert_int_equal(e.unsent_byte[0], 0x21);
    rig->snapd.plan.stops_taking = false;
    port_rig_turns(rig, 2);
    assert_int_equal(rig->snapd.n_commands, 2 + FAKE_SLOTS);
}

static void a_connection_leaves_memory_to_the_others(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0}, f = {0};
    port_rig_open(rig, &e);
    port_rig_open(rig, &f);
    uint32_t n = 0;
    while (port_rig_send(&e, 1, 32768, n) == BASE_OK) {
        n++;
    }
    assert_true(n * 32768 <= FAKE_REGION_BYTES / 2 && n * 32768 >= FAKE_REGION_BYTES / 4);
    assert_int_equal(port_rig_send(&e, 1, 100, n), BASE_OK); /* small ones pass */
    assert_int_equal(port_rig_send(&f, 1, 32768, n), BASE_OK);
    assert_int_equal(port_rig_send(&f, 1, 100, n), BASE_OK);
}

static void each_reason_becomes_an_error_and_names_the_peer(void **state)
{
    struct port_rig *rig = *state;
    for (unsigned r = SHM_REASON_CLOSED; r < SHM_REASON_MAX; r++) {
        struct port_events e = {0};
        port_rig_open(rig, &e);
        port_rig_say_closed(rig, fake_snapd_command(&rig->snapd, 0)->conn, 0, (uint8_t)r);
        port_rig_turn(rig);
        assert_int_equal(e.n_closed, 1);
        assert_int_not_equal(e.why.err, BASE_OK);
        assert_true((e.why.err == BASE_E_CLOSED) == (r == SHM_REASON_CLOSED));
        assert_non_null(strstr(e.why.message, "pony:10.0.0.9:4741: "));
        assert_non_null(strstr(e.why.message, shm_reason_text((enum shm_reason)r)));
    }
}

static void what_came_back_unsent_is_told_before_closed(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    port_rig_open(rig, &e);
    uint32_t conn = fake_snapd_command(&rig->snapd, 0)->conn;
    for (uint8_t i = 0; i < 3; i++) {
        assert_int_equal(port_rig_send(&e, (uint8_t)(0x10 + i), 8, i), BASE_OK);
    }
    port_rig_turn(rig);
    port_rig_say_sent(rig, fake_snapd_command(&rig->snapd, 2), 0);
    port_rig_say_sent(rig, fake_snapd_command(&rig->snapd, 1), SHM_CPL_UNSENT);
    port_rig_say_closed(rig, conn, 0, SHM_REASON_PEER_DEAD);
    port_rig_turn(rig);
    assert_int_equal(e.n_closed, 0); /* the third one is still at snapd */
    port_rig_say_sent(rig, fake_snapd_command(&rig->snapd, 0), SHM_CPL_UNSENT);
    port_rig_turn(rig);
    assert_int_equal(e.n_closed, 1);
    assert_int_equal(e.n_unsent, 2);
    assert_int_equal(e.unsent[0], 1);
    assert_int_equal(e.unsent_byte[0], 0x11);
    assert_int_equal(e.unsent[1], 2);
}

static void one_sent_gives_back_messages_of_several_connections(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0}, f = {0};
    assert_true(rig->snapd.joins_sent);
    port_rig_open(rig, &e);
    port_rig_open(rig, &f);
    for (uint32_t i = 0; i <= SHM_SENT_MORE_MAX; i++) {
        assert_int_equal(port_rig_send(i % 2 == 0 ? &e : &f, 1, 8, i), BASE_OK);
    }
    port_rig_turn(rig);
    assert_int_equal(rig->port->messages.n_taken, SHM_SENT_MORE_MAX + 1);
    struct shm_completion c = {.kind = SHM_CPL_SENT, .n_more = SHM_SENT_MORE_MAX};
    for (uint32_t i = 0; i < SHM_SENT_MORE_MAX; i++) {
        c.u.sent.tags[i] = fake_snapd_command(&rig->snapd, i)->tag;
    }
    c.conn = fake_snapd_command(&rig->snapd, SHM_SENT_MORE_MAX)->conn;
    c.tag = fake_snapd_command(&rig->snapd, SHM_SENT_MORE_MAX)->tag;
    fake_snapd_say(&rig->snapd, &c);
    port_rig_turn(rig);
    assert_int_equal(rig->port->messages.n_taken, 0);
    assert_int_equal(rig->port->tx_bytes, 0);
    assert_int_equal(e.n_closed + f.n_closed, 0);
}

static void what_came_back_before_it_opened_is_unsent_if_it_never_opens(void **state)
{
    struct port_rig *rig = *state;
    for (int opens = 0; opens < 2; opens++) {
        struct port_events e = {0};
        port_rig_connect(rig, &e);
        uint32_t conn = fake_snapd_command(&rig->snapd, 0)->conn;
        assert_int_equal(port_rig_send(&e, 0x77, 8, 5), BASE_OK);
        port_rig_turn(rig);
        port_rig_say_sent(rig, fake_snapd_command(&rig->snapd, 0), 0);
        port_rig_turn(rig);
        if (opens) {
            struct shm_completion c = {.kind = SHM_CPL_OPENED, .conn = conn};
            fake_snapd_say(&rig->snapd, &c);
        }
        uint8_t flags = opens ? 0 : SHM_CPL_NEVER_OPENED;
        port_rig_say_closed(rig, conn, flags, SHM_REASON_NO_SERVICE);
        port_rig_turn(rig);
        assert_int_equal(e.n_closed, 1);
        assert_int_equal(e.why.err, BASE_E_REFUSED);
        assert_int_equal(e.n_unsent, opens ? 0 : 1);
    }
}

static void a_flush_posts_close_once_and_ends_with_closed(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    struct snapi_tx tx;
    port_rig_open(rig, &e);
    ops->close(e.conn, SNAPI_CLOSE_FLUSH);
    ops->close(e.conn, SNAPI_CLOSE_FLUSH);
    assert_int_equal(ops->begin(e.conn, 1, &tx), BASE_E_CLOSED);
    port_rig_turn(rig);
    const struct shm_command *close = fake_snapd_command(&rig->snapd, 0);
    assert_int_equal(close->opcode, SHM_OP_CLOSE);
    assert_int_equal(close->flags, 0);
    assert_int_equal(fake_snapd_command(&rig->snapd, 1)->opcode, SHM_OP_OPEN);
    port_rig_say_closed(rig, close->conn, 0, SHM_REASON_CLOSED);
    port_rig_turn(rig);
    assert_int_equal(e.n_closed, 1);
    assert_int_equal(e.why.err, BASE_E_CLOSED);
}

static void an_abort_is_silent_and_its_number_is_kept_until_closed(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0}, f = {0}, g = {0};
    port_rig_open(rig, &e);
    assert_int_equal(port_rig_send(&e, 1, 8, 1), BASE_OK);
    ops->close(e.conn, SNAPI_CLOSE_ABORT);
    port_rig_turn(rig);
    const struct shm_command close = *fake_snapd_command(&rig->snapd, 0);
    const struct shm_command send = *fake_snapd_command(&rig->snapd, 1);
    assert_int_equal(close.opcode, SHM_OP_CLOSE);
    assert_int_equal(close.flags, SHM_CLOSE_ABORT);
    port_rig_open(rig, &f);
    assert_int_not_equal(fake_snapd_command(&rig->snapd, 0)->conn, close.conn);
    say_received(rig, close.conn, 0, 8); /* was on its way */
    port_rig_say_sent(rig, &send, SHM_CPL_UNSENT);
    port_rig_say_closed(rig, close.conn, 0, SHM_REASON_CLOSED);
    port_rig_turn(rig);
    port_rig_connect(rig, &g);
    assert_int_equal(fake_snapd_command(&rig->snapd, 0)->conn, close.conn);
    assert_int_equal(e.n_closed + e.n_unsent + e.n_messages, 0);
}

static void abort_self(struct port_events *e)
{
    ops->close(e->conn, SNAPI_CLOSE_ABORT);
}

static void callbacks_may_abort_their_connection(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {.on_message = abort_self}, f = {.on_unsent = abort_self};
    port_rig_open(rig, &e);
    uint32_t conn = fake_snapd_command(&rig->snapd, 0)->conn;
    say_received(rig, conn, 0, 8);
    say_received(rig, conn, 64, 8);
    port_rig_turn(rig);
    assert_int_equal(e.n_messages, 1);
    port_rig_open(rig, &f);
    conn = fake_snapd_command(&rig->snapd, 0)->conn;
    assert_int_equal(port_rig_send(&f, 1, 8, 1) | port_rig_send(&f, 1, 8, 2), BASE_OK);
    port_rig_turn(rig);
    port_rig_say_sent(rig, fake_snapd_command(&rig->snapd, 1), SHM_CPL_UNSENT);
    port_rig_say_sent(rig, fake_snapd_command(&rig->snapd, 0), SHM_CPL_UNSENT);
    port_rig_say_closed(rig, conn, SHM_CPL_NEVER_OPENED, SHM_REASON_UNREACHABLE);
    port_rig_turn(rig);
    assert_int_equal(f.n_unsent, 1);
    assert_int_equal(f.n_closed, 0);
}

static void snapd_is_woken_only_when_it_sleeps(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    port_rig_open(rig, &e);
    uint64_t count;
    (void)!read(rig->snapd.doorbell, &count, sizeof(count));
    assert_int_equal(port_rig_send(&e, 1, 8, 1), BASE_OK);
    ops->flush(rig->transport);
    assert_true(read(rig->snapd.doorbell, &count, sizeof(count)) < 0);
    fake_snapd_turn(&rig->snapd);
    assert_false(shm_engine_set_asleep(&rig->snapd.end, true));
    assert_int_equal(port_rig_send(&e, 1, 8, 2) | port_rig_send(&e, 1, 8, 3), BASE_OK);
    ops->flush(rig->transport);
    assert_int_equal(read(rig->snapd.doorbell, &count, sizeof(count)), sizeof(count));
    assert_int_equal(count, 1);
}

static void armed_it_is_woken_and_with_work_it_refuses_to_sleep(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    uint32_t n;
    port_rig_open(rig, &e);
    uint32_t conn = fake_snapd_command(&rig->snapd, 0)->conn;
    assert_true(ops->arm(rig->transport));
    say_received(rig, conn, 0, 8);
    assert_int_equal(snapi_poller_wait(&rig->poller, BASE_NS_PER_S, &n), BASE_OK);
    assert_int_equal(n, 1);
    port_rig_turn(rig);
    assert_int_equal(e.n_messages, 1);
    say_received(rig, conn, 0, 8); /* awake: no signal */
    assert_int_equal(snapi_poller_wait(&rig->poller, 0, &n), BASE_OK);
    assert_int_equal(n, 0);
    assert_false(ops->arm(rig->transport));
    port_rig_turn(rig);
    assert_int_equal(e.n_messages, 2);
    assert_true(ops->arm(rig->transport));
}

static void asleep_without_a_wish_it_is_deaf_to_sent_alone(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    port_rig_open(rig, &e);
    const _Atomic uint32_t *how = &rig->snapd.end.client->is_asleep;
    assert_true(ops->arm(rig->transport));
    assert_int_equal(atomic_load(how), SHM_CLIENT_ASLEEP_NEWS);
    port_rig_turn(rig);
    assert_int_equal(atomic_load(how), SHM_CLIENT_AWAKE);
    /* Another thread uses up what memory there is while the driver sleeps. */
    assert_true(ops->arm(rig->transport));
    uint64_t tag = 1;
    while (port_rig_send(&e, 1, 100000, tag) == BASE_OK) {
        tag++;
    }
    ops->flush(rig->transport);
    assert_int_equal(ops->next_deadline_ns(rig->transport), 0); /* look again, sleep lighter */
    port_rig_turn(rig);
    assert_true(ops->arm(rig->transport));
    assert_int_equal(atomic_load(how), SHM_CLIENT_ASLEEP_ALL);
}

static void who_waits_for_memory_does_not_leave_its_processor_to_the_engine(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    port_rig_open(rig, &e);
    struct shm_engine_area *engine = rig->snapd.end.engine;
    const _Atomic uint32_t *waits = &rig->snapd.end.client->waits;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    atomic_store(&engine->processor, shm_processor());
    ops->set_waiting(rig->transport, true);
    assert_int_equal(atomic_load(waits), shm_processor());
    ops->set_waiting(rig->transport, false);
    assert_int_equal(atomic_load(waits), SHM_WAITS_NOT);
    uint64_t tag = 1;
    while (port_rig_send(&e, 1, 100000, tag) == BASE_OK) {
        tag++;
    }
    ops->set_waiting(rig->transport, true);
    assert_int_equal(atomic_load(waits), SHM_WAITS_NOT);
    ops->set_waiting(rig->transport, false);
}

static void asleep_it_looks_again_for_much_memory_that_is_out(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    port_rig_open(rig, &e);
    assert_true(ops->arm(rig->transport));
    assert_true(ops->next_deadline_ns(rig->transport) > rig->now_ns + PONY_PORT_TX_IDLE_NS);
    rig->port->tx_bytes += PONY_PORT_TX_KEEP_BYTES + 1;
    assert_true(ops->next_deadline_ns(rig->transport) <= rig->now_ns + PONY_PORT_TX_IDLE_NS);
    rig->port->tx_bytes -= PONY_PORT_TX_KEEP_BYTES + 1;
}

static void connecting_while_down_closes_in_the_next_poll(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {.rig = rig};
    fake_snapd_kill(&rig->snapd);
    port_rig_turns(rig, 2);
    assert_int_equal(ops->connect(rig->transport,
                                  "pony:10.0.0.9:4741/00000000000000aa/0000000000000000",
                                  SNAPI_TRAFFIC_DEFAULT, &port_rig_conn_events, &e, &e.conn),
                     BASE_OK);
    assert_int_equal(e.n_closed, 0);
    assert_int_equal(ops->next_deadline_ns(rig->transport), 0);
    assert_false(ops->arm(rig->transport));
    port_rig_turn(rig);
    assert_int_equal(e.n_closed, 1);
    assert_int_equal(e.why.err, BASE_E_UNREACHABLE);
    assert_non_null(strstr(e.why.message, "snapd"));
}

static void connecting_while_trying_opens_once_attached(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {.rig = rig}, f = {.rig = rig};
    struct snapi_tx tx;
    fake_snapd_kill(&rig->snapd);
    port_rig_turns(rig, 2);
    rig->snapd.plan.is_silent = true;
    fake_snapd_start(&rig->snapd);
    rig->now_ns = rig->port->retry_ns;
    (void)ops->poll(rig->transport, rig->now_ns, 1);
    const char *to = "pony:*:4741/00000000000000aa/0000000000000001";
    assert_int_equal(
        ops->connect(rig->transport, to, SNAPI_TRAFFIC_DEFAULT, &port_rig_conn_events, &e, &e.conn),
        BASE_OK);
    assert_int_equal(
        ops->connect(rig->transport, to, SNAPI_TRAFFIC_DEFAULT, &port_rig_conn_events, &f, &f.conn),
        BASE_OK);
    assert_int_equal(ops->begin(e.conn, 8, &tx), BASE_AGAIN);
    ops->close(f.conn, SNAPI_CLOSE_FLUSH);
    rig->snapd.plan.is_silent = false;
    port_rig_attach(rig);
    assert_int_equal(f.n_closed, 1);
    assert_int_equal(f.why.err, BASE_E_CLOSED);
    assert_int_equal(e.n_writable, 1);
    assert_int_equal(fake_snapd_command(&rig->snapd, 0)->opcode, SHM_OP_OPEN);
    assert_int_equal(rig->snapd.n_commands, 1);
    static const uint8_t nowhere[16];
    assert_memory_equal(fake_snapd_command(&rig->snapd, 0)->u.open.to.ip, nowhere, 16);
}

static void destroying_with_everything_open_frees_all(void **state)
{
    struct port_rig *rig = *state;
    static struct port_events e, f; /* outlive this function */
    struct snapi_tx tx;
    memset(&e, 0, sizeof(e));
    memset(&f, 0, sizeof(f));
    port_rig_open(rig, &e);
    port_rig_connect(rig, &f);
    assert_int_equal(port_rig_send(&e, 1, 100, 1), BASE_OK);
    assert_int_equal(ops->begin(e.conn, 100000, &tx), BASE_OK);
    ops->close(f.conn, SNAPI_CLOSE_ABORT);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, port_rig_setup_up, port_rig_teardown)
    const struct CMUnitTest tests[] = {
        CASE(connect_posts_open_and_opened_is_told_once),
        CASE(open_names_the_traffic_class),
        CASE(a_bad_address_is_invalid),
        CASE(a_message_reaches_snapd_as_it_was_written),
        CASE(a_shortened_an_empty_and_an_abandoned_message_are_fine),
        CASE(a_message_that_arrives_is_read_in_place_and_its_memory_given_back),
        CASE(a_message_up_to_the_end_of_the_region_is_accepted),
        CASE(without_memory_begin_says_again_and_writable_follows),
        CASE(long_messages_have_room_until_enough_are_under_way),
        CASE(two_messages_have_room_however_long_they_are),
        CASE(what_does_not_move_is_not_waited_for),
        CASE(what_finds_the_command_queue_full_goes_later_in_order),
        CASE(what_waited_for_the_command_queue_is_unsent_when_it_ends),
        CASE(a_connection_leaves_memory_to_the_others),
        CASE(each_reason_becomes_an_error_and_names_the_peer),
        CASE(what_came_back_unsent_is_told_before_closed),
        CASE(one_sent_gives_back_messages_of_several_connections),
        CASE(what_came_back_before_it_opened_is_unsent_if_it_never_opens),
        CASE(a_flush_posts_close_once_and_ends_with_closed),
        CASE(an_abort_is_silent_and_its_number_is_kept_until_closed),
        CASE(callbacks_may_abort_their_connection),
        CASE(snapd_is_woken_only_when_it_sleeps),
        CASE(armed_it_is_woken_and_with_work_it_refuses_to_sleep),
        CASE(asleep_without_a_wish_it_is_deaf_to_sent_alone),
        CASE(who_waits_for_memory_does_not_leave_its_processor_to_the_engine),
        CASE(asleep_it_looks_again_for_much_memory_that_is_out),
        CASE(connecting_while_down_closes_in_the_next_poll),
        CASE(connecting_while_trying_opens_once_attached),
        CASE(destroying_with_everything_open_frees_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
