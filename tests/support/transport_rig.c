/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/transport_rig.h"

#include "base/clock.h"
#include "base/endian.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t rig_deadline(void)
{
    return base_clock_now_ns() + (uint64_t)RIG_TIMEOUT_S * BASE_NS_PER_S;
}

void rig_check_deadline(uint64_t deadline, const char *cond, const char *file, int line)
{
    if (base_clock_now_ns() > deadline) {
        print_error("waited in vain for: %s\n", cond);
        _fail(file, line);
    }
}

/* ---- messages ---- */

static uint64_t word_at(uint64_t id, size_t len, size_t i)
{
    return (id + len + i) * UINT64_C(0x9e3779b97f4a7c15);
}

/* [id][words that follow from id, length and place], cut at len. */
static void fill(uint8_t *data, uint64_t id, size_t len)
{
    uint8_t word[8];
    for (size_t at = 0; at < len; at += 8) {
        base_store_u64(word, at == 0 ? id : word_at(id, len, at));
        memcpy(data + at, word, len - at < 8 ? len - at : 8);
    }
}

static bool check(const uint8_t *data, uint64_t id, size_t len)
{
    uint8_t word[8];
    for (size_t at = 8; at < len; at += 8) {
        base_store_u64(word, word_at(id, len, at));
        if (memcmp(data + at, word, len - at < 8 ? len - at : 8) != 0) {
            return false;
        }
    }
    return true;
}

enum base_err rig_send(struct rig_end *end, uint64_t id, size_t len)
{
    struct snapi_tx tx;
    enum base_err err = end->ops->begin(end->conn, len, &tx);
    if (err != BASE_OK) {
        return err;
    }
    assert_int_equal(tx.len, len);
    assert_non_null(tx.data);
    assert_int_equal((uintptr_t)tx.data % 8, 0);
    fill(tx.data, id, len);
    end->ops->send(end->conn, &tx, id);
    return BASE_OK;
}

void rig_must_send(struct rig_end *end, uint64_t id, size_t len)
{
    assert_int_equal(rig_send(end, id, len), BASE_OK);
}

/* ---- events ---- */

static void call(rig_hook *hook, struct rig_end *end)
{
    if (hook != NULL) {
        hook(end);
    }
}

static void on_open(void *arg, struct snapi_conn *conn)
{
    struct rig_end *end = arg;
    assert_ptr_equal(end->conn, conn);
    end->n_opened++;
    call(end->on_open, end);
}

static void on_message(void *arg, struct snapi_conn *conn, const uint8_t *data, size_t len)
{
    struct rig_end *end = arg;
    assert_ptr_equal(end->conn, conn);
    assert_int_equal((uintptr_t)data % 8, 0);
    end->n_messages++;
    end->n_bytes += len;
    end->last_len = len;
    end->last_id = len >= 8 ? base_load_u64(data) : 0;
    end->n_bad += !check(data, end->last_id, len);
    if (end->seen != NULL && len >= 8 && end->last_id < end->n_ids) {
        end->seen[end->last_id]++;
    }
    call(end->on_message, end);
}

static void on_writable(void *arg, struct snapi_conn *conn)
{
    struct rig_end *end = arg;
    assert_ptr_equal(end->conn, conn);
    end->n_writable++;
    call(end->on_writable, end);
}

static void on_unsent(void *arg, struct snapi_conn *conn, uint64_t tag, const uint8_t *data,
                      size_t len)
{
    struct rig_end *end = arg;
    assert_ptr_equal(end->conn, conn);
    assert_int_equal(end->n_closed, 0);
    assert_true(end->n_unsent < RIG_TAGS_MAX);
    end->unsent[end->n_unsent++] = tag;
    end->n_bad += len >= 8 && (base_load_u64(data) != tag || !check(data, tag, len));
    call(end->on_unsent, end);
}

static void on_closed(void *arg, struct snapi_conn *conn, const struct snapi_closed *why)
{
    struct rig_end *end = arg;
    assert_ptr_equal(end->conn, conn);
    end->n_closed++;
    end->why = *why;
    assert_true(why->message[0] != '\0');
    call(end->on_closed, end);
    end->conn = NULL;
}

static const struct snapi_conn_events conn_events = {.on_open = on_open,
                                                     .on_message = on_message,
                                                     .on_writable = on_writable,
                                                     .on_unsent = on_unsent,
                                                     .on_closed = on_closed};

static struct rig_end *end_create(struct rig *rig)
{
    struct rig_end *end = calloc(1, sizeof(*end));
    assert_non_null(end);
    end->rig = rig;
    end->ops = rig->fixture->ops;
    return end;
}

static bool on_accept(void *arg, struct snapi_conn *conn, const struct snapi_conn_events **events,
                      void **conn_arg)
{
    struct rig *rig = arg;
    if (rig->refuses) {
        return false;
    }
    struct rig_end *end = end_create(rig);
    end->conn = conn;
    end->on_message = rig->on_accepted_message;
    assert_true(rig->n_ends < RIG_ENDS_MAX);
    rig->ends[rig->n_ends++] = end;
    *events = &conn_events;
    *conn_arg = end;
    call(rig->on_accepted, end);
    return true;
}

static void on_address(void *arg, struct snapi_listener *listener, const char *address)
{
    struct rig *rig = arg;
    (void)listener;
    rig->fixture->connect_address(address, rig->address);
}

static const struct snapi_listener_events listener_events = {.on_accept = on_accept,
                                                             .on_address = on_address};

/* ---- the rig ---- */

static struct snapi_transport *open_transport(struct rig *rig, struct snapi_poller *poller,
                                              const char *snapd_socket)
{
    assert_int_equal(snapi_poller_init(poller), BASE_OK);
    struct snapi_transport_config config = {
        .poller = poller, .max_message_bytes = RIG_MAX_MESSAGE_BYTES, .snapd_socket = snapd_socket};
    struct snapi_transport *transport;
    assert_int_equal(rig->fixture->ops->create(&config, &transport), BASE_OK);
    return transport;
}

static bool is_up(struct snapi_transport *transport)
{
    const char *reason;
    return transport->ops->state(transport, &reason) == SNAPI_TRANSPORT_UP;
}

void rig_open(struct rig *rig, const struct transport_fixture *fixture)
{
    *rig = (struct rig){.fixture = fixture};
    const char *server_socket = fixture->server_snapd_socket;
    rig->client = open_transport(rig, &rig->client_poller, fixture->snapd_socket);
    rig->server = open_transport(rig, &rig->server_poller,
                                 server_socket != NULL ? server_socket : fixture->snapd_socket);
    rig_wait(rig, is_up(rig->client) && is_up(rig->server));
    enum base_err err =
        fixture->ops->listen(rig->server, fixture->listen_address(), SNAPI_TRAFFIC_DEFAULT,
                             &listener_events, rig, &rig->listener);
    if (err != BASE_OK) {
        print_error("listen: %s\n", base_error_last_note());
    }
    assert_int_equal(err, BASE_OK);
    on_address(rig, rig->listener, fixture->ops->listener_address(rig->listener));
    rig_wait(rig, rig->address[0] != '\0');
}

void rig_close(struct rig *rig)
{
    rig->fixture->ops->destroy(rig->client);
    snapi_poller_fini(&rig->client_poller);
    rig_kill_server(rig);
    for (uint32_t i = 0; i < rig->n_ends; i++) {
        free(rig->ends[i]->seen);
        free(rig->ends[i]);
    }
    for (uint32_t i = 0; i < rig->n_made; i++) {
        free(rig->made[i]->seen);
        free(rig->made[i]);
    }
}

void rig_kill_server(struct rig *rig)
{
    if (rig->server != NULL) {
        rig->fixture->ops->destroy(rig->server);
        rig->server = NULL;
        snapi_poller_fini(&rig->server_poller);
    }
}

/* Polls one side; true: it did something, or has something to do. */
static bool drive(struct snapi_transport *transport, struct snapi_poller *poller, uint64_t now_ns)
{
    uint32_t n_ready;
    assert_int_equal(snapi_poller_wait(poller, 0, &n_ready), BASE_OK);
    uint32_t n = transport->ops->poll(transport, now_ns, 1024);
    return !transport->ops->arm(transport) || n + n_ready > 0;
}

void rig_turn(struct rig *rig)
{
    uint64_t now_ns = base_clock_now_ns() + rig->skew_ns;
    bool is_busy = drive(rig->client, &rig->client_poller, now_ns);
    struct pollfd fds[2] = {{.fd = rig->client_poller.epoll_fd, .events = POLLIN}, {.fd = -1}};
    if (rig->server != NULL && !rig->is_server_asleep) {
        is_busy = drive(rig->server, &rig->server_poller, now_ns) || is_busy;
        fds[1] = (struct pollfd){.fd = rig->server_poller.epoll_fd, .events = POLLIN};
    }
    if (!is_busy) {
        (void)poll(fds, 2, 1);
    }
}

struct rig_end *rig_connect(struct rig *rig, const char *address)
{
    struct rig_end *end = end_create(rig);
    assert_true(rig->n_made < RIG_ENDS_MAX);
    rig->made[rig->n_made++] = end;
    enum base_err err =
        end->ops->connect(rig->client, address, rig->traffic, &conn_events, end, &end->conn);
    if (err != BASE_OK) {
        print_error("connect: %s\n", base_error_last_note());
    }
    assert_int_equal(err, BASE_OK);
    return end;
}

struct rig_end *rig_pair(struct rig *rig, struct rig_end **accepted)
{
    uint32_t n = rig->n_ends;
    struct rig_end *end = rig_connect(rig, rig->address);
    rig_wait(rig, end->n_opened == 1 && rig->n_ends == n + 1);
    *accepted = rig->ends[n];
    return end;
}

void rig_close_conn(struct rig_end *end, enum snapi_close how)
{
    struct snapi_conn *conn = end->conn;
    if (how == SNAPI_CLOSE_ABORT) {
        end->conn = NULL;
    }
    end->ops->close(conn, how);
}

void rig_send_until_full(struct rig_end *end, uint64_t *next, size_t len)
{
    enum base_err err = rig_send(end, *next, len);
    while (err == BASE_OK) {
        (*next)++;
        err = rig_send(end, *next, len);
    }
    assert_int_equal(err, BASE_AGAIN);
}

bool rig_is_unsent(const struct rig_end *end, uint64_t tag)
{
    for (uint32_t i = 0; i < end->n_unsent; i++) {
        if (end->unsent[i] == tag) {
            return true;
        }
    }
    return false;
}

void rig_count_ids(struct rig_end *end, uint64_t n_ids)
{
    end->seen = calloc(n_ids, 1);
    assert_non_null(end->seen);
    end->n_ids = n_ids;
}
