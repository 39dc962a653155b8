/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/copy.h"
#include "server/server_impl.h"

#include <snaprpc/status.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/**
 * Connections from clients: the first frame, what comes in, what goes out, and what waits for room.
 *
 * A client that reads more slowly than it asks makes begin() say AGAIN. Answers then wait here, packed,
 * in their calls' arenas. Past some of them no handler of that connection runs (call_internal.h);
 * those that run already may answer up to snapi_server_pending_limit(): past that the connection is
 * dropped, because such a client cannot be told from one that wants our memory.
 */
enum {
    PENDING_BASE_BYTES = 16 * 1024 * 1024,
    PENDING_MESSAGES = 2 /* of the largest size may wait in any case */
};

struct pending {
    struct base_list link;
    struct snapi_arena *arena; /* this lies in it */
    uint8_t *data;
    size_t len;
};

size_t snapi_server_pending_limit(const struct snapi_server_conn *conn)
{
    return PENDING_BASE_BYTES + PENDING_MESSAGES * snapi_loop_max_message(conn->server->loop);
}

void snapi_server_fill(uint8_t *to, const struct snapi_outgoing *out)
{
    uint8_t *body = snapi_frame_put(&out->frame, to);
    if (out->message != NULL) {
        snapi_message_pack(out->message, out->frame.body_len, body);
    } else if (out->frame.body_len > 0) {
        base_copy(body, out->frame.body, out->frame.body_len);
    }
}

static struct pending *make_pending(struct snapi_arena *arena)
{
    struct pending *p = base_arena_alloc(&arena->mem, sizeof(*p));
    if (p != NULL) {
        *p = (struct pending){.arena = arena};
        base_list_init(&p->link);
    }
    return p;
}

/* Takes over the arena. False: the connection is gone. PR-32 */
static bool add_pending(struct snapi_server_conn *conn, struct pending *p, size_t len)
{
    p->len = len;
    base_list_add_tail(&conn->pending, &p->link);
    conn->pending_bytes += len;
    conn->has_pending = true;
    if (conn->pending_bytes > snapi_server_pending_limit(conn)) {
        snapi_server_conn_abort(conn, "it does not read its answers");
        return false;
    }
    return true;
}

static bool send_later(struct snapi_server_conn *conn, const struct snapi_outgoing *out, size_t len)
{
    struct snapi_arena *arena = out->arena;
    if (arena == NULL) {
        arena = snapi_arena_take_owned(snapi_loop_arenas(conn->server->loop));
    }
    struct pending *p = arena != NULL ? make_pending(arena) : NULL;
    uint8_t *data = p != NULL ? base_arena_alloc(&arena->mem, len) : NULL;
    if (data == NULL) {
        snapi_arena_give_owned(arena);
        snapi_server_conn_abort(conn, "out of memory for an answer");
        return false;
    }
    snapi_server_fill(data, out);
    p->data = data;
    return add_pending(conn, p, len);
}

/* BASE_AGAIN also behind what is pending. */
static inline enum base_err begin(struct snapi_server_conn *conn, size_t len, struct snapi_tx *tx)
{
    return conn->has_pending ? BASE_AGAIN : conn->conn->ops->begin(conn->conn, len, tx);
}

/* What begin() said no to. False: the connection is gone. */
__attribute__((noinline)) static bool not_begun(struct snapi_server_conn *conn,
                                                const struct snapi_outgoing *out, enum base_err err)
{
    if (err == BASE_AGAIN) {
        return send_later(conn, out, snapi_frame_size(&out->frame));
    }
    if (err != BASE_E_CLOSED) {
        snapi_server_complain(conn->server, conn->peer, base_error_last_note());
    }
    snapi_arena_give_owned(out->arena);
    return true;
}

bool snapi_server_send(struct snapi_server_conn *conn, const struct snapi_outgoing *out)
{
    struct snapi_tx tx;
    enum base_err err = begin(conn, snapi_frame_size(&out->frame), &tx);
    if (err != BASE_OK) {
        return not_begun(conn, out, err);
    }
    snapi_server_fill(tx.data, out);
    conn->conn->ops->send(conn->conn, &tx, 0);
    snapi_arena_give_owned(out->arena);
    return true;
}

bool snapi_server_send_ok(struct snapi_server_conn *conn, uint64_t id, const uint8_t *body,
                          size_t len, struct snapi_arena *arena)
{
    struct snapi_tx tx;
    enum base_err err = begin(conn, SNAPI_FRAME_HEAD_MAX + len, &tx);
    if (BASE_UNLIKELY(err != BASE_OK)) {
        const struct snapi_outgoing out = {
            .frame = {.type = SNAPI_RESPONSE, .id = id, .body = body, .body_len = len},
            .arena = arena,
        };
        return not_begun(conn, &out, err);
    }
    base_copy(snapi_frame_put_ok(tx.data, id), body, len);
    conn->conn->ops->send(conn->conn, &tx, 0);
    snapi_arena_give_owned(arena);
    return true;
}

void snapi_server_send_packed(struct snapi_server_conn *conn, const uint8_t *data, size_t len,
                              struct snapi_arena *arena)
{
    struct snapi_tx tx;
    enum base_err err = begin(conn, len, &tx);
    if (err == BASE_AGAIN) {
        struct pending *p = make_pending(arena);
        if (p == NULL) {
            snapi_arena_give_owned(arena);
            snapi_server_conn_abort(conn, "out of memory for an answer");
            return;
        }
        p->data = (uint8_t *)(uintptr_t)data;
        (void)add_pending(conn, p, len);
        return;
    }
    if (err == BASE_OK) {
        base_copy(tx.data, data, len);
        conn->conn->ops->send(conn->conn, &tx, 0);
    }
    snapi_arena_give_owned(arena);
}

/* False: there is no room for all that is pending. */
static bool send_pending(struct snapi_server_conn *conn)
{
    struct snapi_conn *transport_conn = conn->conn;
    struct base_list *link;
    while ((link = base_list_first(&conn->pending)) != NULL) {
        struct pending *p = base_list_entry(link, struct pending, link);
        struct snapi_tx tx;
        enum base_err err = transport_conn->ops->begin(transport_conn, p->len, &tx);
        if (err == BASE_AGAIN) {
            return false;
        }
        if (err == BASE_OK) {
            base_copy(tx.data, p->data, p->len);
            transport_conn->ops->send(transport_conn, &tx, 0);
        }
        conn->pending_bytes -= p->len;
        conn->has_pending = conn->pending_bytes > 0;
        base_list_del(&p->link);
        snapi_arena_give_owned(p->arena);
    }
    return true;
}

static void on_writable(void *arg, struct snapi_conn *transport_conn)
{
    struct snapi_server_conn *conn = arg;
    struct snap_server *server = conn->server;
    if (send_pending(conn) && conn->is_closing) {
        transport_conn->ops->close(transport_conn, SNAPI_CLOSE_FLUSH);
    }
    snapi_server_run_held(conn);
    snapi_server_run_ready(server);
}

/* PR-20, PR-22, PR-25 */
static void send_hello(struct snapi_server_conn *conn)
{
    const char *address = conn->kind == SNAP_TRANSPORT_TCP ? conn->server->pony_address : "";
    const struct snapi_outgoing out = {
        .frame = {.type = SNAPI_HELLO,
                  .version_min = SNAPI_RPC_VERSION_MIN,
                  .version_max = SNAPI_RPC_VERSION_MAX,
                  .max_body = snapi_loop_max_body(conn->server->loop, conn->conn),
                  .text = address,
                  .text_len = strlen(address)},
    };
    (void)snapi_server_send(conn, &out);
}

/* PR-23 */
void snapi_server_say_hello(struct snap_server *server)
{
    base_list_foreach_safe (it, &server->conns) {
        struct snapi_server_conn *conn = base_list_entry(it, struct snapi_server_conn, link);
        if (conn->kind == SNAP_TRANSPORT_TCP && !conn->is_closing) {
            send_hello(conn);
        }
    }
}

static bool send_goaway(struct snapi_server_conn *conn, enum snap_code code, const char *why)
{
    const struct snapi_outgoing out = {
        .frame = {.type = SNAPI_GOAWAY,
                  .code = (uint16_t)code,
                  .text = why,
                  .text_len = strlen(why)},
    };
    return snapi_server_send(conn, &out);
}

/* PR-30 */
void snapi_server_say_goaway(struct snap_server *server, const char *why)
{
    base_list_foreach_safe (it, &server->conns) {
        struct snapi_server_conn *conn = base_list_entry(it, struct snapi_server_conn, link);
        if (!conn->is_closing) {
            (void)send_goaway(conn, SNAP_UNAVAILABLE, why);
        }
    }
}

/* ---- end ---- */

static void free_conn(struct snapi_server_conn *conn)
{
    struct snap_server *server = conn->server;
    snapi_server_cancel_all(conn);
    struct base_list *link;
    while ((link = base_list_take_first(&conn->pending)) != NULL) {
        snapi_arena_give_owned(base_list_entry(link, struct pending, link)->arena);
    }
    snapi_loop_timer_del(server->loop, &conn->timer);
    base_list_del(&conn->link);
    base_slab_give(&server->conns_slab, conn);
    snapi_server_step(server);
}

void snapi_server_conn_abort(struct snapi_server_conn *conn, const char *why)
{
    if (why != NULL) {
        snapi_server_complain(conn->server, conn->peer, why);
    }
    if (conn->is_accepting) {
        conn->is_doomed = true;
        return;
    }
    conn->conn->ops->close(conn->conn, SNAPI_CLOSE_ABORT);
    free_conn(conn);
}

void snapi_server_conn_close(struct snapi_server_conn *conn)
{
    if (conn->is_closing) {
        return;
    }
    conn->is_closing = true;
    struct snap_loop *loop = conn->server->loop;
    snapi_loop_timer_add(loop, &conn->timer,
                         snapi_loop_now(loop) + (uint64_t)SNAPI_FLUSH_TIMEOUT_S * BASE_NS_PER_S);
    if (base_list_is_empty(&conn->pending)) {
        conn->conn->ops->close(conn->conn, SNAPI_CLOSE_FLUSH);
    }
}

/* PR-24 */
static void on_timer(struct base_timer *timer, uint64_t now_ns)
{
    (void)now_ns;
    struct snapi_server_conn *conn = base_container_of(timer, struct snapi_server_conn, timer);
    snapi_server_conn_abort(conn, conn->is_closing ? "it does not read its last answers"
                                                   : "it did not say HELLO in time");
}

static void on_closed(void *arg, struct snapi_conn *transport_conn, const struct snapi_closed *why)
{
    (void)transport_conn;
    struct snapi_server_conn *conn = arg;
    if (why->err != BASE_E_CLOSED) {
        base_logf(snapi_loop_log(conn->server->loop), BASE_LOG_DEBUG, "server",
                  "connection from %s ended: %s", conn->peer, why->message);
    }
    free_conn(conn);
}

/* ---- what comes in ---- */

/* PR-21: the highest version that both know; none is told with a reason. May free the connection. */
static void on_hello(struct snapi_server_conn *conn, const struct snapi_frame *frame)
{
    if (frame->version_min > SNAPI_RPC_VERSION_MAX || frame->version_max < SNAPI_RPC_VERSION_MIN) {
        char why[160];
        (void)snprintf(
            why, sizeof(why), "no RPC version in common: client speaks %u to %u, server %d to %d",
            frame->version_min, frame->version_max, SNAPI_RPC_VERSION_MIN, SNAPI_RPC_VERSION_MAX);
        snapi_server_complain(conn->server, conn->peer, why);
        conn->has_hello = true;
        if (send_goaway(conn, SNAP_FAILED_PRECONDITION, why)) {
            snapi_server_conn_close(conn);
        }
        return;
    }
    size_t ours = snapi_loop_max_body(conn->server->loop, conn->conn);
    conn->max_reply =
        frame->max_body != 0 && frame->max_body < ours ? (size_t)frame->max_body : ours;
    if (!conn->has_hello) {
        conn->has_hello = true;
        snapi_loop_timer_del(conn->server->loop, &conn->timer);
        snapi_server_run_early(conn);
    }
}

/* PR-31 */
static void on_ping(struct snapi_server_conn *conn, uint64_t token)
{
    const struct snapi_outgoing out = {.frame = {.type = SNAPI_PONG, .id = token}};
    (void)snapi_server_send(conn, &out);
}

static void on_message(void *arg, struct snapi_conn *transport_conn, const uint8_t *data,
                       size_t len)
{
    (void)transport_conn;
    struct snapi_server_conn *conn = arg;
    if (conn->is_closing) {
        return;
    }
    static const struct snapi_known no_method;
    const struct snapi_known *last =
        conn->last_handler != NULL ? &conn->last_handler->name : &no_method;
    struct snapi_frame frame;
    if (snapi_frame_parse_known(data, len, last, &frame) != BASE_OK) {
        snapi_server_conn_abort(conn, base_error_last_note());
        return;
    }
    /* PR-20: where messages may overtake each other, the first to come need not be the first sent. */
    if (!conn->has_hello && frame.type != SNAPI_HELLO && conn->kind == SNAP_TRANSPORT_TCP) {
        snapi_server_conn_abort(conn, "its first frame is not HELLO");
        return;
    }
    switch ((enum snapi_frame_type)frame.type) {
    case SNAPI_REQUEST:
        snapi_server_on_request(conn, &frame);
        return;
    case SNAPI_CANCEL:
        snapi_server_on_cancel(conn, frame.id);
        return;
    case SNAPI_HELLO:
        on_hello(conn, &frame);
        return;
    case SNAPI_PING:
        on_ping(conn, frame.id);
        return;
    case SNAPI_GOAWAY: /* the client sends no more calls; nothing to do */
    case SNAPI_PONG:   /* late answer to no question of ours: harmless */
        return;
    case SNAPI_RESPONSE:
    default:
        snapi_server_conn_abort(conn, "it sent a RESPONSE to a server");
        return;
    }
}

/* Accepted connections are open from the start; a server's answers have no tag to hear of. */
static void on_open(void *arg, struct snapi_conn *transport_conn)
{
    (void)arg;
    (void)transport_conn;
}

static void on_unsent(void *arg, struct snapi_conn *transport_conn, uint64_t tag,
                      const uint8_t *data, size_t len)
{
    (void)arg;
    (void)transport_conn;
    (void)tag;
    (void)data;
    (void)len;
}

static const struct snapi_conn_events conn_events = {
    .on_open = on_open,
    .on_message = on_message,
    .on_writable = on_writable,
    .on_unsent = on_unsent,
    .on_closed = on_closed,
    .arg_lines = SNAPI_SERVER_CONN_LINES,
};

/* ---- listeners ---- */

static bool on_accept(void *arg, struct snapi_conn *transport_conn,
                      const struct snapi_conn_events **events, void **conn_arg)
{
    struct snapi_server_listener *listener = arg;
    struct snap_server *server = listener->server;
    if (server->phase != SNAPI_SERVER_OPEN) {
        return false;
    }
    struct snapi_server_conn *conn = base_slab_take(&server->conns_slab);
    if (conn == NULL) {
        snapi_server_complain(server, transport_conn->ops->peer(transport_conn), "out of memory");
        return false;
    }
    conn->server = server;
    conn->conn = transport_conn;
    conn->kind = (uint8_t)listener->kind;
    base_list_init(&conn->calls);
    base_list_init(&conn->pending);
    base_list_init(&conn->early);
    base_list_init(&conn->held);
    base_timer_init(&conn->timer, on_timer);
    (void)snprintf(conn->peer, sizeof(conn->peer), "%s", transport_conn->ops->peer(transport_conn));
    base_list_add_tail(&server->conns, &conn->link);
    snapi_loop_timer_add(server->loop, &conn->timer,
                         snapi_loop_now(server->loop) +
                             (uint64_t)SNAPI_HELLO_TIMEOUT_S * BASE_NS_PER_S);
    *events = &conn_events;
    *conn_arg = conn;
    conn->is_accepting = true;
    send_hello(conn);
    conn->is_accepting = false;
    if (conn->is_doomed) {
        free_conn(conn);
        return false;
    }
    return true;
}

static void on_address(void *arg, struct snapi_listener *transport_listener, const char *address)
{
    (void)transport_listener;
    struct snapi_server_listener *listener = arg;
    struct snap_server *server = listener->server;
    if (listener->kind != SNAP_TRANSPORT_PONY || strcmp(server->pony_address, address) == 0) {
        return;
    }
    (void)snprintf(server->pony_address, sizeof(server->pony_address), "%s", address);
    base_logf(snapi_loop_log(server->loop), BASE_LOG_INFO, "server", "Pony address is now \"%s\"",
              server->pony_address);
    snapi_server_say_hello(server);
}

const struct snapi_listener_events snapi_server_listener_events = {
    .on_accept = on_accept,
    .on_address = on_address,
};
