/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "tests/unit/pony_port/port_rig.h"

#include <string.h>

/* A snapd that lies: the port is dropped with a reason and attached anew; nothing crashes. */

static void expect_dropped(struct port_rig *rig, const char *word)
{
    const char *reason;
    uint32_t n_attached = rig->snapd.n_attached;
    port_rig_turn(rig);
    assert_int_equal(port_rig_state(rig, &reason), SNAPI_TRANSPORT_DOWN);
    assert_non_null(strstr(reason, "dropped snapd at"));
    if (strstr(reason, word) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", reason, word);
    }
    port_rig_attach(rig);
    assert_int_equal(rig->snapd.n_attached, n_attached + 1);
}

static void a_completion_for_what_is_not_there_is_a_lie(void **state)
{
    struct port_rig *rig = *state;
    static const uint32_t numbers[] = {0, 1, 77, SHM_CONN_ACCEPTED, UINT32_MAX};
    for (unsigned kind = SHM_CPL_LISTENING; kind < SHM_CPL_MAX; kind++) {
        for (size_t i = 0; i < BASE_ARRAY_LEN(numbers); i++) {
            struct shm_completion c = {.kind = (uint8_t)kind, .conn = numbers[i], .tag = 5};
            fake_snapd_say(&rig->snapd, &c);
            expect_dropped(rig, "");
        }
    }
}

static void a_kind_that_does_not_exist_is_a_lie(void **state)
{
    struct port_rig *rig = *state;
    static const uint8_t kinds[] = {0, SHM_CPL_MAX, 255};
    for (size_t i = 0; i < sizeof(kinds); i++) {
        struct shm_completion c = {.kind = kinds[i]};
        fake_snapd_say(&rig->snapd, &c);
        expect_dropped(rig, "kind lies");
    }
}

static void a_cursor_past_the_ring_is_a_lie(void **state)
{
    struct port_rig *rig = *state;
    rig->snapd.engine->cpl_tail = FAKE_SLOTS + 1;
    expect_dropped(rig, "cursor");
    rig->snapd.engine->cpl_tail = UINT32_MAX;
    expect_dropped(rig, "cursor");
}

static void a_message_outside_the_region_is_a_lie(void **state)
{
    struct port_rig *rig = *state;

    static const struct {
        uint64_t off;
        uint32_t len;
    } lies[] = {
        {FAKE_REGION_BYTES, 1},
        {FAKE_REGION_BYTES - 64, 65},
        {UINT64_MAX - 7, 8},
        {UINT64_MAX - 7, UINT32_MAX},
        {0, FAKE_REGION_BYTES + 1},
        {0, UINT32_MAX},
        {4, 8},
        {1, 0},
    };

    for (size_t i = 0; i < BASE_ARRAY_LEN(lies); i++) {
        struct port_events e = {0};
        port_rig_open(rig, &e);
        struct shm_completion c = {.kind = SHM_CPL_RECEIVED,
                                   .conn = fake_snapd_command(&rig->snapd, 0)->conn,
                                   .u.received = {.off = lies[i].off, .len = lies[i].len}};
        fake_snapd_say(&rig->snapd, &c);
        expect_dropped(rig, "outside the rx region");
        assert_int_equal(e.n_messages, 0);
        assert_int_equal(e.n_closed, 1);
        assert_int_equal(e.why.err, BASE_E_RESET);
    }
}

static void events_out_of_turn_are_lies(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0}, f = {0}, g = {0};
    port_rig_connect(rig, &e);
    uint32_t conn = fake_snapd_command(&rig->snapd, 0)->conn;
    struct shm_completion received = {.kind = SHM_CPL_RECEIVED, .conn = conn};
    fake_snapd_say(&rig->snapd, &received);
    expect_dropped(rig, "not open");
    port_rig_open(rig, &f);
    struct shm_completion opened = {.kind = SHM_CPL_OPENED,
                                    .conn = fake_snapd_command(&rig->snapd, 0)->conn};
    fake_snapd_say(&rig->snapd, &opened);
    expect_dropped(rig, "does not open");
    assert_int_equal(f.n_open, 1);
    port_rig_open(rig, &g);
    conn = fake_snapd_command(&rig->snapd, 0)->conn;
    port_rig_say_closed(rig, conn, 0, SHM_REASON_MAX);
    expect_dropped(rig, "does not exist");
}

static void sent_twice_or_for_another_connection_is_a_lie(void **state)
{
    struct port_rig *rig = *state;
    for (int which = 0; which < 3; which++) {
        struct port_events e = {0}, f = {0};
        port_rig_open(rig, &e);
        port_rig_open(rig, &f);
        assert_int_equal(port_rig_send(&e, 1, 8, 1), BASE_OK);
        port_rig_turn(rig);
        struct shm_command send = *fake_snapd_command(&rig->snapd, 0);
        if (which == 0) {
            port_rig_say_sent(rig, &send, 0);
        } else if (which == 1) {
            send.conn++;
        } else {
            send.tag += UINT64_C(1) << 32;
        }
        port_rig_say_sent(rig, &send, 0);
        expect_dropped(rig, "SENT for a message");
    }
}

/* Two connections, two messages of each: their commands in the order of sending. */
static void send_four(struct port_rig *rig, struct port_events *e, struct port_events *f,
                      struct shm_command sends[4])
{
    port_rig_open(rig, e);
    port_rig_open(rig, f);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(port_rig_send(i % 2 == 0 ? e : f, 1, 8, i), BASE_OK);
    }
    port_rig_turn(rig);
    for (uint32_t i = 0; i < 4; i++) {
        sends[i] = *fake_snapd_command(&rig->snapd, 3 - i);
    }
}

static void a_sent_that_names_what_it_may_not_is_a_lie(void **state)
{
    struct port_rig *rig = *state;

    static const struct {
        uint8_t n_more;
        int wrong; /* which of u.sent.tags is none, or one that was named; -1: all are right */
        const char *word;
    } lies[] = {
        {3, 0, "among others"},
        {3, 2, "among others"},
        {SHM_SENT_MORE_MAX, -1, "among others"}, /* the rest is zero */
        {SHM_SENT_MORE_MAX + 1, -1, "than it can name"},
        {UINT8_MAX, -1, "than it can name"},
    };

    for (size_t i = 0; i < BASE_ARRAY_LEN(lies) * 2; i++) {
        struct port_events e = {0}, f = {0};
        struct shm_command sends[4];
        send_four(rig, &e, &f, sends);
        struct shm_completion c = {.kind = SHM_CPL_SENT,
                                   .n_more = lies[i / 2].n_more,
                                   .conn = sends[0].conn,
                                   .tag = sends[0].tag};
        for (int k = 0; k < 3; k++) {
            c.u.sent.tags[k] = sends[k + 1].tag;
        }
        if (lies[i / 2].wrong >= 0) {
            c.u.sent.tags[lies[i / 2].wrong] = i % 2 == 0 ? UINT64_MAX : sends[0].tag;
        }
        fake_snapd_say(&rig->snapd, &c);
        expect_dropped(rig, lies[i / 2].word);
        assert_int_equal(e.n_closed, 1);
        assert_int_equal(f.n_closed, 1);
    }
}

static void a_liars_completions_are_not_believed_for_unsent(void **state)
{
    struct port_rig *rig = *state;
    struct port_events e = {0};
    port_rig_open(rig, &e);
    uint32_t conn = fake_snapd_command(&rig->snapd, 0)->conn;
    assert_int_equal(port_rig_send(&e, 1, 8, 1), BASE_OK);
    port_rig_turn(rig);
    struct shm_completion bad = {.kind = SHM_CPL_RECEIVED, .conn = conn, .u.received.off = 1};
    fake_snapd_say(&rig->snapd, &bad);
    port_rig_say_sent(rig, fake_snapd_command(&rig->snapd, 0), SHM_CPL_UNSENT);
    port_rig_turn(rig);
    assert_int_equal(e.n_unsent, 0);
    assert_int_equal(e.n_closed, 1);
}

/* A snapd that scribbles over all it may write, all the time. */
static void scribbling_never_harms_the_application(void **state)
{
    struct port_rig *rig = *state;
    struct base_rng rng;
    base_rng_init(&rng, 20240);
    rig->snapd.plan.stops_taking = true;
    uint32_t n_closed = 0;
    for (int round = 0; round < 300; round++) {
        static struct port_events e;
        memset(&e, 0, sizeof(e));
        port_rig_attach(rig);
        port_rig_connect(rig, &e);
        for (int i = 0; i < 20; i++) {
            uint32_t *words = (uint32_t *)(void *)rig->snapd.engine;
            uint32_t n_words = (uint32_t)(rig->snapd.bytes[1] / 4);
            for (uint32_t k = 0; k < 50; k++) {
                /* The cursors and `closed` often, and small values often: those get furthest. */
                uint32_t at = (uint32_t)base_rng_below(&rng, n_words);
                if (base_rng_chance(&rng, 300000)) {
                    static const uint32_t cursors[] = {16, 32, 48};
                    at = cursors[base_rng_below(&rng, 3)];
                }
                words[at] = base_rng_chance(&rng, 500000) ? (uint32_t)base_rng_below(&rng, 8)
                                                          : (uint32_t)base_rng_u64(&rng);
            }
            if (e.conn != NULL) {
                (void)port_rig_send(&e, 1, base_rng_below(&rng, 10000), 1);
            }
            port_rig_turn(rig);
        }
        fake_snapd_kill(&rig->snapd);
        port_rig_turns(rig, 2);
        fake_snapd_start(&rig->snapd);
        n_closed += e.n_closed;
        assert_null(e.conn);
    }
    assert_int_equal(n_closed, 300);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, port_rig_setup_up, port_rig_teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_completion_for_what_is_not_there_is_a_lie),
        CASE(a_kind_that_does_not_exist_is_a_lie),
        CASE(a_cursor_past_the_ring_is_a_lie),
        CASE(a_message_outside_the_region_is_a_lie),
        CASE(events_out_of_turn_are_lies),
        CASE(sent_twice_or_for_another_connection_is_a_lie),
        CASE(a_sent_that_names_what_it_may_not_is_a_lie),
        CASE(a_liars_completions_are_not_believed_for_unsent),
        CASE(scribbling_never_harms_the_application),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
