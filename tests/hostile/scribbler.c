/* SPDX-License-Identifier: Apache-2.0 */

/**
 * scribbler SECONDS SEED: attaches to the snapd at $SNAPD_SOCKET again and again, and does to its shared
 * memory what no library would: random words everywhere, cursors that jump, commands that are nearly
 * right, payloads that change while they are sent. Prints how often it attached and was thrown out.
 *
 * Addresses that it opens connections to are all within 10.213.0.0/24: run it in a namespace.
 */

#include "base/clock.h"
#include "base/rng.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/control_client.h"
#include "tests/system/child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    REGION_BYTES = 1 << 20,
    ROUNDS_MAX = 2000,
    KNOWN_MAX = 64
};

struct scribbler {
    struct base_rng rng;
    struct test_port port;
    uint64_t services[KNOWN_MAX]; /**< of our listeners */
    uint32_t conns[KNOWN_MAX];
    uint64_t n_services, n_conns;
    uint32_t next_number;
};

static uint32_t below(struct scribbler *s, uint32_t n)
{
    return (uint32_t)base_rng_below(&s->rng, n);
}

/** A number at, or next to, an interesting one. */
static uint64_t near(struct scribbler *s, uint64_t value)
{
    static const int64_t steps[] = {0, 0, 0, 1, -1, 63, 64, 4096};
    return value + (uint64_t)steps[below(s, 8)];
}

static void ring(struct scribbler *s)
{
    const uint64_t one = 1;
    (void)!write(s->port.fds[4], &one, sizeof(one));
}

/** Every word of the client area and many of the tx region. */
static void scribble_words(struct scribbler *s)
{
    _Atomic uint64_t *area = (_Atomic uint64_t *)(void *)s->port.client;
    size_t n = (SHM_SLOTS_OFF + (size_t)s->port.info.cmd_slots * SHM_SLOT_BYTES) / sizeof(*area);
    size_t first = below(s, 2) == 0 ? 0 : SHM_SLOTS_OFF / sizeof(*area);
    for (size_t i = first; i < n; i++) {
        atomic_store_explicit(&area[i], base_rng_u64(&s->rng), memory_order_relaxed);
    }
    for (int i = 0; i < 64; i++) {
        s->port.tx[base_rng_below(&s->rng, s->port.info.tx_bytes)] = (uint8_t)below(s, 256);
    }
}

static void move_cursors(struct scribbler *s)
{
    struct shm_client_area *area = s->port.client;
    const uint32_t slots[] = {0, 1, s->port.info.cmd_slots, s->port.info.cpl_slots, UINT32_MAX};
    _Atomic uint32_t *cursors[] = {&area->cmd_tail, &area->cpl_head, &area->is_asleep,
                                   &area->waits};
    _Atomic uint32_t *cursor = cursors[below(s, 4)];
    uint32_t by = (uint32_t)near(s, slots[below(s, 5)]);
    atomic_store(cursor, atomic_load(cursor) + by);
}

static void choose_peer(struct scribbler *s, struct shm_command *command)
{
    if (below(s, 3) != 0) {
        uint8_t *ip = command->u.open.to.ip;
        const uint8_t v4[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 213, 0};
        memcpy(ip, v4, sizeof(v4));
        ip[15] = (uint8_t)(1 + below(s, 3));
        command->u.open.to.udp_port = (uint16_t)near(s, 4741);
    }
    command->u.open.service = s->n_services > 0 ? s->services[below(s, KNOWN_MAX)] : 0;
    command->u.open.instance = below(s, 2) == 0 ? 0 : s->port.info.instance;
}

/** A command such as a library would give, or nearly. */
static struct shm_command make_command(struct scribbler *s, bool is_honest)
{
    struct shm_command command = {.opcode = (uint8_t)(1 + below(s, 5))};
    command.conn = s->n_conns > 0 ? s->conns[below(s, KNOWN_MAX)] : 0;
    switch (command.opcode) {
    case SHM_OP_OPEN:
        command.conn = ++s->next_number;
        choose_peer(s, &command);
        break;
    case SHM_OP_LISTEN:
        command.conn = ++s->next_number;
        break;
    case SHM_OP_SEND:
        command.tag = base_rng_u64(&s->rng);
        command.flags = below(s, 2) == 0 ? SHM_SEND_ORDERED : 0;
        command.u.send.off = below(s, REGION_BYTES / 2) & ~63u;
        command.u.send.len = below(s, REGION_BYTES / 2);
        command.u.send.stream = below(s, 100);
        break;
    case SHM_OP_CLOSE:
        command.flags = below(s, 2) == 0 ? SHM_CLOSE_ABORT : 0;
        break;
    default:
        break;
    }
    if (!is_honest) {
        uint8_t *bytes = (uint8_t *)&command;
        switch (below(s, 4)) {
        case 0:
            bytes[below(s, sizeof(command))] = (uint8_t)below(s, 256);
            break;
        case 1:
            command.u.send.off = near(s, s->port.info.tx_bytes);
            break;
        case 2:
            command.u.send.len = (uint32_t)near(s, s->port.info.tx_bytes - command.u.send.off);
            break;
        default:
            command.conn = (uint32_t)near(s, SHM_CONN_ACCEPTED);
            break;
        }
    }
    return command;
}

static void give_commands(struct scribbler *s, bool is_honest)
{
    uint32_t n = below(s, 64);
    uint32_t room = 0;
    if (shm_client_room(&s->port.end, &room) != BASE_OK) {
        return;
    }
    for (uint32_t i = 0; i < n && i < room; i++) {
        struct shm_command command = make_command(s, is_honest || below(s, 40) != 0);
        if (shm_client_put(&s->port.end, &command) != BASE_OK) {
            break;
        }
    }
    (void)shm_client_publish(&s->port.end);
    s->port.tx[below(s, REGION_BYTES)] ^= 1;
}

/** Learns names, so that later commands are for things that exist. */
static void take_completions(struct scribbler *s)
{
    struct shm_completion completions[32];
    uint32_t n = 0;
    if (shm_client_peek(&s->port.end, completions, 32, &n) != BASE_OK) {
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct shm_completion *c = &completions[i];
        if (c->kind == SHM_CPL_LISTENING) {
            s->services[s->n_services++ % KNOWN_MAX] = c->u.listening.service;
        } else if (c->kind == SHM_CPL_OPENED || c->kind == SHM_CPL_ACCEPTED) {
            s->conns[s->n_conns++ % KNOWN_MAX] = c->conn;
        }
    }
    (void)shm_client_consume(&s->port.end, n);
}

/** One attachment, until snapd ends it or enough was done. True: it was ended. */
static bool be_bad(struct scribbler *s, uint64_t until_ns)
{
    uint32_t kind = below(s, 5);
    bool is_honest_for = below(s, 4) != 0;
    s->n_conns = s->n_services = 0;
    for (int i = 0; i < ROUNDS_MAX && base_clock_now_ns() < until_ns; i++) {
        if (shm_client_closed(&s->port.end) != SHM_REASON_NONE) {
            return true;
        }
        bool is_honest = is_honest_for && i < 200;
        if (is_honest || kind < 3) {
            give_commands(s, is_honest);
            take_completions(s);
        } else if (kind == 3) {
            move_cursors(s);
        } else {
            scribble_words(s);
        }
        ring(s);
    }
    return shm_client_closed(&s->port.end) != SHM_REASON_NONE;
}

int main(int argc, char **argv)
{
    const char *socket = getenv("SNAPD_SOCKET");
    if (argc != 3 || socket == NULL) {
        fprintf(stderr, "usage: SNAPD_SOCKET=PATH scribbler SECONDS SEED\n");
        return 2;
    }
    static struct scribbler s;
    uint64_t until_ns = base_clock_now_ns() + strtoull(argv[1], NULL, 0) * 1000000000;
    unsigned long long n_attached = 0;
    unsigned long long n_ended = 0;
    base_rng_init(&s.rng, strtoull(argv[2], NULL, 0));
    while (base_clock_now_ns() < until_ns) {
        if (test_port_attach(&s.port, socket, REGION_BYTES) != BASE_OK) {
            fprintf(stderr, "scribbler: %s\n", base_error_last_note());
            return 1;
        }
        n_attached++;
        n_ended += be_bad(&s, until_ns);
        test_port_detach(&s.port);
    }
    printf("attached %llu thrown out %llu\n", n_attached, n_ended);
    return 0;
}
