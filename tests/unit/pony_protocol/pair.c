/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/pony_protocol/pair.h"

#include <stdlib.h>

struct pair *make_pair(bool is_local, const struct world_app_config *config)
{
    const struct world_app_config usual = world_app_config();
    struct pair *pair = calloc(1, sizeof(*pair));
    assert_non_null(pair);
    world_init(&pair->world, 1);
    pair->server_host = is_local ? 0 : 1;
    for (unsigned i = 0; i <= pair->server_host; i++) {
        struct pony_engine_config engine = world_config(&pair->world, i);
        if (config != NULL && config->max_conns > engine.max_conns / 2) {
            engine.max_conns = 2 * config->max_conns;
        }
        world_start(&pair->world, i, &engine);
    }
    pair->client = world_attach(&pair->world, 0, config != NULL ? config : &usual);
    pair->server = world_attach(&pair->world, pair->server_host, config != NULL ? config : &usual);
    return pair;
}

void free_pair(struct pair *pair)
{
    world_fini(&pair->world);
    free(pair);
}

void listen_pair(struct pair *pair)
{
    struct shm_completion cpl;
    assert_true(world_listen(pair->server, LISTENER, SERVICE));
    assert_true(world_expect(pair->server, SHM_CPL_LISTENING, SECOND, &cpl));
    assert_int_equal(cpl.u.listening.service, SERVICE);
}

uint32_t connect_more(struct pair *pair, uint32_t number)
{
    struct shm_completion cpl;
    assert_true(world_open(pair->client, number, pair->server_host, SERVICE));
    assert_true(world_expect(pair->client, SHM_CPL_OPENED, SECOND, &cpl));
    assert_int_equal(cpl.conn, number);
    assert_true(world_expect(pair->server, SHM_CPL_ACCEPTED, SECOND, &cpl));
    assert_int_equal(cpl.tag, LISTENER);
    assert_true((cpl.conn & SHM_CONN_ACCEPTED) != 0);
    return cpl.conn;
}

void connect_pair(struct pair *pair)
{
    listen_pair(pair);
    pair->client_conn = 1;
    pair->server_conn = connect_more(pair, 1);
}

void fill_bytes(uint8_t *at, uint32_t len, uint32_t seed)
{
    for (uint32_t i = 0; i < len; i++) {
        at[i] = (uint8_t)(seed + i * 7 + (i >> 8));
    }
}

void expect_message(struct pair *pair, uint32_t len, uint32_t seed)
{
    struct shm_completion cpl;
    uint8_t *want = malloc(len + 1);
    assert_non_null(want);
    fill_bytes(want, len, seed);
    assert_true(world_expect(pair->server, SHM_CPL_RECEIVED, SECOND, &cpl));
    assert_int_equal(cpl.conn, pair->server_conn);
    assert_int_equal(cpl.u.received.len, len);
    assert_int_equal(cpl.u.received.off % 64, 0);
    assert_memory_equal(pair->server->rx + cpl.u.received.off, want, len);
    free(want);
}

uint32_t count_completions(struct world_app *app, enum shm_cpl_kind kind, uint64_t ns)
{
    struct shm_completion cpl;
    uint64_t until_ns = app->world->now_ns + ns;
    uint32_t n = 0;
    while (app->world->now_ns < until_ns) {
        (void)world_step(app->world);
        while (world_next(app, &cpl)) {
            n += cpl.kind == kind ? 1u + cpl.n_more : 0;
        }
    }
    return n;
}
