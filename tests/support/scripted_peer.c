/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/scripted_peer.h"

#include "tests/support/cmocka_all.h"
#include "tests/support/conn_events.h"

#include <snaprpc/status.h>

#include <string.h>

static void send_bytes(struct snapi_conn *conn, const uint8_t *data, size_t len)
{
    struct snapi_tx tx;
    if (conn->ops->begin(conn, len, &tx) == BASE_OK) {
        memcpy(tx.data, data, len);
        conn->ops->send(conn, &tx, 0);
    }
}

static void send_frame(struct snapi_conn *conn, const struct snapi_frame *frame)
{
    struct snapi_tx tx;
    if (conn->ops->begin(conn, snapi_frame_size(frame), &tx) == BASE_OK) {
        uint8_t *body = snapi_frame_put(frame, tx.data);
        if (frame->body_len > 0) {
            memcpy(body, frame->body, frame->body_len);
        }
        conn->ops->send(conn, &tx, 0);
    }
}

static void answer(struct scripted_peer *peer, struct snapi_conn *conn,
                   const struct snapi_frame *request)
{
    struct snapi_frame reply = {.type = SNAPI_RESPONSE, .id = request->id};
    switch (peer->mode) {
    case PEER_ECHO:
        reply.body = request->body;
        reply.body_len = request->body_len;
        break;
    case PEER_REFUSE:
        reply.code = SNAP_NOT_FOUND;
        reply.text = "no such thing";
        reply.text_len = strlen(reply.text);
        break;
    case PEER_NOT_RUN:
        reply.code = SNAP_UNAVAILABLE;
        reply.flags = SNAPI_RESPONSE_NOT_RUN;
        break;
    case PEER_GARBAGE:
        send_bytes(conn, (const uint8_t *)"garbage", 7);
        return;
    case PEER_SILENT:
    default:
        return;
    }
    send_frame(conn, &reply);
}

static void on_message(void *arg, struct snapi_conn *conn, const uint8_t *data, size_t len)
{
    struct scripted_peer *peer = arg;
    struct snapi_frame frame;
    assert_int_equal(snapi_frame_parse(data, len, &frame), BASE_OK);
    if (frame.type == SNAPI_REQUEST) {
        peer->n_requests++;
        peer->last_id = frame.id;
        peer->last_timeout_us = frame.timeout_us;
        peer->was_idempotent = (frame.flags & SNAPI_REQUEST_IDEMPOTENT) != 0;
        answer(peer, conn, &frame);
    } else if (frame.type == SNAPI_PING) {
        send_frame(conn, &(struct snapi_frame){.type = SNAPI_PONG, .id = frame.id});
    } else {
        peer->n_hellos += frame.type == SNAPI_HELLO;
        peer->last_max_body = frame.type == SNAPI_HELLO ? frame.max_body : peer->last_max_body;
        peer->n_cancels += frame.type == SNAPI_CANCEL;
    }
}

static void on_closed(void *arg, struct snapi_conn *conn, const struct snapi_closed *why)
{
    struct scripted_peer *peer = arg;
    (void)why;
    for (uint32_t i = 0; i < peer->n_conns; i++) {
        if (peer->conns[i] == conn) {
            peer->n_conns--;
            peer->conns[i] = peer->conns[peer->n_conns];
            peer->is_pony[i] = peer->is_pony[peer->n_conns];
            return;
        }
    }
}

static const struct snapi_conn_events conn_events = {
    .on_open = conn_ignores,
    .on_message = on_message,
    .on_writable = conn_ignores,
    .on_unsent = conn_ignores_unsent,
    .on_closed = on_closed,
};

static bool on_accept(void *arg, struct snapi_conn *conn, const struct snapi_conn_events **events,
                      void **conn_arg)
{
    struct scripted_peer *peer = arg;
    if (peer->n_conns == PEER_CONNS_MAX) {
        return false;
    }
    *events = &conn_events;
    *conn_arg = peer;
    peer->is_pony[peer->n_conns] = strcmp(conn->ops->name, "pony") == 0;
    peer->conns[peer->n_conns++] = conn;
    if (peer->is_mute) {
        return true;
    }
    struct snapi_frame hello = {.type = SNAPI_HELLO,
                                .version_min = SNAPI_RPC_VERSION_MIN,
                                .version_max = SNAPI_RPC_VERSION_MAX,
                                .text = ""};
    if (peer->has_pony_address) {
        hello.text = peer->pony->ops->listener_address(peer->pony);
        hello.text_len = strlen(hello.text);
    }
    send_frame(conn, &hello);
    return true;
}

static void on_address(void *arg, struct snapi_listener *listener, const char *address)
{
    (void)arg;
    (void)listener;
    (void)address;
}

static const struct snapi_listener_events listener_events = {
    .on_accept = on_accept,
    .on_address = on_address,
};

void peer_listen(struct scripted_peer *peer, const char *tcp_address, bool with_pony)
{
    struct snapi_transport *tcp = snapi_loop_transport(peer->loop, SNAP_TRANSPORT_TCP);
    assert_int_equal(tcp->ops->listen(tcp, tcp_address, SNAPI_TRAFFIC_DEFAULT, &listener_events,
                                      peer, &peer->tcp),
                     BASE_OK);
    if (with_pony) {
        struct snapi_transport *pony = snapi_loop_transport(peer->loop, SNAP_TRANSPORT_PONY);
        assert_int_equal(
            pony->ops->listen(pony, "", SNAPI_TRAFFIC_DEFAULT, &listener_events, peer, &peer->pony),
            BASE_OK);
        peer->has_pony_address = true;
    }
}

void peer_say(struct scripted_peer *peer, const struct snapi_frame *frame)
{
    for (uint32_t i = 0; i < peer->n_conns; i++) {
        send_frame(peer->conns[i], frame);
    }
}

void peer_stop(struct scripted_peer *peer)
{
    if (peer->tcp != NULL) {
        peer->tcp->ops->unlisten(peer->tcp);
        peer->tcp = NULL;
    }
    if (peer->pony != NULL) {
        peer->pony->ops->unlisten(peer->pony);
        peer->pony = NULL;
    }
    while (peer->n_conns > 0) {
        struct snapi_conn *conn = peer->conns[--peer->n_conns];
        conn->ops->close(conn, SNAPI_CLOSE_ABORT);
    }
}
