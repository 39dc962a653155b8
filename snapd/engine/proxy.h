/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_ENGINE_PROXY_H
#define SNAPD_ENGINE_PROXY_H

#include "snapd/device/route.h"
#include "snapd/engine/runtime.h"
#include "transport/pony/protocol/flow.h"

/**
 * Proxy: the only door from control code to a running engine. Every call puts a closure into the
 * engine's mailbox, wakes the engine if it sleeps, and waits until it has run.
 *
 * Threads  control threads; never the engine's own
 * Blocks   for one round of the engine; an engine that does not answer is logged once a second
 */
enum {
    SNAPD_STATUS_CHUNK = 64, /**< rows copied out per visit */
    SNAPD_STATUS_COUNTERS = 96
};

/** Runs `work` on the engine's thread; here, when that was not started or has ended. */
void snapd_proxy_run(struct snapd_engine *engine, struct snapd_work *work);

/** Attaches an application and watches its doorbell (which stays the caller's). */
BASE_MUST_USE enum base_err snapd_proxy_attach(struct snapd_engine *engine,
                                               const struct pony_app_config *config,
                                               int doorbell_fd, struct pony_app **app);

/** After it returns the engine knows neither the application's memory nor its doorbell. */
void snapd_proxy_detach(struct snapd_engine *engine, struct pony_app *app, int doorbell_fd);

/** This host's addresses changed. */
void snapd_proxy_set_local(struct snapd_engine *engine, const struct snapd_local_addrs *addrs);

/** From now on the engine shows its packets to `tap`; NULL: to nobody. Afterwards it does not know
 *  the one before. */
void snapd_proxy_set_tap(struct snapd_engine *engine, struct snapd_tap *tap);

/** Other keys for the engine's flows (pony_flows_set_keys). Returns how many ended. */
uint32_t snapd_proxy_set_keys(struct snapd_engine *engine, struct pony_seal_keys *keys);

struct snapd_counter {
    const char *name; /**< static storage */
    uint64_t value;
};

struct snapd_engine_status {
    struct snapd_engine_meters meters;
    uint64_t cpu_ns; /**< of the thread */
    uint32_t n_counters;
    struct snapd_counter counters[SNAPD_STATUS_COUNTERS];
};

void snapd_proxy_status(struct snapd_engine *engine, struct snapd_engine_status *status);

/* The next rows of three tables, at most SNAPD_STATUS_CHUNK; *cursor starts at 0 and goes on from
 * call to call. Returns how many; 0 at the end. */
uint32_t snapd_proxy_next_apps(struct snapd_engine *engine, uint32_t *cursor,
                               struct pony_app_info *rows);
uint32_t snapd_proxy_next_conns(struct snapd_engine *engine, uint32_t *cursor,
                                struct pony_conn_info *rows);
uint32_t snapd_proxy_next_flows(struct snapd_engine *engine, uint32_t *cursor,
                                struct pony_flow_info *rows);

#endif
