/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RPC_POLLER_H
#define RPC_POLLER_H

#include "base/error.h"

#include <stdint.h>

/**
 * Poller: the loop's one epoll set. Transports put their descriptors into it.
 *
 * Threads  the thread that drives the loop; nothing here locks
 * Memory   a source lies inside its owner and stays at its address while it is added
 */
struct snapi_poller;
struct snapi_source;

/** `events` are EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP. May add, change and delete any source. */
typedef void snapi_ready_fn(struct snapi_source *source, uint32_t events);

struct snapi_source {
    snapi_ready_fn *on_ready;
    int fd;          /**< the owner's; it deletes the source before it closes the descriptor */
    uint32_t events; /**< what is asked for now; 0: not added. Written by the poller only */
};

/** Starts watching `source->fd` for `events`, level-triggered. */
BASE_MUST_USE enum base_err snapi_poller_add(struct snapi_poller *poller,
                                             struct snapi_source *source, uint32_t events);

/** Changes what is watched for. Does nothing (no system call) when it is the same. */
BASE_MUST_USE enum base_err snapi_poller_change(struct snapi_poller *poller,
                                                struct snapi_source *source, uint32_t events);

/** A source will be ready soon, because something was asked for: the loop looks more often. */
void snapi_poller_expect(struct snapi_poller *poller);

/** Stops watching. Not added: does nothing. No on_ready for it after this, in this round either. */
void snapi_poller_del(struct snapi_poller *poller, struct snapi_source *source);

#endif
