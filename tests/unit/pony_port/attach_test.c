/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "tests/unit/pony_port/port_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Attaches under a plan and expects it to be refused with a reason that has `word` in it. */
static void expect_down(struct port_rig *rig, const char *word)
{
    const char *reason;
    fake_snapd_start(&rig->snapd);
    rig->now_ns = base_max_u64(rig->now_ns, rig->port->retry_ns);
    port_rig_turns(rig, 4);
    assert_int_equal(port_rig_state(rig, &reason), SNAPI_TRANSPORT_DOWN);
    if (strstr(reason, word) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", reason, word);
    }
    assert_non_null(strstr(reason, rig->snapd.path));
    assert_int_equal(rig->port->control.fd, -1);
    fake_snapd_kill(&rig->snapd);
}

static void expect_down_now(struct port_rig *rig, const char *word)
{
    const char *reason;
    rig->now_ns = base_max_u64(rig->now_ns, rig->port->retry_ns);
    (void)pony_transport_ops.poll(rig->transport, rig->now_ns, 1);
    assert_int_equal(port_rig_state(rig, &reason), SNAPI_TRANSPORT_DOWN);
    assert_non_null(strstr(reason, rig->snapd.path));
    assert_non_null(strstr(reason, word));
}

static void without_a_socket_it_is_down_from_the_start_and_says_what_to_do(void **state)
{
    struct port_rig *rig = *state;
    const char *reason;
    assert_int_equal(port_rig_state(rig, &reason), SNAPI_TRANSPORT_DOWN);
    assert_non_null(strstr(reason, rig->snapd.path));
    assert_non_null(strstr(reason, "does not exist"));
    assert_non_null(strstr(reason, "SNAPD_SOCKET"));
}

static void a_socket_that_nobody_serves_is_named(void **state)
{
    struct port_rig *rig = *state;
    fake_snapd_start(&rig->snapd);
    fake_snapd_kill(&rig->snapd);
    expect_down_now(rig, "nobody serves");
}

static void a_path_that_is_no_socket_is_refused(void **state)
{
    struct port_rig *rig = *state;
    int fd = open(rig->snapd.path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    expect_down_now(rig, "snapd");
}

static void a_socket_that_may_not_be_opened_is_named(void **state)
{
    struct port_rig *rig = *state;
    fake_snapd_start(&rig->snapd);
    assert_int_equal(chmod(rig->snapd.folder, 0), 0);
    bool is_root = geteuid() == 0;
    assert_int_equal(is_root ? seteuid(65534) : 0, 0);
    rig->now_ns = base_max_u64(rig->now_ns, rig->port->retry_ns);
    (void)pony_transport_ops.poll(rig->transport, rig->now_ns, 1);
    assert_int_equal(is_root ? seteuid(0) : 0, 0);
    assert_int_equal(chmod(rig->snapd.folder, 0700), 0);
    const char *reason;
    assert_int_equal(port_rig_state(rig, &reason), SNAPI_TRANSPORT_DOWN);
    assert_non_null(strstr(reason, "not permitted"));
}

static void an_honest_snapd_is_attached_to(void **state)
{
    struct port_rig *rig = *state;
    fake_snapd_start(&rig->snapd);
    port_rig_attach(rig);
    const char *reason;
    assert_int_equal(port_rig_state(rig, &reason), SNAPI_TRANSPORT_UP);
    assert_string_equal(reason, "");
    assert_int_equal(pony_transport_ops.next_deadline_ns(rig->transport), UINT64_MAX);
}

static void it_is_trying_between_question_and_answer(void **state)
{
    struct port_rig *rig = *state;
    const char *reason;
    rig->snapd.plan.is_silent = true;
    fake_snapd_start(&rig->snapd);
    rig->now_ns = base_max_u64(rig->now_ns, rig->port->retry_ns);
    port_rig_turns(rig, 3);
    assert_int_equal(port_rig_state(rig, &reason), SNAPI_TRANSPORT_TRYING);
    uint64_t deadline = pony_transport_ops.next_deadline_ns(rig->transport);
    assert_true(deadline > rig->now_ns && deadline < UINT64_MAX);
    rig->now_ns = deadline - 1;
    port_rig_turn(rig);
    assert_int_equal(port_rig_state(rig, &reason), SNAPI_TRANSPORT_TRYING);
    rig->now_ns = deadline;
    port_rig_turn(rig);
    assert_int_equal(port_rig_state(rig, &reason), SNAPI_TRANSPORT_DOWN);
    assert_non_null(strstr(reason, "does not answer"));
}

static void another_abi_version_is_refused_and_both_are_named(void **state)
{
    struct port_rig *rig = *state;
    rig->snapd.plan.abi_version = 77;
    expect_down(rig, "ABI version 77, this program version 1");
}

static void another_abi_version_in_the_memory_is_refused(void **state)
{
    struct port_rig *rig = *state;
    rig->snapd.plan.area_version = 78;
    expect_down(rig, "ABI version 78");
}

static void an_error_of_snapd_is_passed_on(void **state)
{
    struct port_rig *rig = *state;
    rig->snapd.plan.error = BASE_E_LIMIT;
    rig->snapd.plan.error_text = "64 ports are attached already";
    expect_down(rig, "64 ports are attached already");
    rig->snapd.plan.error_text = NULL;
    expect_down(rig, "limit reached");
}

static void lies_in_the_reply_are_refused(void **state)
{
    struct port_rig *rig = *state;

    static const struct {
        struct fake_plan plan;
        const char *word;
    } lies[] = {
        {{.is_garbage = true}, "malformed"},
        {{.has_wrong_id = true}, "not asked"},
        {{.sends_fewer_fds = true}, "5 descriptors"},
        {{.has_wrong_magic = true}, "magic"},
        {{.is_unsealed = true}, "not sealed"},
        {{.is_short = true}, "smaller than"},
        {{.lies_about_sizes = true}, "differ"},
        {{.cmd_slots = 65}, "powers of two"},
        {{.cmd_slots = SHM_SLOTS_MIN / 2}, "powers of two"},
        {{.cpl_slots = SHM_SLOTS_MAX * 2}, "powers of two"},
        {{.tx_bytes = 4097}, "cannot be"},
        {{.rx_bytes = 100}, "cannot be"},
    };

    for (size_t i = 0; i < BASE_ARRAY_LEN(lies); i++) {
        rig->snapd.plan = lies[i].plan;
        expect_down(rig, lies[i].word);
    }
    rig->snapd.plan = (struct fake_plan){0};
    fake_snapd_start(&rig->snapd);
    port_rig_attach(rig);
}

static void slots_at_their_bounds_are_accepted(void **state)
{
    struct port_rig *rig = *state;
    rig->snapd.plan = (struct fake_plan){.cmd_slots = SHM_SLOTS_MIN, .cpl_slots = SHM_SLOTS_MAX};
    fake_snapd_start(&rig->snapd);
    port_rig_attach(rig);
}

static void tries_come_ever_later_up_to_a_second(void **state)
{
    struct port_rig *rig = *state;
    uint64_t last = 0;
    port_rig_turn(rig);
    for (int i = 0; i < 20; i++) {
        last = rig->port->retry_ns - rig->now_ns;
        assert_true(last >= 2500000 && last <= BASE_NS_PER_S);
        rig->now_ns = rig->port->retry_ns;
        port_rig_turn(rig);
    }
    assert_true(last >= BASE_NS_PER_S / 2);
}

static void a_smaller_message_limit_of_snapd_holds(void **state)
{
    struct port_rig *rig = *state;
    rig->snapd.plan.max_message_bytes = 1000;
    fake_snapd_start(&rig->snapd);
    port_rig_attach(rig);
    struct port_events e = {0};
    port_rig_open(rig, &e);
    struct snapi_tx tx;
    assert_int_equal(pony_transport_ops.max_message(e.conn), 1000);
    assert_int_equal(pony_transport_ops.begin(e.conn, 1001, &tx), BASE_E_LIMIT);
    assert_non_null(strstr(base_error_last_note(), "at most 1000"));
    assert_int_equal(port_rig_send(&e, 1, 1000, 1), BASE_OK);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, port_rig_setup, port_rig_teardown)
    const struct CMUnitTest tests[] = {
        CASE(without_a_socket_it_is_down_from_the_start_and_says_what_to_do),
        CASE(a_socket_that_nobody_serves_is_named),
        CASE(a_path_that_is_no_socket_is_refused),
        CASE(a_socket_that_may_not_be_opened_is_named),
        CASE(an_honest_snapd_is_attached_to),
        CASE(it_is_trying_between_question_and_answer),
        CASE(another_abi_version_is_refused_and_both_are_named),
        CASE(another_abi_version_in_the_memory_is_refused),
        CASE(an_error_of_snapd_is_passed_on),
        CASE(lies_in_the_reply_are_refused),
        CASE(slots_at_their_bounds_are_accepted),
        CASE(tries_come_ever_later_up_to_a_second),
        CASE(a_smaller_message_limit_of_snapd_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
