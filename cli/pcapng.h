/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_PCAPNG_H
#define CLI_PCAPNG_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/**
 * Writes a pcapng file: one section, its interfaces, packets, statistics.
 *
 * Shape    little-endian blocks, each a multiple of 4 bytes; link type RAW (packets begin with an
 *          IPv4 or IPv6 header); nanoseconds since 1970
 * Order    begin, interfaces, packets, statistics at the end
 * Errors   BASE_E_IO: the stream refused; errno says why
 * Source   draft-ietf-opsawg-pcapng: SHB 4.1, IDB 4.2, EPB 4.3, ISB 4.6
 */
enum {
    CLI_PCAPNG_LINKTYPE_RAW = 101,
    CLI_PCAPNG_TEXT_MAX = 255 /**< of an option; longer ones are cut */
};

/** Section header. `program` is what wrote it. */
BASE_MUST_USE enum base_err cli_pcapng_begin(FILE *out, const char *program);

/** The next interface: number 0, 1, ... */
BASE_MUST_USE enum base_err cli_pcapng_interface(FILE *out, const char *name, const char *about,
                                                 uint32_t snap_bytes);

struct cli_pcapng_packet {
    uint32_t interface;
    bool is_out;
    uint64_t time_ns; /**< since 1970 */
    const uint8_t *head;
    uint32_t head_bytes;
    const uint8_t *data; /**< follows head */
    uint32_t data_bytes;
    uint32_t original_bytes; /**< on the wire, head included; >= head_bytes + data_bytes */
};

BASE_MUST_USE enum base_err cli_pcapng_packet(FILE *out, const struct cli_pcapng_packet *packet);

struct cli_pcapng_stats {
    uint32_t interface;
    uint64_t start_ns, end_ns; /**< since 1970 */
    uint64_t n_received;       /**< that the filter let through, written or missed */
    uint64_t n_dropped;        /**< missed */
    uint64_t n_written;
};

BASE_MUST_USE enum base_err cli_pcapng_stats(FILE *out, const struct cli_pcapng_stats *stats);

#endif
