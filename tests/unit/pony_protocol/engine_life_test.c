/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pony_protocol/pair.h"
#include "transport/pony/protocol/app.h"

#include <stdlib.h>
#include <string.h>

/* Connections and applications from beginning to end, and how each end is told. */

static void expect_closed(struct world_app *app, uint32_t conn, enum shm_reason reason,
                          uint8_t flags)
{
    struct shm_completion cpl;
    assert_true(world_expect(app, SHM_CPL_CLOSED, 20 * SECOND, &cpl));
    assert_int_equal(cpl.conn, conn);
    assert_int_equal(cpl.reason, reason);
    assert_int_equal(cpl.flags, flags);
}

static void check_unknown_service(bool is_local)
{
    struct pair *pair = make_pair(is_local, NULL);
    struct shm_completion cpl;
    assert_true(world_open(pair->client, 1, pair->server_host, 12345));
    assert_true(world_send(pair->client, 1, 0, 10, 99));
    assert_true(world_expect(pair->client, SHM_CPL_SENT, SECOND, &cpl));
    assert_int_equal(cpl.tag, 99);
    assert_int_equal(cpl.flags, SHM_CPL_UNSENT);
    expect_closed(pair->client, 1, SHM_REASON_NO_SERVICE, SHM_CPL_NEVER_OPENED);
    free_pair(pair);
}

/* PX-64, PX-66 */
static void an_unknown_service_is_refused(void **state)
{
    (void)state;
    check_unknown_service(false);
    check_unknown_service(true);
}

static void nobody_there_is_unreachable_and_never_opened(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    world_kill(&pair->world, 1);
    assert_true(world_open(pair->client, 1, 1, SERVICE));
    expect_closed(pair->client, 1, SHM_REASON_UNREACHABLE, SHM_CPL_NEVER_OPENED);
    free_pair(pair);
}

static void another_life_than_expected_is_not_spoken_to(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    listen_pair(pair);
    pair->world.hosts[1].config.instance ^= 2; /* what the client believes */
    assert_true(world_open(pair->client, 1, 1, SERVICE));
    expect_closed(pair->client, 1, SHM_REASON_PEER_RESTARTED, SHM_CPL_NEVER_OPENED);
    free_pair(pair);
}

static void check_close(bool is_local)
{
    struct pair *pair = make_pair(is_local, NULL);
    connect_pair(pair);
    fill_bytes(pair->client->tx, 200000, 1);
    assert_true(world_send(pair->client, 1, 0, 200000, 1));
    assert_true(world_send(pair->client, 1, 0, 100, 2));
    assert_true(world_close(pair->client, 1, 0));
    expect_message(pair, 100, 1);
    expect_message(pair, 200000, 1);
    expect_closed(pair->server, pair->server_conn, SHM_REASON_CLOSED, 0);
    expect_closed(pair->client, 1, SHM_REASON_CLOSED, 0);
    /* The number is free again. */
    (void)connect_more(pair, 1);
    free_pair(pair);
}

/* PX-67 */
static void closing_flushes_what_was_sent(void **state)
{
    (void)state;
    check_close(false);
    check_close(true);
}

static void both_may_close_at_once(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    connect_pair(pair);
    assert_true(world_close(pair->client, 1, 0));
    assert_true(world_close(pair->server, pair->server_conn, 0));
    expect_closed(pair->server, pair->server_conn, SHM_REASON_CLOSED, 0);
    expect_closed(pair->client, 1, SHM_REASON_CLOSED, 0);
    free_pair(pair);
}

/* PX-68 */
static void an_abort_tells_the_peer(void **state)
{
    (void)state;
    for (int is_local = 0; is_local < 2; is_local++) {
        struct pair *pair = make_pair(is_local != 0, NULL);
        connect_pair(pair);
        assert_true(world_close(pair->client, 1, SHM_CLOSE_ABORT));
        expect_closed(pair->client, 1, SHM_REASON_ABORTED, 0);
        expect_closed(pair->server, pair->server_conn, SHM_REASON_ABORTED, 0);
        free_pair(pair);
    }
}

static void an_abort_while_opening_reaches_the_acceptor_later(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    struct shm_completion cpl;
    connect_pair(pair); /* the flow is up */
    assert_true(world_open(pair->client, 2, 1, SERVICE));
    (void)world_round(&pair->world, 0); /* OPEN is on its way */
    assert_true(world_close(pair->client, 2, SHM_CLOSE_ABORT));
    expect_closed(pair->client, 2, SHM_REASON_ABORTED, SHM_CPL_NEVER_OPENED);
    assert_true(world_expect(pair->server, SHM_CPL_ACCEPTED, SECOND, &cpl));
    expect_closed(pair->server, cpl.conn, SHM_REASON_ABORTED, SHM_CPL_NEVER_OPENED);
    free_pair(pair);
}

static void a_send_that_crosses_the_end_gives_its_memory_back(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    struct shm_completion cpl;
    connect_pair(pair);
    assert_true(world_close(pair->client, 1, SHM_CLOSE_ABORT));
    expect_closed(pair->client, 1, SHM_REASON_ABORTED, 0);
    assert_true(world_send(pair->client, 1, 0, 10, 7));
    assert_true(world_expect(pair->client, SHM_CPL_SENT, SECOND, &cpl));
    assert_int_equal(cpl.tag, 7);
    assert_int_equal(cpl.flags, SHM_CPL_UNSENT);
    assert_false(pair->client->is_faulty);
    free_pair(pair);
}

static void a_detached_peer_is_app_gone(void **state)
{
    (void)state;
    for (int is_local = 0; is_local < 2; is_local++) {
        struct pair *pair = make_pair(is_local != 0, NULL);
        connect_pair(pair);
        /* A large message is under way: its packets must not read the memory that goes. */
        assert_true(world_send(pair->client, 1, 0, 400000, 1));
        for (int i = 0; i < 40; i++) {
            (void)world_step(&pair->world);
        }
        world_detach(pair->client);
        expect_closed(pair->server, pair->server_conn, SHM_REASON_APP_GONE, 0);
        free_pair(pair);
    }
}

static void a_dead_engine_is_peer_dead_or_restarted(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    struct shm_completion cpl;
    connect_pair(pair);
    world_kill(&pair->world, 0);
    assert_true(world_send(pair->server, pair->server_conn, 0, 10, 1));
    assert_true(world_expect(pair->server, SHM_CPL_CLOSED, 60 * SECOND, &cpl));
    assert_true(cpl.reason == SHM_REASON_PEER_DEAD || cpl.reason == SHM_REASON_UNREACHABLE);
    assert_int_equal(cpl.flags, 0);
    free_pair(pair);
}

static void shutdown_tells_everybody(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    connect_pair(pair);
    assert_true(world_send(pair->server, pair->server_conn, 0, 100000, 1));
    for (int i = 0; i < 10; i++) {
        (void)world_step(&pair->world);
    }
    pony_engine_shutdown(pair->world.hosts[1].engine, pair->world.now_ns);
    expect_closed(pair->server, pair->server_conn, SHM_REASON_SHUTDOWN, 0);
    expect_closed(pair->server, LISTENER, SHM_REASON_SHUTDOWN, SHM_CPL_LISTENER);
    expect_closed(pair->client, 1, SHM_REASON_SHUTDOWN, 0);
    world_detach(pair->server);
    free_pair(pair);
}

static void listeners_are_found_refused_and_ended(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    struct shm_completion cpl;
    listen_pair(pair);
    assert_true(world_listen(pair->client, 9, 0));
    assert_true(world_expect(pair->client, SHM_CPL_LISTENING, SECOND, &cpl));
    assert_true(cpl.u.listening.service != 0);
    assert_true(world_listen(pair->server, 6, SERVICE));
    expect_closed(pair->server, 6, SHM_REASON_REFUSED, SHM_CPL_LISTENER);
    const struct shm_command unlisten = {.opcode = SHM_OP_UNLISTEN, .conn = LISTENER};
    assert_true(world_put(pair->server, &unlisten));
    expect_closed(pair->server, LISTENER, SHM_REASON_CLOSED, SHM_CPL_LISTENER);
    assert_true(world_open(pair->client, 1, 1, SERVICE));
    expect_closed(pair->client, 1, SHM_REASON_NO_SERVICE, SHM_CPL_NEVER_OPENED);
    free_pair(pair);
}

static void an_unlisten_that_crosses_a_refusal_is_no_lie(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    listen_pair(pair);
    struct shm_completion cpl;
    const struct shm_command unlisten = {.opcode = SHM_OP_UNLISTEN, .conn = 6};
    assert_true(world_listen(pair->server, 6, SERVICE)); /* in use */
    assert_true(world_put(pair->server, &unlisten));
    expect_closed(pair->server, 6, SHM_REASON_REFUSED, SHM_CPL_LISTENER);
    assert_true(world_open(pair->client, 1, pair->server_host, SERVICE));
    assert_true(world_expect(pair->client, SHM_CPL_OPENED, SECOND, &cpl));
    assert_false(pair->server->is_faulty);
    free_pair(pair);
}

static void check_local_listener(bool is_local)
{
    struct pair *pair = make_pair(is_local, NULL);
    struct shm_command listen = {
        .opcode = SHM_OP_LISTEN, .conn = LISTENER, .flags = SHM_LISTEN_LOCAL};
    struct shm_completion cpl;
    listen.u.listen.service = SERVICE;
    assert_true(world_put(pair->server, &listen));
    assert_true(world_expect(pair->server, SHM_CPL_LISTENING, SECOND, &cpl));
    assert_true(world_open(pair->client, 1, pair->server_host, SERVICE));
    if (is_local) {
        assert_true(world_expect(pair->client, SHM_CPL_OPENED, SECOND, &cpl));
    } else {
        expect_closed(pair->client, 1, SHM_REASON_NO_SERVICE, SHM_CPL_NEVER_OPENED);
    }
    free_pair(pair);
}

static void a_local_listener_is_for_this_snapd_only(void **state)
{
    (void)state;
    check_local_listener(true);
    check_local_listener(false);
}

static void check_lie(const struct shm_command *lie)
{
    struct pair *pair = make_pair(false, NULL);
    connect_pair(pair);
    assert_true(world_put(pair->client, lie));
    expect_closed(pair->server, pair->server_conn, SHM_REASON_APP_GONE, 0);
    assert_true(pair->client->is_faulty);
    assert_false(pair->server->is_faulty);
    /* It is dead: what it says now is not heard. */
    assert_true(world_open(pair->client, 2, 1, SERVICE));
    assert_int_equal(count_completions(pair->server, SHM_CPL_ACCEPTED, 10 * MS), 0);
    world_detach(pair->client);
    free_pair(pair);
}

static struct shm_command send_of(uint64_t off, uint32_t len)
{
    struct shm_command command = {.opcode = SHM_OP_SEND, .conn = 1};
    command.u.send.off = off;
    command.u.send.len = len;
    return command;
}

static void a_lie_costs_the_liar_only(void **state)
{
    (void)state;
    const uint64_t tx = world_app_config().tx_bytes;
    const struct shm_command lies[] = {
        send_of(tx, 1),
        send_of(tx - 10, 11),
        send_of(UINT64_MAX, 2),
        send_of(0, 512 * 1024 + 1), /* more than the largest message */
        {.opcode = SHM_OP_OPEN, .conn = 1},
        {.opcode = SHM_OP_OPEN, .conn = SHM_CONN_ACCEPTED | 7},
        {.opcode = SHM_OP_LISTEN, .conn = SHM_CONN_ACCEPTED | 7},
        {.opcode = SHM_OP_LISTEN, .conn = 7, .flags = SHM_LISTEN_LOCAL << 1},
        {.opcode = SHM_OP_SEND, .conn = 1, .flags = 0x80},
        {.opcode = SHM_OP_CLOSE, .conn = 1, .flags = 2},
        {.opcode = 0},
        {.opcode = SHM_OP_MAX},
        {.opcode = 255},
    };
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        check_lie(&lies[i]);
    }
}

static void expect_unsent(struct world_app *app, uint32_t conn, uint64_t tag)
{
    struct shm_completion cpl;
    assert_true(world_send(app, conn, 0, 10, tag));
    assert_true(world_expect(app, SHM_CPL_SENT, SECOND, &cpl));
    assert_int_equal(cpl.tag, tag);
    assert_int_equal(cpl.flags, SHM_CPL_UNSENT);
}

static void a_number_is_good_for_its_application_only(void **state)
{
    (void)state;
    struct pair *pair = make_pair(true, NULL); /* both on one engine: one pool of connections */
    connect_pair(pair);
    uint32_t theirs = pair->server_conn;
    expect_unsent(pair->client, theirs, 1);
    expect_unsent(pair->client, theirs + 1, 2);
    expect_unsent(pair->client, UINT32_MAX, 3);
    expect_unsent(pair->client, SHM_CONN_ACCEPTED, 4);
    expect_unsent(pair->server, 1, 5);
    assert_true(world_close(pair->client, theirs, SHM_CLOSE_ABORT));
    assert_true(world_send(pair->server, theirs, 0, 10, 6));
    assert_int_equal(count_completions(pair->client, SHM_CPL_RECEIVED, 10 * MS), 1);
    assert_false(pair->client->is_faulty);
    assert_false(pair->server->is_faulty);
    /* A number of the past names nobody, though its place may be taken again. */
    assert_true(world_close(pair->client, 1, SHM_CLOSE_ABORT));
    expect_closed(pair->server, theirs, SHM_REASON_ABORTED, 0);
    assert_int_not_equal(connect_more(pair, 2), theirs);
    expect_unsent(pair->server, theirs, 7);
    free_pair(pair);
}

static void numbers_that_share_a_chain_are_told_apart(void **state)
{
    (void)state;

    enum {
        APART = 1 << 20
    }; /* more than any table here has places */
    struct pair *pair = make_pair(false, NULL);
    struct shm_completion cpl;
    connect_pair(pair);
    for (uint32_t i = 1; i < 4; i++) {
        (void)connect_more(pair, 1 + i * APART);
    }
    assert_true(world_close(pair->client, 1 + APART, SHM_CLOSE_ABORT));
    assert_true(world_expect(pair->client, SHM_CPL_CLOSED, SECOND, &cpl));
    assert_int_equal(cpl.conn, 1 + APART);
    expect_unsent(pair->client, 1 + APART, 1);
    for (uint32_t i = 0; i < 4; i++) {
        if (i != 1) {
            assert_true(world_send(pair->client, 1 + i * APART, 0, 10, i));
        }
    }
    assert_int_equal(count_completions(pair->server, SHM_CPL_RECEIVED, 100 * MS), 3);
    free_pair(pair);
}

/* A look-up that walks them costs every application of the engine. */
static void numbers_that_are_all_alike_end_the_application(void **state)
{
    (void)state;

    enum {
        APART = 1 << 20
    };
    struct pair *pair = make_pair(false, NULL);
    connect_pair(pair); /* its number is 1 */
    for (uint32_t i = 1; i < PONY_APP_ALIKE_MAX; i++) {
        (void)connect_more(pair, 1 + i * APART);
    }
    (void)connect_more(pair, 2);
    assert_true(world_open(pair->client, 1 + PONY_APP_ALIKE_MAX * APART, 1, SERVICE));
    expect_closed(pair->server, pair->server_conn, SHM_REASON_APP_GONE, 0);
    assert_true(pair->client->is_faulty);
    assert_non_null(strstr(pair->client->fault, "one after the other"));
    free_pair(pair);
}

static void a_message_may_end_where_the_region_ends(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    uint64_t tx = world_app_config().tx_bytes;
    connect_pair(pair);
    assert_true(world_send(pair->client, 1, tx - 10, 10, 1));
    assert_true(world_send(pair->client, 1, tx, 0, 2));
    assert_true(world_send(pair->client, 1, 0, 512 * 1024, 3));
    assert_int_equal(count_completions(pair->server, SHM_CPL_RECEIVED, 200 * MS), 3);
    assert_false(pair->client->is_faulty);
    free_pair(pair);
}

static void cursors_that_lie_end_the_application(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++) {
        struct pair *pair = make_pair(false, NULL);
        connect_pair(pair);
        struct shm_client_area *area = pair->client->client;
        atomic_store(which == 0 ? &area->cmd_tail : &area->cpl_head, 100000u);
        expect_closed(pair->server, pair->server_conn, SHM_REASON_APP_GONE, 0);
        assert_true(pair->client->is_faulty);
        free_pair(pair);
    }
}

/* After a round: what applications have consumed is looked up in each. */
static bool is_waited_for(struct pair *pair, uint32_t processor)
{
    (void)world_round(&pair->world, 0);
    return pony_engine_is_waited_for(pair->world.hosts[0].engine, processor);
}

static void the_engine_is_waited_for_if_no_application_does_anything_else(void **state)
{
    (void)state;
    struct pair *pair = make_pair(true, NULL);
    connect_pair(pair);
    _Atomic uint32_t *client = &pair->client->end.client->waits;
    _Atomic uint32_t *server = &pair->server->end.client->waits;
    assert_false(is_waited_for(pair, 2)); /* neither says anything */
    atomic_store(client, 2);
    assert_false(is_waited_for(pair, 2)); /* the server may have something to do */
    atomic_store(server, 3);
    assert_false(is_waited_for(pair, 2)); /* ... elsewhere, as of late */
    atomic_store(server, 2);
    assert_true(is_waited_for(pair, 2));
    assert_false(is_waited_for(pair, 3));
    atomic_store(server, SHM_WAITS_ASLEEP);
    assert_true(is_waited_for(pair, 2));
    atomic_store(client, SHM_WAITS_ASLEEP);
    assert_false(is_waited_for(pair, 2)); /* nobody is awake */
    free_pair(pair);
}

static void who_says_that_it_waits_is_served_all_the_same(void **state)
{
    (void)state;
    struct pair *pair = make_pair(true, NULL);
    connect_pair(pair);
    atomic_store(&pair->client->end.client->waits, 2);
    atomic_store(&pair->server->end.client->waits, 2);
    assert_true(is_waited_for(pair, 2));
    assert_true(world_send(pair->client, 1, 0, 64, 1));
    assert_false(is_waited_for(pair, 2)); /* the server has news that it does not know of */
    assert_int_equal(count_completions(pair->server, SHM_CPL_RECEIVED, MS), 1);
    assert_true(is_waited_for(pair, 2));
    free_pair(pair);
}

static void too_many_connections_are_refused(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    listen_pair(pair);
    for (uint32_t i = 0; i < 64; i++) {
        (void)connect_more(pair, 1 + i);
    }
    assert_true(world_open(pair->client, 100, 1, SERVICE));
    expect_closed(pair->client, 100, SHM_REASON_NO_MEMORY, SHM_CPL_NEVER_OPENED);
    free_pair(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_service_is_refused),
        cmocka_unit_test(nobody_there_is_unreachable_and_never_opened),
        cmocka_unit_test(another_life_than_expected_is_not_spoken_to),
        cmocka_unit_test(closing_flushes_what_was_sent),
        cmocka_unit_test(both_may_close_at_once),
        cmocka_unit_test(an_abort_tells_the_peer),
        cmocka_unit_test(an_abort_while_opening_reaches_the_acceptor_later),
        cmocka_unit_test(a_send_that_crosses_the_end_gives_its_memory_back),
        cmocka_unit_test(a_detached_peer_is_app_gone),
        cmocka_unit_test(a_dead_engine_is_peer_dead_or_restarted),
        cmocka_unit_test(shutdown_tells_everybody),
        cmocka_unit_test(listeners_are_found_refused_and_ended),
        cmocka_unit_test(an_unlisten_that_crosses_a_refusal_is_no_lie),
        cmocka_unit_test(a_local_listener_is_for_this_snapd_only),
        cmocka_unit_test(a_lie_costs_the_liar_only),
        cmocka_unit_test(the_engine_is_waited_for_if_no_application_does_anything_else),
        cmocka_unit_test(who_says_that_it_waits_is_served_all_the_same),
        cmocka_unit_test(a_number_is_good_for_its_application_only),
        cmocka_unit_test(numbers_that_share_a_chain_are_told_apart),
        cmocka_unit_test(numbers_that_are_all_alike_end_the_application),
        cmocka_unit_test(a_message_may_end_where_the_region_ends),
        cmocka_unit_test(cursors_that_lie_end_the_application),
        cmocka_unit_test(too_many_connections_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
