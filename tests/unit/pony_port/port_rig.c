/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pony_port/port_rig.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_open(void *arg, struct snapi_conn *conn)
{
    (void)conn;
    ((struct port_events *)arg)->n_open++;
}

static void on_message(void *arg, struct snapi_conn *conn, const uint8_t *data, size_t len)
{
    struct port_events *e = arg;
    (void)conn;
    e->n_messages++;
    e->last_len = len;
    memcpy(e->last, data, base_min_size(len, sizeof(e->last)));
    if (e->on_message != NULL) {
        e->on_message(e);
    }
}

static void on_writable(void *arg, struct snapi_conn *conn)
{
    (void)conn;
    ((struct port_events *)arg)->n_writable++;
}

static void on_unsent(void *arg, struct snapi_conn *conn, uint64_t tag, const uint8_t *data,
                      size_t len)
{
    struct port_events *e = arg;
    (void)conn;
    assert_int_equal(e->n_closed, 0);
    assert_true(e->n_unsent < RIG_TAGS_MAX);
    e->unsent_byte[e->n_unsent] = len > 0 ? data[0] : 0;
    e->unsent[e->n_unsent++] = tag;
    if (e->on_unsent != NULL) {
        e->on_unsent(e);
    }
}

static void on_closed(void *arg, struct snapi_conn *conn, const struct snapi_closed *why)
{
    struct port_events *e = arg;
    (void)conn;
    e->n_closed++;
    e->why = *why;
    e->conn = NULL;
}

const struct snapi_conn_events port_rig_conn_events = {.on_open = on_open,
                                                       .on_message = on_message,
                                                       .on_writable = on_writable,
                                                       .on_unsent = on_unsent,
                                                       .on_closed = on_closed};

static bool on_accept(void *arg, struct snapi_conn *conn, const struct snapi_conn_events **events,
                      void **conn_arg)
{
    struct port_listening *l = arg;
    l->n_accepted++;
    if (l->refuses) {
        return false;
    }
    l->accepted.conn = conn;
    *events = &port_rig_conn_events;
    *conn_arg = &l->accepted;
    return true;
}

static void on_address(void *arg, struct snapi_listener *listener, const char *address)
{
    struct port_listening *l = arg;
    (void)listener;
    l->n_address++;
    (void)snprintf(l->address, sizeof(l->address), "%s", address);
}

const struct snapi_listener_events port_rig_listener_events = {.on_accept = on_accept,
                                                               .on_address = on_address};

int port_rig_setup(void **state)
{
    struct port_rig *rig = calloc(1, sizeof(*rig));
    fake_snapd_init(&rig->snapd);
    rig->now_ns = BASE_NS_PER_S;
    assert_int_equal(snapi_poller_init(&rig->poller), BASE_OK);
    struct snapi_transport_config config = {.poller = &rig->poller,
                                            .max_message_bytes = FAKE_REGION_BYTES,
                                            .snapd_socket = rig->snapd.path};
    assert_int_equal(pony_transport_ops.create(&config, &rig->transport), BASE_OK);
    rig->port = base_container_of(rig->transport, struct pony_port, base);
    *state = rig;
    return 0;
}

int port_rig_setup_up(void **state)
{
    int rc = port_rig_setup(state);
    struct port_rig *rig = *state;
    fake_snapd_start(&rig->snapd);
    port_rig_attach(rig);
    return rc;
}

int port_rig_teardown(void **state)
{
    struct port_rig *rig = *state;
    pony_transport_ops.destroy(rig->transport);
    snapi_poller_fini(&rig->poller);
    fake_snapd_fini(&rig->snapd);
    free(rig);
    return 0;
}

void port_rig_turn(struct port_rig *rig)
{
    uint32_t n;
    assert_int_equal(snapi_poller_wait(&rig->poller, 0, &n), BASE_OK);
    (void)pony_transport_ops.poll(rig->transport, rig->now_ns, 64);
    fake_snapd_turn(&rig->snapd);
}

void port_rig_turns(struct port_rig *rig, int n)
{
    for (int i = 0; i < n; i++) {
        port_rig_turn(rig);
    }
}

void port_rig_attach(struct port_rig *rig)
{
    const char *reason;
    for (int i = 0; i < 100 && port_rig_state(rig, &reason) != SNAPI_TRANSPORT_UP; i++) {
        if (rig->port->link == PONY_LINK_OFF) {
            rig->now_ns = base_max_u64(rig->now_ns, rig->port->retry_ns);
        }
        port_rig_turn(rig);
    }
    assert_int_equal(port_rig_state(rig, &reason), SNAPI_TRANSPORT_UP);
    port_rig_turn(rig);
}

enum snapi_transport_state port_rig_state(struct port_rig *rig, const char **reason)
{
    return pony_transport_ops.state(rig->transport, reason);
}

void port_rig_connect(struct port_rig *rig, struct port_events *events)
{
    events->rig = rig;
    assert_int_equal(pony_transport_ops.connect(
                         rig->transport, "pony:10.0.0.9:4741/00000000000000aa/0000000000000000",
                         SNAPI_TRAFFIC_DEFAULT, &port_rig_conn_events, events, &events->conn),
                     BASE_OK);
    port_rig_turn(rig);
}

void port_rig_open(struct port_rig *rig, struct port_events *events)
{
    port_rig_connect(rig, events);
    const struct shm_command *open = fake_snapd_command(&rig->snapd, 0);
    assert_int_equal(open->opcode, SHM_OP_OPEN);
    struct shm_completion c = {.kind = SHM_CPL_OPENED, .conn = open->conn};
    fake_snapd_say(&rig->snapd, &c);
    port_rig_turn(rig);
    assert_int_equal(events->n_open, 1);
}

enum base_err port_rig_send(struct port_events *events, uint8_t byte, size_t len, uint64_t tag)
{
    struct snapi_tx tx;
    BASE_TRY(pony_transport_ops.begin(events->conn, len, &tx));
    assert_non_null(tx.data);
    assert_int_equal((uintptr_t)tx.data % 8, 0);
    memset(tx.data, byte, len);
    pony_transport_ops.send(events->conn, &tx, tag);
    return BASE_OK;
}

void port_rig_say_sent(struct port_rig *rig, const struct shm_command *send, uint8_t flags)
{
    assert_int_equal(send->opcode, SHM_OP_SEND);
    struct shm_completion c = {
        .kind = SHM_CPL_SENT, .flags = flags, .conn = send->conn, .tag = send->tag};
    fake_snapd_say(&rig->snapd, &c);
}

void port_rig_say_closed(struct port_rig *rig, uint32_t conn, uint8_t flags, uint8_t reason)
{
    struct shm_completion c = {
        .kind = SHM_CPL_CLOSED, .flags = flags, .reason = reason, .conn = conn};
    fake_snapd_say(&rig->snapd, &c);
}
