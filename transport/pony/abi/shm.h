/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_ABI_SHM_H
#define PONY_ABI_SHM_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/**
 * The memory that an application and snapd share: one port.
 *
 * Four memfds, all made, sized and sealed (SHRINK, GROW, SEAL) by snapd, in this order over
 * SCM_RIGHTS, then two eventfds:
 *   0 client area   written by the application: its cursors, the command slots
 *   1 engine area   written by snapd: its cursors, the completion slots; a read-only descriptor
 *   2 tx region     written by the application: messages to send; snapd maps it read-only
 *   3 rx region     written by snapd: received messages; a read-only descriptor
 *   4 doorbell      eventfd: application -> engine
 *   5 notification  engine -> application: readable when signalled, 8 bytes read take a signal back.
 *                   One end of a socket pair: an eventfd that both sides hold could be filled by the
 *                   application, and would block the engine
 *
 * Each side distrusts the other: see the ten rules in docs/shm-abi.md. Sizes come from the control
 * message, are checked against the descriptors, and are kept in private memory. All cursors are
 * free-running 32-bit counts; a slot is `count & (slots - 1)`.
 *
 * A received message stays at its place in the rx region until the application moves cpl_head past
 * the completion that named it: consuming the completion gives the memory back.
 */

enum {
    SHM_ABI_VERSION = 1,
    SHM_SLOT_BYTES = 64,
    SHM_SLOTS_OFF = 4096, /**< where the slots begin in either area */
    SHM_SLOTS_MIN = 64,
    SHM_SLOTS_MAX = 65536, /**< both queues; powers of two */
    SHM_SENT_MORE_MAX = 6, /**< messages that a SENT names besides its first one */
    SHM_N_FDS = 6
};

/* Bits of shm_engine_area.is_asleep; any of them: ring after publishing commands. */
enum {
    SHM_ASLEEP_COMMANDS = 1u << 0,
    SHM_ASLEEP_ROOM = 1u << 1 /**< ring after consuming completions too */
};

/* Values of shm_client_area.is_asleep. Whoever only waits to be told something does not want to be
 * woken to hear that what it sent has arrived. */
enum {
    SHM_CLIENT_AWAKE = 0,
    SHM_CLIENT_ASLEEP_ALL = 1, /**< signal after publishing completions */
    SHM_CLIENT_ASLEEP_NEWS = 2 /**< ... unless all of them say SENT, and the queue has room */
};

/* Values of shm_client_area.waits. Others: it yields processor `waits - 1` to the engine, and waits for
 * nothing but news. */
#define SHM_WAITS_NOT    0u         /* it has something to do, or does not say */
#define SHM_WAITS_ASLEEP UINT32_MAX /* for a notification */

#define SHM_MAGIC 0x31594e4f50504e53ull /* "SNPPONY1" */

/** Written by the application only. */
struct shm_client_area {
    _Alignas(64) _Atomic uint32_t cmd_tail;  /**< commands published */
    _Atomic uint32_t waits;                  /**< where it waits: SHM_WAITS_* */
    _Alignas(64) _Atomic uint32_t cpl_head;  /**< completions consumed */
    _Alignas(64) _Atomic uint32_t is_asleep; /**< SHM_CLIENT_*: when to notify */
};

/** Written by snapd only. */
struct shm_engine_area {
    _Alignas(64) uint64_t magic;
    uint32_t abi_version;
    uint32_t cmd_slots;
    uint32_t cpl_slots;
    uint32_t _pad;
    uint64_t tx_bytes;
    uint64_t rx_bytes;
    /** Commands consumed. Published before any of them is acted on: what lies behind it when
     *  snapd dies was certainly not sent. */
    _Alignas(64) _Atomic uint32_t cmd_head;
    _Alignas(64) _Atomic uint32_t cpl_tail;  /**< completions published */
    _Atomic uint32_t processor;              /**< 1 + the engine's then; 0: not known */
    _Alignas(64) _Atomic uint32_t is_asleep; /**< SHM_ASLEEP_*: when to ring the doorbell */
    _Alignas(64) _Atomic uint32_t closed;    /**< not 0: snapd closed this port, enum shm_reason */
};

/** Why a connection, listener or port ended. On the wire too (one byte): values never change. */
enum shm_reason {
    SHM_REASON_NONE = 0,
    SHM_REASON_CLOSED = 1,         /**< in order, by the side named in the completion */
    SHM_REASON_ABORTED = 2,        /**< by the peer application, messages may be lost */
    SHM_REASON_APP_GONE = 3,       /**< the peer application detached or died */
    SHM_REASON_NO_SERVICE = 4,     /**< nobody listens for that service there */
    SHM_REASON_NO_MEMORY = 5,      /**< a limit of the peer's engine or port; try later */
    SHM_REASON_PEER_DEAD = 6,      /**< no sign of life from the peer's engine */
    SHM_REASON_PEER_RESTARTED = 7, /**< the peer's snapd is another one than before */
    SHM_REASON_UNREACHABLE = 8,    /**< no engine answered there */
    SHM_REASON_VERSION = 9,        /**< no wire version that both speak */
    SHM_REASON_PROTOCOL = 10,      /**< the peer broke the protocol */
    SHM_REASON_BAD_COMMAND = 11,   /**< our own application broke the ABI */
    SHM_REASON_SHUTDOWN = 12,      /**< a snapd is stopping */
    SHM_REASON_REFUSED = 13,       /**< the listening application said no */
    SHM_REASON_SECURITY = 14,      /**< the two snapds are not secured in the same way */
    SHM_REASON_MAX = 15
};

/** Engines' addresses: IPv4 is v4-mapped. Ports in host order. */
struct shm_addr {
    uint8_t ip[16];
    uint16_t udp_port;
    uint8_t _pad[2];
    uint32_t scope; /**< of a link-local address: index of snapd's interface; else 0 */
};

enum shm_opcode {
    SHM_OP_OPEN = 1,     /**< conn: chosen by the application from 1 on, unused; u.open */
    SHM_OP_LISTEN = 2,   /**< conn: listener's number, chosen likewise; u.listen */
    SHM_OP_UNLISTEN = 3, /**< conn: listener's number */
    SHM_OP_SEND = 4,     /**< u.send */
    SHM_OP_CLOSE = 5,    /**< conn; flags SHM_CLOSE_ABORT; a SHM_CPL_CLOSED always follows */
    SHM_OP_MAX = 6
};

enum {
    SHM_LISTEN_LOCAL = 1u << 0,  /**< LISTEN: for applications of this snapd only */
    SHM_CLOSE_ABORT = 1u << 0,   /**< CLOSE: do not flush */
    SHM_SEND_ORDERED = 1u << 0,  /**< SEND: in order within `stream`; else as soon as whole */
    SHM_CONN_ACCEPTED = 1u << 31 /**< set in the numbers that the engine chose (accepted) */
};

/** Whose messages go first where several wait (docs/protocol.md, PX-80 to PX-83). */
enum shm_traffic {
    SHM_TRAFFIC_DEFAULT = 0, /**< OPEN: NORMAL; LISTEN: as each opener asks */
    SHM_TRAFFIC_NORMAL = 1,
    SHM_TRAFFIC_LATENCY = 2, /**< before all others */
    SHM_TRAFFIC_BULK = 3,    /**< after all others */
    SHM_TRAFFIC_MAX = 4
};

struct shm_command {
    uint8_t opcode; /**< enum shm_opcode */
    uint8_t flags;
    uint16_t _pad;
    uint32_t conn;
    uint64_t tag; /**< SEND: comes back in SHM_CPL_SENT */

    union {
        struct {
            struct shm_addr to;
            uint64_t service;
            uint64_t instance; /**< of the snapd expected there; 0: any */
            uint8_t traffic;   /**< enum shm_traffic, for both directions */
        } open;

        struct {
            uint64_t service; /**< 0: the engine chooses an unguessable one */
            uint8_t traffic;  /**< enum shm_traffic, for what is sent to openers */
        } listen;

        struct {
            uint64_t off; /**< in the tx region */
            uint32_t len;
            uint32_t stream;
        } send;

        uint8_t bytes[48];
    } u;
};

enum shm_cpl_kind {
    SHM_CPL_LISTENING = 1, /**< conn: listener; u.listening */
    SHM_CPL_OPENED = 2,    /**< conn; u.peer */
    SHM_CPL_ACCEPTED = 3,  /**< conn: new, chosen by the engine; tag: listener; u.peer */
    SHM_CPL_RECEIVED = 4,  /**< conn; u.received */
    /** conn, tag: that tx memory is the application's again; says nothing about delivery. Each SEND
     *  that was taken is named exactly once, before CLOSED; a SEND that crosses a CLOSED on its way
     *  is named after CLOSED, with SHM_CPL_UNSENT. Attach.joins_sent: n_more and u.sent name other
     *  messages of whatever connections, for which the flags hold as well; else n_more is 0. */
    SHM_CPL_SENT = 5,
    SHM_CPL_CLOSED = 6, /**< conn (or listener, flags SHM_CPL_LISTENER); reason; final */
    SHM_CPL_MAX = 7
};

enum {
    SHM_CPL_LISTENER = 1u << 0,     /**< CLOSED: `conn` is a listener */
    SHM_CPL_NEVER_OPENED = 1u << 1, /**< CLOSED: not a byte of any of its messages left this host */
    SHM_CPL_UNSENT = 1u << 2        /**< SENT: not a byte of this message left this host */
};

struct shm_completion {
    uint8_t kind; /**< enum shm_cpl_kind */
    uint8_t flags;
    uint8_t reason; /**< enum shm_reason */
    uint8_t n_more; /**< SENT: tags in u.sent */
    uint32_t conn;
    uint64_t tag;

    union {
        struct {
            uint64_t service;
            uint64_t instance;
            uint16_t udp_port;
        } listening;

        struct {
            uint64_t tags[SHM_SENT_MORE_MAX];
        } sent;

        struct {
            struct shm_addr addr; /**< all zero: same snapd */
        } peer;

        struct {
            uint64_t off; /**< in the rx region, 64-aligned */
            uint32_t len;
            uint32_t stream;
            uint32_t seq; /**< ordered: counts its stream's lane; else its number in the conn */
        } received;

        uint8_t bytes[48];
    } u;
};

static_assert(sizeof(struct shm_command) == SHM_SLOT_BYTES, "ABI");
static_assert(sizeof(struct shm_completion) == SHM_SLOT_BYTES, "ABI");
static_assert(offsetof(struct shm_command, u) == 16, "ABI");
static_assert(offsetof(struct shm_completion, u) == 16, "ABI");
static_assert(sizeof(((struct shm_completion *)0)->u) == SHM_SLOT_BYTES - 16, "ABI");
static_assert(offsetof(struct shm_client_area, cpl_head) == 64, "ABI");
static_assert(offsetof(struct shm_client_area, is_asleep) == 128, "ABI");
static_assert(offsetof(struct shm_client_area, waits) == 4, "ABI");
static_assert(offsetof(struct shm_engine_area, processor) == 132, "ABI");
static_assert(offsetof(struct shm_engine_area, cmd_head) == 64, "ABI");
static_assert(offsetof(struct shm_engine_area, cpl_tail) == 128, "ABI");
static_assert(offsetof(struct shm_engine_area, is_asleep) == 192, "ABI");
static_assert(offsetof(struct shm_engine_area, closed) == 256, "ABI");
static_assert(sizeof(struct shm_engine_area) <= SHM_SLOTS_OFF, "ABI");

/** Static text that can end a sentence about a connection; any value is allowed. */
const char *shm_reason_text(enum shm_reason reason);

#endif
