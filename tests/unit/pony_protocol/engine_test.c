/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pony_protocol/pair.h"

/* Messages through one engine (local connections), or through two over a kind network. */

static const uint32_t sizes[] = {0,    1,     64,    1023,  1024,  1025,  1400,   1452,
                                 8000, 16383, 16384, 16385, 65536, 65537, 100000, 400000};

/* PX-70, PX-71 */
static void send_all_sizes(bool is_local)
{
    struct pair *pair = make_pair(is_local, NULL);
    connect_pair(pair);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct shm_completion cpl;
        fill_bytes(pair->client->tx + 100, sizes[i], (uint32_t)i);
        assert_true(world_send(pair->client, 1, 100, sizes[i], i));
        expect_message(pair, sizes[i], (uint32_t)i);
        assert_true(world_expect(pair->client, SHM_CPL_SENT, SECOND, &cpl));
        assert_int_equal(cpl.tag, i);
        assert_int_equal(cpl.flags, 0);
    }
    free_pair(pair);
}

static void local_messages_of_all_sizes_arrive(void **state)
{
    (void)state;
    send_all_sizes(true);
}

static void remote_messages_of_all_sizes_arrive(void **state)
{
    (void)state;
    send_all_sizes(false);
}

static void a_local_connection_sends_no_packet(void **state)
{
    (void)state;
    struct pair *pair = make_pair(true, NULL);
    connect_pair(pair);
    fill_bytes(pair->client->tx, 1000, 3);
    assert_true(world_send(pair->client, 1, 0, 1000, 1));
    expect_message(pair, 1000, 3);
    assert_int_equal(pair->world.n_order, 0);
    free_pair(pair);
}

static void many_small_messages_share_a_packet(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    connect_pair(pair);
    uint64_t before = pair->world.n_delivered;
    for (uint32_t i = 0; i < 60; i++) {
        assert_true(world_send(pair->client, 1, 0, 64, i));
    }
    assert_int_equal(count_completions(pair->server, SHM_CPL_RECEIVED, 5 * MS), 60);
    assert_true(pair->world.n_delivered - before < 20);
    free_pair(pair);
}

static void a_small_message_overtakes_a_large_one(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    struct shm_completion cpl;
    connect_pair(pair);
    uint32_t other = connect_more(pair, 2);
    assert_true(world_send(pair->client, 1, 0, 500000, 1));
    assert_true(world_send(pair->client, 1, 0, 10, 2));
    assert_true(world_send(pair->client, 2, 0, 11, 3));
    assert_true(world_expect(pair->server, SHM_CPL_RECEIVED, SECOND, &cpl));
    assert_int_equal(cpl.u.received.len, 10);
    assert_true(world_expect(pair->server, SHM_CPL_RECEIVED, SECOND, &cpl));
    assert_int_equal(cpl.u.received.len, 11);
    assert_int_equal(cpl.conn, other);
    assert_true(world_expect(pair->server, SHM_CPL_RECEIVED, SECOND, &cpl));
    assert_int_equal(cpl.u.received.len, 500000);
    free_pair(pair);
}

/* The client sleeps for news while it sends `n` messages: how often it is woken. */
static uint32_t wakes_while_sent(struct pair *pair, uint32_t how, uint32_t n)
{
    world_run(&pair->world, 10 * MS);
    struct shm_completion cpl;
    while (world_next(pair->client, &cpl)) {
    }
    (void)shm_client_set_asleep(&pair->client->end, how);
    uint32_t before = pair->client->n_wakes;
    for (uint32_t i = 0; i < n; i++) {
        assert_true(world_send(pair->client, 1, 0, 64, i));
        world_run(&pair->world, 2 * MS);
        while (world_next(pair->server, &cpl)) {
        }
    }
    (void)shm_client_set_asleep(&pair->client->end, SHM_CLIENT_AWAKE);
    return pair->client->n_wakes - before;
}

static void messages_are_news_and_sent_is_none(void **state)
{
    (void)state;
    for (int is_local = 0; is_local < 2; is_local++) {
        struct pair *pair = make_pair(is_local, NULL);
        connect_pair(pair);
        (void)count_completions(pair->client, SHM_CPL_OPENED, MS);
        const struct world_host *hosts = pair->world.hosts;
        uint32_t at_client = hosts[0].n_news;
        uint32_t at_server = hosts[pair->server_host].n_news;
        assert_true(world_send(pair->client, 1, 0, 100, 1));
        assert_int_equal(count_completions(pair->client, SHM_CPL_SENT, 10 * MS), 1);
        assert_int_equal(hosts[pair->server_host].n_news, at_server + 1);
        assert_int_equal(hosts[0].n_news, at_client + (is_local ? 1 : 0));
        free_pair(pair);
    }
}

static void who_sleeps_for_news_is_not_woken_by_sent(void **state)
{
    (void)state;
    for (int is_local = 0; is_local < 2; is_local++) {
        struct pair *pair = make_pair(is_local, NULL);
        struct shm_completion cpl;
        connect_pair(pair);
        assert_int_equal(wakes_while_sent(pair, SHM_CLIENT_ASLEEP_NEWS, 3), 0);
        assert_int_equal(count_completions(pair->client, SHM_CPL_SENT, MS), 3);
        assert_int_equal(wakes_while_sent(pair, SHM_CLIENT_ASLEEP_ALL, 3), 3);
        /* What the peer sends is news. */
        (void)shm_client_set_asleep(&pair->client->end, SHM_CLIENT_ASLEEP_NEWS);
        uint32_t before = pair->client->n_wakes;
        assert_true(world_send(pair->server, pair->server_conn, 0, 8, 1));
        world_run(&pair->world, 10 * MS);
        assert_int_equal(pair->client->n_wakes, before + 1);
        assert_true(world_expect(pair->client, SHM_CPL_RECEIVED, SECOND, &cpl));
        free_pair(pair);
    }
}

/* Sends `n` messages at once and counts the completions that name them. */
static uint32_t sents_for(struct pair *pair, uint32_t n)
{
    struct shm_completion cpl;
    bool is_named[64] = {0};
    uint32_t n_named = 0, n_cpls = 0;
    for (uint32_t i = 0; i < n; i++) {
        assert_true(world_send(pair->client, 1, 0, 64, i));
    }
    world_run(&pair->world, 10 * MS);
    while (world_next(pair->client, &cpl)) {
        if (cpl.kind != SHM_CPL_SENT) {
            continue;
        }
        assert_int_equal(cpl.conn, 1);
        assert_true(cpl.n_more <= SHM_SENT_MORE_MAX);
        n_cpls++;
        for (uint32_t i = 0; i <= cpl.n_more; i++) {
            uint64_t tag = i == 0 ? cpl.tag : cpl.u.sent.tags[i - 1];
            assert_true(tag < n && !is_named[tag]);
            is_named[tag] = true;
            n_named++;
        }
        for (uint32_t i = cpl.n_more; i < SHM_SENT_MORE_MAX; i++) {
            assert_int_equal(cpl.u.sent.tags[i], 0);
        }
    }
    assert_int_equal(n_named, n);
    while (world_next(pair->server, &cpl)) {
    }
    return n_cpls;
}

static void one_sent_names_as_many_messages_as_fit(void **state)
{
    (void)state;
    struct pair *pair = make_pair(true, NULL);
    connect_pair(pair);
    assert_int_equal(sents_for(pair, 1), 1);
    assert_int_equal(sents_for(pair, SHM_SENT_MORE_MAX), 1);
    assert_int_equal(sents_for(pair, SHM_SENT_MORE_MAX + 1), 1);
    assert_int_equal(sents_for(pair, SHM_SENT_MORE_MAX + 2), 2);
    assert_int_equal(sents_for(pair, 3 * (SHM_SENT_MORE_MAX + 1)), 3);
    free_pair(pair);
}

static void who_did_not_ask_for_it_gets_a_sent_for_each_message(void **state)
{
    (void)state;
    struct world_app_config config = world_app_config();
    config.has_single_sent = true;
    struct pair *pair = make_pair(true, &config);
    connect_pair(pair);
    assert_int_equal(sents_for(pair, 1), 1);
    assert_int_equal(sents_for(pair, 20), 20);
    free_pair(pair);
}

static void sent_comes_before_closed(void **state)
{
    (void)state;
    struct pair *pair = make_pair(true, NULL);
    struct shm_completion cpl;
    connect_pair(pair);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(world_send(pair->client, 1, 0, 64, i));
    }
    assert_true(world_close(pair->client, 1, 0)); /* all in one round */
    uint32_t n_named = 0;
    do {
        (void)world_step(&pair->world);
        while (world_next(pair->client, &cpl) && cpl.kind != SHM_CPL_CLOSED) {
            n_named += cpl.kind == SHM_CPL_SENT ? 1u + cpl.n_more : 0;
        }
    } while (cpl.kind != SHM_CPL_CLOSED);
    assert_int_equal(n_named, 3);
    free_pair(pair);
}

static void a_short_local_message_overtakes_none_that_waits(void **state)
{
    (void)state;
    static const uint32_t lens[] = {64, 5000, 64, 0, 5000, 1024, 1025, 64};

    enum {
        N = sizeof(lens) / sizeof(lens[0])
    };
    struct pair *pair = make_pair(true, NULL);
    struct shm_completion cpl;
    connect_pair(pair);
    for (uint32_t i = 0; i < N; i++) {
        assert_true(world_send(pair->client, 1, 0, lens[i], i));
    }
    for (uint32_t i = 0; i < N; i++) {
        assert_true(world_expect(pair->server, SHM_CPL_RECEIVED, SECOND, &cpl));
        assert_int_equal(cpl.u.received.seq, i);
        assert_int_equal(cpl.u.received.len, lens[i]);
    }
    free_pair(pair);
}

static void a_local_message_without_credit_waits_for_it(void **state)
{
    (void)state;

    enum {
        N = 4000
    }; /* of 128 bytes of credit each: more than a connection gets at most */
    struct pair *pair = make_pair(true, NULL);
    struct shm_completion cpl;
    connect_pair(pair);
    for (uint32_t n_sent = 0; n_sent < N; (void)world_step(&pair->world)) {
        while (n_sent < N && world_send(pair->client, 1, 0, 64, n_sent)) {
            n_sent++;
        }
        while (world_next(pair->client, &cpl)) {
        }
    }
    assert_true(world_counter(&pair->world, 0, "credit_stalls") > 0);
    for (uint32_t i = 0; i < N; i++) {
        assert_true(world_expect(pair->server, SHM_CPL_RECEIVED, SECOND, &cpl));
        assert_int_equal(cpl.u.received.seq, i);
    }
    free_pair(pair);
}

static void a_queue_that_fills_up_is_news(void **state)
{
    (void)state;
    struct pair *pair = make_pair(true, NULL);
    connect_pair(pair);
    uint32_t half = WORLD_SLOTS / 2;
    assert_int_equal(wakes_while_sent(pair, SHM_CLIENT_ASLEEP_NEWS, half - 1), 0);
    assert_int_equal(wakes_while_sent(pair, SHM_CLIENT_ASLEEP_NEWS, half), 1);
    free_pair(pair);
}

/* PX-69 */
static void an_ordered_message_waits_for_the_large_one_before_it(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    struct shm_completion cpl;
    connect_pair(pair);
    assert_true(world_send_ordered(pair->client, 1, 0, 300000, 7));
    assert_true(world_send_ordered(pair->client, 1, 0, 10, 7));
    assert_true(world_send_ordered(pair->client, 1, 0, 20, 8)); /* another stream: not held up */
    static const uint32_t want[] = {20, 300000, 10};
    static const uint32_t seqs[] = {0, 0, 1};
    for (int i = 0; i < 3; i++) {
        assert_true(world_expect(pair->server, SHM_CPL_RECEIVED, SECOND, &cpl));
        assert_int_equal(cpl.u.received.len, want[i]);
        assert_int_equal(cpl.u.received.seq, seqs[i]);
    }
    free_pair(pair);
}

/* PX-65 */
static void the_acceptor_may_talk_first(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    struct shm_completion cpl;
    listen_pair(pair);
    assert_true(world_open(pair->client, 1, 1, SERVICE));
    assert_true(world_expect(pair->server, SHM_CPL_ACCEPTED, SECOND, &cpl));
    assert_true(world_send(pair->server, cpl.conn, 0, 30, 1));
    assert_true(world_send(pair->server, cpl.conn, 0, 30000, 2));
    assert_int_equal(count_completions(pair->client, SHM_CPL_RECEIVED, 20 * MS), 2);
    free_pair(pair);
}

static void messages_sent_before_the_connection_opened_arrive(void **state)
{
    (void)state;
    struct pair *pair = make_pair(false, NULL);
    listen_pair(pair);
    assert_true(world_open(pair->client, 1, 1, SERVICE));
    assert_true(world_send(pair->client, 1, 0, 30, 1));
    assert_true(world_send(pair->client, 1, 0, 300000, 2));
    assert_int_equal(count_completions(pair->server, SHM_CPL_RECEIVED, 50 * MS), 2);
    free_pair(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_messages_of_all_sizes_arrive),
        cmocka_unit_test(remote_messages_of_all_sizes_arrive),
        cmocka_unit_test(a_local_connection_sends_no_packet),
        cmocka_unit_test(many_small_messages_share_a_packet),
        cmocka_unit_test(a_small_message_overtakes_a_large_one),
        cmocka_unit_test(messages_are_news_and_sent_is_none),
        cmocka_unit_test(who_sleeps_for_news_is_not_woken_by_sent),
        cmocka_unit_test(one_sent_names_as_many_messages_as_fit),
        cmocka_unit_test(who_did_not_ask_for_it_gets_a_sent_for_each_message),
        cmocka_unit_test(sent_comes_before_closed),
        cmocka_unit_test(a_short_local_message_overtakes_none_that_waits),
        cmocka_unit_test(a_local_message_without_credit_waits_for_it),
        cmocka_unit_test(a_queue_that_fills_up_is_news),
        cmocka_unit_test(an_ordered_message_waits_for_the_large_one_before_it),
        cmocka_unit_test(the_acceptor_may_talk_first),
        cmocka_unit_test(messages_sent_before_the_connection_opened_arrive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
