/* SPDX-License-Identifier: Apache-2.0 */
#include "base/in6.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

bool base_in6_is_link_local(const uint8_t ip[16])
{
    return ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80;
}

/* Digits only, up to 2^32 - 1; 0: it is no such number. */
static uint32_t parse_index(const char *text)
{
    uint64_t value = 0;
    for (; *text >= '0' && *text <= '9' && value <= UINT32_MAX; text++) {
        value = value * 10 + (uint64_t)(*text - '0');
    }
    return *text == '\0' && value <= UINT32_MAX ? (uint32_t)value : 0;
}

const char *base_in6_parse(const char *text, struct base_in6 *in6)
{
    char ip[INET6_ADDRSTRLEN];
    struct base_in6 parsed = {.scope = 0};
    *in6 = parsed;
    size_t len = strcspn(text, "%");
    if (len >= sizeof(ip)) {
        return "this is no IPv6 address";
    }
    memcpy(ip, text, len);
    ip[len] = '\0';
    if (inet_pton(AF_INET6, ip, parsed.ip) != 1) {
        return "this is no IPv6 address";
    }
    bool is_link_local = base_in6_is_link_local(parsed.ip);
    if (text[len] == '%') {
        const char *interface = text + len + 1;
        if (!is_link_local) {
            return "only a link-local address has an interface; leave out what follows '%'";
        }
        parsed.scope = if_nametoindex(interface);
        parsed.scope = parsed.scope != 0 ? parsed.scope : parse_index(interface);
        if (parsed.scope == 0) {
            return "there is no such interface here; 'ip link' lists them";
        }
    } else if (is_link_local) {
        return "a link-local address needs its interface, as in fe80::1%eth0";
    }
    *in6 = parsed;
    return NULL;
}

void base_in6_format(const struct base_in6 *in6, char text[BASE_IN6_TEXT])
{
    char ip[INET6_ADDRSTRLEN] = "?";
    (void)inet_ntop(AF_INET6, in6->ip, ip, sizeof(ip));
    if (in6->scope != 0) {
        (void)snprintf(text, BASE_IN6_TEXT, "%s%%%u", ip, (unsigned)in6->scope);
    } else {
        (void)snprintf(text, BASE_IN6_TEXT, "%s", ip);
    }
}
