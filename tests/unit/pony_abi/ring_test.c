/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/abi/ring.h"

#include "tests/support/cmocka_all.h"

#include <sched.h>
#include <stdlib.h>

enum {
    SLOTS = 64
};

/* Both ends of one port over plain memory. */
struct pair {
    struct shm_engine_end engine;
    struct shm_client_end client;
    struct shm_client_area *client_area;
    struct shm_engine_area *engine_area;
};

static int setup(void **state)
{
    struct pair *p = calloc(1, sizeof(*p));
    size_t size = SHM_SLOTS_OFF + SLOTS * SHM_SLOT_BYTES;
    p->client_area = aligned_alloc(4096, 2 * size);
    p->engine_area = aligned_alloc(4096, 2 * size);
    memset(p->client_area, 0, size);
    memset(p->engine_area, 0, size);
    shm_engine_end_init(&p->engine, p->client_area, p->engine_area, SLOTS, SLOTS);
    shm_client_end_init(&p->client, p->client_area, p->engine_area, SLOTS, SLOTS);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;
    free(p->client_area);
    free(p->engine_area);
    free(p);
    return 0;
}

/* Moves both rings to `count` as if so many had passed through, empty. */
static void start_at(struct pair *p, uint32_t count)
{
    p->client.cmd_tail = p->client.cmd_published = p->client.cmd_head = p->client.cpl_head = count;
    p->engine.cmd_head = p->engine.cpl_tail = p->engine.cpl_published = p->engine.cpl_head = count;
    p->client_area->cmd_tail = p->client_area->cpl_head = count;
    p->engine_area->cmd_head = p->engine_area->cpl_tail = count;
}

static enum base_err put(struct pair *p, uint64_t tag)
{
    struct shm_command c = {.opcode = SHM_OP_SEND, .tag = tag};
    return shm_client_put(&p->client, &c);
}

static void commands_arrive_in_order_and_only_when_published(void **state)
{
    struct pair *p = *state;
    struct shm_command out[SLOTS];
    uint32_t n;
    assert_int_equal(put(p, 1), BASE_OK);
    assert_int_equal(put(p, 2), BASE_OK);
    assert_int_equal(shm_engine_take(&p->engine, out, SLOTS, &n), BASE_OK);
    assert_int_equal(n, 0);
    assert_false(shm_client_publish(&p->client));
    assert_int_equal(shm_engine_take(&p->engine, out, 1, &n), BASE_OK);
    assert_int_equal(n, 1);
    assert_int_equal(out[0].tag, 1);
    assert_int_equal(p->engine_area->cmd_head, 1);
    assert_int_equal(shm_engine_take(&p->engine, out, SLOTS, &n), BASE_OK);
    assert_int_equal(n, 1);
    assert_int_equal(out[0].tag, 2);
}

static void a_full_command_queue_says_again_until_one_is_taken(void **state)
{
    struct pair *p = *state;
    struct shm_command out[SLOTS];
    uint32_t n;
    start_at(p, UINT32_MAX - 10);
    for (uint32_t i = 0; i < SLOTS; i++) {
        assert_int_equal(put(p, i), BASE_OK);
    }
    assert_int_equal(put(p, SLOTS), BASE_AGAIN);
    shm_client_publish(&p->client);
    assert_int_equal(put(p, SLOTS), BASE_AGAIN);
    assert_int_equal(shm_client_room(&p->client, &n), BASE_OK);
    assert_int_equal(n, 0);
    assert_int_equal(shm_engine_take(&p->engine, out, 1, &n), BASE_OK);
    assert_int_equal(put(p, SLOTS), BASE_OK);
    assert_int_equal(put(p, SLOTS + 1), BASE_AGAIN);
}

static void commands_may_be_written_in_their_slots_while_there_is_room(void **state)
{
    struct pair *p = *state;
    struct shm_command out[SLOTS];
    uint32_t n;
    start_at(p, UINT32_MAX - 10);
    for (uint32_t i = 0; i < SLOTS; i++) {
        assert_true(shm_client_has_room(&p->client));
        *shm_client_put_next(&p->client) = (struct shm_command){.opcode = SHM_OP_SEND, .tag = i};
    }
    assert_false(shm_client_has_room(&p->client));
    (void)shm_client_publish(&p->client);
    assert_int_equal(shm_engine_take(&p->engine, out, SLOTS, &n), BASE_OK);
    assert_int_equal(n, SLOTS);
    assert_int_equal(out[SLOTS - 1].tag, SLOTS - 1);
    assert_false(shm_client_has_room(&p->client)); /* by the last look */
    assert_int_equal(shm_client_room(&p->client, &n), BASE_OK);
    assert_true(shm_client_has_room(&p->client));
}

static void a_command_cursor_at_the_bound_is_taken_and_past_it_is_a_lie(void **state)
{
    struct pair *p = *state;
    struct shm_command out[SLOTS];
    uint32_t n;
    static const uint32_t starts[] = {0, 1, UINT32_MAX, UINT32_MAX - SLOTS, 1u << 31};
    for (size_t i = 0; i < BASE_ARRAY_LEN(starts); i++) {
        start_at(p, starts[i]);
        for (uint32_t k = 0; k < SLOTS; k++) {
            assert_int_equal(put(p, k), BASE_OK);
        }
        p->client_area->cmd_tail = starts[i] + SLOTS + 1;
        assert_int_equal(shm_engine_take(&p->engine, out, SLOTS, &n), BASE_E_PEER);
        assert_int_equal(n, 0);
        p->client_area->cmd_tail = starts[i] - 1;
        assert_int_equal(shm_engine_take(&p->engine, out, SLOTS, &n), BASE_E_PEER);
        p->client_area->cmd_tail = starts[i] + SLOTS;
        assert_int_equal(shm_engine_take(&p->engine, out, SLOTS, &n), BASE_OK);
        assert_int_equal(n, SLOTS);
    }
}

static void an_opcode_that_does_not_exist_is_a_lie(void **state)
{
    struct pair *p = *state;
    static const uint8_t bad[] = {0, SHM_OP_MAX, 255};
    struct shm_command out[1];
    uint32_t n;
    for (size_t i = 0; i < sizeof(bad); i++) {
        start_at(p, 7);
        struct shm_command c = {.opcode = bad[i]};
        assert_int_equal(shm_client_put(&p->client, &c), BASE_OK);
        shm_client_publish(&p->client);
        assert_int_equal(shm_engine_take(&p->engine, out, 1, &n), BASE_E_PEER);
        assert_int_equal(n, 0);
    }
}

static void put_completions(struct pair *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct shm_completion c = {.kind = SHM_CPL_SENT, .tag = i};
        (void)shm_engine_put(&p->engine, &c);
    }
    shm_engine_publish(&p->engine, true);
}

static void a_completion_cursor_at_the_bound_is_read_and_past_it_is_a_lie(void **state)
{
    struct pair *p = *state;
    struct shm_completion out[SLOTS];
    uint32_t n;
    start_at(p, UINT32_MAX - 3);
    put_completions(p, SLOTS);
    assert_int_equal(shm_engine_room(&p->engine), 0);
    p->engine_area->cpl_tail++;
    assert_int_equal(shm_client_peek(&p->client, out, SLOTS, &n), BASE_E_PEER);
    assert_int_equal(n, 0);
    p->engine_area->cpl_tail--;
    assert_int_equal(shm_client_peek(&p->client, out, SLOTS, &n), BASE_OK);
    assert_int_equal(n, SLOTS);
    p->engine_area->cpl_tail = p->client.cpl_head - 1;
    assert_int_equal(shm_client_peek(&p->client, out, SLOTS, &n), BASE_E_PEER);
}

static void a_completion_kind_that_does_not_exist_is_a_lie(void **state)
{
    struct pair *p = *state;
    struct shm_completion out[1];
    uint32_t n;
    struct shm_completion c = {.kind = SHM_CPL_MAX};
    (void)shm_engine_put(&p->engine, &c);
    shm_engine_publish(&p->engine, true);
    assert_int_equal(shm_client_peek(&p->client, out, 1, &n), BASE_E_PEER);
}

static void peek_does_not_consume_and_consume_gives_room(void **state)
{
    struct pair *p = *state;
    struct shm_completion out[SLOTS];
    uint32_t n;
    put_completions(p, 3);
    assert_int_equal(shm_client_peek(&p->client, out, 2, &n), BASE_OK);
    assert_int_equal(n, 2);
    assert_int_equal(shm_client_peek(&p->client, out, SLOTS, &n), BASE_OK);
    assert_int_equal(n, 3);
    assert_false(shm_client_consume(&p->client, 2));
    assert_int_equal(shm_engine_room(&p->engine), SLOTS - 3);
    assert_int_equal(shm_engine_consumed(&p->engine, &n), BASE_OK);
    assert_int_equal(n, 2);
    assert_int_equal(shm_engine_room(&p->engine), SLOTS - 1);
}

static void consuming_more_than_was_published_or_going_back_is_a_lie(void **state)
{
    struct pair *p = *state;
    uint32_t n;
    start_at(p, 100);
    put_completions(p, 5);
    struct shm_completion c = {.kind = SHM_CPL_SENT};
    (void)shm_engine_put(&p->engine, &c); /* written, not published */
    p->client_area->cpl_head = 106;
    assert_int_equal(shm_engine_consumed(&p->engine, &n), BASE_E_PEER);
    assert_int_equal(n, 100);
    p->client_area->cpl_head = 105;
    assert_int_equal(shm_engine_consumed(&p->engine, &n), BASE_OK);
    assert_int_equal(n, 105);
    p->client_area->cpl_head = 104;
    assert_int_equal(shm_engine_consumed(&p->engine, &n), BASE_E_PEER);
}

static void untaken_are_those_that_the_engine_has_not_published_as_taken(void **state)
{
    struct pair *p = *state;
    struct shm_command out[SLOTS];
    uint32_t n, first;
    start_at(p, UINT32_MAX - 1);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(put(p, 10 + i), BASE_OK);
    }
    assert_int_equal(shm_client_untaken(&p->client, &first), 5);
    shm_client_publish(&p->client);
    assert_int_equal(shm_engine_take(&p->engine, out, 3, &n), BASE_OK);
    assert_int_equal(put(p, 15), BASE_OK);
    assert_int_equal(shm_client_untaken(&p->client, &first), 3);
    assert_int_equal(first, UINT32_MAX - 1 + 3);
}

static void a_lying_engine_makes_only_unpublished_commands_certain(void **state)
{
    struct pair *p = *state;
    uint32_t first;
    assert_int_equal(put(p, 1), BASE_OK);
    shm_client_publish(&p->client);
    assert_int_equal(put(p, 2), BASE_OK);
    p->engine_area->cmd_head = 2; /* took what was never published */
    assert_int_equal(shm_client_untaken(&p->client, &first), 1);
    assert_int_equal(first, 1);
    uint32_t n;
    assert_int_equal(shm_client_room(&p->client, &n), BASE_E_PEER);
}

static void whoever_sleeps_is_woken_by_the_other_and_looks_once_more(void **state)
{
    struct pair *p = *state;
    assert_false(shm_engine_set_asleep(&p->engine, true));
    assert_int_equal(put(p, 1), BASE_OK);
    assert_true(shm_client_publish(&p->client));
    assert_false(shm_client_publish(&p->client)); /* nothing new: no second ring */
    assert_true(shm_engine_set_asleep(&p->engine, true));
    (void)shm_engine_set_asleep(&p->engine, false);
    assert_int_equal(put(p, 2), BASE_OK);
    assert_false(shm_client_publish(&p->client));

    assert_false(shm_client_set_asleep(&p->client, SHM_CLIENT_ASLEEP_ALL));
    struct shm_completion c = {.kind = SHM_CPL_SENT};
    (void)shm_engine_put(&p->engine, &c);
    assert_true(shm_engine_publish(&p->engine, true));
    assert_true(shm_client_set_asleep(&p->client, SHM_CLIENT_ASLEEP_ALL));
}

static void who_sleeps_for_news_is_woken_for_news_only(void **state)
{
    struct pair *p = *state;
    const struct shm_completion c = {.kind = SHM_CPL_SENT};
    assert_false(shm_client_set_asleep(&p->client, SHM_CLIENT_ASLEEP_NEWS));
    (void)shm_engine_put(&p->engine, &c);
    assert_false(shm_engine_publish(&p->engine, false));
    (void)shm_engine_put(&p->engine, &c);
    assert_true(shm_engine_publish(&p->engine, true));
    assert_true(shm_client_set_asleep(&p->client, SHM_CLIENT_ASLEEP_NEWS)); /* some wait */
    assert_true(shm_client_set_asleep(&p->client, SHM_CLIENT_ASLEEP_ALL));
    (void)shm_engine_put(&p->engine, &c);
    assert_true(shm_engine_publish(&p->engine, false));
    (void)shm_client_set_asleep(&p->client, UINT32_MAX); /* a stranger's word */
    (void)shm_engine_put(&p->engine, &c);
    assert_true(shm_engine_publish(&p->engine, false));
    (void)shm_client_set_asleep(&p->client, SHM_CLIENT_AWAKE);
    (void)shm_engine_put(&p->engine, &c);
    assert_false(shm_engine_publish(&p->engine, true));
}

static void publish_one(struct pair *p, bool has_news)
{
    struct shm_completion c = {.kind = has_news ? SHM_CPL_RECEIVED : SHM_CPL_SENT};
    (void)shm_engine_put(&p->engine, &c);
    (void)shm_engine_publish(&p->engine, has_news);
}

static enum shm_need need_after_consuming(struct pair *p, uint32_t n, uint32_t processor)
{
    uint32_t head;
    (void)shm_client_consume(&p->client, n);
    assert_int_equal(shm_engine_consumed(&p->engine, &head), BASE_OK);
    return shm_engine_need(&p->engine, processor);
}

static void stay_on_one_processor(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

static void who_waits_says_so_where_the_engine_ran_last(void **state)
{
    struct pair *p = *state;
    const _Atomic uint32_t *waits = &p->client_area->waits;
    stay_on_one_processor();
    uint32_t here = shm_processor();
    assert_true(here > 0);
    shm_client_set_waiting(&p->client, true); /* nothing is known of the engine */
    assert_int_equal(atomic_load(waits), SHM_WAITS_NOT);
    publish_one(p, false);
    assert_int_equal(atomic_load(&p->engine_area->processor), here);
    shm_client_set_waiting(&p->client, true);
    assert_int_equal(atomic_load(waits), here);
    assert_int_equal(shm_engine_need(&p->engine, here), SHM_NEED_NEWS);
    shm_client_set_waiting(&p->client, false);
    assert_int_equal(atomic_load(waits), SHM_WAITS_NOT);
    assert_int_equal(shm_engine_need(&p->engine, here), SHM_NEED_IT);
    atomic_store(&p->engine_area->processor, here + 1);
    shm_client_set_waiting(&p->client, true);
    assert_int_equal(atomic_load(waits), SHM_WAITS_NOT);
    (void)shm_client_set_asleep(&p->client, SHM_CLIENT_ASLEEP_NEWS);
    assert_int_equal(shm_engine_need(&p->engine, here), SHM_NEED_NONE);
    (void)shm_client_set_asleep(&p->client, SHM_CLIENT_AWAKE);
    assert_int_equal(shm_engine_need(&p->engine, here), SHM_NEED_IT);
}

static void who_has_news_to_hear_needs_its_processor(void **state)
{
    struct pair *p = *state;
    const uint32_t wraps[] = {0, UINT32_MAX - 1};
    for (size_t i = 0; i < BASE_ARRAY_LEN(wraps); i++) {
        start_at(p, wraps[i]);
        p->engine.cpl_news = wraps[i];
        atomic_store(&p->client_area->waits, 3);
        assert_int_equal(need_after_consuming(p, 0, 3), SHM_NEED_NEWS);
        publish_one(p, false); /* it does not wait for that */
        assert_int_equal(need_after_consuming(p, 0, 3), SHM_NEED_NEWS);
        publish_one(p, true);
        publish_one(p, false);
        assert_int_equal(need_after_consuming(p, 0, 3), SHM_NEED_IT);
        assert_int_equal(need_after_consuming(p, 1, 3), SHM_NEED_IT);
        assert_int_equal(need_after_consuming(p, 1, 3), SHM_NEED_NEWS);
        publish_one(p, true);
        atomic_store(&p->client_area->waits, SHM_WAITS_ASLEEP);
        assert_int_equal(need_after_consuming(p, 0, 3), SHM_NEED_IT); /* it is being woken */
        assert_int_equal(need_after_consuming(p, 2, 3), SHM_NEED_NONE);
    }
}

static void any_word_of_an_application_is_an_answer(void **state)
{
    struct pair *p = *state;
    const uint32_t others[] = {0, 1, 2, 4, 0x80000003u, UINT32_MAX - 1};
    for (size_t i = 0; i < BASE_ARRAY_LEN(others); i++) {
        atomic_store(&p->client_area->waits, others[i]);
        assert_int_equal(shm_engine_need(&p->engine, 3), SHM_NEED_IT);
    }
    atomic_store(&p->client_area->waits, 0); /* an older library, at a processor not known */
    assert_int_equal(shm_engine_need(&p->engine, 0), SHM_NEED_IT);
}

static void an_engine_that_wants_room_is_woken_by_consuming(void **state)
{
    struct pair *p = *state;
    uint32_t n;
    put_completions(p, 2);
    assert_false(shm_engine_set_asleep(&p->engine, true));
    assert_false(shm_client_consume(&p->client, 1)); /* asleep, but does not want room */
    p->engine.wants_room = true;
    assert_true(shm_engine_set_asleep(&p->engine, true)); /* one was consumed: look at it */
    assert_int_equal(shm_engine_consumed(&p->engine, &n), BASE_OK);
    assert_false(shm_engine_set_asleep(&p->engine, true));
    assert_true(shm_client_consume(&p->client, 1));
}

static void the_reason_of_a_closed_port_is_known_and_never_out_of_range(void **state)
{
    struct pair *p = *state;
    assert_int_equal(shm_client_closed(&p->client), SHM_REASON_NONE);
    p->engine_area->closed = SHM_REASON_BAD_COMMAND;
    assert_int_equal(shm_client_closed(&p->client), SHM_REASON_BAD_COMMAND);
    p->engine_area->closed = SHM_REASON_MAX;
    assert_int_equal(shm_client_closed(&p->client), SHM_REASON_PROTOCOL);
    p->engine_area->closed = UINT32_MAX;
    assert_int_equal(shm_client_closed(&p->client), SHM_REASON_PROTOCOL);
    for (int i = 0; i < SHM_REASON_MAX; i++) {
        assert_true(strlen(shm_reason_text((enum shm_reason)i)) > 0);
    }
    assert_string_equal(shm_reason_text(SHM_REASON_MAX), "unknown reason");
}

static uint32_t random_below(uint64_t *seed, uint32_t n)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33) % n;
}

/* The same sequence of steps against two counters: nothing lost, doubled or out of order, and
 * never more in the ring than fits. */
static void random_walk(struct pair *p, uint64_t seed)
{
    uint64_t put_cmds = 0, took_cmds = 0, put_cpls = 0, got_cpls = 0;
    struct shm_command cmds[SLOTS];
    struct shm_completion cpls[SLOTS];
    uint32_t n;
    for (int step = 0; step < 20000; step++) {
        switch (random_below(&seed, 6)) {
        case 0:
            for (uint32_t i = random_below(&seed, SLOTS); i > 0; i--) {
                enum base_err err = put(p, put_cmds);
                assert_true(err == BASE_OK || put_cmds - took_cmds == SLOTS);
                put_cmds += err == BASE_OK;
            }
            break;
        case 1:
            (void)shm_client_publish(&p->client);
            break;
        case 2:
            assert_int_equal(shm_engine_take(&p->engine, cmds, random_below(&seed, SLOTS + 1), &n),
                             BASE_OK);
            for (uint32_t i = 0; i < n; i++) {
                assert_int_equal(cmds[i].tag, took_cmds++);
            }
            assert_true(took_cmds <= put_cmds);
            break;
        case 3:
            for (uint32_t i = random_below(&seed, SLOTS); i > 0 && shm_engine_room(&p->engine);
                 i--) {
                struct shm_completion c = {.kind = SHM_CPL_SENT, .tag = put_cpls++};
                (void)shm_engine_put(&p->engine, &c);
            }
            assert_true(put_cpls - got_cpls <= SLOTS);
            break;
        case 4:
            (void)shm_engine_publish(&p->engine, true);
            assert_int_equal(shm_engine_consumed(&p->engine, &n), BASE_OK);
            assert_int_equal(shm_engine_room(&p->engine), SLOTS - (put_cpls - got_cpls));
            break;
        default:
            assert_int_equal(shm_client_peek(&p->client, cpls, random_below(&seed, SLOTS + 1), &n),
                             BASE_OK);
            for (uint32_t i = 0; i < n; i++) {
                assert_int_equal(cpls[i].tag, got_cpls + i);
            }
            n = random_below(&seed, n + 1);
            (void)shm_client_consume(&p->client, n);
            got_cpls += n;
            break;
        }
    }
    assert_true(took_cmds > SLOTS && got_cpls > SLOTS);
}

static void random_interleavings_keep_order_across_the_wrap(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct pair *p = *state;
        start_at(p, UINT32_MAX - (uint32_t)seed * 37);
        random_walk(p, seed);
    }
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(commands_arrive_in_order_and_only_when_published),
        CASE(a_full_command_queue_says_again_until_one_is_taken),
        CASE(commands_may_be_written_in_their_slots_while_there_is_room),
        CASE(a_command_cursor_at_the_bound_is_taken_and_past_it_is_a_lie),
        CASE(an_opcode_that_does_not_exist_is_a_lie),
        CASE(a_completion_cursor_at_the_bound_is_read_and_past_it_is_a_lie),
        CASE(a_completion_kind_that_does_not_exist_is_a_lie),
        CASE(peek_does_not_consume_and_consume_gives_room),
        CASE(consuming_more_than_was_published_or_going_back_is_a_lie),
        CASE(untaken_are_those_that_the_engine_has_not_published_as_taken),
        CASE(a_lying_engine_makes_only_unpublished_commands_certain),
        CASE(whoever_sleeps_is_woken_by_the_other_and_looks_once_more),
        CASE(who_sleeps_for_news_is_woken_for_news_only),
        CASE(who_waits_says_so_where_the_engine_ran_last),
        CASE(who_has_news_to_hear_needs_its_processor),
        CASE(any_word_of_an_application_is_an_answer),
        CASE(an_engine_that_wants_room_is_woken_by_consuming),
        CASE(the_reason_of_a_closed_port_is_known_and_never_out_of_range),
        CASE(random_interleavings_keep_order_across_the_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
