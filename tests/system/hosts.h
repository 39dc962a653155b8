/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SYSTEM_HOSTS_H
#define TESTS_SYSTEM_HOSTS_H

#include <stdbool.h>

/**
 * Hosts: two network namespaces without a name, 10.213.0.1 and 10.213.0.2, joined by a veth pair.
 *
 * They are gone with the last descriptor and process that uses them, so nothing has to be cleaned up.
 * Works as root, and as an ordinary user where user namespaces are allowed.
 */
struct hosts {
    int ns_fd[2];
    int home_fd; /**< where this process came from; -1: it is there */
};

/** Whether this process may make namespaces; prints why not. Enters a user namespace if it must. */
bool hosts_are_possible(void);

bool hosts_make(struct hosts *hosts);

/** Makes this process live at a host; -1: back home. */
bool hosts_enter(struct hosts *hosts, int host);

/** Gives a host another address: "10.213.0.22/24". */
bool hosts_add_address(const struct hosts *hosts, int host, const char *address);

/** Gives a host a link that leads nowhere, with an address. */
bool hosts_add_interface(const struct hosts *hosts, int host, const char *name,
                         const char *address);

/** Cuts the wire between them, at host 1, or joins it again. What host 0 sends is lost in silence. */
bool hosts_set_link(const struct hosts *hosts, bool is_up);

/** How large packets a host's end of the wire carries: larger ones are not sent there, and larger ones
 *  that arrive are lost in silence. */
bool hosts_set_mtu(const struct hosts *hosts, int host, int mtu);

/** The wire loses, in silence, what a host sends from that UDP port. */
bool hosts_swallow_port(const struct hosts *hosts, int host, int udp_port);

void hosts_drop(struct hosts *hosts);

#endif
