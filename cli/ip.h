/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_IP_H
#define CLI_IP_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Makes up the IP and UDP headers of a packet of which we have the UDP payload, so that programs
 * that read captures understand it.
 *
 * Shape    IPv4 when both addresses are v4-mapped, else IPv6. The checksum of UDP is 0 (none) over
 *          IPv4; over IPv6, which demands one, it is right when all of the payload is there.
 */
enum {
    CLI_IP_HEAD_MAX = 48
};

struct cli_ip_end {
    uint8_t ip[16]; /**< IPv4 is v4-mapped */
    uint16_t port;
};

struct cli_ip_packet {
    struct cli_ip_end from, to;
    uint8_t ttl; /**< 0: not known; 64 is written */
    uint8_t ecn;
    const uint8_t *payload;
    uint32_t payload_bytes; /**< of the packet, at most 65507 */
    uint32_t kept_bytes;    /**< of them at payload */
};

bool cli_ip_is_v4(const uint8_t ip[16]);

/** Writes the headers; returns how long they are. */
uint32_t cli_ip_head(const struct cli_ip_packet *packet, uint8_t head[CLI_IP_HEAD_MAX]);

/**
 * The address that this host uses towards `to`, by its routes; all zero (of to's family) when there
 * is no way. A system call or two; sends nothing.
 */
void cli_ip_local_towards(const struct cli_ip_end *to, uint8_t local[16]);

#endif
