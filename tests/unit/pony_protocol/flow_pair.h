/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_PONY_PROTOCOL_FLOW_PAIR_H
#define TESTS_UNIT_PONY_PROTOCOL_FLOW_PAIR_H

#include "base/log.h"
#include "transport/pony/protocol/flow.h"

#include <stdbool.h>

/**
 * Two flow tables joined by hand: a test moves each packet itself, or lets them all run.
 */
struct flow_end {
    struct pony_addr addr;
    struct pony_flow_config config;
    struct pony_flow_table *table;
    struct pony_flow *flow; /**< of the last `up`, or of flow_pair_open; NULL after `down` */
    uint32_t n_to_send;     /**< packets that fill() still has */
    uint32_t head_bytes, payload_bytes; /**< of each; 0 and 0: as much as there is room for */
    const uint8_t *payload;
    bool is_deliver_refused;
    uint32_t n_filled, n_delivered, n_acked, n_dropped, n_ups, n_downs;
    enum shm_reason reason; /**< of the last `down` */
    uint8_t last_body[PONY_MTU_MAX];
    uint32_t last_len;
    struct base_log log;
    enum base_log_level log_most; /**< what is logged is at least as urgent */
    char logged[4096];
};

struct flow_bytes {
    uint8_t data[PONY_MTU_MAX + 16];
    uint32_t len;
    struct pony_addr to;
};

struct flow_pair {
    struct flow_end ends[2];
    uint64_t now_ns;
    uint32_t link_mtu; /**< larger packets vanish while they all run; 0: no limit */
};

/** Sets addresses and default configurations; change those, then flow_pair_start. */
void flow_pair_init(struct flow_pair *pair);
void flow_pair_start(struct flow_pair *pair);
void flow_pair_stop(struct flow_pair *pair);
/** End `idx` starts anew, as another instance. */
void flow_pair_restart(struct flow_pair *pair, uint32_t idx);

/** Before the start: both ends keep what they log, which must be as urgent as `most` or more. */
void flow_pair_keep_logs(struct flow_pair *pair, enum base_log_level most);
/** End `idx` has logged that. */
void flow_pair_expect_logged(const struct flow_pair *pair, uint32_t idx, const char *part);

void flow_pair_open(struct flow_pair *pair, uint32_t idx);
/** Opens from end 0 and runs until both are up. */
void flow_pair_connect(struct flow_pair *pair);
/** Both ends open at once, and their HELLOs cross. */
void flow_pair_connect_crossed(struct flow_pair *pair);
/** Opens from end 0: the handshake comes to nothing, for that reason. */
void flow_pair_expect_no_flow(struct flow_pair *pair, enum shm_reason reason);
/** 100 packets go from each end to the other. */
void flow_pair_expect_data(struct flow_pair *pair);
/** End `idx` has `n` more packets. */
void flow_pair_send(struct flow_pair *pair, uint32_t idx, uint32_t n);

/** The next packet of end `idx`. */
bool flow_pair_take(struct flow_pair *pair, uint32_t idx, struct flow_bytes *bytes);
/** Takes and forgets all that end `idx` has to send. Returns how many. */
uint32_t flow_pair_lose(struct flow_pair *pair, uint32_t idx);
/** End `idx` receives it, from the other. */
void flow_pair_give(struct flow_pair *pair, uint32_t idx, const struct flow_bytes *bytes);
void flow_pair_give_from(struct flow_pair *pair, uint32_t idx, const struct flow_bytes *bytes,
                         const struct pony_addr *from);
/** Moves packets both ways until there are none; 1 us per turn. */
void flow_pair_run(struct flow_pair *pair);
/** Time passes, with timers; packets move only if `is_joined`, else they are lost. */
void flow_pair_wait(struct flow_pair *pair, uint64_t ns, bool is_joined);

uint64_t flow_pair_count(const struct flow_pair *pair, uint32_t idx, const char *name);
uint32_t flow_pair_n_flows(const struct flow_pair *pair, uint32_t idx);
/** Of the first flow of end `idx`, which is there. */
struct pony_flow_info flow_pair_info(const struct flow_pair *pair, uint32_t idx);

/** Makes the checksum of a changed packet right again, as a hostile peer would. */
void flow_bytes_seal(struct flow_bytes *bytes);

static inline uint8_t flow_bytes_type(const struct flow_bytes *bytes)
{
    return bytes->data[5];
}

#endif
