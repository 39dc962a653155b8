/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_PONY_WORLD_H
#define TESTS_SUPPORT_PONY_WORLD_H

#include "base/rng.h"
#include "transport/pony/protocol/engine.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * A world for engines: hosts, applications with real queues on heap memory, and a network with a
 * seeded adversary, all in virtual time on one thread.
 *
 * Shape    one engine per host; host i has the address 10.0.0.(i+1), port 7000 + i
 * Time     world_step() runs one round of every engine and moves the clock to the next event, at
 *          most by `step_max_ns`
 * Memory   fixed tables here, heap for areas, regions and packets on their way
 */

enum {
    WORLD_HOSTS_MAX = 4,
    WORLD_APPS_MAX = 8,
    WORLD_SLOTS = 256
};

/** What the network does to packets; all zero: 5 us, nothing lost. */
struct world_net {
    uint32_t loss_ppm, dup_ppm, corrupt_ppm;
    uint32_t jitter_us;    /**< each packet is delayed by up to this much more: reordering */
    uint64_t cut_until_ns; /**< partition: nothing arrives before */
};

struct world_packet {
    uint64_t at_ns;
    uint64_t order; /**< among equal times */
    struct pony_addr from, to;
    uint32_t len;
    uint8_t data[];
};

struct world;

struct world_app {
    struct world *world;
    unsigned host;
    struct pony_app *app; /**< NULL: detached */
    struct shm_client_end end;
    void *client, *engine; /**< areas */
    uint8_t *tx, *rx;
    uint64_t tx_bytes, rx_bytes;
    bool is_faulty;
    const char *fault;
    uint32_t n_wakes;
    uint32_t is_used;
};

struct world_host {
    struct pony_engine *engine; /**< NULL: down */
    struct pony_addr addr;
    struct pony_engine_config config;
    uint32_t n_news; /**< rounds that brought applications what they may wait for */
};

/** Called with each packet that an engine sends, before the network does anything to it. False: it is
 *  lost. */
typedef bool world_packet_fn(void *arg, const struct pony_addr *from, const struct pony_addr *to,
                             const uint8_t *packet, uint32_t len);

struct world {
    world_packet_fn *on_packet; /**< NULL: nobody looks */
    void *on_packet_arg;
    uint64_t now_ns;
    uint64_t step_max_ns;
    struct base_rng rng;
    struct world_net net;
    struct world_host hosts[WORLD_HOSTS_MAX];
    struct world_app apps[WORLD_APPS_MAX];
    unsigned n_hosts;
    struct world_packet **heap;
    uint32_t n_packets, heap_max;
    uint64_t n_order, n_delivered;
};

void world_init(struct world *world, uint64_t seed);
void world_fini(struct world *world);

/** The configuration a host of a world has; change it, then world_start(). */
struct pony_engine_config world_config(struct world *world, unsigned host);
void world_start(struct world *world, unsigned host, const struct pony_engine_config *config);
/** The engine dies without a word, its applications with it. world_start() brings a new one. */
void world_kill(struct world *world, unsigned host);

struct world_app_config {
    uint32_t slots;
    uint64_t tx_bytes, rx_bytes, max_message_bytes;
    uint32_t max_conns;
    bool has_single_sent; /**< as an older application: each SENT names one message */
};

/** 1 MiB regions, 256 slots, 64 connections. */
struct world_app_config world_app_config(void);
struct world_app *world_attach(struct world *world, unsigned host,
                               const struct world_app_config *config);
void world_detach(struct world_app *app);

/** One round of all engines. False: nothing happened and nothing is on its way. */
bool world_step(struct world *world);
/** One round of one engine at the present time; returns what it did. */
uint32_t world_round(struct world *world, unsigned i);

/* The application's side; commands are published at once, true: taken by the queue. */
bool world_listen(struct world_app *app, uint32_t number, uint64_t service);
bool world_open(struct world_app *app, uint32_t number, unsigned host, uint64_t service);
bool world_open_as(struct world_app *app, uint32_t number, unsigned host, uint64_t service,
                   enum shm_traffic traffic);
bool world_send(struct world_app *app, uint32_t conn, uint64_t off, uint32_t len, uint64_t tag);
bool world_send_ordered(struct world_app *app, uint32_t conn, uint64_t off, uint32_t len,
                        uint32_t stream);
bool world_close(struct world_app *app, uint32_t conn, uint8_t flags);
bool world_put(struct world_app *app, const struct shm_command *command);
/** The next completion, consumed at once (its bytes in rx stay until the next round). */
bool world_next(struct world_app *app, struct shm_completion *completion);
/** The next completion, not consumed. */
bool world_peek(struct world_app *app, struct shm_completion *completion);

/** Steps until a completion of `kind` comes to `app`, at most for `limit_ns`; others are skipped. */
bool world_expect(struct world_app *app, enum shm_cpl_kind kind, uint64_t limit_ns,
                  struct shm_completion *completion);
/** Steps for `ns` of virtual time. */
void world_run(struct world *world, uint64_t ns);

uint64_t world_counter(const struct world *world, unsigned host, const char *name);

#endif
