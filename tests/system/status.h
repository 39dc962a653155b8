/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SYSTEM_STATUS_H
#define TESTS_SYSTEM_STATUS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * What snapd says about itself, asked over its socket as `snaprpc status` does.
 */
enum {
    STATUS_PORTS_MAX = 256
};

struct status_port {
    uint64_t port;
    pid_t pid;
    uid_t uid;
    uint32_t n_conns;
    uint32_t n_listeners;
    uint64_t rx_bytes_used;
    char program[64];
};

struct status {
    pid_t pid;
    uint64_t instance;
    uint32_t n_engines, n_ports, n_flows, n_conns;
    struct status_port ports[STATUS_PORTS_MAX];
    uint32_t n_secured_flows;   /**< up, and their packets are sealed */
    uint32_t n_open_flows;      /**< up, and they are not */
    uint32_t least_cluster_key; /**< of the secured flows; UINT32_MAX: there are none */
    uint32_t n_key_changes;     /**< of all flows, in what is sent */
    uint32_t flow_mtu_bytes; /**< largest packet sent on a flow that is up, the least of them; 0 */
    char flow_peer[112];     /**< of one that is up; "" */
    uint64_t engine_busy_ns;

    struct {
        char name[48];
        uint64_t value;
    } counters[256]; /**< summed over daemon and engines */

    uint32_t n_counters;
};

/** False: nobody answers there (errno says why). */
bool status_read(const char *socket, struct status *status);

/** A counter's value; 0 if there is none of that name. */
uint64_t status_counter(const struct status *status, const char *name);

/** The port of a process, or NULL. */
const struct status_port *status_port_of(const struct status *status, pid_t pid);

#endif
