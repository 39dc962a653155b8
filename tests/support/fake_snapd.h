/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_FAKE_SNAPD_H
#define TESTS_SUPPORT_FAKE_SNAPD_H

#include "transport/pony/abi/control.h"
#include "transport/pony/abi/ring.h"
#include "transport/pony/abi/socket_path.h"

#include <stdbool.h>

/**
 * A snapd of one port whose every move the test makes: a real socket, real memfds, and the engine's
 * end of the queues, in the test's own thread. Honest unless its plan says otherwise.
 *
 * Shape    fake_snapd_turn() accepts, answers control requests and takes commands into `commands`;
 *          fake_snapd_say() puts, publishes and wakes
 * Failure  what cannot happen unless the test's machine is broken ends the test
 */
enum {
    FAKE_COMMANDS_MAX = 256,
    FAKE_SLOTS = 64,
    FAKE_REGION_BYTES = 1 << 20
};

/** How Attach is answered. Zero: as it should be. */
struct fake_plan {
    bool is_silent;
    bool is_garbage;
    bool has_wrong_id;
    bool has_wrong_magic;
    bool is_unsealed;
    bool is_short; /**< the areas are smaller than promised */
    bool sends_fewer_fds;
    bool lies_about_sizes; /**< in the engine area */
    bool stops_taking;     /**< commands stay in the queue */
    uint32_t abi_version;  /**< of the reply */
    uint32_t area_version; /**< in the engine area */
    uint32_t cmd_slots, cpl_slots;
    uint64_t tx_bytes, rx_bytes;
    uint64_t max_message_bytes;
    enum base_err error;
    const char *error_text;
};

struct fake_snapd {
    char folder[64];
    char path[PONY_SOCKET_PATH_MAX];
    struct fake_plan plan;
    int listener, sock;
    bool is_attached;
    bool joins_sent; /**< what the last Attach said */
    uint32_t n_attached;
    uint64_t instance;
    struct shm_client_area *client;
    struct shm_engine_area *engine;
    uint8_t *tx, *rx;
    size_t bytes[4];
    int doorbell, notification;
    struct shm_engine_end end;
    uint32_t n_commands;
    struct shm_command commands[FAKE_COMMANDS_MAX];
    uint32_t n_lookups, n_remembered;
    char target[256], address[256]; /**< of the last remember; lookups of `target` find it */
};

/** Only a path, nobody there. */
void fake_snapd_init(struct fake_snapd *snapd);
/** Listens. Again, after a kill, at the same path. */
void fake_snapd_start(struct fake_snapd *snapd);
/** As SIGKILL would: sockets close, memory stays as it is. */
void fake_snapd_kill(struct fake_snapd *snapd);
/** Closes the application's socket only. */
void fake_snapd_hang_up(struct fake_snapd *snapd);
void fake_snapd_fini(struct fake_snapd *snapd);

void fake_snapd_turn(struct fake_snapd *snapd);
void fake_snapd_say(struct fake_snapd *snapd, const struct shm_completion *completion);
/** The n-th last command; 0: the last. */
const struct shm_command *fake_snapd_command(const struct fake_snapd *snapd, uint32_t n);

#endif
