/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/state.h"

/* Listeners by service id. An id that the engine chooses is a pseudo-random function (SipHash-2-4)
 * of a secret: who knows some ids cannot tell others, and the simulator stays deterministic. */

static uint64_t rotl(uint64_t v, unsigned n)
{
    return v << n | v >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

/* SipHash-2-4 (Aumasson, Bernstein 2012) of the eight bytes of `m`. */
static uint64_t siphash_u64(const uint64_t key[2], uint64_t m)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    const uint64_t words[2] = {m, UINT64_C(8) << 56};
    for (int i = 0; i < 2; i++) {
        v[3] ^= words[i];
        sip_round(v);
        sip_round(v);
        v[0] ^= words[i];
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t pony_engine_secret(const struct pony_engine *engine, uint64_t what)
{
    return siphash_u64(engine->service_key, what);
}

void pony_services_init(struct pony_engine *engine)
{
    engine->service_key[0] = engine->config.seed;
    engine->service_key[1] = engine->config.seed ^ 0x5bd1e995a5a5a5a5u;
    for (uint32_t i = 0; i < PONY_SERVICE_BUCKETS; i++) {
        base_list_init(&engine->services[i]);
    }
}

static uint32_t bucket_of(uint64_t service)
{
    return (uint32_t)(service * 0x9e3779b97f4a7c15u >> 54) % PONY_SERVICE_BUCKETS;
}

struct pony_listener *pony_service_find(const struct pony_engine *engine, uint64_t service)
{
    base_list_foreach (it, &engine->services[bucket_of(service)]) {
        struct pony_listener *listener = base_list_entry(it, struct pony_listener, link);
        if (listener->service == service) {
            return listener;
        }
    }
    return NULL;
}

struct pony_listener *pony_service_by_number(const struct pony_app *app, uint32_t shm_number)
{
    base_list_foreach (it, &app->listeners) {
        struct pony_listener *listener = base_list_entry(it, struct pony_listener, app_link);
        if (listener->shm_number == shm_number) {
            return listener;
        }
    }
    return NULL;
}

enum base_err pony_service_add(struct pony_app *app, uint32_t shm_number, uint64_t service,
                               struct pony_listener **listener)
{
    struct pony_engine *engine = app->engine;
    BASE_ENSURE(service == 0 || pony_service_find(engine, service) == NULL, BASE_E_IN_USE);
    while (service == 0 || pony_service_find(engine, service) != NULL) {
        service = pony_engine_secret(engine, ++engine->n_services);
    }
    BASE_ENSURE(app->n_listeners < PONY_APP_LISTENERS_MAX, BASE_E_LIMIT);
    struct pony_listener *added = base_pool_take(&engine->listeners, NULL);
    BASE_ENSURE(added != NULL, BASE_E_LIMIT);
    added->app = app;
    added->service = service;
    added->shm_number = shm_number;
    base_list_add_tail(&engine->services[bucket_of(service)], &added->link);
    base_list_add_tail(&app->listeners, &added->app_link);
    app->n_listeners++;
    app->info.listeners++;
    *listener = added;
    return BASE_OK;
}

void pony_service_del(struct pony_listener *listener)
{
    base_list_del(&listener->link);
    base_list_del(&listener->app_link);
    listener->app->n_listeners--;
    listener->app->info.listeners--;
    base_pool_give(&listener->app->engine->listeners, base_pool_index(listener));
}
