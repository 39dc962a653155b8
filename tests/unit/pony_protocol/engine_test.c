/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/cmocka_all.h"
#include "tests/support/pony_world.h"

#include <stdlib.h>
#include <string.h>

/* One engine (local connections), or two over a kind network. */

#define SECOND UINT64_C(1000000000)

enum {
    SERVICE = 77
};

struct pair {
    struct world world;
    struct world_app *client, *server;
    uint32_t client_conn, server_conn;
    unsigned server_host;
};

static struct pair *make_pair(bool is_local)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    assert_non_null(pair);
    world_init(&pair->world, 1);
    pair->server_host = is_local ? 0 : 1;
    for (unsigned i = 0; i <= pair->server_host; i++) {
        struct pony_engine_config config = world_config(&pair->world, i);
        world_start(&pair->world, i, &config);
    }
    struct world_app_config config = world_app_config();
    pair->client = world_attach(&pair->world, 0, &config);
    pair->server = world_attach(&pair->world, pair->server_host, &config);
    return pair;
}

static void free_pair(struct pair *pair)
{
    world_fini(&pair->world);
    free(pair);
}

static void connect_pair(struct pair *pair)
{
    struct shm_completion cpl;
    assert_true(world_listen(pair->server, 5, SERVICE));
    assert_true(world_expect(pair->server, SHM_CPL_LISTENING, SECOND, &cpl));
    assert_int_equal(cpl.u.listening.service, SERVICE);
    pair->client_conn = 1;
    assert_true(world_open(pair->client, 1, pair->server_host, SERVICE));
    assert_true(world_expect(pair->client, SHM_CPL_OPENED, SECOND, &cpl));
    assert_int_equal(cpl.conn, 1);
    assert_true(world_expect(pair->server, SHM_CPL_ACCEPTED, SECOND, &cpl));
    assert_int_equal(cpl.tag, 5);
    assert_true((cpl.conn & SHM_CONN_ACCEPTED) != 0);
    pair->server_conn = cpl.conn;
}

static void fill_bytes(uint8_t *at, uint32_t len, uint32_t seed)
{
    for (uint32_t i = 0; i < len; i++) {
        at[i] = (uint8_t)(seed + i * 7 + (i >> 8));
    }
}

static void check_message(struct pair *pair, uint32_t len, uint32_t seed)
{
    struct shm_completion cpl;
    uint8_t *want = malloc(len + 1);
    fill_bytes(want, len, seed);
    assert_true(world_expect(pair->server, SHM_CPL_RECEIVED, SECOND, &cpl));
    assert_int_equal(cpl.conn, pair->server_conn);
    assert_int_equal(cpl.u.received.len, len);
    assert_int_equal(cpl.u.received.off % 64, 0);
    assert_memory_equal(pair->server->rx + cpl.u.received.off, want, len);
    free(want);
}

static const uint32_t sizes[] = {0,    1,     64,    1023,  1024,  1025,  1400,   1452,
                                 8000, 16383, 16384, 16385, 65536, 65537, 100000, 400000};

static void messages_of_all_sizes_arrive(bool is_local)
{
    struct pair *pair = make_pair(is_local);
    connect_pair(pair);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct shm_completion cpl;
        fill_bytes(pair->client->tx + 100, sizes[i], (uint32_t)i);
        assert_true(world_send(pair->client, 1, 100, sizes[i], i));
        check_message(pair, sizes[i], (uint32_t)i);
        assert_true(world_expect(pair->client, SHM_CPL_SENT, SECOND, &cpl));
        assert_int_equal(cpl.tag, i);
        assert_int_equal(cpl.flags, 0);
    }
    free_pair(pair);
}

static void local_messages_of_all_sizes_arrive(void **state)
{
    (void)state;
    messages_of_all_sizes_arrive(true);
}

static void remote_messages_of_all_sizes_arrive(void **state)
{
    (void)state;
    messages_of_all_sizes_arrive(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_messages_of_all_sizes_arrive),
        cmocka_unit_test(remote_messages_of_all_sizes_arrive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
