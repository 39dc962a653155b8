/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CAPTURE_H
#define CLI_CAPTURE_H

#include "cli/control.h"
#include "cli/ip.h"
#include "transport/pony/abi/capture.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/**
 * A capture: snapd's shared rings on one side, a pcapng stream on the other.
 *
 * Order    open; run; fini (also after a failure)
 * Threads  one; sleeps some ms at a time between looks at the rings, which nobody rings for
 * Errors   the note is the message for the user
 */
enum {
    CLI_CAPTURE_LOCALS = 256 /**< addresses of ours that are remembered, by peer */
};

struct cli_capture_options {
    const char *socket; /**< NULL: the usual place */
    const char *output; /**< file; "-" is standard output */
    uint64_t count;     /**< packets; 0: no limit */
    uint64_t time_ns;   /**< 0: no limit */
    uint32_t snap_bytes;
    bool by_flow;
    uint32_t flow;
    uint32_t udp_port;
};

/** One ring, which is one interface of the file. */
struct cli_capture_ring {
    struct shm_capture_reader reader;
    struct cli_ip_end local; /**< ip all zero: by the routes */
    bool is_bound;
    uint64_t n_written;
};

struct cli_capture_local {
    bool is_known;
    uint8_t peer[16];
    uint8_t local[16];
};

struct cli_capture {
    struct cli_capture_options options;
    int control_fd;
    int signal_fd;
    FILE *out;
    struct shm_capture_sizes sizes;
    void *records; /**< mapped read-only */
    void *cursors;
    uint32_t n_rings;
    struct cli_capture_ring rings[SHM_CAPTURE_RINGS_MAX];
    bool knows_routes; /**< snapd lives in our network namespace */
    struct cli_capture_local locals[CLI_CAPTURE_LOCALS];
    uint64_t start_ns;    /**< monotonic */
    uint64_t to_epoch_ns; /**< from monotonic to 1970 */
    uint64_t n_written, n_missed;
};

/** Asks snapd, maps the rings, opens the output and writes the file's head. */
BASE_MUST_USE enum base_err cli_capture_open(struct cli_capture *capture,
                                             const struct cli_capture_options *options);

/** Until a signal, the limits, or snapd's end (BASE_E_CLOSED; the file is whole all the same). */
BASE_MUST_USE enum base_err cli_capture_run(struct cli_capture *capture);

void cli_capture_fini(struct cli_capture *capture);

#endif
