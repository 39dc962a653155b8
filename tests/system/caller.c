/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/system/caller.h"

#include "ledger.snap.h"
#include "tests/support/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

static void keep_log(void *arg, enum snap_log_level level, const char *component, const char *line)
{
    struct caller *caller = arg;
    size_t room = sizeof(caller->log) - caller->log_len;
    int n =
        snprintf(caller->log + caller->log_len, room, "%d %s: %s\n", (int)level, component, line);
    caller->log_len += (size_t)n < room ? (size_t)n : 0;
}

bool caller_logged(const struct caller *caller, const char *text)
{
    return strstr(caller->log, text) != NULL;
}

void caller_open(struct caller *caller, const struct world *world, const struct caller_how *how)
{
    *caller = (struct caller){.loop = NULL};
    struct snap_loop_options options = SNAP_LOOP_OPTIONS_INIT;
    options.snapd_socket = how->snapd_socket == NULL ? world->socket[0] : how->snapd_socket;
    options.transport = how->transport;
    options.max_message_bytes = how->max_message_bytes;
    options.log = keep_log;
    options.log_arg = caller;
    options.log_level = SNAP_LOG_INFO;
    struct snap_status status = snap_loop_create(&options, &caller->loop);
    assert_string_equal(status.message, "");
    const char *target = how->target == NULL ? world->target : how->target;
    status = snap_channel_open(caller->loop, target, NULL, &caller->channel);
    assert_string_equal(status.message, "");
}

void caller_close(struct caller *caller)
{
    snap_channel_close(caller->channel);
    snap_loop_destroy(caller->loop);
    caller->channel = NULL;
    caller->loop = NULL;
}

static struct snap_call_options options_of(struct caller *caller, uint64_t timeout_ms)
{
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    memset(&caller->info, 0, sizeof(caller->info));
    options.timeout_us = timeout_ms * 1000;
    options.info = &caller->info;
    return options;
}

struct snap_status caller_call(struct caller *caller, uint64_t id, size_t request_bytes,
                               size_t reply_bytes, uint64_t timeout_ms)
{
    struct snap_call_options options = options_of(caller, timeout_ms);
    Ledger__CallRequest request = LEDGER__CALL_REQUEST__INIT;
    Ledger__CallReply *reply = NULL;
    uint8_t *data = malloc(request_bytes + 1);
    assert_non_null(data);
    ledger_fill(id, data, request_bytes);
    request.id = id;
    request.reply_bytes = (uint32_t)reply_bytes;
    request.payload.data = data;
    request.payload.len = request_bytes;
    struct snap_status status =
        id % 2 == 0 ? ledger__ledger__many__call(caller->channel, &request, &options, &reply)
                    : ledger__ledger__once__call(caller->channel, &request, &options, &reply);
    if (snap_ok(&status)) {
        assert_int_equal(reply->id, id);
        assert_int_equal(reply->payload.len, reply_bytes);
        assert_true(ledger_is_right(~id, reply->payload.data, reply->payload.len));
    } else {
        assert_null(reply);
    }
    ledger__ledger__once__free(reply);
    free(data);
    return status;
}

void caller_expect_ok(struct caller *caller, uint64_t id)
{
    struct snap_status status = caller_call(caller, id, 100, 200, CALLER_TIMEOUT_MS);
    assert_string_equal(status.message, "");
    assert_int_equal(status.code, SNAP_OK);
}

struct snap_status caller_fail(struct caller *caller, enum snap_code code, const char *message)
{
    struct snap_call_options options = options_of(caller, CALLER_TIMEOUT_MS);
    Ledger__FailRequest request = LEDGER__FAIL_REQUEST__INIT;
    char text[512];
    (void)snprintf(text, sizeof(text), "%s", message);
    request.code = (uint32_t)code;
    request.message = text;
    return ledger__ledger__fail__call(caller->channel, &request, &options, NULL);
}

struct snap_status caller_hold(struct caller *caller, uint64_t timeout_ms)
{
    struct snap_call_options options = options_of(caller, timeout_ms);
    Ledger__HoldRequest request = LEDGER__HOLD_REQUEST__INIT;
    return ledger__ledger__hold__call(caller->channel, &request, &options, NULL);
}

struct reach {
    struct caller *caller;
    enum snap_transport transport;
    enum snap_why why;
};

static bool was_reached(void *arg)
{
    const struct reach *reach = arg;
    struct caller *caller = reach->caller;
    struct snap_status status = caller_call(caller, 2, 10, 10, CALLER_TIMEOUT_MS);
    return snap_ok(&status) && caller->info.transport == reach->transport &&
           caller->info.why == reach->why;
}

bool caller_reaches(struct caller *caller, enum snap_transport transport, enum snap_why why)
{
    struct reach reach = {caller, transport, why};
    return world_until(was_reached, &reach, WORLD_TIMEOUT_MS);
}

void expect_status(const struct snap_status *status, enum snap_code code, const char *text)
{
    if (status->code != code || strstr(status->message, text) == NULL) {
        fail_msg("%s, \"%s\" instead of %s with \"%s\"", snap_code_name(status->code),
                 status->message, snap_code_name(code), text);
    }
}
