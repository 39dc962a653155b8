/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_ADDR_H
#define PONY_PROTOCOL_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/** An engine's address: IPv6 or v4-mapped, UDP port in host order. Compared bytewise. */
struct pony_addr {
    uint8_t ip[16];
    uint16_t udp_port;
    uint16_t _pad[3]; /**< zero */
};

static inline bool pony_addr_is_v4(const struct pony_addr *addr)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(addr->ip, prefix, sizeof(prefix)) == 0;
}

static inline bool pony_addr_equal(const struct pony_addr *a, const struct pony_addr *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

#endif
