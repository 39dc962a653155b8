/* SPDX-License-Identifier: Apache-2.0 */
#include "client/path.h"

#include "client/by_id.h"
#include "client/call.h"
#include "client/channel.h"
#include "rpc/frame.h"

#include <snaprpc/status.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    BACKOFF_MIN_NS = 5 * 1000 * 1000,
    BACKOFF_MAX_NS = 1000 * 1000 * 1000
};

static void connect_now(struct snapi_path *path);
static void break_off(struct snapi_path *path, const char *why);

/* ---- trying again ---- */

static void on_retry(struct base_timer *timer, uint64_t now_ns)
{
    (void)now_ns;
    snapi_path_start(base_container_of(timer, struct snapi_path_more, retry)->path);
}

/** Half to all of the backoff, which then doubles: many clients do not come back in step. */
static void arm_retry(struct snapi_path *path)
{
    struct snap_channel *channel = path->channel;
    struct snapi_path_more *more = snapi_path_more(path);
    uint64_t half_ns = more->backoff_ns / 2;
    uint64_t wait_ns = half_ns + base_rng_below(&channel->more->rng, half_ns + 1);
    bool has_next_addr = path->kind == SNAP_TRANSPORT_TCP && channel->more->target.n_addrs > 1 &&
                         path->addr_idx % channel->more->target.n_addrs != 0;
    if (has_next_addr) {
        wait_ns = 0;
    } else {
        more->backoff_ns = base_min_u64(more->backoff_ns * 2, BACKOFF_MAX_NS);
    }
    uint64_t at_ns = snapi_loop_now(channel->loop) + wait_ns;
    snapi_loop_timer_add(channel->loop, &more->retry, at_ns);
}

static void fail(struct snapi_path *path, const char *why)
{
    struct snapi_path_more *more = snapi_path_more(path);
    snprintf(more->error, sizeof(more->error), "%s", why);
    path->has_failed = true;
    path->state = SNAPI_PATH_IDLE;
    path->addr_idx++;
    base_logf(snapi_loop_log(path->channel->loop), BASE_LOG_DEBUG, "client", "%s: %s",
              path->channel->more->target.text, why);
    arm_retry(path);
    snapi_channel_on_failed(path->channel);
}

/* ---- frames ---- */

static void send_frame(struct snapi_path *path, const struct snapi_frame *frame)
{
    struct snapi_tx tx;
    if (path->conn->ops->begin(path->conn, snapi_frame_size(frame), &tx) != BASE_OK) {
        return; /* all that comes through here may be lost: the peer's limits and timers hold */
    }
    snapi_frame_put(frame, tx.data);
    path->conn->ops->send(path->conn, &tx, 0);
}

void snapi_path_send_cancel(struct snapi_path *path, uint64_t id)
{
    if (path->state == SNAPI_PATH_UP) {
        send_frame(path, &(struct snapi_frame){.type = SNAPI_CANCEL, .id = id});
    }
}

/* PR-25, PR-26 */
static void learn_limit(struct snapi_path *path, uint64_t max_body)
{
    path->max_body = max_body != 0 ? max_body : UINT64_MAX;
    if (!path->has_hello) {
        path->has_hello = true;
        snapi_path_send_blocked(path);
    }
}

/* PR-22, PR-23 */
static void on_hello(struct snapi_path *path, const struct snapi_frame *frame)
{
    struct snap_channel *channel = path->channel;
    const char *peer = snapi_path_peer(path);
    learn_limit(path, frame->max_body);
    if (path->kind != SNAP_TRANSPORT_TCP || channel->pony.state == SNAPI_PATH_OFF) {
        return;
    }
    char said[SNAPI_TARGET_MAX] = "";
    char address[SNAPI_TARGET_MAX] = "";
    if (frame->text_len < sizeof(said)) {
        memcpy(said, frame->text, frame->text_len);
    }
    if (said[0] != '\0' && snapi_target_fill_host(said, peer, address) != BASE_OK) {
        base_logf(snapi_loop_log(channel->loop), BASE_LOG_WARN, "client",
                  "%s gives a Pony address that is none: it is not used", peer);
        return;
    }
    channel->is_peer_without_pony = address[0] == '\0';
    struct snapi_transport *pony = channel->more->pony_more.transport;
    enum base_err err = pony->ops->remember(pony, channel->more->target.text, address);
    if (err != BASE_OK) {
        base_logf(snapi_loop_log(channel->loop), BASE_LOG_DEBUG, "client",
                  "snapd does not remember %s: %s", channel->more->target.text, base_err_text(err));
    }
    snapi_path_set_address(&channel->pony, address);
}

/* PR-30 */
static void on_goaway(struct snapi_path *path, const struct snapi_frame *frame)
{
    struct snapi_path_more *more = snapi_path_more(path);
    path->is_going_away = true;
    snprintf(more->error, sizeof(more->error), "%s takes no more calls: %.*s",
             snapi_path_peer(path), (int)base_min_size(frame->text_len, 100),
             frame->text_len > 0 ? frame->text : "");
    base_logf(snapi_loop_log(path->channel->loop), BASE_LOG_INFO, "client", "%s", more->error);
    snapi_channel_log_choice(path->channel);
}

/** A peer that breaks the protocol is left, and tried again like one that broke off. */
static void leave_peer(struct snapi_path *path, const char *why)
{
    struct snapi_closed closed = {.err = BASE_E_MALFORMED};
    snprintf(closed.message, sizeof(closed.message), "%s broke the protocol: %s",
             snapi_path_peer(path), why);
    base_logf(snapi_loop_log(path->channel->loop), BASE_LOG_WARN, "client", "%s", closed.message);
    struct snapi_conn *conn = path->conn;
    conn->ops->close(conn, SNAPI_CLOSE_FLUSH); /* on_closed follows and cleans up */
}

static void on_answer(struct snapi_path *path, const struct snapi_frame *frame)
{
    struct snapi_call *call = snapi_call_find(path->channel, frame->id);
    /* Not found: it ended before (deadline, cancel). Another kind: not what was asked. */
    if (call != NULL && call->path == path && call->state == SNAPI_CALL_SENT &&
        (call->method == NULL) == (frame->type == SNAPI_PONG)) {
        snapi_call_on_response(call, frame);
    }
}

__attribute__((noinline)) static void on_other_frame(struct snapi_path *path,
                                                     const struct snapi_frame *frame)
{
    switch ((enum snapi_frame_type)frame->type) {
    case SNAPI_HELLO:
        on_hello(path, frame);
        break;
    case SNAPI_GOAWAY:
        on_goaway(path, frame);
        break;
    case SNAPI_PING:
        send_frame(path, &(struct snapi_frame){.type = SNAPI_PONG, .id = frame->id});
        break;
    case SNAPI_RESPONSE:
    case SNAPI_PONG:
    case SNAPI_REQUEST:
    case SNAPI_CANCEL:
    default:
        leave_peer(path, "only clients send that");
        break;
    }
}

static void on_message(void *arg, struct snapi_conn *conn, const uint8_t *data, size_t len)
{
    struct snapi_path *path = arg;
    (void)conn;
    struct snapi_frame frame;
    if (snapi_frame_parse(data, len, &frame) != BASE_OK) {
        leave_peer(path, base_error_last_note());
    } else if (frame.type == SNAPI_RESPONSE || frame.type == SNAPI_PONG) {
        on_answer(path, &frame);
    } else {
        on_other_frame(path, &frame);
    }
}

/* ---- the connection's other events ---- */

static void on_open(void *arg, struct snapi_conn *conn)
{
    struct snapi_path *path = arg;
    struct snapi_path_more *more = snapi_path_more(path);
    path->state = SNAPI_PATH_UP;
    path->is_full = false;
    path->is_going_away = false;
    path->has_failed = false;
    path->has_hello = false;
    path->max_body = SNAPI_BODY_BEFORE_HELLO;
    more->backoff_ns = BACKOFF_MIN_NS;
    more->error[0] = '\0';
    snprintf(snapi_path_peer(path), SNAPI_PATH_PEER_MAX, "%s", conn->ops->peer(conn));
    send_frame(path,
               &(struct snapi_frame){.type = SNAPI_HELLO,
                                     .version_min = SNAPI_RPC_VERSION_MIN,
                                     .version_max = SNAPI_RPC_VERSION_MAX,
                                     .max_body = snapi_loop_max_body(path->channel->loop, conn)});
    snapi_channel_log_choice(path->channel);
    snapi_channel_on_ready(path->channel);
}

static void on_writable(void *arg, struct snapi_conn *conn)
{
    (void)conn;
    struct snapi_path *path = arg;
    path->is_full = false;
    snapi_path_send_blocked(path);
}

static void on_unsent(void *arg, struct snapi_conn *conn, uint64_t tag, const uint8_t *data,
                      size_t len)
{
    (void)conn;
    struct snapi_path *path = arg;
    struct snapi_call *call = tag == 0 ? NULL : snapi_call_find(path->channel, tag);
    if (call != NULL && call->path == path && call->state == SNAPI_CALL_SENT) {
        snapi_call_requeue(call, data, len);
    }
}

/** What was sent may have run: only idempotent calls go elsewhere, the others end. */
static void give_up_sent(struct snapi_path *path, const char *why)
{
    struct base_list sent;
    base_list_init(&sent);
    base_list_splice_tail(&sent, &path->sent);
    while (!base_list_is_empty(&sent)) {
        struct snapi_call *call = base_list_entry(sent.next, struct snapi_call, link);
        if (call->is_idempotent) {
            call->may_have_run = true;
            snapi_call_requeue(call, NULL, 0);
        } else {
            snapi_call_end_unavailable(call, why);
        }
    }
}

/** The connection is gone: what was on it goes elsewhere or ends, and the path tries again. */
static void break_off(struct snapi_path *path, const char *why)
{
    struct snap_channel *channel = path->channel;
    path->conn = NULL;
    path->state = SNAPI_PATH_IDLE;
    path->is_full = false;
    path->is_going_away = false;
    while (!base_list_is_empty(&path->blocked)) {
        snapi_call_requeue(base_list_entry(path->blocked.next, struct snapi_call, link), NULL, 0);
    }
    give_up_sent(path, why);
    fail(path, why);
    snapi_channel_log_choice(channel);
    snapi_channel_on_ready(channel);
}

static void on_closed(void *arg, struct snapi_conn *conn, const struct snapi_closed *why)
{
    (void)conn;
    struct snapi_closed copy = *why; /* callbacks may run while it is read */
    break_off(arg, copy.message);
}

static const struct snapi_conn_events path_events = {
    .on_open = on_open,
    .on_message = on_message,
    .on_writable = on_writable,
    .on_unsent = on_unsent,
    .on_closed = on_closed,
    .arg_lines = SNAPI_CHANNEL_LINES, /* a path over Pony is the first thing in its channel */
};

/* ---- start and end ---- */

static void connect_now(struct snapi_path *path)
{
    const struct snapi_target *target = &path->channel->more->target;
    const struct snapi_path_more *more = snapi_path_more(path);
    const char *address = path->kind == SNAP_TRANSPORT_TCP
                              ? target->addrs[path->addr_idx % target->n_addrs]
                              : more->address;
    base_error_clear_note();
    enum base_err err = more->transport->ops->connect(
        more->transport, address, path->channel->traffic, &path_events, path, &path->conn);
    if (err == BASE_OK) {
        path->state = SNAPI_PATH_CONNECTING;
        return;
    }
    path->conn = NULL;
    char why[sizeof(more->error)];
    const char *note = base_error_last_note();
    snprintf(why, sizeof(why), "%s: %s", address, note[0] != '\0' ? note : base_err_text(err));
    fail(path, why);
}

static void on_found(void *arg, const char *address)
{
    struct snapi_path *path = arg;
    path->is_looking_up = false;
    if (address[0] != '\0' && snapi_path_more(path)->address[0] == '\0') {
        snapi_path_set_address(path, address);
    }
}

/** Asks snapd whether it remembers where the server's Pony address is. */
static void look_up(struct snapi_path *path)
{
    if (path->is_looking_up) {
        return;
    }
    struct snapi_transport *transport = snapi_path_more(path)->transport;
    enum base_err err =
        transport->ops->lookup(transport, path->channel->more->target.text, on_found, path);
    path->is_looking_up = err == BASE_OK || err == BASE_AGAIN;
    if (!path->is_looking_up && err != BASE_E_UNSUPPORTED) {
        arm_retry(path);
    }
}

struct snapi_path_more *snapi_path_more(const struct snapi_path *path)
{
    struct snap_channel *channel = path->channel;
    return path->kind == SNAP_TRANSPORT_PONY ? &channel->more->pony_more : &channel->more->tcp_more;
}

void snapi_path_init(struct snapi_path *path, struct snap_channel *channel,
                     enum snap_transport kind, struct snapi_transport *transport)
{
    *path = (struct snapi_path){.channel = channel, .kind = (uint8_t)kind};
    path->state = transport == NULL ? SNAPI_PATH_OFF : SNAPI_PATH_IDLE;
    base_list_init(&path->sent);
    base_list_init(&path->blocked);
    struct snapi_path_more *more = snapi_path_more(path);
    snapi_path_peer(path)[0] = '\0';
    *more = (struct snapi_path_more){
        .path = path, .transport = transport, .backoff_ns = BACKOFF_MIN_NS};
    base_timer_init(&more->retry, on_retry);
}

void snapi_path_start(struct snapi_path *path)
{
    if (path->state != SNAPI_PATH_IDLE) {
        return;
    }
    if (path->kind == SNAP_TRANSPORT_PONY && snapi_path_more(path)->address[0] == '\0') {
        look_up(path);
    } else {
        connect_now(path);
    }
}

void snapi_path_fini(struct snapi_path *path)
{
    if (path->state == SNAPI_PATH_OFF) {
        return;
    }
    snapi_loop_timer_del(path->channel->loop, &snapi_path_more(path)->retry);
    if (path->is_looking_up) {
        struct snapi_transport *transport = snapi_path_more(path)->transport;
        transport->ops->lookup_cancel(transport, path);
    }
    if (path->conn != NULL) {
        path->conn->ops->close(path->conn, SNAPI_CLOSE_ABORT);
        path->conn = NULL;
    }
    path->state = SNAPI_PATH_OFF;
}

void snapi_path_set_address(struct snapi_path *path, const char *address)
{
    struct snapi_path_more *more = snapi_path_more(path);
    if (strcmp(more->address, address) == 0) {
        return;
    }
    (void)snprintf(more->address, sizeof(more->address), "%s", address);
    if (path->state == SNAPI_PATH_CONNECTING) {
        path->conn->ops->close(path->conn, SNAPI_CLOSE_ABORT);
        path->conn = NULL;
        path->state = SNAPI_PATH_IDLE;
    } else if (path->state == SNAPI_PATH_UP) {
        /* Its snapd is gone, or another one: nobody will answer on this connection. Our own snapd
         * would notice only when the silence has lasted. */
        path->conn->ops->close(path->conn, SNAPI_CLOSE_ABORT);
        break_off(path, "the server's snapd went away");
    }
    if (path->state == SNAPI_PATH_IDLE && address[0] != '\0') {
        more->backoff_ns = BACKOFF_MIN_NS;
        snapi_loop_timer_del(path->channel->loop, &more->retry);
        connect_now(path);
    }
}

void snapi_path_send_blocked(struct snapi_path *path)
{
    while (path->state == SNAPI_PATH_UP && !path->is_full && !base_list_is_empty(&path->blocked)) {
        if (!snapi_call_send(base_list_entry(path->blocked.next, struct snapi_call, link), path)) {
            return;
        }
    }
}
