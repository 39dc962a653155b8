/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_ENGINE_RUNTIME_H
#define SNAPD_ENGINE_RUNTIME_H

#include "base/error.h"
#include "snapd/device/device.h"
#include "snapd/engine/idle.h"
#include "snapd/engine/mailbox.h"
#include "snapd/engine/place.h"
#include "snapd/engine/tap.h"
#include "snapd/engine/waker.h"
#include "snapd/engine/weight.h"
#include "transport/pony/protocol/engine.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * Engine runtime: one thread that drives one Pony engine and its packet device.
 *
 * Shape    the run loop is the numbered list in README.md
 * Threads  the struct belongs to the engine's thread once started; control code uses proxy.h only
 * Memory   everything is made before the thread starts; the loop itself allocates nothing
 */
enum {
    SNAPD_ROUND_RX = 64,        /**< packets taken in per round */
    SNAPD_ROUND_CMDS = 64,      /**< commands of all applications per round */
    SNAPD_ROUND_TX_BATCHES = 4, /**< times PONY_TX_BATCH_MAX packets out per round */
    SNAPD_STRANGERS_NS = 20000  /**< between looks at the device while there is no flow */
};

struct snapd_engine_config {
    uint32_t idx;
    struct snapd_dev *dev; /**< owned from a successful create() on */
    struct pony_engine_config pony;
    enum snapd_idle_policy idle_policy;
    uint64_t spin_ns;
    uint32_t priority; /**< steps of nice(2) above normal while it pays; 0: none */
    bool has_cpu;      /**< it runs on `cpu` only */
    uint32_t cpu;
    struct snapd_place_session *session; /**< of all engines of the process; outlives them */
    const struct base_log *log;
};

/** The engine's thread writes; read through the proxy. */
struct snapd_engine_meters {
    uint64_t rounds, work_rounds, sleeps;
    uint64_t rx_budget_used_up, cmd_budget_used_up, tx_budget_used_up;
    uint64_t busy_ns;    /**< in rounds that had work */
    uint64_t priority;   /**< steps above normal now */
    uint64_t lightened;  /**< times that priority got it no core of its own */
    uint64_t gap_max_ns; /**< longest time between two rounds, sleep not counted */
};

struct snapd_engine {
    struct snapd_engine_config config;
    struct pony_engine *pony;
    struct snapd_dev *dev;
    struct snapd_tap *tap; /**< NULL: nobody looks on; set through the proxy */
    struct snapd_mailbox mailbox;
    struct snapd_waker *waker; /**< the daemon's: siblings hold it longer than this lives */
    struct snapd_idle idle;
    struct snapd_weight weight;
    struct snapd_place place;
    struct snapd_engine_meters meters;
    uint64_t now_ns;    /**< of the present round */
    uint64_t looked_ns; /**< at the device, last */
    int epoll_fd;
    bool has_handed_over;   /**< the present round brought news to applications, and no more */
    bool is_watching_write; /**< the device's fd is watched for room too */
    bool is_started;
    bool is_stopping;
    pthread_t thread;
    struct pony_packet_in rx[SNAPD_ROUND_RX];
    struct pony_packet_out tx[PONY_TX_BATCH_MAX];
};

/** Makes the engine around a device; `dev` stays the caller's on failure. `waker` outlives it. */
BASE_MUST_USE enum base_err snapd_engine_create(const struct snapd_engine_config *config,
                                                struct snapd_waker *waker,
                                                struct snapd_engine **engine);

BASE_MUST_USE enum base_err snapd_engine_start(struct snapd_engine *engine);

/** Peers are told, the thread ends. Does nothing when not started. Blocks for some ms at most. */
void snapd_engine_stop(struct snapd_engine *engine);

/** Stops, and frees engine and device. NULL is accepted. */
void snapd_engine_destroy(struct snapd_engine *engine);

/** One round of the loop, true if there was work: for tests, instead of start(). */
bool snapd_engine_round(struct snapd_engine *engine, uint64_t now_ns);

#endif
