/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_CONTROL_MODULE_H
#define SNAPD_CONTROL_MODULE_H

#include "transport/pony/abi/control.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Module: a control-plane object that serves some of the requests that sessions bring.
 *
 * Threads  the control thread, but for what its engines' callbacks do
 */
struct snapd_session;

struct snapd_module {
    const struct snapd_module_ops *ops;
};

struct snapd_module_ops {
    const char *name;

    /** Serves the request by snapd_session_reply(), now or by on_writable(). False: not its kind. */
    bool (*serve)(struct snapd_module *module, struct snapd_session *session,
                  const Pony__Control__Request *request);

    /** Nothing waits to be sent to the session any more: the next piece of a long reply may go. */
    void (*on_writable)(struct snapd_module *module, struct snapd_session *session);

    /** The session ends; whatever it held goes back. Must not touch it afterwards. */
    void (*on_gone)(struct snapd_module *module, struct snapd_session *session);

    /** Readable when on_wake() wants to be called; -1: never. */
    int (*fd)(const struct snapd_module *module);
    void (*on_wake)(struct snapd_module *module);

    /** About once a second. */
    void (*on_tick)(struct snapd_module *module, uint64_t now_ns);
};

#endif
