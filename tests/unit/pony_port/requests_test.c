/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pony_port/port_rig.h"

#include <stdio.h>
#include <string.h>

static const struct snapi_transport_ops *const ops = &pony_transport_ops;

struct answer {
    uint32_t n;
    char address[256];
};

static void on_found(void *arg, const char *address)
{
    struct answer *a = arg;
    a->n++;
    (void)snprintf(a->address, sizeof(a->address), "%s", address);
}

static void what_is_remembered_is_found(void **state)
{
    struct port_rig *rig = *state;
    struct answer a = {0}, b = {0};
    assert_int_equal(ops->remember(rig->transport, "host:7000", "pony:x"), BASE_OK);
    port_rig_turns(rig, 2);
    assert_int_equal(ops->lookup(rig->transport, "host:7000", on_found, &a), BASE_AGAIN);
    assert_int_equal(ops->lookup(rig->transport, "other:7000", on_found, &b), BASE_AGAIN);
    assert_int_equal(a.n, 0);
    port_rig_turns(rig, 3);
    assert_int_equal(a.n, 1);
    assert_string_equal(a.address, "pony:x");
    assert_int_equal(b.n, 1);
    assert_string_equal(b.address, "");
    assert_int_equal(rig->port->n_requests, 0);
}

static void a_cancelled_lookup_is_not_answered(void **state)
{
    struct port_rig *rig = *state;
    struct answer a = {0};
    assert_int_equal(ops->lookup(rig->transport, "host:7000", on_found, &a), BASE_AGAIN);
    ops->lookup_cancel(rig->transport, &a);
    port_rig_turns(rig, 3);
    assert_int_equal(a.n, 0);
    assert_int_equal(rig->snapd.n_lookups, 1);
    assert_int_equal(rig->port->n_requests, 0);
}

static void snapds_death_answers_with_nothing(void **state)
{
    struct port_rig *rig = *state;
    struct answer a = {0};
    assert_int_equal(ops->lookup(rig->transport, "host:7000", on_found, &a), BASE_AGAIN);
    fake_snapd_kill(&rig->snapd);
    port_rig_turn(rig);
    assert_int_equal(a.n, 1);
    assert_string_equal(a.address, "");
    assert_int_equal(ops->lookup(rig->transport, "host:7000", on_found, &a), BASE_E_UNREACHABLE);
    assert_true(strlen(base_error_last_note()) > 0);
    assert_int_equal(ops->remember(rig->transport, "a", "b"), BASE_E_UNREACHABLE);
}

struct cancelling {
    struct answer answer;
    struct snapi_transport *transport;
    struct answer *other;
};

static void cancel_the_other(void *arg, const char *address)
{
    struct cancelling *c = arg;
    on_found(&c->answer, address);
    ops->lookup_cancel(c->transport, c->other);
}

static void a_callback_may_cancel_another_lookup(void **state)
{
    struct port_rig *rig = *state;
    struct answer other = {0};
    struct cancelling c = {.transport = rig->transport, .other = &other};
    assert_int_equal(ops->lookup(rig->transport, "a", cancel_the_other, &c), BASE_AGAIN);
    assert_int_equal(ops->lookup(rig->transport, "b", on_found, &other), BASE_AGAIN);
    fake_snapd_kill(&rig->snapd);
    port_rig_turn(rig);
    assert_int_equal(c.answer.n, 1);
    assert_int_equal(other.n, 0);
    assert_int_equal(rig->port->n_requests, 0);
}

static void more_than_the_limit_is_refused_and_none_is_lost(void **state)
{
    struct port_rig *rig = *state;
    struct answer a = {0};
    for (int i = 0; i < PONY_PORT_REQUESTS_MAX; i++) {
        assert_int_equal(ops->lookup(rig->transport, "host:7000", on_found, &a), BASE_AGAIN);
    }
    assert_int_equal(ops->lookup(rig->transport, "host:7000", on_found, &a), BASE_E_LIMIT);
    port_rig_turns(rig, 200);
    assert_int_equal(a.n, PONY_PORT_REQUESTS_MAX);
}

static void a_target_that_is_too_long_is_refused(void **state)
{
    struct port_rig *rig = *state;
    static char target[PONY_CONTROL_STRING_MAX + 2];
    struct answer a = {0};
    memset(target, 't', PONY_CONTROL_STRING_MAX + 1);
    assert_int_equal(ops->lookup(rig->transport, target, on_found, &a), BASE_E_LIMIT);
    target[PONY_CONTROL_STRING_MAX] = '\0';
    assert_int_equal(ops->lookup(rig->transport, target, on_found, &a), BASE_AGAIN);
    port_rig_turns(rig, 3);
    assert_int_equal(a.n, 1);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, port_rig_setup_up, port_rig_teardown)
    const struct CMUnitTest tests[] = {
        CASE(what_is_remembered_is_found),
        CASE(a_cancelled_lookup_is_not_answered),
        CASE(snapds_death_answers_with_nothing),
        CASE(a_callback_may_cancel_another_lookup),
        CASE(more_than_the_limit_is_refused_and_none_is_lost),
        CASE(a_target_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
