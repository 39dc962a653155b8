/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_TARGET_H
#define CLIENT_TARGET_H

#include "base/error.h"

#include <stdint.h>

/**
 * Target: what a channel was opened with, read and looked up.
 *
 * Shape  a list of numeric addresses for kernel sockets, or one Pony address, never both
 */
enum {
    SNAPI_TARGET_MAX = 256,    /**< bytes of the text, NUL included */
    SNAPI_TARGET_ADDRS_MAX = 8 /**< more that a name resolves to are left out */
};

struct snapi_target {
    char text[SNAPI_TARGET_MAX]; /**< as given */
    char pony[SNAPI_TARGET_MAX]; /**< "pony:..."; "" if the target is not of that form */
    char addrs[SNAPI_TARGET_ADDRS_MAX][128]; /**< "10.0.0.1:7000", "[::1]:7000", "unix:/path" */
    uint32_t n_addrs;
};

/**
 * Reads `text` and looks a host name up.
 *
 * Blocks  while a name is looked up
 * Errors  BASE_E_INVALID not a target; BASE_E_NOT_FOUND the name is not known;
 *         the error note says which part
 */
BASE_MUST_USE enum base_err snapi_target_resolve(const char *text, struct snapi_target *target);

/**
 * Puts `host` (the numeric host of "host:port" in `peer`, or 127.0.0.1 for anything else) where a
 * server's Pony address says '*': servers do not know by which address their clients reach them.
 *
 * @param out  [SNAPI_TARGET_MAX]
 *
 * Errors  BASE_E_INVALID `address` does not begin with "pony:", or is too long
 */
BASE_MUST_USE enum base_err snapi_target_fill_host(const char *address, const char *peer,
                                                   char *out);

#endif
