/* SPDX-License-Identifier: Apache-2.0 */
#include "client/channel.h"

#include "base/clock.h"
#include "test_messages.pb-c.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/fake_transport.h"
#include "tests/support/scripted_peer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS "127.0.0.1:7000"

static struct snap_loop *loop;
static struct snap_channel *channel;
static struct scripted_peer peer;

typedef void ping_done_fn(void *arg, const struct snap_result *result, Snaptest__Ping *response);

static void call_ping_done(snap_any_fn *typed, void *arg, const struct snap_result *result,
                           ProtobufCMessage *response)
{
    ((ping_done_fn *)typed)(arg, result, (Snaptest__Ping *)(void *)response);
}

/* The heap may be a double: of arenas, which all that is kept for later lies in. */
static bool is_memory_out;

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming):
 * the linker wants these names */
struct snapi_arena *__real_snapi_arena_take(struct snapi_arena_pool *pool);
struct snapi_arena *__wrap_snapi_arena_take(struct snapi_arena_pool *pool);

struct snapi_arena *__wrap_snapi_arena_take(struct snapi_arena_pool *pool)
{
    return is_memory_out ? NULL : __real_snapi_arena_take(pool);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming) */

static struct snap_method method; /* made in setup: descriptors are not constant expressions */

static void start_peer(struct snap_loop *l, void *arg)
{
    (void)l;
    peer_listen(&peer, ADDRESS, *(bool *)arg);
}

static int setup_with(bool with_pony, bool is_mute)
{
    unsetenv("SNAP_TRANSPORT");
    fake_reset();
    method = (struct snap_method){.name = "snaptest.Test/Ping",
                                  .request = &snaptest__ping__descriptor,
                                  .response = &snaptest__ping__descriptor,
                                  .done = call_ping_done};
    peer = (struct scripted_peer){.mode = PEER_ECHO, .is_mute = is_mute};
    struct snap_loop_options options = SNAP_LOOP_OPTIONS_INIT;
    options.max_message_bytes = 1 << 20;
    struct snap_status status = snapi_loop_create(&options, fake_transports, &loop);
    assert_true(snap_ok(&status));
    peer.loop = loop;
    snapi_loop_exec(loop, start_peer, &with_pony);
    status = snap_channel_open(loop, ADDRESS, NULL, &channel);
    assert_true(snap_ok(&status));
    return 0;
}

static int setup_tcp(void **state)
{
    (void)state;
    return setup_with(false, false);
}

static int setup_mute(void **state)
{
    (void)state;
    return setup_with(false, true);
}

static int setup_both(void **state)
{
    (void)state;
    return setup_with(true, false);
}

static void stop_peer(struct snap_loop *l, void *arg)
{
    (void)l;
    (void)arg;
    peer_stop(&peer);
}

static int teardown(void **state)
{
    (void)state;
    snap_channel_close(channel);
    snapi_loop_exec(loop, stop_peer, NULL);
    snap_loop_destroy(loop);
    channel = NULL;
    loop = NULL;
    return 0;
}

static struct snap_status call_with(int number, struct snap_call_options *options,
                                    struct snap_call_info *info)
{
    Snaptest__Ping request = SNAPTEST__PING__INIT;
    ProtobufCMessage *response = NULL;
    request.number = number;
    options->info = info;
    struct snap_status status =
        snap_channel_call(channel, &method, &request.base, options, &response);
    if (snap_ok(&status)) {
        assert_int_equal(((Snaptest__Ping *)(void *)response)->number, number);
    } else {
        assert_null(response);
    }
    snap_message_free(response);
    return status;
}

static struct snap_status call(int number, struct snap_call_info *info)
{
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.timeout_us = 5000000;
    return call_with(number, &options, info);
}

static void assert_ok(struct snap_status status)
{
    if (!snap_ok(&status)) {
        fail_msg("%s: %s", snap_code_name(status.code), status.message);
    }
}

/** Started calls, and how they ended. */
struct outcome {
    int n_started;
    int n_ended;
    struct snap_result last;
    int last_number;
};

static void on_done(void *arg, const struct snap_result *result, Snaptest__Ping *response)
{
    struct outcome *outcome = arg;
    outcome->n_ended++;
    outcome->last = *result;
    outcome->last_number = response == NULL ? -1 : response->number;
}

static struct snap_call_id start(struct outcome *outcome, const struct snap_call_options *options)
{
    Snaptest__Ping request = SNAPTEST__PING__INIT;
    request.number = ++outcome->n_started;
    return snap_channel_start(channel, &method, &request.base, options, (snap_any_fn *)on_done,
                              outcome);
}

#define POLL_UNTIL(condition) \
    do { \
        uint64_t until_ns = base_clock_now_ns() + UINT64_C(5000000000); \
        while (!(condition)) { \
            assert_true(base_clock_now_ns() < until_ns); \
            snap_loop_poll(loop, 10); \
        } \
    } while (0)

static void wait_pony(void)
{
    assert_ok(snap_channel_wait(channel, SNAP_TRANSPORT_PONY, 5000000));
}

/* ---- one transport ---- */

static void a_call_is_answered_and_says_what_carried_it(void **state)
{
    (void)state;
    struct snap_call_info info;
    assert_ok(call(42, &info));
    assert_int_equal(info.transport, SNAP_TRANSPORT_TCP);
    assert_int_equal(info.attempts, 1);
    assert_true(info.elapsed_ns > 0);
    assert_string_not_equal(info.peer, "");
    assert_int_equal(peer.n_hellos, 1);
    assert_true(peer.last_timeout_us > 0 && peer.last_timeout_us <= 5000000);
}

static void a_ping_goes_past_no_handler(void **state)
{
    (void)state;
    uint64_t rtt_ns = 0;
    assert_ok(snap_channel_ping(channel, NULL, &rtt_ns));
    assert_true(rtt_ns > 0);
    assert_int_equal(peer.n_requests, 0);
}

static void an_error_of_the_handler_arrives_with_its_message(void **state)
{
    (void)state;
    peer.mode = PEER_REFUSE;
    struct snap_status status = call(1, NULL);
    assert_int_equal(status.code, SNAP_NOT_FOUND);
    assert_int_equal(status.origin, SNAP_ORIGIN_REMOTE);
    assert_int_equal(status.ran, SNAP_RAN_YES);
    assert_string_equal(status.message, "no such thing");
}

static void a_callback_never_runs_within_start(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    assert_ok(call(1, NULL)); /* connected */
    for (int i = 0; i < 100; i++) {
        assert_true(start(&outcome, NULL).v != 0);
    }
    assert_int_equal(outcome.n_ended, 0);
    POLL_UNTIL(outcome.n_ended == 100);
    assert_int_equal(outcome.last.status.code, SNAP_OK);
    assert_true(outcome.last_number >= 1);
}

static void a_request_over_the_limit_is_refused_through_the_callback(void **state)
{
    (void)state;
    static uint8_t big[(1 << 20) + 1];
    Snaptest__Ping request = SNAPTEST__PING__INIT;
    request.payload = (ProtobufCBinaryData){.data = big, .len = sizeof(big)};
    ProtobufCMessage *response = NULL;
    struct snap_status status = snap_channel_call(channel, &method, &request.base, NULL, &response);
    assert_int_equal(status.code, SNAP_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(status.message, "1048576"));
    struct outcome outcome = {0};
    snap_channel_start(channel, &method, &request.base, NULL, (snap_any_fn *)on_done, &outcome);
    assert_int_equal(outcome.n_ended, 0);
    POLL_UNTIL(outcome.n_ended == 1);
    assert_int_equal(outcome.last.status.code, SNAP_RESOURCE_EXHAUSTED);
    request.payload.len = (1 << 20) - 5; /* with its tag and length just at the limit */
    assert_ok(snap_channel_call(channel, &method, &request.base, NULL, &response));
    snap_message_free(response);
}

static void a_callback_runs_even_where_there_is_no_memory_for_its_result(void **state)
{
    (void)state;
    static uint8_t big[(1 << 20) + 1];
    Snaptest__Ping request = SNAPTEST__PING__INIT;
    request.payload = (ProtobufCBinaryData){.data = big, .len = sizeof(big)};
    struct snapi_arena *taken[SNAPI_ARENAS_OWNED_MAX];
    uint32_t n_taken = 0;
    is_memory_out = true;
    while ((taken[n_taken] = snapi_arena_take_owned(snapi_loop_arenas(loop))) != NULL) {
        n_taken++;
        assert_true(n_taken < SNAPI_ARENAS_OWNED_MAX);
    }
    struct outcome outcome = {0};
    snap_channel_start(channel, &method, &request.base, NULL, (snap_any_fn *)on_done, &outcome);
    assert_int_equal(outcome.n_ended, 0);
    is_memory_out = false;
    POLL_UNTIL(outcome.n_ended == 1);
    assert_int_equal(outcome.last.status.code, SNAP_RESOURCE_EXHAUSTED);
    assert_int_equal(outcome.last.status.ran, SNAP_RAN_NO);
    while (n_taken > 0) {
        snapi_arena_give_owned(taken[--n_taken]);
    }
}

static void say_hello(struct snap_loop *l, void *arg)
{
    (void)l;
    peer_say(&peer, &(struct snapi_frame){.type = SNAPI_HELLO,
                                          .version_min = SNAPI_RPC_VERSION_MIN,
                                          .version_max = SNAPI_RPC_VERSION_MAX,
                                          .max_body = *(uint64_t *)arg});
}

/* PR-25 */
static void hello_says_the_least_of_what_we_take_and_what_the_transport_carries(void **state)
{
    (void)state;
    POLL_UNTIL(peer.n_hellos == 1);
    assert_int_equal(peer.last_max_body, 1 << 20); /* of the loop's options */
    const size_t carried[] = {2000, 1000};
    for (uint32_t i = 0; i < 2; i++) {
        fake_set_max_message(SNAP_TRANSPORT_TCP, carried[i]);
        fake_break(SNAP_TRANSPORT_TCP);
        POLL_UNTIL(peer.n_hellos == 2 + i);
        assert_in_range(peer.last_max_body, 1, carried[i]); /* 0 would be no limit */
    }
}

/* A request whose body has so many bytes. */
static struct snap_call_id start_long_with(struct outcome *outcome, size_t body_len,
                                           const struct snap_call_options *options)
{
    static uint8_t zeros[1 << 18];
    Snaptest__Ping request = SNAPTEST__PING__INIT;
    request.payload = (ProtobufCBinaryData){.data = zeros, .len = body_len - 4}; /* tag, length */
    assert_int_equal(protobuf_c_message_get_packed_size(&request.base), body_len);
    outcome->n_started++;
    return snap_channel_start(channel, &method, &request.base, options, (snap_any_fn *)on_done,
                              outcome);
}

static struct snap_call_id start_long(struct outcome *outcome, size_t body_len)
{
    return start_long_with(outcome, body_len, NULL);
}

/* PR-26 */
static void before_hello_only_short_requests_are_sent(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    uint64_t limit = SNAPI_BODY_BEFORE_HELLO + 1;
    start_long(&outcome, SNAPI_BODY_BEFORE_HELLO);
    POLL_UNTIL(outcome.n_ended == 1);
    assert_int_equal(outcome.last.status.code, SNAP_OK);
    start_long(&outcome, limit);
    start(&outcome, NULL); /* behind it */
    for (int i = 0; i < 20; i++) {
        snap_loop_poll(loop, 0);
    }
    assert_int_equal(peer.n_requests, 1);
    snapi_loop_exec(loop, say_hello, &limit);
    POLL_UNTIL(outcome.n_ended == 3);
    assert_int_equal(outcome.last.status.code, SNAP_OK);
    assert_int_equal(peer.n_requests, 3);
}

/* A long request at the head waits for the HELLO, and short ones behind it. */
static struct snap_call_id start_behind_a_long_one(struct outcome *long_one, struct outcome *behind,
                                                   const struct snap_call_options *options)
{
    assert_ok(call(1, NULL)); /* connected */
    struct snap_call_id id = start_long_with(long_one, SNAPI_BODY_BEFORE_HELLO + 1, options);
    start(behind, NULL);
    start(behind, NULL);
    snap_loop_poll(loop, 0);
    assert_int_equal(peer.n_requests, 1);
    return id;
}

/* PR-26 */
static void what_is_behind_a_call_that_waits_for_hello_goes_on_at_its_deadline(void **state)
{
    (void)state;
    struct outcome long_one = {0};
    struct outcome behind = {0};
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.timeout_us = 20000;
    start_behind_a_long_one(&long_one, &behind, &options);
    POLL_UNTIL(long_one.n_ended == 1);
    assert_int_equal(long_one.last.status.code, SNAP_DEADLINE_EXCEEDED);
    assert_int_equal(long_one.last.status.ran, SNAP_RAN_NO);
    POLL_UNTIL(behind.n_ended == 2);
    assert_int_equal(behind.last.status.code, SNAP_OK);
    assert_int_equal(peer.n_requests, 3);
    assert_ok(call(4, NULL));
    assert_int_equal(channel->more->waiting_bytes, 0);
}

/* PR-26 */
static void what_is_behind_a_call_that_waits_for_hello_goes_on_when_it_is_cancelled(void **state)
{
    (void)state;
    struct outcome long_one = {0};
    struct outcome behind = {0};
    struct snap_call_id id = start_behind_a_long_one(&long_one, &behind, NULL);
    snap_channel_cancel(channel, id);
    assert_int_equal(long_one.n_ended + behind.n_ended, 0);
    POLL_UNTIL(long_one.n_ended == 1 && behind.n_ended == 2);
    assert_int_equal(long_one.last.status.code, SNAP_CANCELLED);
    assert_int_equal(behind.last.status.code, SNAP_OK);
    assert_int_equal(peer.n_requests, 3);
}

/* HELLO makes no room. */
static void calls_that_waited_for_hello_and_room_wait_for_both(void **state)
{
    (void)state;
    struct outcome long_one = {0};
    struct outcome behind = {0};
    uint64_t limit = 1 << 20;
    start_behind_a_long_one(&long_one, &behind, NULL);
    snapi_loop_exec(loop, say_hello, &limit); /* sent before there is no room */
    fake_set_again(SNAP_TRANSPORT_TCP, true);
    POLL_UNTIL(channel->more->tcp.has_hello);
    assert_int_equal(long_one.n_ended + behind.n_ended, 0);
    assert_int_equal(peer.n_requests, 1);
    fake_set_again(SNAP_TRANSPORT_TCP, false);
    POLL_UNTIL(long_one.n_ended == 1 && behind.n_ended == 2);
    assert_int_equal(long_one.last.status.code, SNAP_OK);
    assert_int_equal(behind.last.status.code, SNAP_OK);
}

/* PR-25, PR-26: the connection stays. */
static void a_request_over_the_servers_limit_ends_alone(void **state)
{
    (void)state;
    struct outcome outcomes[2] = {{0}, {0}};
    uint64_t limit = 100000;
    for (int i = 0; i < 2; i++) { /* before and after HELLO */
        outcomes[0] = outcomes[1] = (struct outcome){0};
        start_long(&outcomes[0], limit + 1);
        start_long(&outcomes[1], limit);
        if (i == 0) {
            POLL_UNTIL(peer.n_conns == 1);
            snapi_loop_exec(loop, say_hello, &limit);
        }
        POLL_UNTIL(outcomes[0].n_ended == 1 && outcomes[1].n_ended == 1);
        assert_int_equal(outcomes[0].last.status.code, SNAP_RESOURCE_EXHAUSTED);
        assert_int_equal(outcomes[0].last.status.ran, SNAP_RAN_NO);
        assert_non_null(strstr(outcomes[0].last.status.message, "100000"));
        assert_int_equal(outcomes[1].last.status.code, SNAP_OK);
    }
    assert_int_equal(peer.n_requests, 2);
    assert_int_equal(peer.n_hellos, 1); /* of one connection */
}

static void a_deadline_ends_a_call_that_nobody_answers(void **state)
{
    (void)state;
    assert_ok(call(1, NULL));
    peer.mode = PEER_SILENT;
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.timeout_us = 20000;
    struct snap_status status = call_with(2, &options, NULL);
    assert_int_equal(status.code, SNAP_DEADLINE_EXCEEDED);
    assert_int_equal(status.ran, SNAP_RAN_MAYBE);
    POLL_UNTIL(peer.n_cancels == 1);
}

static struct {
    struct outcome outcome;
    uint64_t started_ns, ended_ns;
} late;

static void late_call_ended(void *arg, const struct snap_result *result, Snaptest__Ping *response)
{
    on_done(arg, result, response);
    late.ended_ns = base_clock_now_ns();
}

/* Runs for longer than the timeout of the call that it starts at last. */
static void linger_and_start(void *arg, const struct snap_result *result, Snaptest__Ping *response)
{
    (void)result;
    (void)response;
    const struct snap_call_options *options = arg;
    uint64_t timeout_ns = options->timeout_us * BASE_NS_PER_US;
    uint64_t begun_ns = base_clock_now_ns();
    do {
        late.started_ns = base_clock_now_ns();
    } while (late.started_ns - begun_ns < 2 * timeout_ns);
    peer.mode = PEER_SILENT;
    Snaptest__Ping request = SNAPTEST__PING__INIT;
    assert_true(snap_channel_start(channel, &method, &request.base, options,
                                   (snap_any_fn *)late_call_ended, &late.outcome)
                    .v != 0);
}

static void a_deadline_never_passes_early_however_long_a_callback_ran(void **state)
{
    (void)state;
    assert_ok(call(1, NULL));
    memset(&late, 0, sizeof(late));
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.timeout_us = 2000;
    Snaptest__Ping request = SNAPTEST__PING__INIT;
    snap_channel_start(channel, &method, &request.base, NULL, (snap_any_fn *)linger_and_start,
                       &options);
    POLL_UNTIL(late.outcome.n_ended == 1);
    assert_int_equal(late.outcome.last.status.code, SNAP_DEADLINE_EXCEEDED);
    assert_true(late.ended_ns - late.started_ns >= options.timeout_us * BASE_NS_PER_US);
    assert_int_equal(peer.last_timeout_us, options.timeout_us);
    /* Nor does the time that the callback took count as the call's. */
    assert_in_range(late.outcome.last.info.elapsed_ns, options.timeout_us * BASE_NS_PER_US,
                    late.ended_ns - late.started_ns);
}

static void a_deadline_ends_a_call_that_finds_no_server(void **state)
{
    (void)state;
    fake_set_refuse(SNAP_TRANSPORT_TCP, true);
    fake_break(SNAP_TRANSPORT_TCP);
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.timeout_us = 30000;
    struct snap_status status = call_with(1, &options, NULL);
    assert_int_equal(status.code, SNAP_DEADLINE_EXCEEDED);
    assert_int_equal(status.ran, SNAP_RAN_NO);
    assert_non_null(strstr(status.message, ADDRESS));
}

static void fail_fast_does_not_wait_for_a_server(void **state)
{
    (void)state;
    fake_set_refuse(SNAP_TRANSPORT_TCP, true);
    fake_break(SNAP_TRANSPORT_TCP);
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.fail_fast = 1;
    struct snap_status status = call_with(1, &options, NULL); /* no deadline: would wait for ever */
    assert_int_equal(status.code, SNAP_UNAVAILABLE);
    assert_int_equal(status.ran, SNAP_RAN_NO);
}

static void a_call_waits_for_a_server_that_comes_later(void **state)
{
    (void)state;
    fake_set_refuse(SNAP_TRANSPORT_TCP, true);
    fake_break(SNAP_TRANSPORT_TCP);
    struct outcome outcome = {0};
    start(&outcome, NULL);
    for (int i = 0; i < 5; i++) {
        snap_loop_poll(loop, 1);
    }
    assert_int_equal(outcome.n_ended, 0);
    fake_set_refuse(SNAP_TRANSPORT_TCP, false);
    POLL_UNTIL(outcome.n_ended == 1);
    assert_int_equal(outcome.last.status.code, SNAP_OK);
}

static void calls_wait_for_room_and_then_go(void **state)
{
    (void)state;
    assert_ok(call(1, NULL));
    fake_set_again(SNAP_TRANSPORT_TCP, true);
    struct outcome outcome = {0};
    for (int i = 0; i < 50; i++) {
        start(&outcome, NULL);
    }
    for (int i = 0; i < 5; i++) {
        snap_loop_poll(loop, 1);
    }
    assert_int_equal(outcome.n_ended, 0);
    fake_set_again(SNAP_TRANSPORT_TCP, false);
    POLL_UNTIL(outcome.n_ended == 50);
    assert_int_equal(outcome.last.status.code, SNAP_OK);
    assert_int_equal(channel->more->waiting_bytes, 0);
}

/* PR-15 */
static void a_cancelled_call_ends_once_and_the_server_is_told(void **state)
{
    (void)state;
    assert_ok(call(1, NULL));
    peer.mode = PEER_SILENT;
    struct outcome outcome = {0};
    struct snap_call_id id = start(&outcome, NULL);
    POLL_UNTIL(peer.n_requests == 2);
    snap_channel_cancel(channel, id);
    assert_int_equal(outcome.n_ended, 0);
    POLL_UNTIL(peer.n_cancels == 1 && outcome.n_ended == 1);
    assert_int_equal(outcome.last.status.code, SNAP_CANCELLED);
    snap_channel_cancel(channel, id);
    snap_channel_cancel(channel, (struct snap_call_id){0});
    snap_channel_cancel(channel, (struct snap_call_id){UINT64_MAX});
    snap_loop_poll(loop, 1);
    assert_int_equal(outcome.n_ended, 1);
}

static void closing_ends_what_is_in_flight_before_it_returns(void **state)
{
    (void)state;
    assert_ok(call(1, NULL));
    peer.mode = PEER_SILENT;
    struct outcome outcome = {0};
    for (int i = 0; i < 10; i++) {
        start(&outcome, NULL);
    }
    snap_channel_close(channel);
    channel = NULL;
    assert_int_equal(outcome.n_ended, 10);
    assert_int_equal(outcome.last.status.code, SNAP_CANCELLED);
}

static void close_in_callback(void *arg, const struct snap_result *result, Snaptest__Ping *response)
{
    (void)result;
    (void)response;
    bool *was_called = arg;
    *was_called = true;
    Snaptest__Ping request = SNAPTEST__PING__INIT;
    ProtobufCMessage *reply = NULL;
    assert_int_equal(snap_channel_call(channel, &method, &request.base, NULL, &reply).code,
                     SNAP_FAILED_PRECONDITION);
    snap_channel_close(channel);
    channel = NULL;
}

static void a_callback_may_close_the_channel_but_not_wait(void **state)
{
    (void)state;
    bool was_called = false;
    Snaptest__Ping request = SNAPTEST__PING__INIT;
    snap_channel_start(channel, &method, &request.base, NULL, (snap_any_fn *)close_in_callback,
                       &was_called);
    POLL_UNTIL(was_called);
    snap_loop_poll(loop, 0);
}

static void a_peer_that_breaks_the_protocol_is_left_and_tried_again(void **state)
{
    (void)state;
    peer.mode = PEER_GARBAGE;
    struct snap_status status = call(1, NULL);
    assert_int_equal(status.code, SNAP_UNAVAILABLE);
    assert_int_equal(status.ran, SNAP_RAN_MAYBE);
    peer.mode = PEER_ECHO;
    assert_ok(call(2, NULL));
    assert_int_equal(peer.n_hellos, 2);
}

static void a_call_that_is_always_refused_as_not_run_ends(void **state)
{
    (void)state;
    peer.mode = PEER_NOT_RUN;
    struct snap_status status = call(1, NULL);
    assert_int_equal(status.code, SNAP_UNAVAILABLE);
    assert_int_equal(status.ran, SNAP_RAN_NO);
    assert_true(peer.n_requests > 1);
}

static void options_of_another_size_are_refused(void **state)
{
    (void)state;
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.size = 1;
    assert_int_equal(call_with(1, &options, NULL).code, SNAP_INVALID_ARGUMENT);
}

static void channel_options_are_checked(void **state)
{
    (void)state;
    struct snap_channel_options options = SNAP_CHANNEL_OPTIONS_INIT;
    struct snap_channel *other = NULL;
    options.traffic = SNAP_TRAFFIC_BULK + 1;
    struct snap_status status = snap_channel_open(loop, "10.0.0.1:7000", &options, &other);
    assert_int_equal(status.code, SNAP_INVALID_ARGUMENT);
    assert_non_null(strstr(status.message, "traffic"));
    assert_null(other);
    options.traffic = SNAP_TRAFFIC_BULK;
    options.size = 0;
    status = snap_channel_open(loop, "10.0.0.1:7000", &options, &other);
    assert_int_equal(status.code, SNAP_INVALID_ARGUMENT);
}

/* ---- two transports ---- */

/* PR-22 */
static void calls_move_to_pony_when_the_server_says_where_it_is(void **state)
{
    (void)state;
    struct snap_call_info info;
    assert_ok(call(1, &info));
    wait_pony();
    assert_ok(call(2, &info));
    assert_int_equal(info.transport, SNAP_TRANSPORT_PONY);
    assert_int_equal(info.why, SNAP_WHY_PONY_UP);
    snap_channel_info(channel, &info);
    assert_int_equal(info.transport, SNAP_TRANSPORT_PONY);
}

static void a_later_channel_asks_snapd_for_the_address(void **state)
{
    (void)state;
    wait_pony();
    fake_set_hang(SNAP_TRANSPORT_TCP, true); /* so that only what snapd remembers can help */
    struct snap_channel *first = channel;
    assert_ok(snap_channel_open(loop, ADDRESS, NULL, &channel));
    struct snap_call_info info;
    assert_ok(call(1, &info));
    assert_int_equal(info.transport, SNAP_TRANSPORT_PONY);
    snap_channel_close(first);
}

static void when_pony_breaks_new_calls_take_tcp_at_once(void **state)
{
    (void)state;
    wait_pony();
    fake_set_refuse(SNAP_TRANSPORT_PONY, true);
    fake_break(SNAP_TRANSPORT_PONY);
    struct snap_call_info info;
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.idempotent = 1; /* it may be sent before the break is noticed */
    options.timeout_us = 5000000;
    assert_ok(call_with(1, &options, &info));
    assert_int_equal(info.transport, SNAP_TRANSPORT_TCP);
    assert_int_equal(info.why, SNAP_WHY_PONY_FAILED);
    fake_set_refuse(SNAP_TRANSPORT_PONY, false);
    wait_pony();
    assert_ok(call(2, &info));
    assert_int_equal(info.transport, SNAP_TRANSPORT_PONY);
}

/* PR-16 */
static void what_may_have_run_is_not_run_again(void **state)
{
    (void)state;
    wait_pony();
    peer.mode = PEER_SILENT;
    struct outcome outcome = {0};
    start(&outcome, NULL);
    POLL_UNTIL(peer.n_requests == 1);
    peer.mode = PEER_ECHO;
    fake_break(SNAP_TRANSPORT_PONY);
    POLL_UNTIL(outcome.n_ended == 1);
    assert_int_equal(outcome.last.status.code, SNAP_UNAVAILABLE);
    assert_int_equal(outcome.last.status.ran, SNAP_RAN_MAYBE);
    assert_int_equal(peer.n_requests, 1);
}

static void say_no_pony(struct snap_loop *l, void *arg)
{
    (void)l;
    (void)arg;
    peer_say(&peer, &(struct snapi_frame){.type = SNAPI_HELLO,
                                          .version_min = SNAPI_RPC_VERSION_MIN,
                                          .version_max = SNAPI_RPC_VERSION_MAX});
}

/* PR-23 */
static void a_server_that_loses_its_snapd_says_so_and_calls_move_at_once(void **state)
{
    (void)state;
    wait_pony();
    fake_set_hold(SNAP_TRANSPORT_PONY, true); /* nobody will notice by himself */
    struct outcome outcome = {0};
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.idempotent = 1;
    start(&outcome, &options);
    snapi_loop_exec(loop, say_no_pony, NULL);
    POLL_UNTIL(outcome.n_ended == 1);
    assert_int_equal(outcome.last.status.code, SNAP_OK);
    assert_int_equal(outcome.last.info.transport, SNAP_TRANSPORT_TCP);
    assert_int_equal(outcome.last.info.why, SNAP_WHY_PEER_NO_PONY);
    fake_set_hold(SNAP_TRANSPORT_PONY, false);
}

/* PR-11 */
static void what_is_idempotent_is_run_again(void **state)
{
    (void)state;
    wait_pony();
    peer.mode = PEER_SILENT;
    struct outcome outcome = {0};
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.idempotent = 1;
    start(&outcome, &options);
    POLL_UNTIL(peer.n_requests == 1);
    assert_true(peer.was_idempotent);
    peer.mode = PEER_ECHO;
    fake_break(SNAP_TRANSPORT_PONY);
    POLL_UNTIL(outcome.n_ended == 1);
    assert_int_equal(outcome.last.status.code, SNAP_OK);
    assert_int_equal(outcome.last.info.attempts, 2);
    assert_int_equal(outcome.last_number, 1);
}

static void what_certainly_did_not_run_goes_elsewhere(void **state)
{
    (void)state;
    wait_pony();
    fake_set_hold(SNAP_TRANSPORT_PONY, true);
    struct outcome outcome = {0};
    for (int i = 0; i < 20; i++) {
        start(&outcome, NULL); /* not idempotent, and its message is gone when this returns */
    }
    for (int i = 0; i < 5; i++) {
        snap_loop_poll(loop, 1);
    }
    assert_int_equal(peer.n_requests, 0);
    fake_break(SNAP_TRANSPORT_PONY);
    fake_set_hold(SNAP_TRANSPORT_PONY, false);
    POLL_UNTIL(outcome.n_ended == 20);
    assert_int_equal(outcome.last.status.code, SNAP_OK);
    assert_int_equal(peer.n_requests, 20);
    assert_true(outcome.last.info.attempts >= 2);
    assert_int_equal(channel->more->waiting_bytes, 0);
}

static void without_a_snapd_everything_goes_over_tcp(void **state)
{
    (void)state;
    fake_set_state(SNAP_TRANSPORT_PONY, SNAPI_TRANSPORT_DOWN);
    fake_set_refuse(SNAP_TRANSPORT_PONY, true);
    fake_break(SNAP_TRANSPORT_PONY);
    struct snap_call_info info;
    assert_ok(call(1, &info));
    assert_int_equal(info.transport, SNAP_TRANSPORT_TCP);
    assert_int_equal(info.why, SNAP_WHY_NO_SNAPD);
}

/* PR-30 */
static void a_server_that_goes_away_gets_no_new_calls(void **state)
{
    (void)state;
    wait_pony();
    for (uint32_t i = 0; i < peer.n_conns; i++) {
        if (peer.is_pony[i]) {
            struct scripted_peer pony_only = peer;
            pony_only.conns[0] = peer.conns[i];
            pony_only.n_conns = 1;
            peer_say(&pony_only, &(struct snapi_frame){.type = SNAPI_GOAWAY,
                                                       .code = SNAP_UNAVAILABLE,
                                                       .text = "stopping",
                                                       .text_len = 8});
        }
    }
    struct snap_call_info info = {0};
    POLL_UNTIL((snap_channel_info(channel, &info), info.transport == SNAP_TRANSPORT_TCP));
    assert_ok(call(1, &info));
    assert_int_equal(info.transport, SNAP_TRANSPORT_TCP);
}

/* ---- many threads ---- */

enum {
    THREADS = 6,
    CALLS_EACH = 200
};

static void *make_calls(void *arg)
{
    (void)arg;
    for (int i = 0; i < CALLS_EACH; i++) {
        struct snap_status status = call(i, NULL);
        if (!snap_ok(&status)) {
            return strdup(status.message);
        }
    }
    return NULL;
}

static void make_calls_from_threads(void)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, make_calls, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *trouble = NULL;
        assert_int_equal(pthread_join(threads[i], &trouble), 0);
        if (trouble != NULL) {
            fail_msg("%s", (char *)trouble);
        }
    }
    assert_int_equal(peer.n_requests, THREADS * CALLS_EACH);
}

static struct {
    struct outcome mine, theirs;
    struct snap_call_id my_id, their_id;
} both;

static void *start_theirs(void *arg)
{
    both.their_id = start(&both.theirs, NULL);
    return arg;
}

/* The thread that drives is in here, so the other one cannot own the loop. */
static void start_both(void *arg, const struct snap_result *result, Snaptest__Ping *response)
{
    (void)arg;
    (void)result;
    (void)response;
    pthread_t thread;
    peer.mode = PEER_SILENT;
    both.my_id = start(&both.mine, NULL);
    assert_int_equal(pthread_create(&thread, NULL, start_theirs, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void a_call_of_another_thread_has_a_number_of_its_own(void **state)
{
    (void)state;
    assert_ok(call(1, NULL));
    memset(&both, 0, sizeof(both));
    Snaptest__Ping request = SNAPTEST__PING__INIT;
    snap_channel_start(channel, &method, &request.base, NULL, (snap_any_fn *)start_both, NULL);
    POLL_UNTIL(peer.n_requests == 4);
    assert_int_not_equal(both.my_id.v, 0);
    assert_int_not_equal(both.their_id.v, 0);
    assert_int_not_equal(both.my_id.v, both.their_id.v);
    snap_channel_cancel(channel, both.their_id);
    POLL_UNTIL(both.theirs.n_ended == 1);
    assert_int_equal(both.theirs.last.status.code, SNAP_CANCELLED);
    assert_int_equal(both.mine.n_ended, 0);
    snap_channel_cancel(channel, both.my_id);
    POLL_UNTIL(both.mine.n_ended == 1);
}

/* Their call is on its way to the owner, who is in here, when the channel closes. */
static void start_theirs_and_close(void *arg, const struct snap_result *result,
                                   Snaptest__Ping *response)
{
    (void)arg;
    (void)result;
    (void)response;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, start_theirs, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    snap_channel_close(channel);
    channel = NULL;
}

static void a_call_of_another_thread_ends_when_a_callback_closes_the_channel(void **state)
{
    (void)state;
    memset(&both, 0, sizeof(both));
    Snaptest__Ping request = SNAPTEST__PING__INIT;
    snap_channel_start(channel, &method, &request.base, NULL, (snap_any_fn *)start_theirs_and_close,
                       NULL);
    POLL_UNTIL(both.theirs.n_ended == 1);
    assert_int_not_equal(both.their_id.v, 0);
    assert_int_equal(both.theirs.last.status.code, SNAP_CANCELLED);
    assert_int_equal(both.theirs.last.status.ran, SNAP_RAN_NO);
    snap_loop_poll(loop, 0);
    assert_int_equal(both.theirs.n_ended, 1);
}

static void threads_that_wait_drive_the_loop_in_turn(void **state)
{
    (void)state;
    make_calls_from_threads();
}

static void threads_may_call_while_a_thread_of_the_library_drives(void **state)
{
    (void)state;
    assert_ok(snap_loop_start_thread(loop));
    make_calls_from_threads();
}

int main(void)
{
#define TCP_TEST(f)  cmocka_unit_test_setup_teardown(f, setup_tcp, teardown)
#define MUTE_TEST(f) cmocka_unit_test_setup_teardown(f, setup_mute, teardown)
#define BOTH_TEST(f) cmocka_unit_test_setup_teardown(f, setup_both, teardown)
    const struct CMUnitTest tests[] = {
        TCP_TEST(a_call_is_answered_and_says_what_carried_it),
        TCP_TEST(a_ping_goes_past_no_handler),
        TCP_TEST(an_error_of_the_handler_arrives_with_its_message),
        TCP_TEST(a_callback_never_runs_within_start),
        TCP_TEST(a_request_over_the_limit_is_refused_through_the_callback),
        TCP_TEST(a_callback_runs_even_where_there_is_no_memory_for_its_result),
        TCP_TEST(hello_says_the_least_of_what_we_take_and_what_the_transport_carries),
        MUTE_TEST(before_hello_only_short_requests_are_sent),
        MUTE_TEST(what_is_behind_a_call_that_waits_for_hello_goes_on_at_its_deadline),
        MUTE_TEST(what_is_behind_a_call_that_waits_for_hello_goes_on_when_it_is_cancelled),
        MUTE_TEST(calls_that_waited_for_hello_and_room_wait_for_both),
        MUTE_TEST(a_request_over_the_servers_limit_ends_alone),
        TCP_TEST(a_deadline_ends_a_call_that_nobody_answers),
        TCP_TEST(a_deadline_never_passes_early_however_long_a_callback_ran),
        TCP_TEST(a_deadline_ends_a_call_that_finds_no_server),
        TCP_TEST(fail_fast_does_not_wait_for_a_server),
        TCP_TEST(a_call_waits_for_a_server_that_comes_later),
        TCP_TEST(calls_wait_for_room_and_then_go),
        TCP_TEST(a_cancelled_call_ends_once_and_the_server_is_told),
        TCP_TEST(closing_ends_what_is_in_flight_before_it_returns),
        TCP_TEST(a_callback_may_close_the_channel_but_not_wait),
        TCP_TEST(a_peer_that_breaks_the_protocol_is_left_and_tried_again),
        TCP_TEST(a_call_that_is_always_refused_as_not_run_ends),
        TCP_TEST(options_of_another_size_are_refused),
        TCP_TEST(channel_options_are_checked),
        BOTH_TEST(calls_move_to_pony_when_the_server_says_where_it_is),
        BOTH_TEST(a_later_channel_asks_snapd_for_the_address),
        BOTH_TEST(when_pony_breaks_new_calls_take_tcp_at_once),
        BOTH_TEST(what_may_have_run_is_not_run_again),
        BOTH_TEST(a_server_that_loses_its_snapd_says_so_and_calls_move_at_once),
        BOTH_TEST(what_is_idempotent_is_run_again),
        BOTH_TEST(what_certainly_did_not_run_goes_elsewhere),
        BOTH_TEST(without_a_snapd_everything_goes_over_tcp),
        BOTH_TEST(a_server_that_goes_away_gets_no_new_calls),
        TCP_TEST(a_call_of_another_thread_has_a_number_of_its_own),
        TCP_TEST(a_call_of_another_thread_ends_when_a_callback_closes_the_channel),
        TCP_TEST(threads_that_wait_drive_the_loop_in_turn),
        TCP_TEST(threads_may_call_while_a_thread_of_the_library_drives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
