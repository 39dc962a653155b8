/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_ADDR_H
#define PONY_PROTOCOL_ADDR_H

#include "base/in6.h"
#include "transport/pony/abi/shm.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/** An engine's address: IPv6 or v4-mapped, UDP port in host order. Compared bytewise. */
struct pony_addr {
    uint8_t ip[16];
    uint16_t udp_port;
    uint16_t _pad;  /**< zero */
    uint32_t scope; /**< of a link-local address: index of the interface; else 0 */
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

/** Of an application's command: what says nothing there is zero, so that nobody has two addresses. */
static inline struct pony_addr pony_addr_from_shm(const struct shm_addr *shm)
{
    struct pony_addr addr = {.udp_port = shm->udp_port};
    memcpy(addr.ip, shm->ip, sizeof(addr.ip));
    addr.scope = base_in6_is_link_local(addr.ip) ? shm->scope : 0;
    return addr;
}

static inline struct shm_addr pony_addr_to_shm(const struct pony_addr *addr)
{
    struct shm_addr shm = {.udp_port = addr->udp_port, .scope = addr->scope};
    memcpy(shm.ip, addr->ip, sizeof(shm.ip));
    return shm;
}

#endif
