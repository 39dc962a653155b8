/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_PONY_TRAFFIC_H
#define TESTS_SIM_PONY_TRAFFIC_H

#include "base/pages.h"
#include "tests/support/pony_world.h"

/**
 * Traffic of a simulated world, and the books that prove it right.
 *
 * Shape    actors (applications) listen, open, send messages of all sizes, read fast or slowly,
 *          close, die. Every end of a connection has a record; a message names the record of its
 *          sender and its number there, and its bytes are a function of both.
 * Checked  each message arrives at most once, at the end that belongs to its sender, with its
 *          bytes, ordered ones in order; memory that SENT gave back is scribbled over at once.
 *          A failed check prints and aborts with what it was.
 */

enum {
    TRAFFIC_ACTORS_MAX = WORLD_APPS_MAX,
    TRAFFIC_ENDS_MAX = 1024,
    TRAFFIC_MSGS_MAX = 512, /**< per end */
    TRAFFIC_STREAMS = 4,
    TRAFFIC_HEAD_BYTES = 24
};

struct traffic_end {
    uint32_t actor;
    uint32_t number;
    uint32_t peer;   /**< record of the other end; 0: not known yet */
    bool is_open;    /**< OPENED or ACCEPTED was seen */
    bool is_closed;  /**< CLOSED was seen, or the actor is gone */
    bool has_closed; /**< the actor closed in order */
    bool has_aborted;
    bool is_gone;   /**< the actor died */
    uint8_t reason; /**< of CLOSED */
    uint8_t flags;
    uint32_t n_sent;
    uint32_t n_sent_cpl; /**< SENT completions */
    uint32_t n_arrived;  /**< of its messages, at the other end */
    uint32_t n_empty_sent, n_empty_arrived;
    uint32_t last_idx[TRAFFIC_STREAMS]; /**< receiving: last ordered message + 1 */
    uint8_t arrived[TRAFFIC_MSGS_MAX];
    uint32_t lens[TRAFFIC_MSGS_MAX];
};

struct traffic_actor {
    struct world_app *app;
    unsigned host;
    uint32_t next_number;
    struct base_pages tx_pages;
    uint32_t n_listening;
    uint32_t read_ppm; /**< chance to read a completion at a step */
    uint32_t life;     /**< counts attaches: part of the service id */
};

struct traffic {
    struct world world;
    struct base_rng rng;
    struct traffic_actor actors[TRAFFIC_ACTORS_MAX];
    uint32_t n_actors;
    struct traffic_end *ends; /**< [TRAFFIC_ENDS_MAX], from 1 */
    uint32_t n_ends;
    bool is_pressed; /**< few connections, many large and ordered messages, little memory */
    uint64_t n_messages, n_arrived;
};

void traffic_init(struct traffic *traffic, uint64_t seed);
void traffic_fini(struct traffic *traffic);
void traffic_attach(struct traffic *traffic, uint32_t actor, unsigned host,
                    const struct world_app_config *config);
/** The actor's ends are gone; its engine is told (detach), or is gone itself. */
void traffic_lose(struct traffic *traffic, uint32_t actor, bool is_detached);

/** Opens a connection between two actors; 0 when there is no room. */
uint32_t traffic_open(struct traffic *traffic, uint32_t from, uint32_t to);
bool traffic_send(struct traffic *traffic, uint32_t idx, uint32_t len, bool is_ordered);
void traffic_close(struct traffic *traffic, uint32_t idx, bool is_abort);
/** Reads and checks at most `max` completions of an actor. */
uint32_t traffic_read(struct traffic *traffic, uint32_t actor, uint32_t max);

/** True when every message on a connection that both ends still have has arrived. */
bool traffic_is_settled(const struct traffic *traffic);
/** An open end of an actor that lives, from a random place on; 0: none. */
uint32_t traffic_pick(struct traffic *traffic);

/** Closes what is open, reads everything, and checks that nothing is left anywhere. */
void traffic_finish(struct traffic *traffic);

#endif
