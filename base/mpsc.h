/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_MPSC_H
#define BASE_MPSC_H

/**
 * Intrusive queue from many threads to one.
 *
 * Shape    producers push onto an atomic stack; the consumer takes the whole stack at once and
 *          reverses it into a private list, so each producer's items come out in its order.
 *          No ABA: nobody pops a single node from the shared stack.
 * Threads  push: any thread, lock-free; pop and is_empty: the one consumer
 * Memory   the node lies in the item; the item is the consumer's from push on
 * Order    R1/A1 publish an item's contents to the consumer
 * Wake-up  push says whether the shared stack was empty. Only then must the producer wake the
 *          consumer. The consumer, before it sleeps, asks base_mpsc_is_empty after it has
 *          armed its wake-up; it may not sleep with items left in its private list.
 */
#include "base/compiler.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct base_mpsc_node {
    struct base_mpsc_node *next;
};

struct base_mpsc {
    alignas(BASE_CACHE_LINE) _Atomic(struct base_mpsc_node *) stack; /**< newest first */
    alignas(BASE_CACHE_LINE) struct base_mpsc_node *ready; /**< consumer's; oldest first */
};

static inline void base_mpsc_init(struct base_mpsc *queue)
{
    atomic_init(&queue->stack, NULL);
    queue->ready = NULL;
}

/** Any thread. True when the consumer must be woken, if it may be asleep. */
static inline bool base_mpsc_push(struct base_mpsc *queue, struct base_mpsc_node *node)
{
    struct base_mpsc_node *top = atomic_load_explicit(&queue->stack, memory_order_relaxed);
    do {
        node->next = top;
        /* R1: pairs with A1 in base_mpsc_pop(). Without release the consumer could see the node
         * before its contents. seq_cst, not only release, so that a push that found the stack
         * not empty is ordered against the consumer's arm-then-look (base_mpsc_is_empty). */
    } while (!atomic_compare_exchange_weak_explicit(&queue->stack, &top, node, memory_order_seq_cst,
                                                    memory_order_relaxed));
    return top == NULL;
}

/** Consumer. Oldest item, NULL when there is none. */
static inline struct base_mpsc_node *base_mpsc_pop(struct base_mpsc *queue)
{
    if (queue->ready == NULL) {
        if (atomic_load_explicit(&queue->stack, memory_order_relaxed) == NULL) {
            return NULL;
        }
        /* A1: pairs with R1 in base_mpsc_push(). */
        struct base_mpsc_node *node =
            atomic_exchange_explicit(&queue->stack, NULL, memory_order_acquire);
        while (node != NULL) {
            struct base_mpsc_node *next = node->next;
            node->next = queue->ready;
            queue->ready = node;
            node = next;
        }
    }
    struct base_mpsc_node *first = queue->ready;
    queue->ready = first->next;
    return first;
}

/** Consumer; the last look before it sleeps. */
static inline bool base_mpsc_is_empty(struct base_mpsc *queue)
{
    return queue->ready == NULL &&
           atomic_load_explicit(&queue->stack, memory_order_seq_cst) == NULL;
}

#endif
