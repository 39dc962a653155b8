/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_PCAPNG_READ_H
#define TESTS_SUPPORT_PCAPNG_READ_H

#include <stddef.h>
#include <stdint.h>

/**
 * Reads a pcapng file, for tests of what writes one. Knows nothing of the writer.
 *
 * Failures  fail the cmocka test: lengths that do not fit, blocks of an unknown kind, no section
 * Memory    the file's bytes, which stay the caller's; packets point into them
 */
enum {
    PCAPNG_PACKETS_MAX = 65536,
    PCAPNG_INTERFACES_MAX = 32
};

struct pcapng_packet {
    uint32_t interface;
    uint64_t time_ns;
    uint32_t captured, original, flags;
    const uint8_t *bytes;
};

struct pcapng_interface {
    uint16_t linktype;
    uint32_t snap_bytes;
    uint8_t resolution; /**< 6 when the file does not say */
    char name[64];
    uint32_t n_stats; /**< blocks of statistics */
    uint64_t n_received, n_dropped, n_delivered;
};

struct pcapng_file {
    uint32_t n_interfaces;
    uint32_t n_packets;
    struct pcapng_interface interfaces[PCAPNG_INTERFACES_MAX];
    struct pcapng_packet packets[PCAPNG_PACKETS_MAX];
};

void pcapng_read(const uint8_t *bytes, size_t len, struct pcapng_file *file);

#endif
