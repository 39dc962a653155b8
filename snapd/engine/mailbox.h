/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_ENGINE_MAILBOX_H
#define SNAPD_ENGINE_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * Mailbox: a queue of depth one through which control code runs a short closure on an engine's
 * thread.
 *
 * Shape    one atomic pointer: NULL is empty
 * Threads  any number of control threads post and wait; one engine thread runs. The engine never
 *          waits: an empty mailbox costs it one load. Control may wait as long as the engine needs
 *          to come round.
 * Order    R1/A1 publish the closure to the engine, R2/A2 its results back to control
 * Source   snap.md 1.2
 */
struct snapd_work;
typedef void snapd_work_fn(struct snapd_work *work);

/** Embedded first in what the closure needs; the poster's memory, its stack as a rule. */
struct snapd_work {
    snapd_work_fn *run;
    _Atomic uint32_t state; /**< private to mailbox.c */
};

struct snapd_mailbox {
    _Atomic(struct snapd_work *) slot;
};

void snapd_mailbox_init(struct snapd_mailbox *mailbox);

/** Control: puts `work` in. False: another closure is in there. Then wake the engine. */
bool snapd_mailbox_post(struct snapd_mailbox *mailbox, struct snapd_work *work);

/**
 * Control: waits until posted `work` has run. Blocks.
 * @return  false after `timeout_ns` (a hint that the engine hangs); call it again: the engine
 *          still has `work`
 */
bool snapd_mailbox_wait(struct snapd_work *work, uint64_t timeout_ns);

/** Engine: runs the closure in there, if there is one. True: it did. */
bool snapd_mailbox_poll(struct snapd_mailbox *mailbox);

/** Engine: is something in there? The last look before sleep (sequentially consistent). */
bool snapd_mailbox_has_work(struct snapd_mailbox *mailbox);

#endif
