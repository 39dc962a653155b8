/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

/**
 * Intrusive doubly linked list; head and nodes have the same type.
 *
 * Shape    circular; an empty head and an unlinked node point to themselves
 * Memory   the caller's; never allocates
 * Threads  one owner
 *
 *     struct job { struct base_list link; int n; };
 *     base_list_foreach (it, &jobs) {
 *         struct job *job = base_list_entry(it, struct job, link);
 *     }
 */
#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>

struct base_list {
    struct base_list *next;
    struct base_list *prev;
};

/** The object of `type` whose `member` is the node `ptr`. */
#define base_list_entry(ptr, type, member) base_container_of(ptr, type, member)

/** Makes an empty head, or an unlinked node. */
static inline void base_list_init(struct base_list *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool base_list_is_empty(const struct base_list *head)
{
    return head->next == head;
}

/** For a node that was initialised: is it in some list? */
static inline bool base_list_is_linked(const struct base_list *node)
{
    return node->next != node;
}

static inline void base_list_insert_before(struct base_list *at, struct base_list *node)
{
    node->next = at;
    node->prev = at->prev;
    at->prev->next = node;
    at->prev = node;
}

static inline void base_list_add_tail(struct base_list *head, struct base_list *node)
{
    base_list_insert_before(head, node);
}

static inline void base_list_add_head(struct base_list *head, struct base_list *node)
{
    base_list_insert_before(head->next, node);
}

/** Unlinks; the node may be deleted again or added anywhere. */
static inline void base_list_del(struct base_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    base_list_init(node);
}

/** First node, NULL when empty. */
static inline struct base_list *base_list_first(const struct base_list *head)
{
    return base_list_is_empty(head) ? NULL : head->next;
}

static inline struct base_list *base_list_last(const struct base_list *head)
{
    return base_list_is_empty(head) ? NULL : head->prev;
}

/** Unlinks and gives the first node, NULL when empty. */
static inline struct base_list *base_list_take_first(struct base_list *head)
{
    struct base_list *node = base_list_first(head);
    if (node != NULL) {
        base_list_del(node);
    }
    return node;
}

/** Moves all nodes of `from` to the tail of `to`; `from` is empty afterwards. */
static inline void base_list_splice_tail(struct base_list *to, struct base_list *from)
{
    if (base_list_is_empty(from)) {
        return;
    }
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    base_list_init(from);
}

/** Walks the nodes. The body must not unlink `it`. */
#define base_list_foreach(it, head) \
    for (struct base_list *it = (head)->next; it != (head); it = it->next)

/** Walks the nodes. The body may unlink `it`, and no other node. */
#define base_list_foreach_safe(it, head) \
    for (struct base_list *it = (head)->next, *it##_next = it->next; it != (head); \
         it = it##_next, it##_next = it->next)

#endif
