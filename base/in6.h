/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_IN6_H
#define BASE_IN6_H

#include <stdbool.h>
#include <stdint.h>

/**
 * IPv6 addresses as text: "2001:db8::1", "fe80::1%eth0", "fe80::1%2".
 *
 * Scope    link-local addresses (fe80::/10) are the same ones on every link, so each has its interface:
 *          a name, or an index. Other addresses have none.
 * Threads  any; names of interfaces are looked up, in this network namespace
 * Source   RFC 4007, section 11
 */
enum {
    BASE_IN6_TEXT = 64 /**< with the NUL: longest is 56 */
};

struct base_in6 {
    uint8_t ip[16];
    uint32_t scope; /**< index of the interface; 0 unless link-local */
};

bool base_in6_is_link_local(const uint8_t ip[16]);

/** NULL, or what is wrong, with the remedy; `in6` is all zero then. */
const char *base_in6_parse(const char *text, struct base_in6 *in6);

/** With the interface as an index. */
void base_in6_format(const struct base_in6 *in6, char text[BASE_IN6_TEXT]);

#endif
