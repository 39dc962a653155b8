/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"
#include "fuzz/support/fuzz_heap.h"
#include "tests/support/pony_world.h"
#include "transport/pony/protocol/state.h"

#include <stdlib.h>
#include <string.h>

/*
 * A whole engine fed lies: commands, shared cursors, frames of a peer that holds a real flow, and
 * raw packets. Two hosts with an application each and a few connections; the input is a script.
 * Every accounting error ends in an assertion, every stray access in the sanitizer.
 */

enum {
    SERVICE = 7,
    N_CONNS = 3,
    FRAMES_MAX = 256
};

struct input {
    const uint8_t *at;
    size_t left;
    uint32_t n_lives; /* how often an application may still be replaced */
};

static uint8_t take_byte(struct input *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->at++;
}

static size_t take_bytes(struct input *in, void *to, size_t max)
{
    size_t n = in->left < max ? in->left : max;
    memset(to, 0, max);
    memcpy(to, in->at, n);
    in->at += n;
    in->left -= n;
    return n;
}

static struct world_app *attach(struct world *world, unsigned host)
{
    struct world_app_config config = world_app_config();
    config.slots = 64;
    config.tx_bytes = 64 * 1024;
    config.rx_bytes = 512 * 1024;
    config.max_conns = 8;
    config.max_message_bytes = 256 * 1024;
    struct world_app *app = world_attach(world, host, &config);
    (void)world_listen(app, 1, SERVICE + host);
    return app;
}

static void start(struct world *world, struct world_app *apps[2])
{
    world_init(world, 1);
    for (unsigned i = 0; i < 2; i++) {
        struct pony_engine_config config = world_config(world, i);
        config.max_flows = 4;
        config.max_conns = 32;
        config.max_packets = 64;
        config.window_max_pkts = 32;
        world_start(world, i, &config);
        apps[i] = attach(world, i);
    }
    world_run(world, 100 * 1000);
    for (uint32_t i = 0; i < N_CONNS; i++) {
        (void)world_open(apps[0], 10 + i, i == 0 ? 0 : 1, SERVICE + (i == 0 ? 0 : 1));
    }
    world_run(world, 1000 * 1000);
}

/* Connection numbers are hard to guess: a small one stands for one that exists. */
static uint32_t real_number(const struct pony_engine *engine, uint32_t number)
{
    const struct pony_conn *conn;
    uint32_t n = 0;
    for (uint32_t i = 0; number < 16 && (conn = base_pool_next(&engine->conns, &i)) != NULL; i++) {
        if (n++ == number) {
            return conn->number;
        }
    }
    return number;
}

static void feed_frames(struct world *world, struct input *in)
{
    struct pony_engine *engine = world->hosts[take_byte(in) % 2].engine;
    uint8_t frames[FRAMES_MAX];
    size_t n = take_bytes(in, frames, 1 + take_byte(in) % (FRAMES_MAX - 1));
    struct pony_flow *flow = NULL;
    const struct pony_conn *conn;
    for (uint32_t i = 0; (conn = base_pool_next(&engine->conns, &i)) != NULL; i++) {
        flow = conn->link != NULL ? conn->link->flow : flow;
    }
    struct base_cursor cursor = base_cursor_make(frames, n);
    struct pony_frame frame;
    while (base_cursor_left(&cursor) >= 8) {
        uint8_t *at = frames + cursor.pos;
        at[2] %= 64; /* short data leaves room for more frames */
        at[3] = 0;
        base_store_u32(at + 4, real_number(engine, base_load_u32(at + 4)));
        if (!pony_frame_get(&cursor, &frame)) {
            break;
        }
    }
    if (flow != NULL) {
        (void)pony_receive_packet(engine, flow, frames, (uint32_t)n, world->now_ns);
    }
}

static void feed_packet(struct world *world, struct input *in)
{
    uint8_t bytes[FRAMES_MAX];
    unsigned host = take_byte(in) % 2;
    size_t n = take_bytes(in, bytes, take_byte(in));
    const struct pony_packet_in packet = {.from = world->hosts[1 - host].addr,
                                          .data = bytes,
                                          .len = (uint32_t)n,
                                          .rx_ns = world->now_ns};
    pony_engine_on_packet(world->hosts[host].engine, &packet, world->now_ns);
}

static void feed_command(struct world_app *app, struct input *in)
{
    struct shm_command command = {0};
    uint8_t how = take_byte(in);
    (void)take_bytes(in, &command, (how & 32) != 0 ? sizeof(command) : 32);
    if ((how & 1) != 0) { /* a command that may well be right */
        command.opcode = (uint8_t)(1 + command.opcode % (SHM_OP_MAX - 1));
        command.flags &= 1;
        command.conn = 10 + command.conn % 5;
        command.u.send.off %= 1024;
        command.u.send.len = (how & 2) != 0 ? command.u.send.len % 60000 : (how & 31u);
    }
    if ((how & 4) != 0) {
        const struct world_host *to = &app->world->hosts[(how & 8) != 0];
        command.opcode = SHM_OP_OPEN;
        memcpy(command.u.open.to.ip, to->addr.ip, sizeof(to->addr.ip));
        command.u.open.to.udp_port = to->addr.udp_port;
        command.u.open.service = SERVICE + ((how & 8) != 0);
        command.u.open.instance = (how & 16) != 0 ? to->config.instance : 0;
        command.u.open.traffic = (uint8_t)(how >> 6);
    }
    (void)world_put(app, &command);
}

static void scribble(struct world_app *app, struct input *in)
{
    uint8_t *area = app->client;
    uint32_t off = (uint32_t)take_byte(in) << 8 | take_byte(in);
    area[off % (SHM_SLOTS_OFF + 64u * SHM_SLOT_BYTES)] = take_byte(in);
}

static void play(struct world *world, struct world_app *apps[2], struct input *in)
{
    struct shm_completion cpl;
    uint8_t op = take_byte(in);
    unsigned who = op >> 7;
    switch (op % 8) {
    case 0:
    case 1:
        feed_command(apps[who], in);
        break;
    case 2:
    case 3:
        feed_frames(world, in);
        break;
    case 4:
        feed_packet(world, in);
        break;
    case 5:
        while (world_next(apps[who], &cpl)) {
        }
        break;
    case 6:
        scribble(apps[who], in);
        break;
    default:
        if ((op & 0x70) == 0x70 && in->n_lives > 0 && take_byte(in) < 16) {
            in->n_lives--; /* attaching costs more than all else */
            world_detach(apps[who]);
            apps[who] = attach(world, who);
        }
        break;
    }
    (void)world_step(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world *world; /* built once; each execution begins with it as it was */
    static struct world_app *first_apps[2];
    struct input in = {data, size, 1};
    fuzz_heap_enter();
    if (world == NULL) {
        world = malloc(sizeof(*world));
        base_assert(world != NULL);
        start(world, first_apps);
        fuzz_heap_save();
    }
    struct world_app *apps[2] = {first_apps[0], first_apps[1]};
    while (in.left > 0) {
        play(world, apps, &in);
    }
    for (unsigned i = 0; i < 2; i++) {
        world_detach(apps[i]);
    }
    world_run(world, 5 * 1000 * 1000);
    world_fini(world);
    fuzz_heap_leave();
    base_assert(fuzz_heap_n_live() == 1); /* the world itself */
    fuzz_heap_reset();
    return 0;
}
