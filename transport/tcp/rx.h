/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KTCP_RX_H
#define KTCP_RX_H

#include "base/error.h"
#include "transport/tcp/frame.h"
#include "transport/tcp/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/**
 * Receiving side of one connection: bytes of a stream become messages.
 *
 * Shape    pure: it says where the next bytes shall be read to (plan), is told how many came
 *          (commit) and hands out messages. Bytes go into a receive buffer that all connections of
 *          a transport share, where whole messages are handed out in place; of a message that is
 *          not all there, the rest is read straight into a buffer of its own. While a message in
 *          pieces comes in, its next pieces are expected to follow each other and read straight to
 *          their place; where that guess was wrong, the bytes are put in line and read as usual.
 * Holds    a stream position that is a multiple of 8 is at an 8-aligned address, always
 * Memory   between two calls the shared buffer holds nothing of this connection. A message's buffer
 *          grows with the bytes that came: memory written <= bytes received, memory mapped <= twice
 *          that and 256 KiB for each of KTCP_STREAMS messages
 * Threads  one owner
 * Errors   whatever a peer sends ends in BASE_E_MALFORMED, _VERSION, _LIMIT or _NOMEM
 */
enum {
    KTCP_RX_SHARED_BYTES = 1 << 20, /**< at least this much; only a part is used mostly */
    KTCP_RX_READ_BYTES = 128 << 10, /**< read at once when no large message is coming in */
    KTCP_RX_TAIL_BYTES = 16 << 10,  /**< read behind a large message's bytes */
    KTCP_RX_AHEAD = 7,              /**< pieces that are guessed */
    KTCP_RX_FIRST_BYTES = 256 << 10 /**< room that a message in pieces starts with */
};

/** What to do with what came. Both return false to stop: the connection was closed meanwhile. */
struct ktcp_rx_sink {
    bool (*on_preface)(void *arg);
    bool (*on_message)(void *arg, const uint8_t *data, size_t len);
    void *arg;
};

/** A message of which a part is here. */
struct ktcp_rx_slot {
    struct ktcp_buf buf; /**< data NULL: the slot is free */
    uint64_t total;      /**< payload bytes */
    uint64_t received;   /**< with the padding at the end */
};

struct ktcp_rx {
    struct ktcp_mem *mem;
    struct ktcp_rx_sink sink;
    size_t max_message_bytes;
    const char *why; /**< after an error: what was wrong */
    uint8_t held[KTCP_FIRST_HEADER_BYTES];
    uint8_t n_held; /**< bytes of a header that is not all there */
    bool has_preface;
    bool has_ended;      /**< the peer sent KTCP_END */
    bool is_stopped;     /**< a sink said so: nothing is handed out any more */
    bool is_last;        /**< the piece below ends its message */
    uint8_t end_reason;  /**< enum ktcp_reason, when has_ended */
    uint8_t piece_slot;  /**< slot of the piece that is coming in */
    uint8_t n_guess;     /**< pieces to guess ahead: fewer after a wrong guess */
    uint32_t piece_left; /**< its bytes still to come, padding included; 0: none is coming in */
    struct ktcp_rx_slot
        slots[KTCP_STREAMS + 1]; /**< the last one: a whole message, cut by a read */
};

/** Where the next bytes go. Lives on the caller's stack from plan to commit. */
struct ktcp_rx_plan {
    struct iovec iov[2 + 2 * KTCP_RX_AHEAD];
    int n_iov;
    uint32_t n_ahead;
    uint8_t *shared;
    size_t bytes;                                      /**< all iov together */
    uint8_t headers[KTCP_RX_AHEAD][KTCP_HEADER_BYTES]; /**< read */
    uint8_t expected[KTCP_RX_AHEAD][KTCP_HEADER_BYTES];
};

void ktcp_rx_init(struct ktcp_rx *rx, struct ktcp_mem *mem, const struct ktcp_rx_sink *sink,
                  size_t max_message_bytes);
void ktcp_rx_fini(struct ktcp_rx *rx);

/** `shared`: KTCP_RX_SHARED_BYTES, 8-aligned. */
void ktcp_rx_plan(struct ktcp_rx *rx, uint8_t *shared, struct ktcp_rx_plan *plan);

/** `n` bytes (1..plan->bytes) were read into the plan's places in order. */
BASE_MUST_USE enum base_err ktcp_rx_commit(struct ktcp_rx *rx, struct ktcp_rx_plan *plan, size_t n);

#endif
