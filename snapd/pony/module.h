/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_PONY_MODULE_H
#define SNAPD_PONY_MODULE_H

#include "base/log.h"
#include "base/mpsc.h"
#include "base/table.h"
#include "snapd/config.h"
#include "snapd/control/server.h"
#include "snapd/engine/proxy.h"
#include "snapd/pony/region.h"
#include "snapd/pony/users.h"

/**
 * Module Pony: attaches applications to engines, remembers addresses, answers status.
 *
 * Shape    a port per session that attached; it goes with its session, or when the engine finds
 *          that the application broke the ABI
 * Threads  the control thread; two callbacks (fault, wake) run on the port's engine and touch only
 *          what is marked so
 */
enum {
    SNAPD_PROGRAM_MAX = 64 /**< of a program's name that is kept, with its NUL */
};

struct snapd_pony;

struct snapd_port {
    UT_hash_handle hh; /**< by number */
    uint64_t number;
    struct snapd_pony *pony;
    struct snapd_session *session;
    struct snapd_user *user;
    uint64_t bytes; /**< charged to the user */
    char program[SNAPD_PROGRAM_MAX];
    uint32_t engine_idx;
    struct snapd_region region;
    struct pony_app *app;
    int doorbell;    /**< eventfd */
    int notify;      /**< our end of a socket pair: 8 bytes wake the application */
    int notify_peer; /**< the application's end; -1 once passed */

    /* Written by the engine's thread before it pushes fault_node, read by control after. */
    struct base_mpsc_node fault_node;
    bool has_fault_node; /**< pushed already */
    enum shm_reason fault_reason;
    char fault_text[160];
    bool has_fault; /**< control has seen it */
};

struct snapd_pony_counters {
    uint64_t attached, refused, detached, faults;
};

struct snapd_pony {
    struct snapd_module module;
    const struct snapd_config *config;
    const struct base_log *log;
    struct snapd_server *server;
    uint64_t instance;
    uint64_t started_ns;
    struct snapd_engine **engines; /**< [n_engines], the daemon's */
    uint32_t n_engines;
    uint32_t n_ports_of[SNAPD_ENGINES_MAX];
    uint64_t next_port;
    struct snapd_port *ports; /**< uthash by number */
    uint32_t n_ports;
    struct snapd_users users;
    struct base_mpsc faults; /**< ports, from engines */
    int wake_fd;
    struct snapd_pony_counters counters;
};

struct snapd_pony_config {
    const struct snapd_config *config;
    const struct base_log *log;
    struct snapd_server *server;
    uint64_t instance;
    struct snapd_engine **engines;
    uint32_t n_engines;
};

BASE_MUST_USE enum base_err snapd_pony_init(struct snapd_pony *pony,
                                            const struct snapd_pony_config *config);
/** After all sessions are gone. Accepts a zeroed one. */
void snapd_pony_fini(struct snapd_pony *pony);

/* Parts of the module, by file. */

/** port.c: makes a port for the session and replies; or replies why not. */
void snapd_port_attach(struct snapd_pony *pony, struct snapd_session *session,
                       const Pony__Control__Request *request);
/** port.c: ends it; the engine forgets it, the memory goes back. */
void snapd_port_destroy(struct snapd_port *port, enum shm_reason reason);
/** port.c: closes the sessions of ports that engines found faulty. */
void snapd_port_take_faults(struct snapd_pony *pony);

/** status.c: begins the answer to a status request; next() sends pieces while they leave at once. */
void snapd_status_begin(struct snapd_pony *pony, struct snapd_session *session, uint64_t id);
void snapd_status_next(struct snapd_pony *pony, struct snapd_session *session);
void snapd_status_end(struct snapd_session *session);

#endif
