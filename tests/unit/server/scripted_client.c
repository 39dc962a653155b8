/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/server/scripted_client.h"

#include "base/clock.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/conn_events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the server's methods ---- */

typedef void handler_fn(struct snap_server_call *call, const Snaptest__Ping *request,
                        struct host *host);

static void dispatch(snap_any_fn *typed, struct snap_server_call *call,
                     const ProtobufCMessage *request, void *arg)
{
    struct host *host = arg;
    host->n_run++;
    ((handler_fn *)typed)(call, (const Snaptest__Ping *)request, host);
}

static void echo(struct snap_server_call *call, const Snaptest__Ping *request, struct host *host)
{
    (void)host;
    snap_server_reply(call, &request->base);
}

static void hold(struct snap_server_call *call, const Snaptest__Ping *request, struct host *host)
{
    (void)request;
    assert_in_range(host->n_held, 0, HELD_MAX - 1);
    host->held[host->n_held++] = call;
}

static void fail_call(struct snap_server_call *call, const Snaptest__Ping *request,
                      struct host *host)
{
    (void)host;
    snap_server_fail(call, (enum snap_code)request->number, "because %s", request->text);
}

static void wrong_type(struct snap_server_call *call, const Snaptest__Ping *request,
                       struct host *host)
{
    (void)request;
    (void)host;
    Snaptest__Empty empty = SNAPTEST__EMPTY__INIT;
    snap_server_reply(call, &empty.base);
}

/* Answers with `number` bytes of payload. */
static void big(struct snap_server_call *call, const Snaptest__Ping *request, struct host *host)
{
    (void)host;
    Snaptest__Ping reply = SNAPTEST__PING__INIT;
    reply.payload.len = (size_t)request->number & 0xffffff;
    reply.payload.data = calloc(1, reply.payload.len + 1);
    snap_server_reply(call, &reply.base);
    free(reply.payload.data);
}

#define METHOD(name_) \
    { \
        .name = "snaptest.Test/" name_, .request = &snaptest__ping__descriptor, \
        .response = &snaptest__ping__descriptor, .dispatch = dispatch \
    }

static const struct snap_method methods[] = {METHOD("Echo"), METHOD("Hold"),
                                             METHOD("Fail"), METHOD("WrongType"),
                                             METHOD("Big"),  METHOD("Missing")};
static const struct snap_method *const method_list[] = {&methods[0], &methods[1], &methods[2],
                                                        &methods[3], &methods[4], &methods[5]};
static const struct snap_service service = {"snaptest.Test", method_list, 6};

/* ---- the host ---- */

void host_open(struct host *host, const struct snap_loop_options *loop_options,
               const struct snap_server_options *options)
{
    memset(host, 0, sizeof(*host));
    fake_reset();
    struct snap_status status = snapi_loop_create(loop_options, fake_transports, &host->loop);
    assert_true(snap_ok(&status));
    status = snap_server_create(host->loop, options, &host->server);
    assert_true(snap_ok(&status));
    snap_any_fn *const handlers[] = {(snap_any_fn *)echo,      (snap_any_fn *)hold,
                                     (snap_any_fn *)fail_call, (snap_any_fn *)wrong_type,
                                     (snap_any_fn *)big,       NULL};
    status = snap_server_add(host->server, &service, handlers, host);
    assert_true(snap_ok(&status));
    status = snap_server_listen(host->server, "127.0.0.1:0");
    assert_true(snap_ok(&status));
    (void)snprintf(host->address, sizeof(host->address), "127.0.0.1:%u",
                   snap_server_port(host->server));
}

void host_close(struct host *host)
{
    snap_loop_destroy(host->loop);
    host->loop = NULL;
}

void host_settle(struct host *host)
{
    for (int i = 0; i < 10000 && snap_loop_poll(host->loop, 0) > 0; i++) {
    }
}

void host_poll_until(struct host *host, const uint32_t *what, uint32_t n)
{
    uint64_t give_up_ns = base_clock_now_ns() + 20ull * BASE_NS_PER_S;
    while (*(const volatile uint32_t *)what < n) {
        assert_true(base_clock_now_ns() < give_up_ns);
        (void)snap_loop_poll(host->loop, 10);
    }
}

/* ---- the client ---- */

static void on_open(void *arg, struct snapi_conn *conn)
{
    (void)conn;
    ((struct scripted *)arg)->is_open = true;
}

static void on_message(void *arg, struct snapi_conn *conn, const uint8_t *data, size_t len)
{
    (void)conn;
    struct scripted *client = arg;
    assert_in_range(client->n_heard, 0, HEARD_MAX - 1);
    struct heard *h = &client->heard[client->n_heard++];
    assert_int_equal(snapi_frame_parse(data, len, &h->frame), BASE_OK);
    if (h->frame.text_len > 0) {
        memcpy(h->text, h->frame.text, h->frame.text_len);
    }
    h->text[h->frame.text_len] = '\0';
    h->body = malloc(h->frame.body_len + 1);
    if (h->frame.body_len > 0) {
        memcpy(h->body, h->frame.body, h->frame.body_len);
    }
}

static void on_closed(void *arg, struct snapi_conn *conn, const struct snapi_closed *why)
{
    (void)conn;
    struct scripted *client = arg;
    client->conn = NULL;
    client->is_closed = true;
    client->why = why->err;
}

static const struct snapi_conn_events events = {
    .on_open = on_open,
    .on_message = on_message,
    .on_writable = conn_ignores,
    .on_unsent = conn_ignores_unsent,
    .on_closed = on_closed,
};

void scripted_connect(struct scripted *client, struct host *host, enum snap_transport kind,
                      const char *address)
{
    *client = (struct scripted){.heard = calloc(HEARD_MAX, sizeof(struct heard))};
    assert_true(snapi_loop_try_enter(host->loop));
    struct snapi_transport *transport = snapi_loop_transport(host->loop, kind);
    assert_int_equal(transport->ops->connect(transport, address, SNAPI_TRAFFIC_DEFAULT, &events,
                                             client, &client->conn),
                     BASE_OK);
    snapi_loop_leave(host->loop);
    host_settle(host);
    assert_true(client->is_open);
}

void scripted_hello(struct scripted *client)
{
    const struct snapi_frame hello = {.type = SNAPI_HELLO, .version_min = 1, .version_max = 1};
    scripted_send(client, &hello);
}

void scripted_open(struct scripted *client, struct host *host, bool says_hello)
{
    scripted_connect(client, host, SNAP_TRANSPORT_TCP, host->address);
    if (says_hello) {
        scripted_hello(client);
        host_settle(host);
    }
}

void scripted_close(struct scripted *client, struct host *host)
{
    if (client->conn != NULL) {
        assert_true(snapi_loop_try_enter(host->loop));
        client->conn->ops->close(client->conn, SNAPI_CLOSE_ABORT);
        snapi_loop_leave(host->loop);
    }
    for (uint32_t i = 0; i < client->n_heard; i++) {
        free(client->heard[i].body);
    }
    free(client->heard);
    client->heard = NULL;
    client->n_heard = 0;
    client->conn = NULL;
}

void scripted_send(struct scripted *client, const struct snapi_frame *frame)
{
    struct snapi_tx tx;
    assert_non_null(client->conn);
    assert_int_equal(client->conn->ops->begin(client->conn, snapi_frame_size(frame), &tx), BASE_OK);
    uint8_t *body = snapi_frame_put(frame, tx.data);
    if (frame->body_len > 0) {
        memcpy(body, frame->body, frame->body_len);
    }
    client->conn->ops->send(client->conn, &tx, 1);
}

void scripted_send_bytes(struct scripted *client, const void *data, size_t len)
{
    struct snapi_tx tx;
    assert_int_equal(client->conn->ops->begin(client->conn, len, &tx), BASE_OK);
    if (len > 0) {
        memcpy(tx.data, data, len);
    }
    client->conn->ops->send(client->conn, &tx, 1);
}

void scripted_ask(struct scripted *client, const char *method, uint64_t id,
                  const Snaptest__Ping *ping)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "snaptest.Test/%s", method);
    uint8_t *body = malloc(snaptest__ping__get_packed_size(ping) + 1);
    assert_non_null(body);
    const struct snapi_frame frame = {.type = SNAPI_REQUEST,
                                      .id = id,
                                      .text = name,
                                      .text_len = strlen(name),
                                      .body = body,
                                      .body_len = snaptest__ping__pack(ping, body)};
    scripted_send(client, &frame);
    free(body);
}

void scripted_call(struct scripted *client, const char *method, uint64_t id, const char *payload)
{
    Snaptest__Ping ping = SNAPTEST__PING__INIT;
    ping.text = (char *)(uintptr_t)payload;
    ping.number = (int32_t)strtol(payload, NULL, 10);
    scripted_ask(client, method, id, &ping);
}

const struct heard *scripted_find(const struct scripted *client, uint8_t type, uint64_t id)
{
    const struct heard *found = NULL;
    for (uint32_t i = 0; i < client->n_heard; i++) {
        const struct heard *h = &client->heard[i];
        if (h->frame.type == type && h->frame.id == id) {
            assert_null(found);
            found = h;
        }
    }
    return found;
}

const struct heard *scripted_response(const struct scripted *client, uint64_t id)
{
    const struct heard *h = scripted_find(client, SNAPI_RESPONSE, id);
    assert_non_null(h);
    return h;
}
