/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KTCP_TX_H
#define KTCP_TX_H

#include "base/error.h"
#include "base/list.h"
#include "transport/tcp/frame.h"
#include "transport/tcp/mem.h"
#include "transport/transport.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/**
 * Sending side of one connection: messages become bytes of a stream.
 *
 * Shape    pure: it says which bytes come next (gather) and is told how many the kernel took
 *          (advance). Short messages are written as frames into chunks, one behind the other, so
 *          that many leave as one iovec. Long ones keep a buffer each and are cut into pieces; up to
 *          KTCP_STREAMS of them take turns of KTCP_TURN_PIECES, and short ones pass between the pieces.
 *          Turns are long because a receiver does best with pieces that follow each other.
 * Memory   chunks are shared by all connections of a transport until one's socket is full: that one
 *          then packs into chunks of its own, so that it holds up no others'. Nothing but
 *          a short ring is kept when nothing is queued.
 * Holds    of each class, what is queued <= its high mark and one message
 * Threads  one owner
 */
enum {
    KTCP_SHORT_BYTES = KTCP_CHUNK_BYTES - KTCP_CHUNK_HEAD_BYTES - KTCP_HEADER_BYTES,
    KTCP_MIDDLE_BYTES = 1 << 20,
    KTCP_SHORT_HIGH_BYTES = 1 << 20, /**< more queued of a class: BASE_AGAIN for its messages */
    KTCP_MIDDLE_HIGH_BYTES = 8 << 20,
    KTCP_LONG_HIGH_BYTES = 8 << 20, /**< half of it is left: room again */
    KTCP_TURN_PIECES = 16,
    KTCP_TX_IOV = 64,
    KTCP_TX_ITEMS = 32,
    KTCP_TX_BATCH_BYTES = 512 << 10 /**< about this much per system call */
};

/** Messages by length; each class is held back by itself, so that a shorter one still passes when
 *  longer ones fill the queue. Middle and long ones are cut in pieces. */
enum ktcp_class {
    KTCP_CLASS_SHORT,  /**< up to KTCP_SHORT_BYTES */
    KTCP_CLASS_MIDDLE, /**< up to KTCP_MIDDLE_BYTES */
    KTCP_CLASS_LONG,
    KTCP_CLASSES
};

/** A queued frame, all in one place. */
struct ktcp_entry {
    uint8_t *frame;
    uint64_t tag;
    uint32_t bytes;
    bool is_message; /**< false: preface or end; the frame lies in no chunk */
};

/** A message in pieces. Lies at the start of its own buffer, its payload behind it. */
struct ktcp_long {
    struct base_list link; /**< in tx->waiting or tx->reserved */
    struct ktcp_buf buf;
    uint64_t total; /**< payload bytes */
    uint64_t tag;
    uint64_t sent;    /**< payload bytes whose pieces the kernel took whole */
    uint64_t planned; /**< the same, and those in the batch */
    bool is_planned;  /**< its last piece is in the batch */
    uint8_t class;    /**< enum ktcp_class, of the length it has when it is sent */
};

enum {
    KTCP_LONG_HEAD_BYTES = 128
};

/** The chunk that is packed into now; NULL: none. */
struct ktcp_packer {
    struct ktcp_chunk *chunk;
};

/** Whose piece comes next. */
struct ktcp_turn {
    uint8_t stream;
    uint8_t n_pieces; /**< that it had in a row */
};

struct ktcp_tx {
    struct ktcp_mem *mem;
    struct ktcp_packer *shared; /**< the transport's */
    struct ktcp_packer own;     /**< used while is_blocked */
    struct ktcp_entry *ring;    /**< [capacity], a power of two */
    uint32_t capacity;
    uint32_t head;
    uint32_t n_queued;
    uint32_t n_reserved;      /**< begun, neither sent nor abandoned */
    uint32_t front_done;      /**< bytes of the first entry that the kernel took */
    bool has_greeted;         /**< the kernel took the preface */
    bool is_blocked;          /**< the socket is full */
    bool wants[KTCP_CLASSES]; /**< begin() said BASE_AGAIN to one of these */
    struct ktcp_turn turn;
    uint32_t cut_done;                      /**< bytes taken of a piece that was taken in part */
    uint8_t cut_stream;                     /**< its message */
    bool is_cut;                            /**< there is such a piece */
    struct ktcp_long *active[KTCP_STREAMS]; /**< in pieces; index: stream */
    struct base_list waiting;               /**< for a stream */
    struct base_list reserved;
    size_t queued[KTCP_CLASSES]; /**< bytes not taken; short ones count their entries too */
    uint32_t n_long;             /**< messages in pieces that are sent and not done */
};

/** What goes into one system call. */
struct ktcp_item {
    uint32_t bytes;
    int8_t stream; /**< whose piece; -1: frames of the ring */
};

struct ktcp_batch {
    struct iovec iov[KTCP_TX_IOV];
    int n_iov;
    int n_items;
    size_t bytes;
    struct ktcp_item items[KTCP_TX_ITEMS];
    uint8_t headers[KTCP_TX_ITEMS][KTCP_FIRST_HEADER_BYTES];
};

/** Queues the preface. Errors: BASE_E_NOMEM. */
BASE_MUST_USE enum base_err ktcp_tx_init(struct ktcp_tx *tx, struct ktcp_mem *mem,
                                         struct ktcp_packer *shared);
void ktcp_tx_fini(struct ktcp_tx *tx); /**< accepts what a failed init leaves */

/** The three of struct snapi_transport_ops; `len` was checked. A reservation that is neither sent
 *  nor abandoned when the connection ends keeps its chunk until the transport ends. */
BASE_MUST_USE enum base_err ktcp_tx_begin(struct ktcp_tx *tx, size_t len, struct snapi_tx *room);
void ktcp_tx_send(struct ktcp_tx *tx, struct snapi_tx *room, uint64_t tag);
void ktcp_tx_abandon(struct ktcp_tx *tx, struct snapi_tx *room);

/** Queues KTCP_END behind everything short; call it when nothing else is queued. */
BASE_MUST_USE enum base_err ktcp_tx_end(struct ktcp_tx *tx);

static inline bool ktcp_tx_is_empty(const struct ktcp_tx *tx)
{
    return tx->n_queued == 0 && tx->n_long == 0;
}

/** True when the bytes taken so far end with a whole frame. */
static inline bool ktcp_tx_is_between_frames(const struct ktcp_tx *tx)
{
    return tx->front_done == 0 && !tx->is_cut;
}

/** What comes next; batch->bytes is 0 when nothing is queued. Changes nothing that is visible. */
void ktcp_tx_gather(struct ktcp_tx *tx, struct ktcp_batch *batch);

/** The kernel took the first `n` bytes of the batch that was gathered last. */
void ktcp_tx_advance(struct ktcp_tx *tx, const struct ktcp_batch *batch, size_t n);

/** begin() said BASE_AGAIN and there is room again, which was not yet taken note of. */
bool ktcp_tx_is_writable(const struct ktcp_tx *tx);

/** The same, and takes note. */
bool ktcp_tx_take_writable(struct ktcp_tx *tx);

/** KT-16: a message of which the kernel did not take every byte. */
struct ktcp_unsent {
    uint64_t tag;
    const uint8_t *data;
    size_t len;
};

/** Finds one. False: none is left. After it only these two and fini are called. */
bool ktcp_tx_first_unsent(struct ktcp_tx *tx, struct ktcp_unsent *unsent);

/** Drops the one that was found last, and its bytes. */
void ktcp_tx_drop_unsent(struct ktcp_tx *tx);

#endif
