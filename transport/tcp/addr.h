/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KTCP_ADDR_H
#define KTCP_ADDR_H

#include "base/error.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

/**
 * Addresses: "10.0.0.1:7000", "[2001:db8::1]:7000", "[fe80::1%eth0]:7000", "unix:/run/x.sock".
 * Numeric only; any thread; no system call but for a zone's name.
 */
enum {
    KTCP_ADDR_TEXT = 128 /**< longest text, with its NUL */
};

struct ktcp_addr {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } sa;

    socklen_t len;
};

/** Errors: BASE_E_INVALID, with a note that names the remedy. */
BASE_MUST_USE enum base_err ktcp_addr_parse(const char *text, struct ktcp_addr *addr);

/** Writes it as ktcp_addr_parse() reads it; IPv4 in IPv6 as IPv4; an unnamed Unix socket as
 *  "unix:". */
void ktcp_addr_format(const struct ktcp_addr *addr, char text[KTCP_ADDR_TEXT]);

static inline bool ktcp_addr_is_unix(const struct ktcp_addr *addr)
{
    return addr->sa.any.sa_family == AF_UNIX;
}

/** The two names of a socket; a family's name only where the system has none to tell. */
void ktcp_addr_of_socket(int fd, struct ktcp_addr *addr);
void ktcp_addr_of_peer(int fd, struct ktcp_addr *addr);

bool ktcp_addr_is_equal(const struct ktcp_addr *a, const struct ktcp_addr *b);

#endif
