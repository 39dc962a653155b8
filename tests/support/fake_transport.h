/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_FAKE_TRANSPORT_H
#define TESTS_SUPPORT_FAKE_TRANSPORT_H

#include "rpc/loop.h"
#include "transport/transport.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * A network within the test's process: two transports, named "tcp" and "pony", that tests can make
 * slow, refuse and break. For tests of client/ and server/ without sockets or snapd.
 *
 * Addresses  tcp: the string given to listen() ("127.0.0.1:0" becomes a port of its own);
 *            pony: "pony:*:4741/N"; connect() looks only at what is behind the slash
 * Threads    the switches may be used from any thread, while loops run on others
 */

/** For snapi_loop_create(). */
extern const struct snapi_transport_ops *const fake_transports[];     /* pony, tcp */
extern const struct snapi_transport_ops *const fake_transports_tcp[]; /* tcp only */

/** All switches off, nothing remembered, pony up. First in every test. Kinds: TCP, PONY. */
void fake_reset(void);

/** What max_message() says: less than the loop's, as if snapd allowed no more. Before connections. */
void fake_set_max_message(enum snap_transport kind, size_t bytes);

/** begin() says BASE_AGAIN until it is switched off again; on_writable follows then. */
void fake_set_again(enum snap_transport kind, bool is_on);

/** The same for has_room(). */
void fake_set_full(enum snap_transport kind, bool is_on);

/** What is sent stays where it was sent from, as if the network were gone. */
void fake_set_hold(enum snap_transport kind, bool is_on);

/** Connections are refused from now on. */
void fake_set_refuse(enum snap_transport kind, bool is_on);

/** Connections neither open nor fail from now on. */
void fake_set_hang(enum snap_transport kind, bool is_on);

/** What state() says; listeners of a transport that is not UP have no address. */
void fake_set_state(enum snap_transport kind, enum snapi_transport_state state);

/** Breaks all connections of a kind, at both ends. What is held was certainly unsent. */
void fake_break(enum snap_transport kind);

/** How often begin() has said BASE_AGAIN, over all connections of a kind. */
uint32_t fake_n_again(enum snap_transport kind);

/** Connections of a kind, both ends counted. */
uint32_t fake_n_conns(enum snap_transport kind);

#endif
