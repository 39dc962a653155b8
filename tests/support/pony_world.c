/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/pony_world.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROUND_PACKETS_MAX = 64,
    ROUND_COMMANDS = 64
};

void world_init(struct world *world, uint64_t seed)
{
    *world = (struct world){.now_ns = 1000, .step_max_ns = 10 * 1000 * 1000};
    base_rng_init(&world->rng, seed);
}

void world_fini(struct world *world)
{
    for (unsigned i = 0; i < world->n_hosts; i++) {
        world_kill(world, i);
    }
    for (uint32_t i = 0; i < world->n_packets; i++) {
        free(world->heap[i]);
    }
    free(world->heap);
}

struct pony_engine_config world_config(struct world *world, unsigned host)
{
    struct pony_engine_config config;
    pony_engine_config_init(&config);
    config.instance = base_rng_u64(&world->rng) | 1;
    config.seed = base_rng_u64(&world->rng);
    config.udp_port = (uint16_t)(7000 + host);
    config.max_flows = 16;
    config.max_conns = 256;
    config.max_packets = 2048;
    config.window_max_pkts = 256;
    return config;
}

void world_start(struct world *world, unsigned host, const struct pony_engine_config *config)
{
    struct world_host *at = &world->hosts[host];
    base_assert(host < WORLD_HOSTS_MAX && at->engine == NULL);
    at->config = *config;
    at->addr = (struct pony_addr){.udp_port = config->udp_port};
    memcpy(at->addr.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0", 15);
    at->addr.ip[15] = (uint8_t)(host + 1);
    enum base_err err = pony_engine_create(config, world->now_ns, &at->engine);
    base_assert(err == BASE_OK);
    world->n_hosts = host + 1 > world->n_hosts ? host + 1 : world->n_hosts;
}

static void free_app(struct world_app *app)
{
    free(app->client);
    free(app->engine);
    free(app->tx);
    free(app->rx);
    *app = (struct world_app){0};
}

void world_kill(struct world *world, unsigned host)
{
    if (world->hosts[host].engine == NULL) {
        return;
    }
    pony_engine_destroy(world->hosts[host].engine);
    world->hosts[host].engine = NULL;
    for (unsigned i = 0; i < WORLD_APPS_MAX; i++) {
        if (world->apps[i].is_used && world->apps[i].host == host) {
            free_app(&world->apps[i]);
        }
    }
}

static void on_fault(void *ctx, struct pony_app *pony, enum shm_reason reason, const char *what)
{
    struct world_app *app = ctx;
    (void)pony;
    (void)reason;
    base_assert(!app->is_faulty); /* told once */
    app->is_faulty = true;
    app->fault = what;
}

static void on_wake(void *ctx, struct pony_app *pony)
{
    struct world_app *app = ctx;
    (void)pony;
    app->n_wakes++;
}

struct world_app_config world_app_config(void)
{
    return (struct world_app_config){
        .slots = WORLD_SLOTS,
        .tx_bytes = 1 << 20,
        .rx_bytes = 1 << 20,
        .max_message_bytes = 512 * 1024,
        .max_conns = 64,
    };
}

static void *area(size_t bytes)
{
    size_t rounded = (bytes + 63) & ~(size_t)63;
    void *made = aligned_alloc(64, rounded);
    base_assert(made != NULL);
    memset(made, 0, rounded);
    return made;
}

struct world_app *world_attach(struct world *world, unsigned host,
                               const struct world_app_config *config)
{
    struct world_app *app = world->apps;
    while (app->is_used) {
        app++;
        base_assert(app < world->apps + WORLD_APPS_MAX);
    }
    *app = (struct world_app){.world = world, .host = host, .is_used = 1};
    app->client = area(SHM_SLOTS_OFF + (size_t)config->slots * SHM_SLOT_BYTES);
    app->engine = area(SHM_SLOTS_OFF + (size_t)config->slots * SHM_SLOT_BYTES);
    app->tx = calloc(1, config->tx_bytes); /* pages that are never used are never touched */
    app->rx = calloc(1, config->rx_bytes);
    base_assert(app->tx != NULL && app->rx != NULL);
    app->tx_bytes = config->tx_bytes;
    app->rx_bytes = config->rx_bytes;
    shm_client_end_init(&app->end, app->client, app->engine, config->slots, config->slots);
    struct pony_app_config pony = {
        .tx_base = app->tx,
        .tx_bytes = config->tx_bytes,
        .rx_base = app->rx,
        .rx_bytes = config->rx_bytes,
        .max_message_bytes = config->max_message_bytes,
        .max_conns = config->max_conns,
        .joins_sent = !config->has_single_sent,
        .port = (uint64_t)(app - world->apps) + 1,
        .on_fault = on_fault,
        .on_wake = on_wake,
        .ctx = app,
    };
    shm_engine_end_init(&pony.end, app->client, app->engine, config->slots, config->slots);
    enum base_err err = pony_engine_attach(world->hosts[host].engine, &pony, &app->app);
    base_assert(err == BASE_OK);
    return app;
}

void world_detach(struct world_app *app)
{
    pony_engine_detach(app->world->hosts[app->host].engine, app->app, app->world->now_ns);
    free_app(app); /* under a sanitizer: whatever still refers to it is found */
}

/* A heap by time, then by order of sending. */
static bool is_before(const struct world_packet *a, const struct world_packet *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void push(struct world *world, struct world_packet *packet)
{
    if (world->n_packets == world->heap_max) {
        world->heap_max = world->heap_max * 2 + 64;
        world->heap = realloc(world->heap, world->heap_max * sizeof(*world->heap));
        base_assert(world->heap != NULL);
    }
    uint32_t i = world->n_packets++;
    while (i > 0 && is_before(packet, world->heap[(i - 1) / 2])) {
        world->heap[i] = world->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    world->heap[i] = packet;
}

static struct world_packet *pop(struct world *world)
{
    struct world_packet *first = world->heap[0];
    struct world_packet *last = world->heap[--world->n_packets];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= world->n_packets) {
            break;
        }
        if (child + 1 < world->n_packets && is_before(world->heap[child + 1], world->heap[child])) {
            child++;
        }
        if (!is_before(world->heap[child], last)) {
            break;
        }
        world->heap[i] = world->heap[child];
        i = child;
    }
    if (world->n_packets > 0) {
        world->heap[i] = last;
    }
    return first;
}

static void launch(struct world *world, const struct pony_addr *from,
                   const struct pony_packet_out *out)
{
    struct world_packet *packet =
        malloc(sizeof(*packet) + out->head_len + (size_t)out->payload_len);
    base_assert(packet != NULL);
    uint64_t jitter =
        world->net.jitter_us == 0 ? 0 : base_rng_below(&world->rng, world->net.jitter_us) * 1000;
    *packet = (struct world_packet){
        .at_ns = world->now_ns + 5000 + jitter,
        .order = world->n_order++,
        .from = *from,
        .to = out->to,
        .len = out->head_len + out->payload_len,
    };
    memcpy(packet->data, out->head, out->head_len);
    if (out->payload_len > 0) {
        memcpy(packet->data + out->head_len, out->payload, out->payload_len);
    }
    if (base_rng_chance(&world->rng, world->net.corrupt_ppm)) {
        /* In what the checksum covers: payloads are the network card's to protect. */
        packet->data[base_rng_below(&world->rng, out->head_len)] ^=
            (uint8_t)(1 + base_rng_below(&world->rng, 255));
    }
    push(world, packet);
}

static bool show_packet(const struct world *world, const struct pony_addr *from,
                        const struct pony_packet_out *out)
{
    uint8_t bytes[PONY_MTU_MAX];
    base_assert(out->head_len + out->payload_len <= sizeof(bytes));
    memcpy(bytes, out->head, out->head_len);
    if (out->payload_len > 0) {
        memcpy(bytes + out->head_len, out->payload, out->payload_len);
    }
    return world->on_packet(world->on_packet_arg, from, &out->to, bytes,
                            out->head_len + out->payload_len);
}

static void send_packet(struct world *world, const struct pony_addr *from,
                        const struct pony_packet_out *out)
{
    if (world->on_packet != NULL && !show_packet(world, from, out)) {
        return;
    }
    if (!base_rng_chance(&world->rng, world->net.loss_ppm)) {
        launch(world, from, out);
    }
    if (base_rng_chance(&world->rng, world->net.dup_ppm)) {
        launch(world, from, out);
    }
}

static uint32_t deliver_due(struct world *world)
{
    uint32_t n = 0;
    while (world->n_packets > 0 && world->heap[0]->at_ns <= world->now_ns) {
        struct world_packet *packet = pop(world);
        for (unsigned i = 0; i < world->n_hosts; i++) {
            struct world_host *host = &world->hosts[i];
            if (host->engine == NULL || !pony_addr_equal(&host->addr, &packet->to) ||
                world->now_ns < world->net.cut_until_ns) {
                continue;
            }
            const struct pony_packet_in in = {.from = packet->from,
                                              .data = packet->data,
                                              .len = packet->len,
                                              .rx_ns = world->now_ns};
            pony_engine_on_packet(host->engine, &in, world->now_ns);
            world->n_delivered++;
        }
        free(packet);
        n++;
    }
    return n;
}

uint32_t world_round(struct world *world, unsigned i)
{
    struct world_host *host = &world->hosts[i];
    struct pony_packet_out out;
    if (host->engine == NULL) {
        return 0;
    }
    uint32_t n = pony_engine_poll_apps(host->engine, world->now_ns, ROUND_COMMANDS);
    pony_engine_on_time(host->engine, world->now_ns);
    for (int k = 0; k < ROUND_PACKETS_MAX; k++) {
        if (!pony_engine_next_packet(host->engine, world->now_ns, &out)) {
            break;
        }
        send_packet(world, &host->addr, &out);
        n++;
    }
    host->n_news += pony_engine_publish(host->engine);
    return n;
}

bool world_step(struct world *world)
{
    uint32_t n = deliver_due(world);
    for (unsigned i = 0; i < world->n_hosts; i++) {
        n += world_round(world, i);
    }
    uint64_t next_ns = world->n_packets > 0 ? world->heap[0]->at_ns : UINT64_MAX;
    for (unsigned i = 0; i < world->n_hosts; i++) {
        if (world->hosts[i].engine != NULL) {
            uint64_t at_ns = pony_engine_next_deadline_ns(world->hosts[i].engine);
            next_ns = at_ns < next_ns ? at_ns : next_ns;
        }
    }
    bool is_idle = n == 0 && next_ns == UINT64_MAX;
    uint64_t least_ns = world->now_ns + 1000;
    uint64_t most_ns = world->now_ns + world->step_max_ns;
    world->now_ns = n > 0 || next_ns < least_ns ? least_ns : next_ns > most_ns ? most_ns : next_ns;
    return !is_idle;
}

bool world_put(struct world_app *app, const struct shm_command *command)
{
    if (shm_client_put(&app->end, command) != BASE_OK) {
        return false;
    }
    (void)shm_client_publish(&app->end);
    return true;
}

bool world_listen(struct world_app *app, uint32_t number, uint64_t service)
{
    struct shm_command command = {.opcode = SHM_OP_LISTEN, .conn = number};
    command.u.listen.service = service;
    return world_put(app, &command);
}

bool world_open(struct world_app *app, uint32_t number, unsigned host, uint64_t service)
{
    return world_open_as(app, number, host, service, SHM_TRAFFIC_DEFAULT);
}

bool world_open_as(struct world_app *app, uint32_t number, unsigned host, uint64_t service,
                   enum shm_traffic traffic)
{
    const struct world_host *to = &app->world->hosts[host];
    struct shm_command command = {.opcode = SHM_OP_OPEN, .conn = number};
    memcpy(command.u.open.to.ip, to->addr.ip, sizeof(to->addr.ip));
    command.u.open.to.udp_port = to->addr.udp_port;
    command.u.open.service = service;
    command.u.open.instance = to->config.instance;
    command.u.open.traffic = (uint8_t)traffic;
    return world_put(app, &command);
}

bool world_send(struct world_app *app, uint32_t conn, uint64_t off, uint32_t len, uint64_t tag)
{
    struct shm_command command = {.opcode = SHM_OP_SEND, .conn = conn, .tag = tag};
    command.u.send.off = off;
    command.u.send.len = len;
    return world_put(app, &command);
}

bool world_send_ordered(struct world_app *app, uint32_t conn, uint64_t off, uint32_t len,
                        uint32_t stream)
{
    struct shm_command command = {
        .opcode = SHM_OP_SEND, .flags = SHM_SEND_ORDERED, .conn = conn, .tag = off};
    command.u.send.off = off;
    command.u.send.len = len;
    command.u.send.stream = stream;
    return world_put(app, &command);
}

bool world_close(struct world_app *app, uint32_t conn, uint8_t flags)
{
    const struct shm_command command = {.opcode = SHM_OP_CLOSE, .flags = flags, .conn = conn};
    return world_put(app, &command);
}

bool world_peek(struct world_app *app, struct shm_completion *completion)
{
    uint32_t n = 0;
    return shm_client_peek(&app->end, completion, 1, &n) == BASE_OK && n == 1;
}

bool world_next(struct world_app *app, struct shm_completion *completion)
{
    if (!world_peek(app, completion)) {
        return false;
    }
    (void)shm_client_consume(&app->end, 1);
    return true;
}

bool world_expect(struct world_app *app, enum shm_cpl_kind kind, uint64_t limit_ns,
                  struct shm_completion *completion)
{
    uint64_t until_ns = app->world->now_ns + limit_ns;
    do {
        while (world_next(app, completion)) {
            if (completion->kind == kind) {
                return true;
            }
        }
        (void)world_step(app->world);
    } while (app->world->now_ns < until_ns);
    return false;
}

void world_run(struct world *world, uint64_t ns)
{
    uint64_t until_ns = world->now_ns + ns;
    while (world->now_ns < until_ns) {
        (void)world_step(world);
    }
}

uint64_t world_counter(const struct world *world, unsigned host, const char *name)
{
    uint64_t value = 0;
    const char *at;
    for (uint32_t i = 0; (at = pony_engine_counter(world->hosts[host].engine, i, &value)) != NULL;
         i++) {
        if (strcmp(at, name) == 0) {
            return value;
        }
    }
    base_assert(false);
    return 0;
}
