/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_PONY_PORT_PORT_RIG_H
#define TESTS_UNIT_PONY_PORT_PORT_RIG_H

#include "rpc/poller_run.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/fake_snapd.h"
#include "transport/pony/port/port.h"

/**
 * A port and a fake snapd, one thread, a clock that the test moves. Events of connections and
 * listeners are counted and kept.
 */
enum {
    RIG_TAGS_MAX = 256
};

struct port_rig {
    struct fake_snapd snapd;
    struct snapi_poller poller;
    struct snapi_transport *transport;
    struct pony_port *port; /**< the same */
    uint64_t now_ns;
};

/** What happened to a connection. */
struct port_events {
    struct port_rig *rig;
    struct snapi_conn *conn;
    uint32_t n_open, n_messages, n_writable, n_unsent, n_closed;
    uint64_t unsent[RIG_TAGS_MAX];
    uint8_t unsent_byte[RIG_TAGS_MAX]; /**< first byte of the data handed back */
    uint8_t last[64];
    size_t last_len;
    struct snapi_closed why;
    void (*on_message)(struct port_events *events); /**< may be NULL */
    void (*on_unsent)(struct port_events *events);
};

struct port_listening {
    struct snapi_listener *listener;
    struct port_events accepted; /**< the last one */
    uint32_t n_accepted, n_address;
    bool refuses;
    char address[PONY_ADDRESS_MAX];
};

extern const struct snapi_conn_events port_rig_conn_events;
extern const struct snapi_listener_events port_rig_listener_events;

/** With nobody at the socket; starts the transport. */
int port_rig_setup(void **state);
/** The same, attached. */
int port_rig_setup_up(void **state);
int port_rig_teardown(void **state);

/** Poller and port once, then snapd once. Moves no clock. */
void port_rig_turn(struct port_rig *rig);
void port_rig_turns(struct port_rig *rig, int n);
/** Moves the clock past every retry, until attached. */
void port_rig_attach(struct port_rig *rig);

enum snapi_transport_state port_rig_state(struct port_rig *rig, const char **reason);
/** Connects; OPEN is at snapd. */
void port_rig_connect(struct port_rig *rig, struct port_events *events);
/** The same, and OPENED came. */
void port_rig_open(struct port_rig *rig, struct port_events *events);
/** begin + send of `len` bytes, all `byte`; BASE_OK or what begin said. */
enum base_err port_rig_send(struct port_events *events, uint8_t byte, size_t len, uint64_t tag);

/** SENT for a command. */
void port_rig_say_sent(struct port_rig *rig, const struct shm_command *send, uint8_t flags);
void port_rig_say_closed(struct port_rig *rig, uint32_t conn, uint8_t flags, uint8_t reason);

#endif
