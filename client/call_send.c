/* SPDX-License-Identifier: Apache-2.0 */
#include "base/copy.h"
#include "client/call_internal.h"
#include "rpc/status.h"

#include <inttypes.h>
#include <string.h>

/**
 * A call goes over a path: its frame is written straight into the transport's memory.
 */

static uint64_t time_left_us(const struct snapi_call *call)
{
    if (call->timeout_ns == 0) {
        return 0;
    }
    uint64_t left_ns = call->timeout_ns; /* all of it, as long as it does not count: in this turn */
    if (base_timer_is_armed(&call->deadline)) {
        uint64_t now_ns = snapi_loop_now(call->channel->loop);
        left_ns = base_sub_sat_u64(call->deadline.deadline_ns, now_ns);
    }
    return base_max_u64(left_ns / 1000, 1); /* 0 would mean none; the timer ends it in a moment */
}

/* PR-25, PR-26 */
__attribute__((noinline)) static void end_too_long(struct snapi_call *call,
                                                   const struct snapi_path *path, size_t len)
{
    const struct snap_status status =
        snapi_status_of(SNAP_RESOURCE_EXHAUSTED, SNAP_ORIGIN_LOCAL, snapi_call_ran(call),
                        "the request of %s has %zu bytes; max_message_bytes of %s is %" PRIu64,
                        call->method->name, len, snapi_path_peer(path), path->max_body);
    snapi_call_end(call, &status, NULL);
}

/** No memory for its frame, or whatever else a transport says. */
__attribute__((noinline)) static void end_unsent(struct snapi_call *call, enum base_err err)
{
    struct snap_status status = snapi_status_from_err(err, SNAP_ORIGIN_LOCAL, "request");
    snapi_call_end(call, &status, NULL);
}

static const struct snapi_frame ping = {.type = SNAPI_PING};

__attribute__((noinline)) static void write_ping(uint64_t id, uint8_t *out)
{
    struct snapi_frame frame = ping;
    frame.id = id;
    snapi_frame_put(&frame, out);
}

/** The head of a request. */
static inline struct snapi_frame head_of(const struct snapi_call *call)
{
    return (struct snapi_frame){.type = SNAPI_REQUEST,
                                .flags = call->is_idempotent ? SNAPI_REQUEST_IDEMPOTENT : 0,
                                .id = call->id,
                                .timeout_us = time_left_us(call),
                                .text = call->method->name,
                                .text_len = strlen(call->method->name),
                                .body_len = call->body_len};
}

static inline void write_request(const struct snapi_call *call, const struct snapi_frame *head,
                                 uint8_t *out)
{
    uint8_t *body = snapi_frame_put_payload(head, out);
    if (call->body != NULL) {
        base_copy(body, call->body, call->body_len);
    } else {
        snapi_message_pack(call->request, call->body_len, body);
    }
}

bool snapi_call_send(struct snapi_call *call, struct snapi_path *path)
{
    if (BASE_UNLIKELY(call->body_len > path->max_body)) {
        if (!path->has_hello) {
            return false;
        }
        end_too_long(call, path, call->body_len);
        return true;
    }
    struct snapi_tx tx;
    struct snapi_frame head;
    size_t len;
    bool is_request = BASE_LIKELY(call->method != NULL);
    if (is_request) {
        head = head_of(call);
        len = snapi_frame_body_off(&head) + head.body_len;
    } else {
        len = snapi_frame_size(&ping);
    }
    enum base_err err = path->conn->ops->begin(path->conn, len, &tx);
    if (err == BASE_AGAIN || err == BASE_E_CLOSED) {
        path->is_full = true; /* closed: on_closed follows and takes what is blocked away */
        return false;
    }
    if (err != BASE_OK) {
        end_unsent(call, err);
        return true;
    }
    if (is_request) {
        write_request(call, &head, tx.data);
    } else {
        write_ping(call->id, tx.data);
    }
    snapi_call_leave_lists(call);
    call->state = SNAPI_CALL_SENT;
    call->path = path;
    call->transport = path->kind;
    call->attempts++;
    base_list_add_tail(&path->sent, &call->link);
    path->conn->ops->send(path->conn, &tx, call->id);
    return true;
}
