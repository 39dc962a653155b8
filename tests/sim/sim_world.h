/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_SIM_WORLD_H
#define TESTS_SIM_SIM_WORLD_H

#include "base/pages.h"
#include "tests/sim/sim_net.h"
#include "transport/pony/protocol/engine.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * A world: engines as snapd runs them, applications with real queues, a network, mishaps, and the
 * books that prove each message right. All of it follows from one seed.
 *
 * Shape    sim_plan.c draws the world, sim_play.c lives it, sim_engine.c polls engines, sim_app.c is
 *          the applications, sim_books.c checks what they see, sim_check.c what engines hold
 * Time     virtual; engines see it through a clock of their own, which starts anywhere and may jump
 * Sleep    engines and applications sleep and are woken through the doorbell protocol only: a wake-up
 *          that is lost is a world that is stuck
 * Failure  sim_fail() prints what was violated, the seed and how to replay it, and exits
 * Memory   one struct sim_world is used for all worlds of a run; regions stay from world to world
 * Threads  one
 */

enum {
    SIM_ENGINES_MAX = 12,
    SIM_APPS_MAX = 16,
    SIM_ENDS_MAX = 8192,
    SIM_MSGS_MAX = 32768,
    SIM_STREAMS = 6,
    SIM_RX_RING = 256,
    SIM_SLOTS_MAX = 256,
    SIM_TX_BYTES_MAX = 1 << 20,
    SIM_RX_BYTES_MAX = 2 << 20,
    SIM_TX_PAGE = 512,
    SIM_LISTENER = 1000000,
    SIM_OPEN_MAX = 512 /**< ends that an application has at once */
};

#define SIM_NEVER UINT64_MAX
#define SIM_US    UINT64_C(1000)
#define SIM_MS    UINT64_C(1000000)

/** Kinds of mishap; each has a weight in the plan. */
enum sim_mishap {
    SIM_MISHAP_WEATHER,  /**< loss, duplication, ... change */
    SIM_MISHAP_CUT,      /**< partition */
    SIM_MISHAP_PAUSE,    /**< an engine is not polled for a while */
    SIM_MISHAP_CLOCK,    /**< a clock jumps forward */
    SIM_MISHAP_DETACH,   /**< an application dies; another takes its place */
    SIM_MISHAP_RESTART,  /**< an engine dies without a word and comes back */
    SIM_MISHAP_SHUTDOWN, /**< the same, but it says so first */
    SIM_MISHAP_PATH,     /**< the path carries smaller packets, or larger ones, from now on */
    SIM_N_MISHAPS
};

/** What engines do not let through, where they are secured. */
enum sim_drop {
    SIM_DROP_FORGED,
    SIM_DROP_REPLAYED,
    SIM_DROP_OTHER_KEY, /**< or another mode */
    SIM_N_DROPS
};

/** All that is drawn before a world begins. */
struct sim_plan {
    uint64_t seed;
    const char *family;
    uint32_t n_engines, engines_per_host, n_racks, n_apps;
    double host_bps, trunk_bps;
    uint64_t delay_ns, queue_bytes, ecn_bytes;
    struct sim_weather weather; /**< the worst there is; parts of it come and go */
    uint32_t mishaps[SIM_N_MISHAPS];
    uint64_t mishap_gap_ns; /**< mean; 0: none */
    uint64_t cut_max_ns, pause_max_ns, clock_max_ns;
    uint64_t work_ns;    /**< how long applications begin new things */
    uint32_t n_messages; /**< in all */
    uint32_t n_opens;    /**< per application, at most */
    uint32_t open_ppm, close_ppm, abort_ppm;
    uint32_t ordered_ppm;
    uint32_t burst;                 /**< messages begun in one waking, at most */
    uint32_t size_small, size_page; /**< per mille of sizes below 1200, below 17 KB; else large */
    uint32_t size_max;
    uint64_t act_gap_ns; /**< mean time between an application's wakings while it has plans */
    uint32_t slow_ppm;   /**< chance that an application is a slow reader */
    bool is_incast;      /**< all open to application 0 */
    bool must_live;      /**< nothing in this world is a reason for a flow to die */
    bool has_classes;    /**< connections are of all traffic classes */
    uint32_t slots;
    uint64_t tx_bytes, rx_bytes;
    uint32_t max_conns_app;
    struct pony_engine_config engine; /**< template */
    /** Cluster key of each engine, 0: plain. Engines speak with those that have the same. */
    uint8_t keys[SIM_ENGINES_MAX];
    bool has_chacha;
    uint64_t key_packets, key_ns; /**< how long a flow's key lasts */
};

struct sim_world;

struct sim_engine {
    struct pony_engine *engine; /**< NULL: down */
    uint32_t host;
    struct pony_addr addr;
    struct pony_engine_config config;
    struct base_rng secrets;
    uint64_t clock_ns;     /**< its time is the world's plus this */
    uint64_t paused_ns;    /**< not polled before */
    uint64_t next_poll_ns; /**< SIM_NEVER: asleep without a timer */
    uint64_t next_probe_ns;
    bool is_asleep;
    struct sim_packet *rx[SIM_RX_RING];
    uint32_t rx_head, rx_tail;
    uint64_t n_polls;
};

/** One end of a connection, as its application knows it. */
struct sim_end {
    uint32_t app, life;
    uint32_t number;
    uint32_t to_engine; /**< opener: whom it asked */
    uint32_t peer;      /**< the other end; 0: not known yet */
    bool is_open;       /**< OPENED or ACCEPTED was seen */
    bool is_closed;     /**< CLOSED was seen, or the application is gone */
    bool has_closed;    /**< the application closed in order */
    bool has_aborted;
    bool is_gone;   /**< the application died */
    uint8_t reason; /**< of CLOSED */
    uint32_t n_sent, n_given_back, n_arrived;
    uint32_t n_empty_sent, n_empty_arrived;
    uint32_t last_msg[SIM_STREAMS]; /**< receiving: last ordered message + 1 */
    uint32_t next_same;             /**< chain in the application's table of numbers */
};

struct sim_msg {
    uint32_t end, len;
    uint32_t page, n_pages;
    uint8_t stream;
    bool is_ordered, is_given_back, is_unsent, has_arrived;
};

enum {
    SIM_NUMBERS = 256
};

struct sim_app {
    struct pony_app *app; /**< NULL: not there */
    uint32_t idx, engine;
    uint32_t life; /**< counts attaches: part of the service's number */
    struct shm_client_end end;
    uint8_t *client_area, *engine_area, *tx, *rx;
    struct base_pages tx_pages;
    uint64_t next_act_ns; /**< SIM_NEVER: sleeps until woken */
    uint64_t next_plan_ns;
    bool is_slow;
    uint32_t read_max;
    uint32_t next_number;
    uint32_t n_opened; /**< connections it began */
    uint32_t open_ends[SIM_OPEN_MAX], n_open;
    uint32_t numbers[SIM_NUMBERS];
};

struct sim_world {
    struct sim_net net;
    struct sim_plan plan;
    struct base_rng rng;
    struct sim_engine engines[SIM_ENGINES_MAX];
    struct sim_app apps[SIM_APPS_MAX];
    struct sim_end *ends; /**< [SIM_ENDS_MAX], from 1 */
    struct sim_msg *msgs; /**< [SIM_MSGS_MAX], from 1 */
    uint32_t n_ends, n_msgs, n_msgs_left;
    uint64_t n_arrived, n_steps, n_checks;
    uint64_t n_dropped[SIM_N_DROPS]; /**< by engines, in all worlds so far */
    uint64_t next_mishap_ns;
    bool is_working; /**< false: the network is healthy, everybody only finishes */
    bool is_traced;
};

/* sim_play.c */

/** Lives the world of a seed. Returns the hash of all that happened. `family` NULL: by the seed. */
uint64_t sim_play(struct sim_world *world, uint64_t seed, const char *family, bool is_traced);
void sim_world_fini(struct sim_world *world);
_Noreturn void sim_fail(const char *file, int line, const char *what);

#define SIM_CHECK(cond) ((cond) ? (void)0 : sim_fail(__FILE__, __LINE__, #cond))

/* sim_plan.c */

/** Names of the families; ends with NULL. */
extern const char *const sim_families[];
/** Draws the world of a seed. Exits when there is no such family. */
void sim_plan_draw(struct sim_plan *plan, uint64_t seed, const char *family);

/* sim_engine.c */

uint64_t sim_local_ns(const struct sim_world *world, const struct sim_engine *engine);
void sim_engine_start(struct sim_world *world, uint32_t idx);
/** Dies without a word; its applications lose their ports. */
void sim_engine_kill(struct sim_world *world, uint32_t idx);
/** Stops in order: peers are told. */
void sim_engine_stop(struct sim_world *world, uint32_t idx);
void sim_engine_on_packet(struct sim_world *world, struct sim_packet *packet);
/** One round of what snapd's engine thread does. */
void sim_engine_poll(struct sim_world *world, struct sim_engine *engine);
void sim_engine_wake(struct sim_world *world, struct sim_engine *engine);
/** Are the two secured in the same way? An engine and itself are. */
bool sim_engines_agree(const struct sim_world *world, uint32_t a, uint32_t b);
struct sim_engine *sim_engine_at(struct sim_world *world, const struct pony_addr *addr);

/* sim_app.c */

void sim_app_attach(struct sim_world *world, uint32_t idx, uint32_t engine);
/** `is_told`: its engine lives and is told (detach); else the engine is gone. */
void sim_app_lose(struct sim_world *world, uint32_t idx, bool is_told);
void sim_app_act(struct sim_world *world, struct sim_app *app);
void sim_app_close(struct sim_world *world, struct sim_app *app, struct sim_end *end,
                   bool is_abort);
void sim_app_on_wake(void *ctx, struct pony_app *pony);
uint64_t sim_service(const struct sim_app *app);

/* sim_books.c */

struct sim_end *sim_end_new(struct sim_world *world, struct sim_app *app, uint32_t number);
struct sim_end *sim_end_find(struct sim_world *world, const struct sim_app *app, uint32_t number);
void sim_end_closed(struct sim_world *world, struct sim_app *app, struct sim_end *end);
void sim_msg_write(uint8_t *to, uint32_t idx, uint32_t len);
void sim_books_on_completion(struct sim_world *world, struct sim_app *app,
                             const struct shm_completion *cpl);
/** All that must arrive has arrived, and no open is pending. */
bool sim_books_are_settled(const struct sim_world *world);
/** Who refused somebody for what he is not, counted it: for worlds in which nothing is lost. */
void sim_books_check_refusals(struct sim_world *world);
bool sim_books_all_closed(const struct sim_world *world);
void sim_books_print(const struct sim_world *world);

/* sim_check.c: what engines hold inside. */

/** Cheap: after every poll. */
void sim_check_engine(const struct sim_world *world, const struct sim_engine *at);
/** Walks flows and connections: every few polls. */
void sim_check_deep(struct sim_world *world, const struct sim_engine *at);
/** Everything has arrived and was read: both ends of each connection count the same credit. */
bool sim_credits_are_even(struct sim_world *world);
/** All connections are over: nothing may be left but idle flows. */
void sim_check_app_is_empty(const struct sim_app *at);
void sim_check_flows_are_idle(const struct sim_engine *at);
void sim_engine_print(const struct sim_engine *at);

#endif
