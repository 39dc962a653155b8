/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CONFORMANCE_TRANSPORT_H
#define TESTS_CONFORMANCE_TRANSPORT_H

#include "tests/support/transport_rig.h"

/**
 * Conformance of transports: the cases, each over every fixture. A case is a function of a rig
 * that listens; transport.c runs them all over transport_fixtures[].
 *
 * A new transport adds a fixture (its own file) to the list in transport.c.
 */
extern const struct transport_fixture tcp_inet_fixture, tcp_inet6_fixture, tcp_unix_fixture,
    pony_local_fixture, pony_udp_fixture;

struct transport_case {
    const char *name;
    void (*run)(struct rig *rig);
};

/* Lists; each ends with a NULL name. */
extern const struct transport_case transport_opening_cases[];  /**< connect, listen, refuse */
extern const struct transport_case transport_message_cases[];  /**< sizes, order, amounts */
extern const struct transport_case transport_closing_cases[];  /**< by whom, when, what is unsent */
extern const struct transport_case transport_pressure_cases[]; /**< peers that do not read */

#endif
