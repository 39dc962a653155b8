/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/addr.h"

#include "base/in6.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static enum base_err invalid(const char *text, const char *why)
{
    base_error_note("address \"%s\": %s; write \"10.0.0.1:7000\", \"[2001:db8::1]:7000\" or "
                    "\"unix:/path\"",
                    text, why);
    return BASE_E_INVALID;
}

/* Digits only, 0..65535. */
static bool parse_port(const char *text, in_port_t *port)
{
    unsigned value = 0;
    size_t n = strlen(text);
    if (n == 0 || n > 5) {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(*text - '0');
    }
    *port = htons((uint16_t)value);
    return value <= UINT16_MAX;
}

static enum base_err parse_unix(const char *text, const char *path, struct ktcp_addr *addr)
{
    size_t n = strlen(path);
    if (n == 0) {
        return invalid(text, "the path is missing");
    }
    if (n >= sizeof(addr->sa.un.sun_path)) {
        return invalid(text, "the path is longer than a Unix socket's may be (107 bytes)");
    }
    addr->sa.un.sun_family = AF_UNIX;
    memcpy(addr->sa.un.sun_path, path, n + 1);
    addr->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    return BASE_OK;
}

/* NULL, or what is wrong. */
static const char *parse_in6(const char *host, struct sockaddr_in6 *in6)
{
    struct base_in6 parsed;
    const char *wrong = base_in6_parse(host, &parsed);
    in6->sin6_family = AF_INET6;
    in6->sin6_scope_id = parsed.scope;
    memcpy(&in6->sin6_addr, parsed.ip, sizeof(parsed.ip));
    return wrong;
}

enum base_err ktcp_addr_parse(const char *text, struct ktcp_addr *addr)
{
    *addr = (struct ktcp_addr){0};
    struct ktcp_addr parsed = {0};
    if (strncmp(text, "unix:", 5) == 0) {
        BASE_TRY(parse_unix(text, text + 5, &parsed));
        *addr = parsed;
        return BASE_OK;
    }
    const char *colon = strrchr(text, ':');
    if (colon == NULL) {
        return invalid(text, "the port is missing");
    }
    char host[KTCP_ADDR_TEXT];
    bool is_in6 = text[0] == '[' && colon > text && colon[-1] == ']';
    size_t n = is_in6 ? (size_t)(colon - text) - 2 : (size_t)(colon - text);
    if (n >= sizeof(host)) {
        return invalid(text, "it is too long");
    }
    memcpy(host, text + is_in6, n);
    host[n] = '\0';
    in_port_t port;
    if (!parse_port(colon + 1, &port)) {
        return invalid(text, "the port is not a number of 0 to 65535");
    }
    if (is_in6) {
        const char *wrong = parse_in6(host, &parsed.sa.in6);
        if (wrong != NULL) {
            return invalid(text, wrong);
        }
        parsed.sa.in6.sin6_port = port;
        parsed.len = sizeof(parsed.sa.in6);
    } else {
        parsed.sa.in.sin_family = AF_INET;
        if (inet_pton(AF_INET, host, &parsed.sa.in.sin_addr) != 1) {
            return invalid(text, "this is no IPv4 address (names are not looked up here, and an "
                                 "IPv6 address stands in brackets)");
        }
        parsed.sa.in.sin_port = port;
        parsed.len = sizeof(parsed.sa.in);
    }
    *addr = parsed;
    return BASE_OK;
}

static void format_in6(const struct sockaddr_in6 *in6, char text[KTCP_ADDR_TEXT])
{
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned port = ntohs(in6->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        (void)inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], host, sizeof(host));
        (void)snprintf(text, KTCP_ADDR_TEXT, "%s:%u", host, port);
        return;
    }
    (void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
    char zone[IF_NAMESIZE];
    if (in6->sin6_scope_id == 0) {
        (void)snprintf(text, KTCP_ADDR_TEXT, "[%s]:%u", host, port);
    } else if (if_indextoname(in6->sin6_scope_id, zone) != NULL) {
        (void)snprintf(text, KTCP_ADDR_TEXT, "[%s%%%s]:%u", host, zone, port);
    } else {
        (void)snprintf(text, KTCP_ADDR_TEXT, "[%s%%%u]:%u", host, (unsigned)in6->sin6_scope_id,
                       port);
    }
}

void ktcp_addr_format(const struct ktcp_addr *addr, char text[KTCP_ADDR_TEXT])
{
    char host[INET_ADDRSTRLEN] = "?";
    switch (addr->sa.any.sa_family) {
    case AF_INET:
        (void)inet_ntop(AF_INET, &addr->sa.in.sin_addr, host, sizeof(host));
        (void)snprintf(text, KTCP_ADDR_TEXT, "%s:%u", host, ntohs(addr->sa.in.sin_port));
        break;
    case AF_INET6:
        format_in6(&addr->sa.in6, text);
        break;
    case AF_UNIX: {
        size_t head = offsetof(struct sockaddr_un, sun_path);
        int n = addr->len > head ? (int)(addr->len - head) : 0;
        (void)snprintf(text, KTCP_ADDR_TEXT, "unix:%.*s", n, addr->sa.un.sun_path);
        break;
    }
    default:
        (void)snprintf(text, KTCP_ADDR_TEXT, "?");
    }
}

void ktcp_addr_of_socket(int fd, struct ktcp_addr *addr)
{
    *addr = (struct ktcp_addr){.len = sizeof(addr->sa)};
    if (getsockname(fd, &addr->sa.any, &addr->len) != 0) {
        *addr = (struct ktcp_addr){0};
    }
}

void ktcp_addr_of_peer(int fd, struct ktcp_addr *addr)
{
    *addr = (struct ktcp_addr){.len = sizeof(addr->sa)};
    if (getpeername(fd, &addr->sa.any, &addr->len) != 0) {
        *addr = (struct ktcp_addr){0};
    }
}

bool ktcp_addr_is_equal(const struct ktcp_addr *a, const struct ktcp_addr *b)
{
    return a->len == b->len && memcmp(&a->sa, &b->sa, a->len) == 0;
}
