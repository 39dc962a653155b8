/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_CONTROL_CLIENT_H
#define TESTS_SUPPORT_CONTROL_CLIENT_H

#include "base/error.h"
#include "transport/pony/abi/control.h"
#include "transport/pony/abi/ring.h"

#include <stdbool.h>

/**
 * A bare client of snapd's control socket: requests as they stand, and attachments without the
 * library, so that a test can do what the library never would.
 *
 * Blocks   for a reply, 10 s at most; what fails fails the cmocka test, unless a function returns it
 */
struct test_control {
    int fd;
    uint64_t next_id;
};

/** What Attached brought, mapped. */
struct test_port {
    struct test_control control;
    Pony__Control__Attached info; /**< numbers only */
    int fds[SHM_N_FDS];
    struct shm_client_area *client;
    const struct shm_engine_area *engine;
    uint8_t *tx;
    const uint8_t *rx;
    struct shm_client_end end;
};

/** False with errno when nobody listens there. */
bool test_control_connect(struct test_control *control, const char *path);
void test_control_open(struct test_control *control, const char *path);
void test_control_close(struct test_control *control);

/** Raw bytes. False when snapd closed the session. */
bool test_control_send(struct test_control *control, const void *bytes, size_t len);
/** False when snapd closed the session. Descriptors beyond max_fds fail. */
bool test_control_receive(struct test_control *control, Pony__Control__Reply **reply, int *fds,
                          uint32_t max_fds, uint32_t *n_fds);

/** Sends the request and waits for its reply, which the caller frees. Sets id and abi_version. */
Pony__Control__Reply *test_control_ask(struct test_control *control,
                                       Pony__Control__Request *request);

/** Attaches over a new session; 0 for the defaults. BASE_OK, or what Error said. */
enum base_err test_port_attach(struct test_port *port, const char *path, uint64_t region_bytes);
/** Unmaps and closes everything: snapd detaches. */
void test_port_detach(struct test_port *port);

/** Sums over a whole status. */
struct test_status {
    uint32_t n_pieces, n_engines, n_ports, n_flows, n_connections;
    uint64_t pid, instance;
};

/** False when snapd cannot be reached. */
bool test_control_status(const char *path, struct test_status *status);

/** A counter of the daemon or of its first engine. */
uint64_t test_control_counter(const char *path, const char *name);

#endif
