/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_FLOW_INTERNAL_H
#define PONY_PROTOCOL_FLOW_INTERNAL_H

#include "base/pool.h"
#include "base/rng.h"
#include "base/wheel.h"
#include "transport/pony/protocol/cc.h"
#include "transport/pony/protocol/class.h"
#include "transport/pony/protocol/flow.h"
#include "transport/pony/protocol/packet_pool.h"
#include "transport/pony/protocol/parts.h"
#include "transport/pony/protocol/path_mtu.h"
#include "transport/pony/protocol/recv_window.h"
#include "transport/pony/protocol/reply.h"
#include "transport/pony/protocol/rtt.h"
#include "transport/pony/protocol/sent_window.h"
#include "transport/pony/protocol/wire.h"

#include <stdalign.h>

/**
 * What the files of the flow layer share; nobody else includes this.
 *
 *   flow_table.c   create, look up, kill, walk        flow_rx.c      what arrives, by state
 *   flow_tx.c      data that leaves, flows in turn    flow_emit.c    all other packets
 *   flow_ack.c     what the peer got                  flow_timers.c  one timer per flow
 *   handshake.c    HELLO, HELLO_OK, REFUSE            flow_hint.c    what others say of a peer
 */

/** States of a flow; the table of what each does with each packet is in flow_rx.c. */
enum pony_flow_state {
    PONY_FLOW_HELLO_SENT,     /**< somebody wants it; the peer may have said HELLO meanwhile */
    PONY_FLOW_HELLO_RECEIVED, /**< half open: nothing proves yet that the peer is at that address */
    PONY_FLOW_UP,
    PONY_FLOW_ENDING, /**< dead to all; only its RESET is still to be sent */
    PONY_FLOW_STATE_MAX
};

/* X(enum name, text for status) */
#define PONY_FLOW_COUNTERS(X) \
    X(RX_PACKETS, "rx_packets") \
    X(RX_BYTES, "rx_bytes") \
    X(RX_DATA, "rx_data") \
    X(RX_DUPLICATES, "rx_duplicates") \
    X(RX_HELLOS, "rx_hellos") \
    X(TX_PACKETS, "tx_packets") \
    X(TX_BYTES, "tx_bytes") \
    X(TX_DATA, "tx_data") \
    X(TX_RESENT, "tx_resent") \
    X(TX_ACKS, "tx_acks") \
    X(TX_PROBES, "tx_probes") \
    X(TX_HELLOS, "tx_hellos") \
    X(TX_PARTS, "tx_parts") \
    X(RX_PARTS, "rx_parts") \
    X(MTU_PROBES, "mtu_probes") \
    X(MTU_RAISED, "mtu_raised") \
    X(MTU_LOWERED, "mtu_lowered") \
    X(TX_RESETS, "tx_resets") \
    X(LOSSES, "losses") \
    X(TIMEOUTS, "timeouts") \
    X(REORDERED, "reordered") \
    X(SPURIOUS, "spurious_retransmissions") \
    X(REPATHED, "repathed") \
    X(POOL_EMPTY, "packet_pool_empty") \
    X(FLOWS_OPENED, "flows_opened") \
    X(FLOWS_UP, "flows_up") \
    X(FLOWS_DOWN, "flows_down") \
    X(HALF_OPEN_EVICTED, "half_open_evicted") \
    X(HINTS, "hints_not_believed") \
    X(DROP_OVERSIZE, "drop_oversize") \
    X(DROP_SHORT, "drop_short") \
    X(DROP_CHECKSUM, "drop_checksum") \
    X(DROP_TYPE, "drop_type") \
    X(DROP_VERSION, "drop_version") \
    X(DROP_FLAGS, "drop_flags") \
    X(DROP_LENGTH, "drop_length") \
    X(DROP_SACK, "drop_sack") \
    X(DROP_HELLO, "drop_hello") \
    X(DROP_REFUSED, "drop_refused") \
    X(DROP_UNKNOWN_FLOW, "drop_unknown_flow") \
    X(DROP_TOKEN, "drop_token") \
    X(DROP_STATE, "drop_state") \
    X(DROP_ACK, "drop_ack") \
    X(DROP_WINDOW, "drop_window") \
    X(DROP_RESET, "drop_reset") \
    X(DROP_FRAMES, "drop_frames") \
    X(DROP_SECURITY, "drop_security") \
    X(DROP_UNSEALED, "drop_unsealed") \
    X(DROP_FORGED, "drop_forged") \
    X(DROP_OLD_KEY, "drop_old_key") \
    X(DROP_REPLAYED, "drop_replayed") \
    X(DROP_REPLY, "drop_reply_limit")

enum pony_flow_counter {
#define X(name, text) PONY_FLOW_C_##name,
    PONY_FLOW_COUNTERS(X)
#undef X
    PONY_FLOW_N_COUNTERS
};

enum {
    PONY_FLOW_BURST_PKTS = 44,     /**< one flow's turn: what one UDP_SEGMENT call may carry */
    PONY_FLOW_BURST_BYTES = 64000, /**< likewise */
    PONY_FLOW_ACK_PKTS = 64,       /**< a bare ACK goes after so many packets at the latest */
    PONY_FLOW_ACK_BYTES = 131072,  /**< or so many bytes: two full UDP_GRO buffers */
    PONY_FLOW_MAX_FLOWS = 65536,   /**< a flow's number has 16 bits of index */
    PONY_FLOW_PER_ADDR_MAX = 64,   /**< flows with one address: four of ours, 16 slots each */
    PONY_FLOW_HELLO_FULL = 2,      /**< HELLOs of full size before 1200 bytes are tried */
    PONY_FLOW_COOKIES_AT_ONCE = 4, /**< HELLOs that do not wait for their time, with new cookies */
    PONY_FLOW_SILENT_MIN = 3,      /**< unanswered attempts before a flow may be called dead */
    PONY_FLOW_REPATH_AFTER = 3,    /**< timeouts, probes or bursts of duplicates in a row. PX-34 */
    PONY_FLOW_REO_MAX = 8          /**< reordering guard: 1..8 quarters of srtt */
};

#define PONY_FLOW_ACK_DELAY_NS   UINT64_C(50000)  /* the longest that an ACK waits for data */
#define PONY_FLOW_ACK_BUSY_NS    UINT64_C(200000) /* data that follows sooner may wait for its ACK */
#define PONY_FLOW_HELLO_FIRST_NS UINT64_C(20000000) /* first repetition of a HELLO */
#define PONY_FLOW_MTU_WAIT_NS    UINT64_C(20000000) /* for the answer to a padded PROBE, at least */
#define PONY_FLOW_LIMITED_NS     UINT64_C(1000000000) /* how long "lately" is */
#define PONY_FLOW_HELLO_MAX_NS   UINT64_C(200000000)

struct pony_flow {
    struct pony_flow_table *table;
    struct base_list round_link;  /**< in its class's round: may have something to send */
    struct base_list starve_link; /**< in table->starved: waits for a packet */
    struct base_list addr_link;   /**< in its bucket of table->by_addr */
    struct base_list half_link;   /**< in table->half_open, oldest first */
    struct base_timer timer;

    enum pony_flow_state state;
    uint32_t class;     /**< enum pony_class of its round */
    uint32_t idx;       /**< in table->flows */
    uint32_t number;    /**< generation << 16 | idx: what peers call it */
    uint64_t token;     /**< peers must show it */
    uint32_t first_seq; /**< of our packets: in every HELLO and HELLO_OK */
    uint8_t slot;       /**< which of the flows between the two engines. PX-90 */
    uint32_t n_users;
    bool is_announced; /**< the operation layer knows it */
    void *user_data;

    /* The peer, as its HELLO or HELLO_OK said; all but `peer` only while has_peer. */
    struct pony_addr peer;
    bool has_peer;
    uint8_t version;
    uint32_t peer_flow;
    uint64_t peer_token, peer_instance;
    uint64_t features; /**< chosen */
    uint32_t tx_mtu;   /**< largest UDP payload to the peer; pmtu.bytes once up */
    struct pony_path_mtu pmtu;

    /* Handshake. */
    uint64_t hello_start_ns, hello_next_ns;
    uint32_t n_hellos;
    bool is_narrow;          /**< large HELLOs do not even leave this host */
    uint32_t n_cookies;      /**< taken: each lets a HELLO go at once, for a while */
    enum shm_reason refused; /**< a REFUSE that nothing proves: the reason if no answer comes */

    /* What is to be sent. */
    bool needs_hello, needs_hello_ok, needs_probe, owes_ack, wants_fill;
    bool needs_mtu_probe, owes_mtu_answer;
    uint32_t mtu_answer;       /**< number of the padded PROBE to be answered */
    uint8_t part_idx, n_parts; /**< pieces sent of packet part_seq; n_parts 0: none */
    uint32_t part_seq;
    bool may_exceed; /**< one lost packet may go past the window: after a timeout */
    enum shm_reason end_reason;

    struct pony_recv_window recv;
    struct pony_sent_window sent;
    struct pony_rtt rtt;

    /* The acknowledgement that is owed. PX-25 */
    uint64_t ack_due_ns;   /**< when it goes by itself, if no data has carried it */
    uint64_t last_data_ns; /**< newest DATA or PROBE */
    uint32_t n_unacked_pkts, n_unacked_bytes; /**< received since the last one went */

    /* What the next packet echoes. */
    bool has_echo;
    uint8_t echo_hops;
    uint8_t n_dup;
    uint16_t n_ce;
    bool has_newest; /**< echo_ts is the newest time stamp seen */
    uint32_t echo_ts;
    uint64_t echo_rx_ns;   /**< when the packet arrived at the host */
    uint64_t echo_done_ns; /**< when it had been worked on */
    /* The same counts as the peer reported them last. */
    uint8_t peer_n_dup;
    uint16_t peer_n_ce;

    uint64_t rto_base_ns;   /**< the timeout counts from here */
    uint64_t pace_next_ns;  /**< no data before */
    uint64_t last_rx_ns;    /**< valid packet of any kind */
    uint64_t last_use_ns;   /**< data or probe, either way, or a user leaving */
    uint64_t limited_ns;    /**< when the largest window was last full; 0: never */
    uint64_t owed_since_ns; /**< since when an answer is owed to us; UINT64_MAX: none is */
    uint64_t probe_sent_ns;
    uint32_t n_probes;     /**< sent, since anything was received */
    uint32_t n_silent;     /**< probes and timeouts since anything was received */
    bool is_doubted;       /**< a hint says that nobody is there */
    enum shm_reason doubt; /**< what the hint said; SHM_REASON_NONE: nothing */
    uint32_t reo_quarters;
    uint32_t reo_quiet; /**< losses since the guard was last too short */
    uint16_t path;      /**< src_port_hint; the first by the slot, others when that seems broken */
    uint8_t n_again;    /**< bursts of duplicates received in a row */
    uint64_t again_ns;  /**< when the last of them began; with n_again > 0 */

    double window_pkts; /**< congestion control's last word */
    uint64_t sent_pkts, received_pkts, resent_pkts, timeouts, duplicates, dropped;
    alignas(16) unsigned char cc_state[PONY_CC_STATE_MAX];
};

/** Flows of one class that may have something to send, in turn. */
struct pony_flow_round {
    struct base_list flows;
    uint32_t burst_pkts, burst_bytes; /**< of the turn of the first */
};

struct pony_flow_table {
    struct pony_flow_config config;
    struct pony_wire_versions versions;
    struct base_log_limit log_limit;
    struct base_pool flows;
    struct pony_tx_packet **slots; /**< [max_flows * n_slots] for the sent windows */
    uint32_t n_slots;
    struct base_list *by_addr; /**< [addr_mask + 1] */
    uint32_t addr_mask;
    uint64_t addr_seed, token_seed, n_tokens;
    struct pony_flow_round rounds[PONY_CLASSES];
    uint32_t busy; /**< bit per class: its round may have somebody; cleared late */
    struct pony_class_waits waits;
    struct base_list starved, half_open;
    uint32_t n_half_open, max_half_open;
    struct pony_packet_pool packets;
    uint8_t *scratch; /**< [PONY_TX_BATCH_MAX * PONY_HEAD_BYTES]: heads of control packets */
    uint32_t scratch_idx;
    struct pony_replies replies;
    struct pony_parts parts;
    const struct pony_seal_ops *seal_ops;
    struct pony_seal *seal;
    uint8_t *opened; /**< [PONY_MTU_MAX] the packet being worked on, decrypted */
    struct base_wheel wheel;
    struct base_rng rng;
    uint64_t counters[PONY_FLOW_N_COUNTERS];
};

static inline void pony_flow_count(struct pony_flow_table *table, enum pony_flow_counter counter)
{
    table->counters[counter]++;
}

/* flow_table.c */

/** A new flow in `state`, in the table. NULL: the limit; half-open ones gave way already. */
struct pony_flow *pony_flow_new(struct pony_flow_table *table, const struct pony_addr *peer,
                                uint8_t slot, enum pony_flow_state state, uint64_t now_ns);
/** The only writer of flow->state. */
void pony_flow_set_state(struct pony_flow *flow, enum pony_flow_state state);
/** By its number; NULL when there is none. */
struct pony_flow *pony_flow_find(struct pony_flow_table *table, uint32_t number);
struct base_list *pony_flow_bucket(struct pony_flow_table *table, const struct pony_addr *addr);
/** Dies: packets are released, `down` is called, the peer is told if `is_peer_told`. */
void pony_flow_kill(struct pony_flow *flow, enum shm_reason reason, bool is_peer_told);
void pony_flow_free(struct pony_flow *flow);
/** Puts it in the send round. */
void pony_flow_activate(struct pony_flow *flow);
/** Gives packets of `list` back, telling their owners. */
void pony_flow_release(struct pony_flow *flow, struct base_list *list, bool was_acked);

/* handshake.c */

struct pony_arrival {
    const struct pony_packet_in *in;
    const struct pony_wire_hdr *hdr;
    const uint8_t *body;
    uint64_t now_ns;
};

void pony_flow_begin_hello(struct pony_flow *flow, uint64_t now_ns);
void pony_flow_on_hello(struct pony_flow_table *table, const struct pony_arrival *arrival);
void pony_flow_on_hello_ok(struct pony_flow *flow, const struct pony_arrival *arrival);
void pony_flow_on_hello_ok_again(struct pony_flow *flow, const struct pony_arrival *arrival);
void pony_flow_on_refuse(struct pony_flow *flow, const struct pony_arrival *arrival);
void pony_flow_on_refuse_late(struct pony_flow *flow, const struct pony_arrival *arrival);
/** The peer has shown our token: from here on it is the one flow with that address. */
void pony_flow_come_up(struct pony_flow *flow, uint64_t now_ns);
/** Size of the next HELLO. */
uint32_t pony_flow_hello_mtu(const struct pony_flow *flow);

/* flow_ack.c */

/** Works on acknowledgement and echo. False: it acknowledges what was never sent; counted. */
bool pony_flow_work_on_ack(struct pony_flow *flow, const struct pony_arrival *arrival);

/** What says that the peer is gone and proves nothing: it is asked. PX-230 */
void pony_flow_take_hint(struct pony_flow *flow, enum shm_reason reason);

/** A RESET with UNKNOWN came. */
void pony_flow_on_reset_unknown(struct pony_flow_table *table, const struct pony_arrival *arrival);

/** An acknowledgement is owed, at `due_ns` at the latest. */
void pony_flow_owe_ack(struct pony_flow *flow, uint64_t due_ns, uint64_t now_ns);

/** A packet tells what has arrived, all of it or not. */
static inline void pony_flow_note_ack(struct pony_flow *flow, bool is_whole)
{
    flow->owes_ack = !is_whole;
    flow->n_unacked_pkts = 0;
    flow->n_unacked_bytes = 0;
}

/** Remembers what the next packet to the peer echoes. */
void pony_flow_note_echo(struct pony_flow *flow, const struct pony_arrival *arrival);
/** Takes the round trip that the packet echoes, 0 when there is none. */
uint64_t pony_flow_take_rtt(struct pony_flow *flow, const struct pony_arrival *arrival);
void pony_flow_find_lost(struct pony_flow *flow, uint64_t now_ns);
/** A packet was lost though something has arrived since it was sent. */
void pony_flow_on_large_lost(struct pony_flow *flow, const struct pony_tx_packet *packet,
                             uint64_t now_ns);

/* flow_emit.c: packets of our own, each into `out` */

/** Room for a head, good for the rest of the batch: [PONY_HEAD_BYTES]. */
uint8_t *pony_flow_next_scratch(struct pony_flow_table *table);
/** Counts a packet that leaves. */
void pony_flow_put_out(struct pony_flow_table *table, struct pony_packet_out *out);
/** The header of a packet on a flow, but for lengths and SACK; takes the echo. */
void pony_flow_make_header(struct pony_flow *flow, enum pony_wire_type type, uint64_t now_ns,
                           struct pony_wire_hdr *hdr);
/** A packet in a scratch head, its body already at PONY_HEAD_ROOM. */
void pony_flow_emit_scratch(struct pony_flow_table *table, const struct pony_addr *to,
                            const struct pony_wire_hdr *hdr, uint8_t *head,
                            struct pony_packet_out *out);
/** A packet of a secured flow: encrypted into a scratch head, a private copy. PX-220 */
void pony_flow_emit_sealed(struct pony_flow *flow, const struct pony_seal_out *sealed,
                           struct pony_packet_out *out);
void pony_flow_emit_reply(struct pony_flow_table *table, const struct pony_reply *reply,
                          struct pony_packet_out *out);
/** The last packet of a flow, which is gone afterwards. */
void pony_flow_emit_reset(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out);
/** HELLO_OK or HELLO, if one is to be sent. */
bool pony_flow_next_hello(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out);
void pony_flow_emit_ack(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out);
void pony_flow_emit_probe(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out);
/** A padded PROBE, if the search for a larger path wants one. PX-231 */
bool pony_flow_next_mtu_probe(struct pony_flow *flow, uint64_t now_ns, struct pony_packet_out *out);

/* flow_timers.c */

/** UDP payload of a retained packet if it were sent now, without SACK words. */
uint32_t pony_flow_packet_bytes(const struct pony_flow *flow, const struct pony_tx_packet *packet);

/** How long it may be without users. PX-52, PX-93 */
uint64_t pony_flow_idle_ns(const struct pony_flow *flow);
/** Makes sure that the flow's timer fires at `deadline_ns` or before. */
void pony_flow_arm(struct pony_flow *flow, uint64_t deadline_ns);
/** An answer is owed to us from now on (if none was). */
void pony_flow_owe(struct pony_flow *flow, uint64_t now_ns);
/** Sends a PROBE at the next occasion. */
void pony_flow_probe(struct pony_flow *flow);

/** What is sent from here on takes another path, if the device has several. PX-34 */
void pony_flow_repath(struct pony_flow *flow);
uint64_t pony_flow_reo_ns(const struct pony_flow *flow);

#endif
