/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_NETNS_H
#define TESTS_SUPPORT_NETNS_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Two hosts: network namespaces joined by a veth pair, with names of their own, removed at the end
 * (also when the test is interrupted, see proc.h). Give `name` to test_spawn.netns.
 */
struct test_host {
    char name[32];
    char address[16]; /**< 10.213.0.1, 10.213.0.2 */
};

struct test_hosts {
    struct test_host host[2];
};

/** False, with the reason on stderr, where they may not be made: then skip, with exit code 77. */
bool test_hosts_make(struct test_hosts *hosts, uint32_t mtu);

/** Removes them; again at exit is harmless. */
void test_hosts_drop(struct test_hosts *hosts);

#endif
