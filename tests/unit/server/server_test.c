/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "rpc/status.h"
#include "server/server_impl.h"
#include "test_messages.pb-c.h"
#include "tests/support/cmocka_all.h"
#include "tests/unit/server/scripted_client.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct host host;
static struct scripted client;

static int setup(void **state)
{
    (void)state;
    host_open(&host, NULL, NULL);
    scripted_open(&client, &host, true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scripted_close(&client, &host);
    host_close(&host);
    for (uint32_t i = 0; i < host.n_held; i++) {
        snap_server_fail(host.held[i], SNAP_INTERNAL, "late"); /* frees it */
    }
    return 0;
}

static void expect_error(uint64_t id, enum snap_code code, bool was_run, const char *text)
{
    const struct heard *h = scripted_response(&client, id);
    assert_int_equal(h->frame.code, code);
    assert_int_equal(h->frame.flags, was_run ? 0 : SNAPI_RESPONSE_NOT_RUN);
    if (strstr(h->text, text) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", text, h->text);
    }
}

/* ---- calls ---- */

static void a_call_is_answered_with_its_number_and_message(void **state)
{
    (void)state;
    scripted_call(&client, "Echo", 42, "hello");
    host_settle(&host);
    const struct heard *h = scripted_response(&client, 42);
    assert_int_equal(h->frame.code, SNAP_OK);
    assert_int_equal(h->frame.flags, 0);
    Snaptest__Ping *ping = snaptest__ping__unpack(NULL, h->frame.body_len, h->body);
    assert_string_equal(ping->text, "hello");
    snaptest__ping__free_unpacked(ping, NULL);
}

/* PR-14 */
static void an_unknown_method_is_unimplemented_by_name(void **state)
{
    (void)state;
    scripted_call(&client, "Nope", 1, "");
    scripted_call(&client, "Missing", 2, "");
    host_settle(&host);
    expect_error(1, SNAP_UNIMPLEMENTED, false, "snaptest.Test/Nope");
    expect_error(2, SNAP_UNIMPLEMENTED, false, "snaptest.Test/Missing");
    assert_int_equal(host.n_run, 0);
}

/* PR-14 */
static void an_undecodable_request_is_an_invalid_argument(void **state)
{
    (void)state;
    const struct snapi_frame frame = {.type = SNAPI_REQUEST,
                                      .id = 1,
                                      .text = "snaptest.Test/Echo",
                                      .text_len = 18,
                                      .body = (const uint8_t *)"\xff\xff",
                                      .body_len = 2};
    scripted_send(&client, &frame);
    host_settle(&host);
    expect_error(1, SNAP_INVALID_ARGUMENT, false, "snaptest.Ping");
    assert_int_equal(host.n_run, 0);
}

/* PR-13 */
static void a_handlers_error_arrives_with_its_message(void **state)
{
    (void)state;
    scripted_call(&client, "Fail", 1, "5 is\nlost");
    scripted_call(&client, "Fail", 2, "0");
    scripted_call(&client, "Fail", 3, "99");
    host_settle(&host);
    expect_error(1, SNAP_NOT_FOUND, true, "because 5 is\nlost");
    expect_error(2, SNAP_INTERNAL, true, "because 0");
    expect_error(3, SNAP_UNKNOWN, true, "because 99");
}

static void a_response_of_another_type_is_internal(void **state)
{
    (void)state;
    scripted_call(&client, "WrongType", 1, "");
    host_settle(&host);
    expect_error(1, SNAP_INTERNAL, true, "snaptest.Empty");
}

/* PR-6 */
static void metadata_is_skipped(void **state)
{
    (void)state;
    const struct snapi_frame frame = {.type = SNAPI_REQUEST,
                                      .id = 1,
                                      .text = "snaptest.Test/Echo",
                                      .text_len = 18,
                                      .meta = (const uint8_t *)"whatever",
                                      .meta_len = 8,
                                      .body = (const uint8_t *)"\x08\x07",
                                      .body_len = 2};
    scripted_send(&client, &frame);
    host_settle(&host);
    const struct heard *h = scripted_response(&client, 1);
    assert_int_equal(h->frame.body_len, 2);
    assert_memory_equal(h->body, "\x08\x07", 2);
}

/* ---- limits ---- */

static void reopen(const struct snap_loop_options *loop_options,
                   const struct snap_server_options *options)
{
    scripted_close(&client, &host);
    host_close(&host);
    host_open(&host, loop_options, options);
    scripted_open(&client, &host, true);
}

/* PR-14 */
static void calls_past_max_calls_are_refused_as_not_run(void **state)
{
    (void)state;
    struct snap_server_options options = SNAP_SERVER_OPTIONS_INIT;
    options.max_calls = 2;
    reopen(NULL, &options);
    scripted_call(&client, "Hold", 1, "");
    scripted_call(&client, "Hold", 2, "");
    scripted_call(&client, "Echo", 3, "");
    host_settle(&host);
    expect_error(3, SNAP_RESOURCE_EXHAUSTED, false, "max_calls");
    snap_server_fail(host.held[1], SNAP_ABORTED, "x");
    host.n_held = 1;
    scripted_call(&client, "Echo", 4, "");
    host_settle(&host);
    assert_int_equal(scripted_response(&client, 4)->frame.code, SNAP_OK);
}

static void many_calls_in_flight_are_told_apart(void **state)
{
    (void)state;

    enum {
        N = HELD_MAX /* several times what the table of calls begins with */
    };

    for (uint64_t id = 1; id <= N; id++) {
        scripted_call(&client, "Hold", id, "");
    }
    host_poll_until(&host, &host.n_held, N);
    for (uint64_t id = 1; id <= N; id += 2) {
        scripted_send(&client, &(struct snapi_frame){.type = SNAPI_CANCEL, .id = id});
    }
    host_settle(&host);
    for (uint32_t i = 0; i < N; i++) {
        bool is_odd = host.held[i]->id % 2 == 1;
        assert_int_equal(snap_server_call_is_cancelled(host.held[i]), is_odd);
        snap_server_fail(host.held[i], SNAP_ABORTED, "x");
    }
    host.n_held = 0;
    host_settle(&host);
    for (uint64_t id = 1; id <= N; id++) {
        bool is_answered = scripted_find(&client, SNAPI_RESPONSE, id) != NULL;
        assert_int_equal(is_answered, id % 2 == 0);
    }
    assert_int_equal(host.server->n_calls, 0);
}

static void a_response_past_the_limit_is_named(void **state)
{
    (void)state;
    struct snap_loop_options options = SNAP_LOOP_OPTIONS_INIT;
    options.max_message_bytes = 1000;
    reopen(&options, NULL);
    scripted_call(&client, "Big", 1, "997"); /* 3 bytes of tag and length */
    scripted_call(&client, "Big", 2, "998");
    host_settle(&host);
    assert_int_equal(scripted_response(&client, 1)->frame.body_len, 1000);
    expect_error(2, SNAP_RESOURCE_EXHAUSTED, true, "max_message_bytes 1000");
}

static void say_hello_with_limit(struct scripted *to, uint64_t max_body)
{
    const struct snapi_frame hello = {
        .type = SNAPI_HELLO, .version_min = 1, .version_max = 1, .max_body = max_body};
    scripted_send(to, &hello);
}

/* PR-25 */
static void a_response_past_the_clients_limit_is_named(void **state)
{
    (void)state;
    scripted_close(&client, &host);
    scripted_open(&client, &host, false);
    say_hello_with_limit(&client, 500);
    scripted_call(&client, "Big", 1, "497"); /* 3 bytes of tag and length */
    scripted_call(&client, "Big", 2, "498");
    host_settle(&host);
    assert_int_equal(scripted_response(&client, 1)->frame.body_len, 500);
    expect_error(2, SNAP_RESOURCE_EXHAUSTED, true, "max_message_bytes 500");
}

/* PR-14 */
static void a_request_past_the_limit_is_refused_as_not_run(void **state)
{
    (void)state;
    struct snap_loop_options options = SNAP_LOOP_OPTIONS_INIT;
    options.max_message_bytes = 1000;
    reopen(&options, NULL);
    static uint8_t body[1001] = {0x12, 0xe6, 0x07}; /* payload of 998 */
    struct snapi_frame frame = {.type = SNAPI_REQUEST,
                                .id = 1,
                                .text = "snaptest.Test/Echo",
                                .text_len = 18,
                                .body = body,
                                .body_len = 1001};
    scripted_send(&client, &frame);
    host_settle(&host);
    expect_error(1, SNAP_RESOURCE_EXHAUSTED, false, "max_message_bytes");
}

/* ---- what a handler sees ---- */

/* PR-11 */
static void the_deadline_reaches_the_handler(void **state)
{
    (void)state;
    struct snapi_frame frame = {
        .type = SNAPI_REQUEST, .id = 1, .text = "snaptest.Test/Hold", .text_len = 18};
    const uint64_t timeouts[] = {0, 60000000, 1, UINT64_MAX};
    for (uint64_t i = 0; i < 4; i++) {
        frame.id = i + 1;
        frame.timeout_us = timeouts[i];
        scripted_send(&client, &frame);
    }
    host_settle(&host);
    assert_int_equal(snap_server_call_time_left_us(host.held[0]), UINT64_MAX);
    assert_in_range(snap_server_call_time_left_us(host.held[1]), 30000000, 60000000);
    while (snap_server_call_time_left_us(host.held[2]) != 0) {
    }
    assert_int_equal(snap_server_call_time_left_us(host.held[3]), UINT64_MAX);
}

/* PR-12, PR-15 */
static void a_cancelled_call_is_told_and_its_answer_dropped(void **state)
{
    (void)state;
    scripted_call(&client, "Hold", 1, "");
    host_settle(&host);
    assert_false(snap_server_call_is_cancelled(host.held[0]));
    const struct snapi_frame other = {.type = SNAPI_CANCEL, .id = 2};
    scripted_send(&client, &other);
    host_settle(&host);
    assert_false(snap_server_call_is_cancelled(host.held[0]));
    const struct snapi_frame cancel = {.type = SNAPI_CANCEL, .id = 1};
    scripted_send(&client, &cancel);
    host_settle(&host);
    assert_true(snap_server_call_is_cancelled(host.held[0]));
    snap_server_fail(host.held[0], SNAP_ABORTED, "x");
    host.n_held = 0;
    host_settle(&host);
    assert_null(scripted_find(&client, SNAPI_RESPONSE, 1));
}

/* PR-16 */
static void a_call_outlives_its_connection(void **state)
{
    (void)state;
    scripted_call(&client, "Hold", 1, "");
    host_settle(&host);
    fake_break(SNAP_TRANSPORT_TCP);
    host_settle(&host);
    assert_true(client.is_closed);
    assert_true(snap_server_call_is_cancelled(host.held[0]));
    assert_string_equal(snap_server_call_peer(host.held[0]), "fake:1");
    assert_int_equal(snap_server_call_transport(host.held[0]), SNAP_TRANSPORT_TCP);
    snap_server_fail(host.held[0], SNAP_ABORTED, "x");
    host.n_held = 0;
}

static void two_connections_may_use_the_same_numbers(void **state)
{
    (void)state;
    struct scripted other;
    scripted_open(&other, &host, true);
    scripted_call(&client, "Hold", 1, "");
    scripted_call(&other, "Hold", 1, "");
    host_settle(&host);
    assert_int_equal(host.n_held, 2);
    const struct snapi_frame cancel = {.type = SNAPI_CANCEL, .id = 1};
    scripted_send(&other, &cancel);
    host_settle(&host);
    assert_false(snap_server_call_is_cancelled(host.held[0]));
    assert_true(snap_server_call_is_cancelled(host.held[1]));
    scripted_close(&other, &host);
}

/* Calls in flight, as the test knows them: call i is host.held[i]. */
struct known_calls {
    uint64_t ids[HELD_MAX];
    bool are_cancelled[HELD_MAX];
};

static void answer_known(struct known_calls *known, uint32_t i)
{
    snap_server_fail(host.held[i], SNAP_ABORTED, "x");
    uint32_t last = --host.n_held;
    host.held[i] = host.held[last];
    known->ids[i] = known->ids[last];
    known->are_cancelled[i] = known->are_cancelled[last];
}

/* Mostly counted upwards, at times downwards, where a number may also come again. */
static void start_known(struct known_calls *known, uint64_t id)
{
    for (uint32_t i = 0; i < host.n_held; i++) {
        if (known->ids[i] == id) {
            return;
        }
    }
    uint32_t i = host.n_held;
    scripted_call(&client, "Hold", id, "");
    host_settle(&host);
    assert_int_equal(host.n_held, i + 1);
    known->ids[i] = id;
    known->are_cancelled[i] = false;
}

static void cancel_known(struct known_calls *known, uint32_t i)
{
    const struct snapi_frame cancel = {.type = SNAPI_CANCEL, .id = known->ids[i]};
    scripted_send(&client, &cancel);
    host_settle(&host);
    known->are_cancelled[i] = true;
}

/* PR-10, PR-15: in whatever order numbers come, and whenever a call is asked for by its number. */
static void each_call_is_found_by_its_number(void **state)
{
    (void)state;

    enum {
        STEPS = 1000
    };
    struct known_calls known;
    struct base_rng rng;
    uint64_t next = 1000;
    base_rng_init(&rng, 5);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint64_t what = base_rng_below(&rng, 100);
        if (step % 100 == 99) { /* from time to time there are none */
            while (host.n_held > 0) {
                answer_known(&known, 0);
            }
        } else if (what < 50 && host.n_held < HELD_MAX) {
            start_known(&known, next++);
        } else if (what < 55 && host.n_held < HELD_MAX) {
            start_known(&known, next - 1 - base_rng_below(&rng, 20));
        } else if (what < 65 && host.n_held > 0) {
            cancel_known(&known, (uint32_t)base_rng_below(&rng, host.n_held));
        } else if (host.n_held > 0) {
            answer_known(&known, (uint32_t)base_rng_below(&rng, host.n_held));
        }
        for (uint32_t i = 0; i < host.n_held; i++) {
            assert_int_equal(snap_server_call_is_cancelled(host.held[i]), known.are_cancelled[i]);
        }
    }
    host_settle(&host);
    assert_false(client.is_closed);
    start_known(&known, next);
    start_known(&known, next + 1);
    scripted_call(&client, "Hold", next, "");
    host_settle(&host);
    assert_true(client.is_closed);
}

/* ---- answers from other threads ---- */

static void *answer_held(void *arg)
{
    struct snap_server_call *call = arg;
    Snaptest__Ping reply = SNAPTEST__PING__INIT;
    reply.text = (char *)"from afar";
    snap_server_reply(call, &reply.base);
    return NULL;
}

static void answers_may_come_from_any_thread(void **state)
{
    (void)state;

    enum {
        N = 32
    };

    for (uint64_t i = 1; i <= N; i++) {
        scripted_call(&client, "Hold", i, "");
    }
    host_poll_until(&host, &host.n_held, N);
    pthread_t thread[N];
    uint32_t heard_before = client.n_heard;
    for (int i = 0; i < N; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, answer_held, host.held[i]), 0);
        (void)snap_loop_poll(host.loop, 0);
    }
    host_poll_until(&host, &client.n_heard, heard_before + N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(scripted_response(&client, (uint64_t)i + 1)->frame.code, SNAP_OK);
    }
    host.n_held = 0;
}

struct from_other_loop {
    struct snapi_work work;
    struct snap_server_call *call;
};

static void answer_from_other_loop(struct snap_loop *loop, struct snapi_work *work)
{
    (void)loop;
    (void)answer_held(base_container_of(work, struct from_other_loop, work)->call);
}

static void defer_answer(struct snap_loop *loop, void *arg)
{
    struct from_other_loop *from = arg;
    snapi_work_init(&from->work, answer_from_other_loop);
    snapi_loop_defer(loop, &from->work);
}

static void answer_in(struct snap_loop *loop, struct snap_server_call *call)
{
    struct from_other_loop from = {.call = call};
    snapi_loop_exec(loop, defer_answer, &from);
    while (from.work.is_deferred) {
        (void)snap_loop_poll(loop, 0);
    }
}

/* The thread is in an iteration, but of a loop that says nothing of the call's own. */
static void an_answer_may_come_from_a_callback_of_another_loop(void **state)
{
    (void)state;
    struct snap_loop *other = NULL;
    struct snap_status status = snapi_loop_create(NULL, fake_transports, &other);
    assert_true(snap_ok(&status));
    scripted_call(&client, "Hold", 1, "");
    scripted_call(&client, "Hold", 2, "");
    host_settle(&host);
    assert_int_equal(host.n_held, 2);
    answer_in(other, host.held[0]);
    host_settle(&host);
    assert_int_equal(scripted_response(&client, 1)->frame.code, SNAP_OK);
    scripted_close(&client, &host);
    snap_loop_destroy(host.loop);
    answer_in(other, host.held[1]); /* of a loop that is gone: it only frees the call */
    host.n_held = 0;
    host.loop = other; /* teardown destroys it */
}

/* ---- back-pressure ---- */

static void answers_wait_for_room_and_none_is_lost(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 20; i++) {
        scripted_call(&client, "Echo", i, "x");
    }
    scripted_call(&client, "Hold", 21, "");
    fake_set_again(SNAP_TRANSPORT_TCP, true);
    host_settle(&host);
    assert_int_equal(host.n_run, 21);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, answer_held, host.held[0]), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    host.n_held = 0;
    host_settle(&host);
    assert_null(scripted_find(&client, SNAPI_RESPONSE, 1));
    fake_set_again(SNAP_TRANSPORT_TCP, false);
    host_settle(&host);
    for (uint64_t i = 1; i <= 21; i++) {
        assert_int_equal(scripted_response(&client, i)->frame.code, SNAP_OK);
    }
}

/* begin() that says AGAIN asks for on_writable, and is counted: once for each turn of a connection. */
static void an_answer_without_room_asks_for_it_once(void **state)
{
    (void)state;
    scripted_call(&client, "Echo", 1, "x");
    scripted_call(&client, "Echo", 2, "x");
    fake_set_again(SNAP_TRANSPORT_TCP, true);
    uint32_t before = fake_n_again(SNAP_TRANSPORT_TCP);
    host_settle(&host);
    assert_int_equal(host.n_run, 2);
    assert_int_equal(fake_n_again(SNAP_TRANSPORT_TCP) - before, 1);
    fake_set_again(SNAP_TRANSPORT_TCP, false);
    host_settle(&host);
    assert_int_equal(scripted_response(&client, 1)->frame.code, SNAP_OK);
    assert_int_equal(scripted_response(&client, 2)->frame.code, SNAP_OK);
}

static void reopen_with_small_messages(void)
{
    struct snap_loop_options options = SNAP_LOOP_OPTIONS_INIT;
    options.max_message_bytes = 2 * 1024 * 1024;
    reopen(&options, NULL);
}

/* PR-32: far more than may wait, but as requests. */
static void a_client_that_reads_slowly_has_its_calls_wait_and_loses_none(void **state)
{
    (void)state;
    reopen_with_small_messages();
    for (uint64_t i = 1; i <= 60; i++) {
        scripted_call(&client, "Big", i, "1000000");
    }
    fake_set_again(SNAP_TRANSPORT_TCP, true);
    host_settle(&host);
    assert_false(client.is_closed);
    assert_int_equal(host.n_run, 2); /* after one there is not yet 1 MiB */
    fake_set_again(SNAP_TRANSPORT_TCP, false);
    host_settle(&host);
    for (uint64_t i = 1; i <= 60; i++) {
        assert_int_equal(scripted_response(&client, i)->frame.code, SNAP_OK);
    }
    assert_int_equal(host.server->n_calls, 0);
}

/* PR-15, PR-16 */
static void what_waits_for_its_client_to_read_may_be_cancelled_and_goes_with_it(void **state)
{
    (void)state;
    reopen_with_small_messages();
    for (uint64_t i = 1; i <= 6; i++) {
        scripted_call(&client, "Big", i, "1000000");
    }
    fake_set_again(SNAP_TRANSPORT_TCP, true);
    host_settle(&host);
    fake_set_again(SNAP_TRANSPORT_TCP, false);
    const struct snapi_frame cancel = {.type = SNAPI_CANCEL, .id = 3};
    scripted_send(&client, &cancel);
    fake_set_again(SNAP_TRANSPORT_TCP, true);
    host_settle(&host);
    uint32_t n_run = host.n_run;
    assert_in_range(n_run, 2, 5);
    scripted_close(&client, &host);
    host_settle(&host);
    fake_set_again(SNAP_TRANSPORT_TCP, false);
    host_settle(&host);
    assert_int_equal(host.n_run, n_run);
    assert_int_equal(host.server->n_calls, 0);
    scripted_open(&client, &host, true);
}

static void call_echo_with(struct scripted *from, uint64_t id, size_t text_bytes)
{
    static char text[(3 << 19) + 1];
    assert_in_range(text_bytes, 1, sizeof(text) - 1);
    memset(text, 'x', text_bytes);
    text[text_bytes] = '\0';
    Snaptest__Ping ping = SNAPTEST__PING__INIT;
    ping.text = text;
    scripted_ask(from, "Echo", id, &ping);
}

/* PR-32 */
static void requests_that_wait_for_their_client_to_read_are_bounded(void **state)
{
    (void)state;
    reopen_with_small_messages();
    for (uint64_t i = 1; i <= 20; i++) { /* 20 MiB: the first runs, 13 wait, 6 are too many */
        call_echo_with(&client, i, 3 << 19);
    }
    fake_set_again(SNAP_TRANSPORT_TCP, true);
    host_settle(&host);
    assert_int_equal(host.n_run, 1);
    fake_set_again(SNAP_TRANSPORT_TCP, false);
    host_settle(&host);
    assert_int_equal(host.n_run, 14);
    for (uint64_t i = 1; i <= 20; i++) {
        const struct snapi_frame *frame = &scripted_response(&client, i)->frame;
        assert_int_equal(frame->code, i <= 14 ? SNAP_OK : SNAP_RESOURCE_EXHAUSTED);
        assert_int_equal(frame->flags & SNAPI_RESPONSE_NOT_RUN,
                         i <= 14 ? 0 : SNAPI_RESPONSE_NOT_RUN);
    }
}

/* PR-32: handlers that run already cannot be made to wait. */
static void a_client_that_never_reads_what_comes_late_is_dropped(void **state)
{
    (void)state;
    static char text[1000001];
    memset(text, 'x', sizeof(text) - 1);
    reopen_with_small_messages();
    struct scripted good;
    scripted_open(&good, &host, true);
    for (uint64_t i = 1; i <= 30; i++) {
        scripted_call(&client, "Hold", i, "");
    }
    host_settle(&host);
    fake_set_again(SNAP_TRANSPORT_TCP, true);
    for (uint32_t i = 0; i < 30; i++) {
        Snaptest__Ping reply = SNAPTEST__PING__INIT;
        reply.text = text;
        snap_server_reply(host.held[i], &reply.base);
    }
    host.n_held = 0;
    host_settle(&host); /* 16 MiB and two messages may wait: it has gone past that */
    assert_true(client.is_closed);
    fake_set_again(SNAP_TRANSPORT_TCP, false);
    scripted_call(&good, "Echo", 1, "");
    host_settle(&host);
    assert_false(good.is_closed);
    assert_int_equal(scripted_response(&good, 1)->frame.code, SNAP_OK);
    scripted_close(&good, &host);
}

/* ---- peers that break the rules ---- */

static void expect_closed_and_others_served(void)
{
    host_settle(&host);
    assert_true(client.is_closed);
    struct scripted other;
    scripted_open(&other, &host, true);
    scripted_call(&other, "Echo", 1, "");
    host_settle(&host);
    assert_int_equal(scripted_response(&other, 1)->frame.code, SNAP_OK);
    scripted_close(&other, &host);
}

/* PR-1 */
static void a_malformed_frame_ends_only_its_connection(void **state)
{
    (void)state;
    scripted_send_bytes(&client, "garbage", 7);
    expect_closed_and_others_served();
}

static void an_empty_frame_ends_its_connection(void **state)
{
    (void)state;
    scripted_send_bytes(&client, "", 0);
    expect_closed_and_others_served();
}

static void a_response_to_a_server_ends_its_connection(void **state)
{
    (void)state;
    const struct snapi_frame frame = {.type = SNAPI_RESPONSE, .id = 1};
    scripted_send(&client, &frame);
    expect_closed_and_others_served();
}

/* PR-10 */
static void a_number_in_use_ends_its_connection(void **state)
{
    (void)state;
    scripted_call(&client, "Hold", 7, "");
    scripted_call(&client, "Echo", 7, "");
    expect_closed_and_others_served();
}

/* PR-20 */
static void a_first_frame_other_than_hello_ends_its_connection(void **state)
{
    (void)state;
    scripted_close(&client, &host);
    scripted_open(&client, &host, false);
    scripted_call(&client, "Echo", 1, "");
    expect_closed_and_others_served();
    assert_int_equal(host.n_run, 1);
}

/* PR-24. Ten seconds are not waited for: the timer is looked at, and then fired. */
static void a_client_that_does_not_say_hello_in_time_is_dropped(void **state)
{
    (void)state;
    struct scripted silent;
    scripted_open(&silent, &host, false);
    host_settle(&host);
    assert_false(silent.is_closed);
    struct snapi_server_conn *conn =
        base_list_entry(base_list_last(&host.server->conns), struct snapi_server_conn, link);
    uint64_t now_ns = snapi_loop_now(host.loop);
    assert_true(base_timer_is_armed(&conn->timer));
    assert_in_range(conn->timer.deadline_ns, now_ns + 9 * UINT64_C(1000000000),
                    now_ns + 10 * UINT64_C(1000000000));
    assert_true(snapi_loop_try_enter(host.loop));
    conn->timer.fn(&conn->timer, conn->timer.deadline_ns);
    snapi_loop_leave(host.loop);
    host_settle(&host);
    assert_true(silent.is_closed);
    /* Who has said it is not timed any more. */
    conn = base_list_entry(base_list_last(&host.server->conns), struct snapi_server_conn, link);
    assert_false(base_timer_is_armed(&conn->timer));
    scripted_close(&silent, &host);
}

/* PR-15 */
static void cancelling_what_is_not_in_flight_means_nothing(void **state)
{
    (void)state;
    scripted_send(&client, &(struct snapi_frame){.type = SNAPI_CANCEL, .id = 99});
    scripted_call(&client, "Echo", 99, "");
    host_settle(&host);
    assert_int_equal(scripted_response(&client, 99)->frame.code, SNAP_OK);
    scripted_send(&client, &(struct snapi_frame){.type = SNAPI_CANCEL, .id = 99});
    scripted_call(&client, "Echo", 100, "");
    host_settle(&host);
    assert_int_equal(scripted_response(&client, 100)->frame.code, SNAP_OK);
    assert_false(client.is_closed);
}

/* PR-20 */
static void over_pony_a_call_may_overtake_hello(void **state)
{
    (void)state;
    struct scripted pony;
    scripted_connect(&pony, &host, SNAP_TRANSPORT_PONY, client.heard[0].text);
    scripted_call(&pony, "Echo", 1, "");
    scripted_hello(&pony);
    scripted_call(&pony, "Echo", 2, "");
    host_settle(&host);
    assert_int_equal(scripted_response(&pony, 1)->frame.code, SNAP_OK);
    assert_int_equal(scripted_response(&pony, 2)->frame.code, SNAP_OK);
    scripted_close(&pony, &host);
}

/* PR-20, PR-25: they come in over Pony, and the server waits for HELLO. */
static void overtake_hello(struct scripted *pony)
{
    scripted_connect(pony, &host, SNAP_TRANSPORT_PONY, client.heard[0].text);
    for (uint64_t id = 1; id <= 3; id++) {
        scripted_call(pony, "Big", id, id == 1 ? "497" : "498"); /* 3 bytes of tag and length */
    }
    host_settle(&host);
    assert_int_equal(host.n_run, 0);
    assert_int_equal(host.server->n_calls, 3);
}

/* PR-25 */
static void a_call_that_overtakes_hello_is_held_to_the_clients_limit(void **state)
{
    (void)state;
    struct scripted pony;
    overtake_hello(&pony);
    say_hello_with_limit(&pony, 500);
    host_settle(&host);
    assert_int_equal(host.n_run, 3);
    assert_int_equal(scripted_response(&pony, 1)->frame.body_len, 500);
    for (uint64_t id = 2; id <= 3; id++) {
        const struct heard *h = scripted_response(&pony, id);
        assert_int_equal(h->frame.code, SNAP_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(h->text, "max_message_bytes 500"));
    }
    assert_int_equal(host.server->n_calls, 0);
    scripted_close(&pony, &host);
}

/* PR-25: a snapd may allow less than the server. */
static void a_response_past_what_the_transport_carries_is_named(void **state)
{
    (void)state;
    struct scripted pony;
    fake_set_max_message(SNAP_TRANSPORT_PONY, 2000);
    scripted_connect(&pony, &host, SNAP_TRANSPORT_PONY, client.heard[0].text);
    const uint64_t limit = pony.heard[0].frame.max_body;
    assert_in_range(limit, 900, 1000); /* and the frame's own room */
    scripted_hello(&pony);
    char bytes[2][16];
    for (uint64_t i = 0; i < 2; i++) {
        (void)snprintf(bytes[i], sizeof(bytes[i]), "%d", (int)(limit + i - 3)); /* tag, length */
        scripted_call(&pony, "Big", i + 1, bytes[i]);
    }
    host_settle(&host);
    assert_int_equal(scripted_response(&pony, 1)->frame.body_len, limit);
    const struct heard *h = scripted_response(&pony, 2);
    assert_int_equal(h->frame.code, SNAP_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(h->text, "what the transport carries"));
    scripted_close(&pony, &host);
}

static void a_call_that_overtakes_hello_may_be_cancelled(void **state)
{
    (void)state;
    struct scripted pony;
    overtake_hello(&pony);
    scripted_send(&pony, &(struct snapi_frame){.type = SNAPI_CANCEL, .id = 2});
    host_settle(&host);
    scripted_hello(&pony);
    host_settle(&host);
    assert_int_equal(host.n_run, 2);
    assert_null(scripted_find(&pony, SNAPI_RESPONSE, 2));
    assert_int_equal(host.server->n_calls, 0);
    scripted_close(&pony, &host);
}

static void what_overtakes_hello_goes_with_its_connection(void **state)
{
    (void)state;
    struct scripted pony;
    overtake_hello(&pony);
    scripted_close(&pony, &host);
    host_settle(&host);
    assert_int_equal(host.n_run, 0);
    assert_int_equal(host.server->n_calls, 0);
}

static void a_server_that_stops_says_of_what_overtook_hello_that_it_did_not_run(void **state)
{
    (void)state;
    struct scripted pony;
    overtake_hello(&pony);
    snapi_server_orphan_calls(host.server);
    host_settle(&host);
    for (uint64_t id = 1; id <= 3; id++) {
        const struct heard *h = scripted_response(&pony, id);
        assert_int_equal(h->frame.code, SNAP_UNAVAILABLE);
        assert_int_equal(h->frame.flags, SNAPI_RESPONSE_NOT_RUN);
    }
    assert_int_equal(host.server->n_calls, 0);
    scripted_close(&pony, &host);
}

/* PR-21 */
static void no_version_in_common_is_told_with_a_reason(void **state)
{
    (void)state;
    scripted_close(&client, &host);
    scripted_open(&client, &host, false);
    const struct snapi_frame hello = {.type = SNAPI_HELLO, .version_min = 2, .version_max = 9};
    scripted_send(&client, &hello);
    host_settle(&host);
    const struct heard *h = scripted_find(&client, SNAPI_GOAWAY, 0);
    assert_non_null(h);
    assert_int_equal(h->frame.code, SNAP_FAILED_PRECONDITION);
    assert_non_null(strstr(h->text, "2 to 9"));
    expect_closed_and_others_served();
    assert_int_equal(client.why, BASE_E_CLOSED);
}

/* PR-21 */
static void a_later_client_that_also_knows_our_version_is_served(void **state)
{
    (void)state;
    scripted_close(&client, &host);
    scripted_open(&client, &host, false);
    const struct snapi_frame hello = {.type = SNAPI_HELLO, .version_min = 1, .version_max = 9};
    scripted_send(&client, &hello);
    scripted_call(&client, "Echo", 1, "");
    host_settle(&host);
    assert_int_equal(scripted_response(&client, 1)->frame.code, SNAP_OK);
}

/* PR-31 */
static void a_ping_is_answered_with_its_token(void **state)
{
    (void)state;
    const struct snapi_frame ping = {.type = SNAPI_PING, .id = 0xfeedface};
    const struct snapi_frame pong = {.type = SNAPI_PONG, .id = 1};
    const struct snapi_frame goaway = {.type = SNAPI_GOAWAY};
    scripted_send(&client, &pong);
    scripted_send(&client, &goaway);
    scripted_send(&client, &ping);
    host_settle(&host);
    assert_non_null(scripted_find(&client, SNAPI_PONG, 0xfeedface));
    assert_false(client.is_closed);
}

/* ---- addresses ---- */

static const struct heard *last_heard(void)
{
    return &client.heard[client.n_heard - 1];
}

/* PR-22, PR-23 */
static void the_pony_address_is_told_first_and_whenever_it_changes(void **state)
{
    (void)state;
    assert_int_equal(client.heard[0].frame.type, SNAPI_HELLO);
    assert_int_equal(strncmp(client.heard[0].text, "pony:*:4741/", 12), 0);
    fake_set_state(SNAP_TRANSPORT_PONY, SNAPI_TRANSPORT_DOWN);
    host_settle(&host);
    assert_int_equal(client.n_heard, 2);
    assert_int_equal(last_heard()->frame.type, SNAPI_HELLO);
    assert_string_equal(last_heard()->text, "");
    fake_set_state(SNAP_TRANSPORT_PONY, SNAPI_TRANSPORT_UP);
    host_settle(&host);
    assert_string_equal(last_heard()->text, client.heard[0].text);
}

static void over_pony_the_same_service_is_served(void **state)
{
    (void)state;
    struct scripted pony;
    scripted_connect(&pony, &host, SNAP_TRANSPORT_PONY, client.heard[0].text);
    assert_string_equal(pony.heard[0].text, "");
    scripted_hello(&pony);
    scripted_call(&pony, "Echo", 1, "");
    scripted_call(&pony, "Hold", 2, "");
    host_settle(&host);
    assert_int_equal(scripted_response(&pony, 1)->frame.code, SNAP_OK);
    assert_int_equal(snap_server_call_transport(host.held[0]), SNAP_TRANSPORT_PONY);
    assert_string_equal(snap_server_call_peer(host.held[0]), "pony:fake:4741");
    scripted_close(&pony, &host);
}

/* PR-22 */
static void where_tcp_is_forced_there_is_no_pony_address(void **state)
{
    (void)state;
    struct snap_loop_options options = SNAP_LOOP_OPTIONS_INIT;
    options.transport = SNAP_TRANSPORT_TCP;
    reopen(&options, NULL);
    assert_string_equal(client.heard[0].text, "");
}

static void an_address_in_use_already_exists(void **state)
{
    (void)state;
    struct snap_status status = snap_server_listen(host.server, host.address);
    assert_int_equal(status.code, SNAP_ALREADY_EXISTS);
    assert_non_null(strstr(status.message, host.address));
    status = snap_server_listen(host.server, "127.0.0.1:0");
    assert_true(snap_ok(&status));
    assert_int_equal(snap_server_listen(host.server, NULL).code, SNAP_INVALID_ARGUMENT);
}

static void listeners_are_bounded(void **state)
{
    (void)state;
    for (int i = 2; i < 32; i++) { /* one TCP and one Pony are there */
        struct snap_status status = snap_server_listen(host.server, "127.0.0.1:0");
        assert_true(snap_ok(&status));
    }
    assert_int_equal(snap_server_listen(host.server, "127.0.0.1:0").code, SNAP_RESOURCE_EXHAUSTED);
}

static void services_are_added_once_and_before_listening(void **state)
{
    (void)state;
    static const struct snap_method method = {.name = "x.Y/Z"};
    static const struct snap_method *const list[] = {&method};
    static const struct snap_service service = {"x.Y", list, 1};
    snap_any_fn *const handlers[] = {NULL};
    assert_int_equal(snap_server_add(host.server, &service, handlers, NULL).code,
                     SNAP_FAILED_PRECONDITION);
    struct snap_server *server;
    struct snap_status status = snap_server_create(host.loop, NULL, &server);
    assert_true(snap_ok(&status));
    assert_int_equal(snap_server_port(server), 0);
    status = snap_server_add(server, &service, handlers, NULL);
    assert_true(snap_ok(&status));
    status = snap_server_add(server, &service, handlers, NULL);
    assert_int_equal(status.code, SNAP_ALREADY_EXISTS);
    assert_non_null(strstr(status.message, "x.Y/Z"));
}

/* ---- pacing ---- */

/* The server has seen that Big answers much, and there is no room. */
static void fill_up_after_a_big_one(void)
{
    scripted_call(&client, "Big", 1, "1100000");
    host_settle(&host);
    assert_int_equal(scripted_response(&client, 1)->frame.code, SNAP_OK);
    assert_int_equal(host.n_run, 1);
    for (uint64_t id = 2; id <= 4; id++) {
        scripted_call(&client, "Big", id, "1100000");
    }
    fake_set_full(SNAP_TRANSPORT_TCP, true);
    host_settle(&host);
    assert_int_equal(host.n_run, 1);
}

static void handlers_with_long_answers_wait_for_room(void **state)
{
    (void)state;
    fill_up_after_a_big_one();
    fake_set_full(SNAP_TRANSPORT_TCP, false);
    host_settle(&host);
    assert_int_equal(host.n_run, 4);
    for (uint64_t id = 2; id <= 4; id++) {
        assert_int_equal(scripted_response(&client, id)->frame.code, SNAP_OK);
    }
}

static void a_method_is_paced_by_its_last_answer_alone(void **state)
{
    (void)state;
    scripted_call(&client, "Big", 1, "1000");
    scripted_call(&client, "Echo", 2, "x");
    host_settle(&host);
    scripted_call(&client, "Big", 3, "1000");
    scripted_call(&client, "Echo", 4, "x");
    fake_set_full(SNAP_TRANSPORT_TCP, true);
    host_settle(&host);
    assert_int_equal(host.n_run, 4);
    fake_set_full(SNAP_TRANSPORT_TCP, false);
    host_settle(&host);
    assert_int_equal(scripted_response(&client, 3)->frame.code, SNAP_OK);
}

static void what_is_cancelled_while_it_waits_never_runs(void **state)
{
    (void)state;
    fill_up_after_a_big_one();
    for (uint64_t id = 2; id <= 3; id++) {
        const struct snapi_frame cancel = {.type = SNAPI_CANCEL, .id = id};
        scripted_send(&client, &cancel);
    }
    host_settle(&host);
    fake_set_full(SNAP_TRANSPORT_TCP, false);
    host_settle(&host);
    assert_int_equal(host.n_run, 2);
    assert_int_equal(scripted_response(&client, 4)->frame.code, SNAP_OK);
    assert_int_equal(host.server->n_calls, 0);
}

static void what_waits_goes_with_its_connection_and_holds_up_no_other(void **state)
{
    (void)state;
    struct scripted other;
    scripted_open(&other, &host, true);
    fill_up_after_a_big_one();
    scripted_close(&client, &host);
    host_settle(&host);
    fake_set_full(SNAP_TRANSPORT_TCP, false);
    scripted_call(&other, "Big", 9, "1100000");
    host_settle(&host);
    assert_int_equal(host.n_run, 2);
    assert_int_equal(scripted_response(&other, 9)->frame.code, SNAP_OK);
    assert_int_equal(host.server->n_calls, 0);
    scripted_close(&other, &host);
    scripted_open(&client, &host, true);
}

static void what_overtook_hello_is_held_up_by_no_other_connection(void **state)
{
    (void)state;
    fill_up_after_a_big_one();
    struct scripted pony;
    scripted_connect(&pony, &host, SNAP_TRANSPORT_PONY, client.heard[0].text);
    scripted_call(&pony, "Echo", 1, "");
    scripted_call(&pony, "Big", 2, "1100000"); /* there is room over Pony */
    host_settle(&host);
    assert_int_equal(host.n_run, 1);
    scripted_hello(&pony);
    host_settle(&host);
    assert_int_equal(scripted_response(&pony, 1)->frame.code, SNAP_OK);
    fake_set_full(SNAP_TRANSPORT_TCP, false);
    host_settle(&host);
    assert_int_equal(scripted_response(&pony, 2)->frame.code, SNAP_OK);
    scripted_close(&pony, &host);
}

/* What would make more than 1 MiB, or 1,024 calls, is refused; other clients are served meanwhile. */
static void who_says_no_hello_fills_no_server(void **state)
{
    (void)state;
    static struct scripted pony;
    scripted_connect(&pony, &host, SNAP_TRANSPORT_PONY, client.heard[0].text);
    call_echo_with(&pony, 1, 600000);
    call_echo_with(&pony, 2, 600000);
    host_settle(&host);
    const struct snapi_frame *refused = &scripted_response(&pony, 2)->frame;
    assert_int_equal(refused->code, SNAP_UNAVAILABLE);
    assert_int_equal(refused->flags & SNAPI_RESPONSE_NOT_RUN, SNAPI_RESPONSE_NOT_RUN);
    assert_int_equal(host.server->n_calls, 1);
    for (uint64_t id = 3; id <= 1024 + 2; id++) {
        scripted_call(&pony, "Echo", id, "x");
        host_settle(&host);
    }
    assert_null(scripted_find(&pony, SNAPI_RESPONSE, 1024 + 1));
    assert_int_equal(scripted_response(&pony, 1024 + 2)->frame.code, SNAP_UNAVAILABLE);
    assert_int_equal(host.server->n_calls, 1024);
    assert_int_equal(host.n_run, 0);
    scripted_call(&client, "Echo", 1, "x");
    host_settle(&host);
    assert_int_equal(scripted_response(&client, 1)->frame.code, SNAP_OK);
    scripted_hello(&pony);
    host_settle(&host);
    assert_int_equal(host.n_run, 1024 + 1);
    assert_int_equal(host.server->n_calls, 0);
    scripted_close(&pony, &host);
}

static void a_server_that_stops_says_of_those_that_wait_that_they_did_not_run(void **state)
{
    (void)state;
    fill_up_after_a_big_one();
    snapi_server_orphan_calls(host.server);
    fake_set_full(SNAP_TRANSPORT_TCP, false);
    host_settle(&host);
    for (uint64_t id = 2; id <= 4; id++) {
        expect_error(id, SNAP_UNAVAILABLE, false, "server stopped");
    }
    assert_int_equal(host.n_run, 1);
    assert_int_equal(host.server->n_calls, 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_call_is_answered_with_its_number_and_message),
        CASE(an_unknown_method_is_unimplemented_by_name),
        CASE(an_undecodable_request_is_an_invalid_argument),
        CASE(a_handlers_error_arrives_with_its_message),
        CASE(a_response_of_another_type_is_internal),
        CASE(metadata_is_skipped),
        CASE(many_calls_in_flight_are_told_apart),
        CASE(calls_past_max_calls_are_refused_as_not_run),
        CASE(a_response_past_the_limit_is_named),
        CASE(a_response_past_the_clients_limit_is_named),
        CASE(a_request_past_the_limit_is_refused_as_not_run),
        CASE(the_deadline_reaches_the_handler),
        CASE(a_cancelled_call_is_told_and_its_answer_dropped),
        CASE(a_call_outlives_its_connection),
        CASE(two_connections_may_use_the_same_numbers),
        CASE(each_call_is_found_by_its_number),
        CASE(answers_may_come_from_any_thread),
        CASE(an_answer_may_come_from_a_callback_of_another_loop),
        CASE(answers_wait_for_room_and_none_is_lost),
        CASE(an_answer_without_room_asks_for_it_once),
        CASE(a_client_that_reads_slowly_has_its_calls_wait_and_loses_none),
        CASE(what_waits_for_its_client_to_read_may_be_cancelled_and_goes_with_it),
        CASE(requests_that_wait_for_their_client_to_read_are_bounded),
        CASE(a_client_that_never_reads_what_comes_late_is_dropped),
        CASE(a_malformed_frame_ends_only_its_connection),
        CASE(an_empty_frame_ends_its_connection),
        CASE(a_response_to_a_server_ends_its_connection),
        CASE(a_number_in_use_ends_its_connection),
        CASE(a_first_frame_other_than_hello_ends_its_connection),
        CASE(a_client_that_does_not_say_hello_in_time_is_dropped),
        CASE(cancelling_what_is_not_in_flight_means_nothing),
        CASE(over_pony_a_call_may_overtake_hello),
        CASE(a_call_that_overtakes_hello_is_held_to_the_clients_limit),
        CASE(a_response_past_what_the_transport_carries_is_named),
        CASE(a_call_that_overtakes_hello_may_be_cancelled),
        CASE(what_overtakes_hello_goes_with_its_connection),
        CASE(what_overtook_hello_is_held_up_by_no_other_connection),
        CASE(who_says_no_hello_fills_no_server),
        CASE(a_server_that_stops_says_of_what_overtook_hello_that_it_did_not_run),
        CASE(no_version_in_common_is_told_with_a_reason),
        CASE(a_later_client_that_also_knows_our_version_is_served),
        CASE(a_ping_is_answered_with_its_token),
        CASE(the_pony_address_is_told_first_and_whenever_it_changes),
        CASE(over_pony_the_same_service_is_served),
        CASE(where_tcp_is_forced_there_is_no_pony_address),
        CASE(an_address_in_use_already_exists),
        CASE(handlers_with_long_answers_wait_for_room),
        CASE(a_method_is_paced_by_its_last_answer_alone),
        CASE(what_is_cancelled_while_it_waits_never_runs),
        CASE(what_waits_goes_with_its_connection_and_holds_up_no_other),
        CASE(a_server_that_stops_says_of_those_that_wait_that_they_did_not_run),
        CASE(listeners_are_bounded),
        CASE(services_are_added_once_and_before_listening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
