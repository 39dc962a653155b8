/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "rpc/poller_run.h"
#include "tests/support/cmocka_all.h"

#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A source on an eventfd that counts, and may act on another when it is ready. */
struct probe {
    struct snapi_source source;
    struct snapi_poller *poller;
    struct probe *deletes;
    bool waits_again;
    uint32_t n_ready;
    uint32_t events;
};

static void on_ready(struct snapi_source *source, uint32_t events)
{
    struct probe *p = (struct probe *)source;
    assert_int_not_equal(source->events, 0); /* never after its deletion */
    p->n_ready++;
    p->events = events;
    if (p->deletes != NULL) {
        snapi_poller_del(p->poller, &p->deletes->source);
    }
    if (p->waits_again) {
        uint32_t n;
        p->waits_again = false;
        assert_int_equal(snapi_poller_wait(p->poller, 0, &n), BASE_OK);
    }
}

static void probe_open(struct probe *p, struct snapi_poller *poller, unsigned initial)
{
    int fd = eventfd(initial, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(fd >= 0);
    *p = (struct probe){.source = {.on_ready = on_ready, .fd = fd}, .poller = poller};
    assert_int_equal(snapi_poller_add(poller, &p->source, EPOLLIN), BASE_OK);
}

static void probe_close(struct probe *p)
{
    snapi_poller_del(p->poller, &p->source);
    assert_int_equal(close(p->source.fd), 0);
}

static uint32_t wait_ns(struct snapi_poller *poller, uint64_t timeout_ns)
{
    uint32_t n;
    assert_int_equal(snapi_poller_wait(poller, timeout_ns, &n), BASE_OK);
    return n;
}

static int setup(void **state)
{
    static struct snapi_poller poller;
    *state = &poller;
    return snapi_poller_init(&poller) == BASE_OK ? 0 : -1;
}

static int teardown(void **state)
{
    snapi_poller_fini(*state);
    return 0;
}

static void a_ready_source_is_told_and_an_idle_one_is_not(void **state)
{
    struct probe a, b;
    probe_open(&a, *state, 1);
    probe_open(&b, *state, 0);
    assert_int_equal(wait_ns(*state, SNAPI_POLLER_FOREVER), 1);
    assert_int_equal(a.n_ready, 1);
    assert_int_equal(a.events, EPOLLIN);
    assert_int_equal(b.n_ready, 0);
    probe_close(&a);
    probe_close(&b);
}

static void the_wait_ends_with_its_timeout(void **state)
{
    struct probe a;
    probe_open(&a, *state, 0);
    uint64_t start = base_clock_now_ns();
    assert_int_equal(wait_ns(*state, 2 * BASE_NS_PER_MS), 0);
    assert_true(base_clock_now_ns() - start >= 2 * BASE_NS_PER_MS);
    assert_int_equal(wait_ns(*state, 0), 0);
    probe_close(&a);
}

static void change_asks_for_other_events(void **state)
{
    struct probe a;
    probe_open(&a, *state, 0);
    assert_int_equal(snapi_poller_change(*state, &a.source, EPOLLIN | EPOLLOUT), BASE_OK);
    assert_int_equal(wait_ns(*state, 0), 1);
    assert_int_equal(a.events, EPOLLOUT);
    assert_int_equal(snapi_poller_change(*state, &a.source, EPOLLIN), BASE_OK);
    assert_int_equal(snapi_poller_change(*state, &a.source, EPOLLIN), BASE_OK);
    assert_int_equal(wait_ns(*state, 0), 0);
    probe_close(&a);
}

static void a_source_deleted_in_a_round_is_not_called_in_it(void **state)
{
    struct probe a, b;
    probe_open(&a, *state, 1);
    probe_open(&b, *state, 1);
    a.deletes = &b;
    b.deletes = &a;
    assert_int_equal(wait_ns(*state, 0), 1);
    assert_int_equal(a.n_ready + b.n_ready, 1);
    probe_close(&a);
    probe_close(&b);
}

static void a_deletion_in_a_nested_wait_reaches_the_outer_round(void **state)
{
    struct probe a, b, c;
    probe_open(&a, *state, 1);
    probe_open(&b, *state, 1);
    probe_open(&c, *state, 1);
    struct probe *all[] = {&a, &b, &c};
    for (int i = 0; i < 3; i++) {
        all[i]->waits_again = true;
        all[i]->deletes = all[(i + 1) % 3];
    }
    /* Whatever the order: each call deletes its neighbour, and on_ready checks that it itself has
     * not been deleted. The first one's neighbour is never called. */
    assert_true(wait_ns(*state, 0) >= 1);
    uint32_t n_silent = 0;
    for (int i = 0; i < 3; i++) {
        n_silent += all[i]->n_ready == 0;
        probe_close(all[i]);
    }
    assert_int_equal(n_silent, 1);
    assert_int_equal(wait_ns(*state, 0), 0);
}

static void more_sources_than_a_round_are_all_served(void **state)
{
    enum {
        N = SNAPI_POLLER_ROUND_MAX + 1
    };
    static struct probe probes[N];
    for (int i = 0; i < N; i++) {
        probe_open(&probes[i], *state, 1);
    }
    assert_int_equal(wait_ns(*state, 0), SNAPI_POLLER_ROUND_MAX);
    assert_true(wait_ns(*state, 0) >= 1);
    for (int i = 0; i < N; i++) {
        assert_true(probes[i].n_ready >= 1);
        probe_close(&probes[i]);
    }
}

static void deleting_twice_and_adding_again_works(void **state)
{
    struct probe a;
    probe_open(&a, *state, 1);
    snapi_poller_del(*state, &a.source);
    snapi_poller_del(*state, &a.source);
    assert_int_equal(wait_ns(*state, 0), 0);
    assert_int_equal(snapi_poller_add(*state, &a.source, EPOLLIN), BASE_OK);
    assert_int_equal(wait_ns(*state, 0), 1);
    probe_close(&a);
}

static void a_closed_descriptor_cannot_be_added(void **state)
{
    struct snapi_source source = {.on_ready = on_ready, .fd = -1};
    assert_int_not_equal(snapi_poller_add(*state, &source, EPOLLIN), BASE_OK);
    assert_int_equal(source.events, 0);
    assert_true(base_error_last_note()[0] != '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_ready_source_is_told_and_an_idle_one_is_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_wait_ends_with_its_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(change_asks_for_other_events, setup, teardown),
        cmocka_unit_test_setup_teardown(a_source_deleted_in_a_round_is_not_called_in_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_deletion_in_a_nested_wait_reaches_the_outer_round, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(more_sources_than_a_round_are_all_served, setup, teardown),
        cmocka_unit_test_setup_teardown(deleting_twice_and_adding_again_works, setup, teardown),
        cmocka_unit_test_setup_teardown(a_closed_descriptor_cannot_be_added, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
