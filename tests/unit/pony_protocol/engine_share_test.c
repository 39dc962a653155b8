/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pony_protocol/pair.h"
#include "transport/pony/protocol/state.h"

/* Back-pressure, fairness, many connections: who waits for whom, and who does not. */

/* PX-77 */
static void a_reader_that_sleeps_stops_its_own_senders_only(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    struct world_app_config config = world_app_config();
    struct shm_completion cpl;
    connect_pair(pair);
    struct world_app *third = world_attach(&pair->world, 1, &config);
    assert_true(world_listen(third, 1, SERVICE + 1));
    assert_true(world_expect(third, SHM_CPL_LISTENING, SECOND, &cpl));
    assert_true(world_open(pair->client, 2, 1, SERVICE + 1));
    assert_true(world_expect(pair->client, SHM_CPL_OPENED, SECOND, &cpl));
    uint32_t n_sleepy = 0;
    for (uint32_t i = 0; i < 2000; i++) { /* the server does not read */
        n_sleepy += world_send(pair->client, 1, 0, 4000, i);
        (void)world_step(&pair->world);
        while (world_next(pair->client, &cpl)) {
        }
    }
    assert_true(n_sleepy > 400);
    assert_true(pair->server->app->rx.bytes_used > 10000); /* its credit is used, */
    assert_true(world_send(pair->client, 2, 0, 4000, 1));  /* and others do not notice */
    assert_int_equal(count_completions(third, SHM_CPL_RECEIVED, 5 * MS), 1);
    /* It wakes: everything is there. */
    assert_int_equal(count_completions(pair->server, SHM_CPL_RECEIVED, SECOND), n_sleepy);
    free_pair(pair);
}

/* PX-75 */
static void large_messages_wait_for_memory_in_turn(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    struct shm_completion cpl;
    connect_pair(pair);
    /* 640 KiB for large ones: one of 400,000 bytes fits at a time. */
    for (uint32_t i = 0; i < 5; i++) {
        assert_true(world_send_ordered(pair->client, 1, 1000 * i, 400000 + i, 3));
    }
    for (uint32_t i = 0; i < 5; i++) {
        world_run(&pair->world, 50 * MS); /* no more comes than fits */
        assert_true(world_peek(pair->server, &cpl));
        assert_int_equal(cpl.u.received.len, 400000 + i);
        assert_true(world_next(pair->server, &cpl));
        assert_false(world_peek(pair->server, &cpl));
    }
    free_pair(pair);
}

/* PX-76 */
static void what_could_not_be_handed_over_stays_with_the_sender(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    struct shm_completion cpl;
    connect_pair(pair);
    assert_true(world_send_ordered(pair->client, 1, 0, 500000, 3));
    world_run(&pair->world, 50 * MS); /* it arrives, and keeps the memory */
    assert_true(world_send_ordered(pair->client, 1, 0, 500000, 4));
    assert_true(world_send_ordered(pair->client, 1, 0, 100, 4)); /* behind one that waits */
    assert_true(world_send_ordered(pair->client, 1, 0, 200, 5)); /* and another stream */
    world_run(&pair->world, 50 * MS);
    assert_true(world_next(pair->server, &cpl));
    assert_true(world_next(pair->server, &cpl));
    assert_int_equal(cpl.u.received.len, 200);
    assert_int_equal(pair->server->app->rx_msgs.n_taken, 1); /* the one that waits; none is held */
    assert_int_equal(count_completions(pair->server, SHM_CPL_RECEIVED, 100 * MS), 2);
    free_pair(pair);
}

static void a_full_completion_queue_loses_nothing(void **state)
{
    (void)state;
    struct world_app_config config = world_app_config();
    config.slots = 64;
    struct pair *pair = make_pair(true, &config);
    connect_pair(pair);
    uint32_t n = 0;
    struct shm_completion cpl;
    for (uint32_t i = 0; i < 500; i++) {
        n += world_send(pair->client, 1, 0, 100, i);
        (void)world_step(&pair->world);
        while (world_next(pair->client, &cpl)) {
        }
    }
    assert_int_equal(n, 500);
    assert_true(pony_app_has_backlog(pair->server->app));
    assert_int_equal(count_completions(pair->server, SHM_CPL_RECEIVED, 100 * MS), 500);
    assert_false(pony_app_has_backlog(pair->server->app));
    free_pair(pair);
}

static void an_application_that_does_not_read_is_not_served_further(void **state)
{
    (void)state;
    struct world_app_config config = world_app_config();
    config.slots = 64;
    struct pair *pair = make_pair(true, &config);
    connect_pair(pair);
    uint32_t n = 0;
    for (uint32_t i = 0; i < 1000; i++) { /* its SENT completions fill its queue */
        n += world_send(pair->client, 1, 0, 10, i);
        (void)world_step(&pair->world);
    }
    assert_true(n < 300);
    assert_int_equal(count_completions(pair->client, SHM_CPL_SENT, 100 * MS), n);
    free_pair(pair);
}

static void engines_say_what_they_wait_for_before_they_sleep(void **state)
{
    (void)state;
    struct world_app_config config = world_app_config();
    config.slots = 64;
    struct pair *pair = make_pair(true, &config);
    struct pony_engine *engine = pair->world.hosts[0].engine;
    struct shm_completion cpl;
    connect_pair(pair);
    world_run(&pair->world, MS);
    assert_false(pony_engine_set_asleep(engine, true));
    assert_true(world_peek(pair->server, &cpl) == false);
    for (uint32_t i = 0; i < 100; i++) {
        (void)world_send(pair->client, 1, 0, 10, i);
        (void)world_step(&pair->world);
        while (world_next(pair->client, &cpl)) {
        }
    }
    assert_true(pony_app_has_backlog(pair->server->app));
    assert_false(pony_engine_set_asleep(engine, true));
    assert_true(shm_client_consume(&pair->server->end, 10)); /* ring: the engine wants room */
    assert_true(pony_engine_set_asleep(engine, true));
    free_pair(pair);
}

/* Two clients with endless work: after the same time each has had about half. */
static void two_applications_share_an_engine_fairly(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    struct world_app_config config = world_app_config();
    struct world_app *apps[2] = {pair->client, world_attach(&pair->world, 0, &config)};
    struct shm_completion cpl;
    connect_pair(pair);
    assert_true(world_open(apps[1], 1, 1, SERVICE));
    assert_true(world_expect(apps[1], SHM_CPL_OPENED, SECOND, &cpl));
    uint64_t n[2] = {0, 0};
    for (int i = 0; i < 3000; i++) {
        /* The first sends small messages, the second large ones: shares count in bytes. */
        while (world_send(apps[0], 1, 0, 1000, 0)) {
        }
        while (apps[1]->app->tx_msgs.n_taken < 16 && world_send(apps[1], 1, 0, 100000, 0)) {
            (void)world_round(&pair->world, 0);
        }
        (void)world_step(&pair->world);
        for (int a = 0; a < 2; a++) {
            while (world_next(apps[a], &cpl)) {
                uint64_t n_sent = cpl.kind == SHM_CPL_SENT ? 1u + cpl.n_more : 0;
                n[a] += n_sent * (a == 0 ? 1000 : 100000);
            }
        }
        while (world_next(pair->server, &cpl)) {
        }
    }
    /* Small messages go first, but at most seven packets in a row. */
    assert_true(n[0] > 1000000 && n[1] > 0);
    assert_true(n[0] < 20 * n[1] && n[1] < 20 * n[0]);
    free_pair(pair);
}

static void connections_with_small_messages_take_turns(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    struct shm_completion cpl;
    connect_pair(pair);
    uint32_t conns[2] = {pair->server_conn, connect_more(pair, 2)};
    uint64_t n[2] = {0, 0};
    for (int i = 0; i < 2000; i++) {
        for (uint32_t c = 1; c <= 2; c++) {
            (void)world_send(pair->client, c, 0, c == 1 ? 200 : 1000, 0);
        }
        (void)world_step(&pair->world);
        while (world_next(pair->client, &cpl)) {
        }
        while (world_next(pair->server, &cpl)) {
            for (int c = 0; c < 2; c++) {
                n[c] += cpl.kind == SHM_CPL_RECEIVED && cpl.conn == conns[c];
            }
        }
    }
    assert_true(n[0] > 500 && n[1] > 500);
    assert_true(n[0] < 2 * n[1] && n[1] < 2 * n[0]);
    free_pair(pair);
}

/* The flow is asked once: it must come through to who may send, however many may not. */
static void who_has_credit_is_served_behind_any_number_without(void **state)
{
    (void)state;

    enum {
        N_MAX = 1100
    };

    /* So many connections as a pass looks at, one more, two passes, many. */
    static const uint32_t n_without[] = {0, 255, 256, 257, 511, 512, 513, N_MAX - 1};
    struct world_app_config config = world_app_config();
    config.slots = 2048;
    config.rx_bytes = UINT64_C(32) << 20;
    config.max_conns = N_MAX;
    struct pair *pair = make_pair(false, &config);
    struct pony_engine *engine = pair->world.hosts[0].engine;
    uint32_t at_server[N_MAX];
    listen_pair(pair);
    for (uint32_t i = 0; i < N_MAX; i++) {
        at_server[i] = connect_more(pair, i);
    }
    for (size_t k = 0; k < sizeof(n_without) / sizeof(n_without[0]); k++) {
        struct shm_completion cpl;
        uint32_t limits[N_MAX];
        uint32_t n = n_without[k];
        world_run(&pair->world, 10 * MS); /* acknowledgements of the round before */
        for (uint32_t i = 0; i <= n; i++) {
            struct pony_conn *conn = pony_app_find_conn(pair->client->app, i);
            limits[i] = conn->tx_limit;
            conn->tx_limit = i < n ? conn->tx_used : conn->tx_limit;
            assert_true(world_send(pair->client, i, 0, 100, i));
        }
        while (pony_engine_poll_apps(engine, pair->world.now_ns, 64) > 0) {
        }
        assert_true(world_expect(pair->server, SHM_CPL_RECEIVED, MS, &cpl));
        assert_int_equal(cpl.conn, at_server[n]);
        /* The others, when their credit comes. */
        for (uint32_t i = 0; i < n; i++) {
            struct pony_conn *conn = pony_app_find_conn(pair->client->app, i);
            conn->tx_limit = limits[i];
            pony_conn_wake_small(conn);
        }
        assert_int_equal(count_completions(pair->server, SHM_CPL_RECEIVED, 10 * MS), n);
        assert_int_equal(count_completions(pair->client, SHM_CPL_SENT, MS), n + 1);
    }
    free_pair(pair);
}

static void ten_thousand_connections_fit(void **state)
{
    (void)state;

    enum {
        N = 10000
    };
    struct world_app_config config = world_app_config();
    config.slots = 4096;
    config.rx_bytes = UINT64_C(128) << 20;
    config.max_conns = N;
    struct pair *pair = make_pair(false, &config);
    struct shm_completion cpl;
    uint32_t n_opened = 0;
    uint32_t n_accepted = 0;
    listen_pair(pair);
    for (uint32_t i = 0; n_opened < N || n_accepted < N;) {
        while (i < N && world_open(pair->client, i, 1, SERVICE)) {
            i++;
        }
        (void)world_step(&pair->world);
        while (world_next(pair->client, &cpl)) {
            assert_int_equal(cpl.kind, SHM_CPL_OPENED);
            n_opened++;
        }
        while (world_next(pair->server, &cpl)) {
            n_accepted += cpl.kind == SHM_CPL_ACCEPTED;
        }
        assert_true(pair->world.now_ns < 60 * SECOND);
    }
    /* Every one of them can carry a message at the same time. */
    uint32_t n_received = 0;
    for (uint32_t i = 0; i < N;) {
        while (i < N && world_send(pair->client, i, 0, 900, i)) {
            i++;
        }
        (void)world_step(&pair->world);
        while (world_next(pair->client, &cpl)) {
        }
    }
    n_received = count_completions(pair->server, SHM_CPL_RECEIVED, SECOND);
    assert_int_equal(n_received, N);
    free_pair(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_that_sleeps_stops_its_own_senders_only),
        cmocka_unit_test(large_messages_wait_for_memory_in_turn),
        cmocka_unit_test(what_could_not_be_handed_over_stays_with_the_sender),
        cmocka_unit_test(a_full_completion_queue_loses_nothing),
        cmocka_unit_test(an_application_that_does_not_read_is_not_served_further),
        cmocka_unit_test(engines_say_what_they_wait_for_before_they_sleep),
        cmocka_unit_test(two_applications_share_an_engine_fairly),
        cmocka_unit_test(connections_with_small_messages_take_turns),
        cmocka_unit_test(who_has_credit_is_served_behind_any_number_without),
        cmocka_unit_test(ten_thousand_connections_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
