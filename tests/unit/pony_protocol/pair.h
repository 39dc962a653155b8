/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_PONY_PROTOCOL_PAIR_H
#define TESTS_UNIT_PONY_PROTOCOL_PAIR_H

#include "tests/support/cmocka_all.h"
#include "tests/support/pony_world.h"

/**
 * A client and a server over a kind network, on one engine or on two; asserts with cmocka.
 */

#define SECOND UINT64_C(1000000000)
#define MS     UINT64_C(1000000)

enum {
    SERVICE = 77,
    LISTENER = 5
};

struct pair {
    struct world world;
    struct world_app *client, *server;
    uint32_t client_conn, server_conn;
    unsigned server_host;
};

/** Engines and applications; `config` NULL: world_app_config(). */
struct pair *make_pair(bool is_local, const struct world_app_config *config);
void free_pair(struct pair *pair);
/** Listens. */
void listen_pair(struct pair *pair);
/** Listens and opens connection 1. */
void connect_pair(struct pair *pair);
/** One more connection of the client: its number at the server. */
uint32_t connect_more(struct pair *pair, uint32_t number);

void fill_bytes(uint8_t *at, uint32_t len, uint32_t seed);
/** The next message at the server has these bytes. */
void expect_message(struct pair *pair, uint32_t len, uint32_t seed);
/** How many completions of `kind` come within `ns`, of SENT how many messages; reads everything. */
uint32_t count_completions(struct world_app *app, enum shm_cpl_kind kind, uint64_t ns);

#endif
