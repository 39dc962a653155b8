/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mpsc.h"

#include "base/event.h"
#include "base/fd.h"
#include "tests/support/cmocka_all.h"

#include <poll.h>
#include <pthread.h>

struct item {
    struct base_mpsc_node node;
    uint32_t producer;
    uint32_t seq;
};

static void items_come_out_in_order(void **state)
{
    (void)state;
    struct base_mpsc queue;
    struct item items[5] = {0};
    base_mpsc_init(&queue);
    assert_true(base_mpsc_is_empty(&queue));
    assert_null(base_mpsc_pop(&queue));
    for (int i = 0; i < 3; i++) {
        (void)base_mpsc_push(&queue, &items[i].node);
    }
    assert_ptr_equal(base_mpsc_pop(&queue), &items[0].node);
    (void)base_mpsc_push(&queue, &items[3].node);
    (void)base_mpsc_push(&queue, &items[4].node);
    for (int i = 1; i < 5; i++) {
        assert_false(base_mpsc_is_empty(&queue));
        assert_ptr_equal(base_mpsc_pop(&queue), &items[i].node);
    }
    assert_true(base_mpsc_is_empty(&queue));
    assert_null(base_mpsc_pop(&queue));
}

static void only_the_first_push_asks_for_a_wake_up(void **state)
{
    (void)state;
    struct base_mpsc queue;
    struct item items[4] = {0};
    base_mpsc_init(&queue);
    assert_true(base_mpsc_push(&queue, &items[0].node));
    assert_false(base_mpsc_push(&queue, &items[1].node));
    assert_non_null(base_mpsc_pop(&queue));
    assert_true(base_mpsc_push(&queue, &items[2].node));
    assert_false(base_mpsc_push(&queue, &items[3].node));
}

enum {
    N_PRODUCERS = 4,
    N_ITEMS = 20000
};

struct shared {
    struct base_mpsc queue;
    int fd;
    struct item items[N_PRODUCERS][N_ITEMS];
};

struct producer {
    struct shared *shared;
    uint32_t id;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    for (uint32_t i = 0; i < N_ITEMS; i++) {
        struct item *item = &p->shared->items[p->id][i];
        item->producer = p->id;
        item->seq = i;
        if (base_mpsc_push(&p->shared->queue, &item->node)) {
            base_eventfd_signal(p->shared->fd);
        }
    }
    return NULL;
}

/* Sleeps on the descriptor whenever the queue is empty: a lost wake-up would time out. */
static void four_producers_lose_nothing_and_wake_the_sleeper(void **state)
{
    (void)state;
    static struct shared shared;
    struct producer producers[N_PRODUCERS];
    pthread_t threads[N_PRODUCERS];
    uint32_t expected[N_PRODUCERS] = {0};
    base_mpsc_init(&shared.queue);
    assert_int_equal(base_eventfd_create(&shared.fd), BASE_OK);
    for (uint32_t i = 0; i < N_PRODUCERS; i++) {
        producers[i] = (struct producer){.shared = &shared, .id = i};
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    for (uint32_t n = 0; n < N_PRODUCERS * N_ITEMS;) {
        struct base_mpsc_node *node = base_mpsc_pop(&shared.queue);
        if (node == NULL) {
            struct pollfd pfd = {.fd = shared.fd, .events = POLLIN};
            assert_int_equal(poll(&pfd, 1, 30000), 1);
            (void)base_eventfd_drain(shared.fd);
            continue;
        }
        struct item *item = base_container_of(node, struct item, node);
        assert_int_equal(item->seq, expected[item->producer]);
        expected[item->producer]++;
        n++;
    }
    for (uint32_t i = 0; i < N_PRODUCERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(expected[i], N_ITEMS);
    }
    assert_true(base_mpsc_is_empty(&shared.queue));
    base_fd_close(&shared.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_order),
        cmocka_unit_test(only_the_first_push_asks_for_a_wake_up),
        cmocka_unit_test(four_producers_lose_nothing_and_wake_the_sleeper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
