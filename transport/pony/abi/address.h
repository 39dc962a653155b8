/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_ABI_ADDRESS_H
#define PONY_ABI_ADDRESS_H

#include "base/error.h"
#include "transport/pony/abi/shm.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Addresses of Pony services as text:
 *
 *   pony:HOST:UDPPORT/SERVICE/INSTANCE
 *
 * Shape    HOST is a numeric IPv4, an IPv6 in brackets, with its interface if it is link-local
 *          ("[fe80::1%eth0]"), or '*' (the host that the text came from);
 *          UDPPORT is 1..65535; SERVICE (not 0) and INSTANCE (0: any snapd) are 16 hexadecimal
 *          digits, of either case on the way in and lower case on the way out
 * Threads  any; pure, but for interfaces' names, which are looked up
 */
enum {
    PONY_ADDRESS_MAX = 112 /**< with the NUL: longest is 103 */
};

struct pony_address {
    bool is_any_host;   /**< HOST was '*': `to.ip` is all zero */
    struct shm_addr to; /**< IPv4 is v4-mapped */
    uint64_t service;
    uint64_t instance;
};

/** Errors  BASE_E_INVALID: the note says what is wrong; `address` is all zero then. */
BASE_MUST_USE enum base_err pony_address_parse(const char *text, struct pony_address *address);

/** @param out  [PONY_ADDRESS_MAX] */
void pony_address_format(const struct pony_address *address, char *out);

/** "pony:10.0.0.1:4741" for a peer; "pony:local" when all zero (same snapd). [PONY_ADDRESS_MAX] */
void pony_address_format_peer(const struct shm_addr *addr, char *out);

#endif
