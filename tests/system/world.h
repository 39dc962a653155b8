/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SYSTEM_WORLD_H
#define TESTS_SYSTEM_WORLD_H

#include "tests/system/child.h"
#include "tests/system/hosts.h"
#include "tests/system/ledger_data.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/**
 * World: what a system test plays with: one host (this one, loopback) or two (namespaces), a snapd on
 * each, a ledger-server, ledger-clients; and a folder for sockets, logs and settings.
 *
 * Leaves nothing behind, however the test ends: processes die with it, namespaces go with them, and
 * a janitor process removes the folder.
 * Failures  end the test case (cmocka); world_fini() then shows the logs' ends
 * Threads   the test's main thread only
 */
enum {
    WORLD_CLIENTS_MAX = 8,
    WORLD_TIMEOUT_MS = 60000, /**< far longer than anything takes */
    WORLD_PORT = 7000         /**< the server's, where there are two hosts */
};

struct world_client {
    struct child child;
    struct ledger_stats *stats;
    char stats_path[128];
};

struct world {
    char dir[64];
    int janitor_fd;
    bool has_hosts; /**< two; else only host 0, ours */
    struct hosts hosts;
    struct child snapd[2];
    char socket[2][108];
    char settings[2][1024]; /**< of snapd.conf, set before it is started */
    const char
        *listen[2]; /**< of snapd; NULL: every IPv4 address, port 4741; one host: 127.0.0.1 */
    const char *server_ip; /**< of two hosts; NULL: 10.213.0.2 */
    struct child server;
    char target[64];        /**< of the server */
    const char *transport;  /**< SNAP_TRANSPORT of servers and clients started from now on; NULL */
    const char *server_log; /**< name of its log; NULL: "server.log" */
    uint64_t server_nofile; /**< limit of descriptors of the server; 0: ours */
    struct world_client clients[WORLD_CLIENTS_MAX];
    bool is_good; /**< set by the test's last line */
};

/** How many times longer loads may take here: 1, more under a sanitizer. */
uint32_t world_slowness(void);

/** `n` calls, or fewer where a sanitizer makes each of them slow. */
uint64_t world_calls(uint64_t n);

/** For main(): 77 and a reason if there cannot be two hosts, else 0. */
int world_skip(void);

void world_init(struct world *world, bool has_hosts);

/** Ends all. After a test that passed, server and snapds must end well on SIGTERM, and no sanitizer may
 *  have written to a log. */
void world_fini(struct world *world);

/** For cmocka: each test case has a world of two hosts as its state. */
int world_set_up(void **state);
int world_tear_down(void **state);

/** Are flows secured with a cluster key? (SYSTEM_SECURITY=psk) */
bool world_is_secured(void);

/** The path of a file in the world's folder; good until the 8th call after. */
const char *world_path(const struct world *world, const char *name);

/** How to run something at a host. */
struct child_how world_how(const struct world *world, int host, const char *log, char *env,
                           size_t env_size);

/* ---- snapd ---- */

/** Starts snapd on a host and waits until it answers. */
void world_start_snapd(struct world *world, int host);

/** Ends it with a signal. With SIGTERM it must have ended by itself, with 0. */
void world_end_snapd(struct world *world, int host, int signal);

/* ---- server ---- */

/** Starts the server at the last host and waits until it serves; fills target. */
void world_start_server(struct world *world);

/* ---- clients: at host 0 ---- */

/** Starts clients[i] with more options ("--calls 5 --sizes tiny"), and waits until it calls. */
struct world_client *world_start_client(struct world *world, int i, const char *options);

/** Waits until it has had `n` more calls ended. */
void world_await_calls(struct world_client *client, uint64_t n);

/** Lets it finish (telling it to stop if it would not by itself). Its exit code; prints its result. */
int world_finish_client(struct world_client *client);

/* ---- waiting ---- */

/** Calls `is_true(arg)` until it is, with a short nap between; false: not within the time. */
bool world_until(bool (*is_true)(void *arg), void *arg, uint64_t timeout_ms);

/** A counter of that host's snapd. */
uint64_t world_counter(const struct world *world, int host, const char *name);

/** Waits until it has grown. */
void world_await_growth(const struct world *world, int host, const char *name);

/** Whether a log has `text` in a line. */
bool world_log_has(const struct world *world, const char *log, const char *text);

/** Waits until it has. */
bool world_until_log(const struct world *world, const char *log, const char *text);

#endif
