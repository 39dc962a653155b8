/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_ABI_CAPTURE_H
#define PONY_ABI_CAPTURE_H

#include "base/error.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Capture: copies of packets on their way from an engine to a process that looks on.
 *
 * Shape    two memfds, made and sealed by snapd: records (written by snapd, a read-only descriptor:
 *          struct shm_capture_head, at SHM_CAPTURE_RINGS_OFF the rings, at SHM_CAPTURE_SLOTS_OFF
 *          the slots of each) and cursors (written by the reader: one struct shm_capture_cursor for
 *          each ring). One ring for each captured engine; slots of one size; free-running counts.
 * Full     the engine never waits: a packet that finds no slot is counted as missed
 * Threads  writer: the engine's; reader: another process' one. Neither ever blocks.
 * Trust    the writer keeps its indices and sizes to itself and reads one word of the reader's, its
 *          head: a lie makes packets missed, no more. The reader checks what it is told, too.
 * Source   docs/shm-abi.md, "Capture"; pairs A5/R5, A6/R6
 */
enum {
    SHM_CAPTURE_RINGS_OFF = 64,
    SHM_CAPTURE_SLOTS_OFF = 4096,
    SHM_CAPTURE_RINGS_MAX = 16,
    SHM_CAPTURE_SLOTS_MIN = 64,
    SHM_CAPTURE_SLOTS_MAX = 65536,
    SHM_CAPTURE_SLOT_HEAD = 64, /**< bytes of a slot before the packet's */
    SHM_CAPTURE_SNAP_MAX = 65536,
    SHM_CAPTURE_N_FDS = 2
};

#define SHM_CAPTURE_MAGIC 0x3150414350414e53ull /* "SNAPCAP1" */

/** Written by snapd before the descriptors are passed; never changes. */
struct shm_capture_head {
    uint64_t magic;
    uint32_t n_rings;
    uint32_t slots;      /**< of each ring; a power of two */
    uint32_t slot_bytes; /**< multiple of 64 */
    uint32_t snap_bytes; /**< of a packet, at most; fits a slot */
};

/** Written by snapd. */
struct shm_capture_ring {
    _Alignas(64) _Atomic uint32_t tail; /**< slots published */
    _Atomic uint32_t is_over;           /**< 1: nothing more will come */
    _Atomic uint64_t n_missed;          /**< packets that found no slot */
};

/** Written by the reader. */
struct shm_capture_cursor {
    _Alignas(64) _Atomic uint32_t head; /**< slots consumed */
};

enum {
    SHM_CAPTURE_OUT = 1u << 0 /**< the engine sends it; else it has arrived */
};

/** What stands before the packet's bytes in a slot. */
struct shm_capture_packet {
    uint64_t time_ns; /**< CLOCK_MONOTONIC */
    uint8_t peer_ip[16];
    uint16_t peer_port; /**< UDP, host order */
    uint8_t flags;      /**< SHM_CAPTURE_* */
    uint8_t ttl;        /**< 0: not known */
    uint8_t ecn;
    uint8_t _pad[3];
    uint32_t bytes;      /**< of the UDP payload */
    uint32_t kept_bytes; /**< of it, in this slot */
    uint32_t _pad2[6];
};

static_assert(sizeof(struct shm_capture_packet) == SHM_CAPTURE_SLOT_HEAD, "ABI");
static_assert(sizeof(struct shm_capture_head) <= SHM_CAPTURE_RINGS_OFF, "ABI");
static_assert(SHM_CAPTURE_RINGS_OFF + SHM_CAPTURE_RINGS_MAX * sizeof(struct shm_capture_ring) <=
                  SHM_CAPTURE_SLOTS_OFF,
              "ABI");

/** Sizes of a capture, the same for writer and reader. */
struct shm_capture_sizes {
    uint32_t n_rings, slots, slot_bytes, snap_bytes;
};

/** Whether all are in range and fit each other. */
bool shm_capture_sizes_are_good(const struct shm_capture_sizes *sizes);
uint64_t shm_capture_records_bytes(const struct shm_capture_sizes *sizes);
uint64_t shm_capture_cursors_bytes(const struct shm_capture_sizes *sizes);

/* ---- Writer ---- */

/** An engine's end of one ring. */
struct shm_capture_writer {
    struct shm_capture_ring *ring;
    const struct shm_capture_cursor *cursor;
    uint8_t *slots;
    uint32_t mask, slot_bytes, snap_bytes;
    uint32_t tail, tail_published, head_seen;
    uint64_t n_missed;
};

/** `records` is zero but for what other writers have in there. */
void shm_capture_writer_init(struct shm_capture_writer *writer,
                             const struct shm_capture_sizes *sizes, uint32_t ring, void *records,
                             const void *cursors);

/** The two runs of bytes that make a packet; the second may be empty. */
struct shm_capture_bytes {
    const uint8_t *head, *payload;
    uint32_t head_len, payload_len;
};

/** Copies one packet; bytes and kept_bytes of `packet` are set here. Counts it if there is no slot. */
void shm_capture_put(struct shm_capture_writer *writer, const struct shm_capture_packet *packet,
                     const struct shm_capture_bytes *bytes);
/** Shows what was put to the reader. */
void shm_capture_publish(struct shm_capture_writer *writer);
/** Tells the reader that nothing more comes. Any thread, once the engine has let go of it. */
void shm_capture_end(struct shm_capture_writer *writer);

/* ---- Reader ---- */

struct shm_capture_reader {
    const struct shm_capture_ring *ring;
    struct shm_capture_cursor *cursor;
    const uint8_t *slots;
    uint32_t mask, slot_bytes, snap_bytes;
    uint32_t head, tail_seen;
};

/** Errors  BASE_E_MALFORMED: the head in `records` is not as `sizes` say. */
BASE_MUST_USE enum base_err shm_capture_reader_init(struct shm_capture_reader *reader,
                                                    const struct shm_capture_sizes *sizes,
                                                    uint32_t ring, const void *records,
                                                    void *cursors);

/**
 * The next packet, consumed by shm_capture_consume(); its bytes stay where they are until then.
 * Errors  BASE_AGAIN: none; BASE_E_PEER: what the ring says cannot be
 */
BASE_MUST_USE enum base_err shm_capture_peek(struct shm_capture_reader *reader,
                                             struct shm_capture_packet *packet,
                                             const uint8_t **bytes);
void shm_capture_consume(struct shm_capture_reader *reader);
uint64_t shm_capture_missed(const struct shm_capture_reader *reader);
/** True: once this was said, what peek() still gives is all. */
bool shm_capture_is_over(const struct shm_capture_reader *reader);

#endif
