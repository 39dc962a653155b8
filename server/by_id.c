/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"
#include "server/server_impl.h"

#include <stdlib.h>

/**
 * Calls by their numbers: one hash table for all connections of a server, with chains.
 *
 * A client that counts its calls upwards, and cancels none, never asks for one by its number: until
 * somebody does, the calls of a connection are in no chain, and cost no look at the table. Each gets
 * into one at most once.
 */
enum {
    BUCKETS_MIN = 64,
    BUCKETS_MAX = 8192
};

enum base_err snapi_server_by_id_init(struct snap_server *server)
{
    server->n_buckets = BUCKETS_MIN;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers is meant */
    server->by_id = calloc(server->n_buckets, sizeof(*server->by_id));
    return server->by_id != NULL ? BASE_OK : BASE_E_NOMEM;
}

void snapi_server_chain(struct snap_server_call **end, struct snap_server_call *call)
{
    call->hash_next = NULL;
    call->hash_at = end;
    *end = call;
}

void snapi_server_unchain(struct snap_server_call *call)
{
    *call->hash_at = call->hash_next;
    if (call->hash_next != NULL) {
        call->hash_next->hash_at = call->hash_at;
    }
    call->hash_at = NULL;
}

static struct snap_server_call **bucket_of(const struct snapi_server_conn *conn, uint64_t id)
{
    uint64_t hash = base_hash_pair(conn->server->hash_seed, (uint64_t)(uintptr_t)conn, id);
    return &conn->server->by_id[hash & (conn->server->n_buckets - 1)];
}

/* Where the call is linked, or the NULL at the end of its chain. */
static struct snap_server_call **find_in_chain(const struct snapi_server_conn *conn, uint64_t id)
{
    struct snap_server_call **at = bucket_of(conn, id);
    while (*at != NULL && ((*at)->conn != conn || (*at)->id != id)) {
        at = &(*at)->hash_next;
    }
    return at;
}

/* Doubles the table: it is as large as the calls need and no larger, so that few calls of many
 * connections meet few lines. When there is no memory for it, the chains grow instead. */
static void grow_table(struct snap_server *server)
{
    uint32_t n_old = server->n_buckets;
    struct snap_server_call **old = server->by_id;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers is meant */
    struct snap_server_call **bigger = calloc((size_t)n_old * 2, sizeof(*bigger));
    if (bigger == NULL) {
        return;
    }
    server->by_id = bigger;
    server->n_buckets = n_old * 2;
    for (uint32_t i = 0; i < n_old; i++) {
        struct snap_server_call *call;
        while ((call = old[i]) != NULL) {
            snapi_server_unchain(call);
            snapi_server_chain(find_in_chain(call->conn, call->id), call);
        }
    }
    free((void *)old);
}

static void grow_if_full(struct snap_server *server)
{
    if (server->n_calls > server->n_buckets && server->n_buckets < BUCKETS_MAX) {
        grow_table(server);
    }
}

struct snap_server_call **snapi_server_find_call(struct snapi_server_conn *conn, uint64_t id)
{
    if (!conn->is_indexed) {
        conn->is_indexed = true;
        base_list_foreach (it, &conn->calls) {
            struct snap_server_call *call = base_list_entry(it, struct snap_server_call, link);
            grow_if_full(conn->server);
            snapi_server_chain(find_in_chain(conn, call->id), call);
        }
    }
    grow_if_full(conn->server);
    return find_in_chain(conn, id);
}
