/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/conformance/transport.h"

#include <string.h>
#include <sys/resource.h>

static void every_slot_of_the_ops_is_filled(struct rig *rig)
{
    /* All members behind the name are function pointers. */
    const struct snapi_transport_ops *ops = rig->fixture->ops;
    void *const *slots = (void *const *)(const void *)ops;
    for (size_t i = 0; i < sizeof(*ops) / sizeof(void *); i++) {
        assert_non_null(slots[i]);
    }
}

static void a_connection_opens_once_at_both_ends(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig_must_send(a, 1, 64);
    rig_must_send(b, 2, 64);
    rig_wait(rig, a->n_messages == 1 && b->n_messages == 1);
    assert_int_equal(a->n_opened, 1);
    assert_int_equal(b->n_opened, 0); /* on_accept was that */
    assert_true(a->ops->peer(a->conn)[0] != '\0');
    assert_true(b->ops->peer(b->conn)[0] != '\0');
}

static void connecting_to_nobody_is_refused(struct rig *rig)
{
    struct rig_end *a = rig_connect(rig, rig->fixture->refused_address());
    assert_int_equal(a->n_closed, 0); /* never from within the op */
    rig_must_send(a, 7, 100);
    rig_wait(rig, a->n_closed == 1);
    assert_int_equal(a->why.err, BASE_E_REFUSED);
    assert_int_equal(a->n_opened, 0);
    assert_int_equal(a->n_unsent, 1);
    assert_true(rig_is_unsent(a, 7));
    assert_int_equal(a->n_bad, 0);
}

static void an_application_may_refuse_a_connection(struct rig *rig)
{
    rig->refuses = true;
    struct rig_end *a = rig_connect(rig, rig->address);
    rig_wait(rig, a->n_closed == 1);
    assert_int_not_equal(a->why.err, BASE_E_CLOSED);
    assert_int_equal(rig->n_ends, 0);
}

static void an_address_of_wrong_form_is_invalid(struct rig *rig)
{
    static const struct snapi_conn_events none;
    struct snapi_conn *conn;
    base_error_clear_note();
    assert_int_equal(rig->fixture->ops->connect(rig->client, "no such form", SNAPI_TRAFFIC_DEFAULT,
                                                &none, NULL, &conn),
                     BASE_E_INVALID);
    assert_null(conn);
    assert_true(base_error_last_note()[0] != '\0');
}

static bool never(void *arg, struct snapi_conn *conn, const struct snapi_conn_events **events,
                  void **conn_arg)
{
    (void)arg;
    (void)conn;
    (void)events;
    (void)conn_arg;
    return false;
}

static void ignore(void *arg, struct snapi_listener *listener, const char *address)
{
    (void)arg;
    (void)listener;
    (void)address;
}

static const struct snapi_listener_events deaf = {.on_accept = never, .on_address = ignore};

static void listening_twice_at_an_address_is_in_use(struct rig *rig)
{
    const struct snapi_transport_ops *ops = rig->fixture->ops;
    if (!rig->fixture->is_listen_exclusive) {
        return;
    }
    struct snapi_listener *second;
    const char *address = ops->listener_address(rig->listener);
    assert_int_equal(ops->listen(rig->client, address, SNAPI_TRAFFIC_DEFAULT, &deaf, NULL, &second),
                     BASE_E_IN_USE);
    assert_null(second);
    assert_true(strstr(base_error_last_note(), address) != NULL);
    struct rig_end *b;
    (void)rig_pair(rig, &b); /* the first one still works */
}

static void an_address_is_free_again_after_unlisten(struct rig *rig)
{
    const struct snapi_transport_ops *ops = rig->fixture->ops;
    if (!rig->fixture->is_listen_exclusive) {
        return;
    }
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    char address[256];
    (void)strncpy(address, ops->listener_address(rig->listener), sizeof(address) - 1);
    address[sizeof(address) - 1] = '\0';
    ops->unlisten(rig->listener);
    struct rig_end *late = rig_connect(rig, rig->address);
    rig_wait(rig, late->n_closed == 1);
    assert_int_equal(late->why.err, BASE_E_REFUSED);
    assert_int_equal(
        ops->listen(rig->server, address, SNAPI_TRAFFIC_DEFAULT, &deaf, NULL, &rig->listener),
        BASE_OK);
    rig_must_send(a, 1, 8); /* what was accepted before lives on */
    rig_wait(rig, b->n_messages == 1);
}

static void messages_sent_before_it_opens_arrive(struct rig *rig)
{
    struct rig_end *a = rig_connect(rig, rig->address);
    for (uint64_t id = 0; id < 100; id++) {
        rig_must_send(a, id, 8 + (size_t)id * 100);
    }
    rig_must_send(a, 100, 1 << 20);
    rig_wait(rig, rig->n_ends == 1 && rig->ends[0]->n_messages == 101);
    assert_int_equal(rig->ends[0]->n_bad, 0);
    rig_wait(rig, a->n_opened == 1); /* that it opened may come after the last of them is read */
}

static void a_thousand_connections_work_at_once(struct rig *rig)
{
    enum {
        N = 1000
    };
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    static struct rig_end *ends[N];
    for (int i = 0; i < N; i++) {
        ends[i] = rig_connect(rig, rig->address);
        rig_must_send(ends[i], (uint64_t)i, 64 + (size_t)i);
    }
    rig_wait(rig, rig->n_ends == N);
    for (int i = 0; i < N; i++) {
        rig_wait(rig, rig->ends[i]->n_messages == 1);
        rig_must_send(rig->ends[i], (uint64_t)i, 128);
    }
    for (int i = 0; i < N; i++) {
        rig_wait(rig, ends[i]->n_messages == 1);
        assert_int_equal(ends[i]->n_bad + rig->ends[i]->n_bad, 0);
        rig_close_conn(ends[i], SNAPI_CLOSE_FLUSH);
    }
    for (int i = 0; i < N; i++) {
        rig_wait(rig, ends[i]->n_closed == 1 && rig->ends[i]->n_closed == 1);
        assert_int_equal(ends[i]->why.err, BASE_E_CLOSED);
    }
}

/* A class changes what goes first, and nothing else. */
static void connections_of_every_traffic_class_carry_messages(struct rig *rig)
{
    struct rig_end *a[SNAPI_TRAFFIC_MAX];
    struct rig_end *b[SNAPI_TRAFFIC_MAX];
    for (uint32_t i = 0; i < SNAPI_TRAFFIC_MAX; i++) {
        rig->traffic = (enum snapi_traffic)i;
        a[i] = rig_pair(rig, &b[i]);
    }
    for (uint32_t i = 0; i < SNAPI_TRAFFIC_MAX; i++) {
        rig_must_send(a[i], 1, 200000);
        rig_must_send(a[i], 2, 64);
        rig_must_send(b[i], 3, 5000);
    }
    for (uint32_t i = 0; i < SNAPI_TRAFFIC_MAX; i++) {
        rig_wait(rig, b[i]->n_messages == 2 && a[i]->n_messages == 1);
        assert_int_equal(a[i]->n_bad + b[i]->n_bad, 0);
    }
}

#define CASE(name) \
    { \
#        name, name \
    }
const struct transport_case transport_opening_cases[] = {
    CASE(every_slot_of_the_ops_is_filled),
    CASE(a_connection_opens_once_at_both_ends),
    CASE(connecting_to_nobody_is_refused),
    CASE(an_application_may_refuse_a_connection),
    CASE(an_address_of_wrong_form_is_invalid),
    CASE(listening_twice_at_an_address_is_in_use),
    CASE(an_address_is_free_again_after_unlisten),
    CASE(messages_sent_before_it_opens_arrive),
    CASE(a_thousand_connections_work_at_once),
    CASE(connections_of_every_traffic_class_carry_messages),
    {NULL, NULL},
};
