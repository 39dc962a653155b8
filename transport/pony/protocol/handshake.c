/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How two tables come to share a flow: HELLO, HELLO_OK, REFUSE. PX-13..PX-19
 */
#include "base/compiler.h"
#include "transport/pony/abi/address.h"
#include "transport/pony/protocol/flow_internal.h"

#include <string.h>

void pony_flow_begin_hello(struct pony_flow *flow, uint64_t now_ns)
{
    flow->hello_start_ns = now_ns;
    flow->hello_next_ns = now_ns;
    flow->n_hellos = 0;
    flow->needs_hello = true;
    pony_flow_activate(flow);
    pony_flow_arm(flow, now_ns + flow->table->config.hello_timeout_ns);
}

/* Two of full size, then in turn the least size that every path carries and the full one. */
uint32_t pony_flow_hello_mtu(const struct pony_flow *flow)
{
    bool is_small =
        flow->n_hellos >= PONY_FLOW_HELLO_FULL && (flow->n_hellos - PONY_FLOW_HELLO_FULL) % 2 == 0;
    return is_small || flow->is_narrow ? (uint32_t)PONY_MTU_MIN : flow->table->config.mtu_bytes;
}

/* The version to speak with a peer that offers these; 0: none in common. */
static uint8_t choose_version(const struct pony_flow_table *table,
                              const struct pony_wire_hello *hello)
{
    const struct pony_wire_versions *ours = &table->versions;
    uint8_t lo = hello->version_min > ours->min ? hello->version_min : ours->min;
    uint8_t hi = hello->version_max < ours->max ? hello->version_max : ours->max;
    return lo <= hi ? hi : 0;
}

static void name_peer(const struct pony_addr *peer, char *name)
{
    struct shm_addr addr = pony_addr_to_shm(peer);
    pony_address_format_peer(&addr, name);
}

static struct base_log_place log_place(struct pony_flow_table *table, uint64_t now_ns)
{
    return (struct base_log_place){.log = table->config.log,
                                   .limit = &table->log_limit,
                                   .now_ns = now_ns,
                                   .component = "pony"};
}

/* Both ends say it, so that whoever looks into either log knows which snapd is to be renewed. PX-57 */
static void log_no_version(struct pony_flow_table *table, const struct pony_addr *peer,
                           const struct pony_wire_versions *theirs, uint64_t now_ns)
{
    char name[PONY_ADDRESS_MAX];
    const struct base_log_place place = log_place(table, now_ns);
    name_peer(peer, name);
    base_logf_limited(&place, BASE_LOG_WARN,
                      "%s speaks versions %u to %u of Pony Express, this engine %u to %u: no flow "
                      "until one of the two snapds is renewed",
                      name, theirs->min, theirs->max, table->versions.min, table->versions.max);
}

/* PX-202: both ends say what the other wanted. */
static void log_refused(struct pony_flow_table *table, const struct pony_addr *peer,
                        enum pony_security_mode peers, uint64_t now_ns)
{
    char name[PONY_ADDRESS_MAX];
    const struct base_log_place place = log_place(table, now_ns);
    name_peer(peer, name);
    base_logf_limited(&place, BASE_LOG_WARN,
                      "%s refused a flow: it wants mode %s, this engine mode %s, with the same "
                      "cluster key; compare [security] in the snapd.conf of both",
                      name, pony_security_mode_name(peers), table->seal_ops->name);
}

static void log_refusing(struct pony_flow_table *table, const struct pony_addr *peer,
                         enum pony_security_mode peers, enum pony_seal_verdict why, uint64_t now_ns)
{
    char name[PONY_ADDRESS_MAX];
    const struct base_log_place place = log_place(table, now_ns);
    name_peer(peer, name);
    base_logf_limited(&place, BASE_LOG_WARN,
                      "no flow with %s: %s (it: mode %s, this engine: mode %s); compare [security] "
                      "in the snapd.conf of both",
                      name, pony_seal_verdict_text(why), pony_security_mode_name(peers),
                      table->seal_ops->name);
}

static struct pony_seal_hello seal_hello(const struct pony_arrival *arrival,
                                         const struct pony_wire_hello *hello)
{
    return (struct pony_seal_hello){
        .packet = arrival->in->data,
        .covered = PONY_WIRE_HDR_BYTES + (uint32_t)arrival->hdr->covered_len,
        .is_ok = arrival->hdr->type == PONY_WIRE_HELLO_OK,
        .first_seq = arrival->hdr->seq,
        .hello = hello,
        .from = &arrival->in->from,
        .now_ns = arrival->now_ns,
    };
}

static enum pony_security_mode mode_of(uint64_t features)
{
    return features == 0                         ? PONY_SECURITY_PLAIN
           : features == PONY_WIRE_FEATURE_PSK   ? PONY_SECURITY_PSK
           : features == PONY_WIRE_FEATURE_CERTS ? PONY_SECURITY_CERTS
                                                 : PONY_SECURITY_MODE_MAX;
}

/* May its sender speak with us at all? Counted and logged if not. PX-202, PX-211 */
static enum pony_seal_verdict check_seal(struct pony_flow_table *table,
                                         const struct pony_arrival *arrival,
                                         const struct pony_wire_hello *hello)
{
    const struct pony_seal_hello in = seal_hello(arrival, hello);
    enum pony_seal_verdict verdict = table->seal_ops->check_hello(table->seal, &in);
    if (verdict != PONY_SEAL_OK && verdict != PONY_SEAL_COOKIE) {
        pony_flow_count(table, PONY_FLOW_C_DROP_SECURITY);
        log_refusing(table, &arrival->in->from, mode_of(hello->features), verdict, arrival->now_ns);
    }
    return verdict;
}

/* What the peer is told of a certificate that is refused; NONE: nothing to tell. PX-247 */
static enum pony_wire_detail detail_of(enum pony_seal_verdict verdict)
{
    static const enum pony_wire_detail details[PONY_SEAL_VERDICT_MAX] = {
        [PONY_SEAL_COOKIE] = PONY_WIRE_DETAIL_COOKIE,
        [PONY_SEAL_UNTRUSTED] = PONY_WIRE_DETAIL_UNTRUSTED,
        [PONY_SEAL_EXPIRED] = PONY_WIRE_DETAIL_EXPIRED,
        [PONY_SEAL_USAGE] = PONY_WIRE_DETAIL_USAGE,
        [PONY_SEAL_IDENTITY] = PONY_WIRE_DETAIL_IDENTITY,
        [PONY_SEAL_SIGNATURE] = PONY_WIRE_DETAIL_SIGNATURE,
    };

    return details[verdict];
}

static const char *detail_text(uint8_t detail)
{
    static const char *const texts[PONY_WIRE_DETAIL_MAX] = {
        [PONY_WIRE_DETAIL_UNTRUSTED] = "our certificate is not from its CA",
        [PONY_WIRE_DETAIL_EXPIRED] = "our certificate has expired, or is not valid yet",
        [PONY_WIRE_DETAIL_USAGE] = "our certificate is not for this",
        [PONY_WIRE_DETAIL_IDENTITY] = "our certificate names nobody who may be its peer",
        [PONY_WIRE_DETAIL_SIGNATURE] = "our signature is wrong",
    };
    return detail < PONY_WIRE_DETAIL_MAX ? texts[detail] : NULL;
}

/* The keys to share with the sender of a HELLO that may speak with us. */
static enum pony_seal_verdict agree(struct pony_flow *flow, const struct pony_arrival *arrival,
                                    const struct pony_wire_hello *hello)
{
    struct pony_flow_table *table = flow->table;
    struct pony_seal_hello in = seal_hello(arrival, hello);
    in.from = &flow->peer; /* who is meant: it may come from anywhere. PX-244 */
    enum pony_seal_verdict verdict =
        table->seal_ops->agree(table->seal, flow->idx, &in, arrival->now_ns);
    if (verdict != PONY_SEAL_OK) {
        pony_flow_count(table, PONY_FLOW_C_DROP_SECURITY);
    }
    if (detail_of(verdict) != PONY_WIRE_DETAIL_NONE) {
        log_refusing(table, &arrival->in->from, mode_of(hello->features), verdict, arrival->now_ns);
    }
    return verdict;
}

static bool is_same_peer(const struct pony_flow *flow, const struct pony_wire_hello *hello)
{
    return flow->has_peer && flow->peer_flow == hello->flow && flow->peer_token == hello->token &&
           flow->peer_instance == hello->instance;
}

/* Nothing was exchanged on the flow yet: what an earlier HELLO said gives way. */
static void learn_peer(struct pony_flow *flow, const struct pony_wire_hello *hello,
                       uint32_t first_seq)
{
    flow->has_peer = true;
    flow->peer_flow = hello->flow;
    flow->peer_token = hello->token;
    flow->peer_instance = hello->instance;
    flow->features = hello->features;
    flow->has_newest = false; /* an earlier one's time stamp may have been anybody's */
    flow->has_echo = false;
    flow->tx_mtu = base_min_u32(hello->mtu_bytes, flow->table->config.mtu_bytes);
    pony_recv_window_init(&flow->recv, first_seq);
}

static void send_refusal(struct pony_flow_table *table, const struct pony_arrival *arrival,
                         const struct pony_wire_hello *hello, struct pony_reply *reply)
{
    reply->to = arrival->in->from;
    reply->type = PONY_WIRE_REFUSE;
    reply->version = PONY_WIRE_HANDSHAKE_VERSION;
    reply->dst_flow = hello->flow;
    reply->token = hello->token;
    if (!pony_replies_put(&table->replies, reply, arrival->now_ns)) {
        pony_flow_count(table, PONY_FLOW_C_DROP_REPLY);
    }
}

static void refuse(struct pony_flow_table *table, const struct pony_arrival *arrival,
                   const struct pony_wire_hello *hello, enum shm_reason reason)
{
    struct pony_reply reply = {.reason = (uint8_t)reason};
    pony_flow_count(table, PONY_FLOW_C_DROP_REFUSED);
    send_refusal(table, arrival, hello, &reply);
}

/* Of what check_hello() or agree() found; what the sender may not or need not know is not told. PX-247 */
static void refuse_seal(struct pony_flow_table *table, const struct pony_arrival *arrival,
                        const struct pony_wire_hello *hello, enum pony_seal_verdict verdict)
{
    bool is_told = verdict == PONY_SEAL_MODE || verdict == PONY_SEAL_KEY ||
                   verdict == PONY_SEAL_CIPHER || detail_of(verdict) != PONY_WIRE_DETAIL_NONE;
    if (!is_told) {
        return;
    }
    const struct pony_seal_hello in = seal_hello(arrival, hello);
    struct pony_reply reply = {.reason = SHM_REASON_SECURITY,
                               .detail = (uint8_t)detail_of(verdict)};
    if (verdict == PONY_SEAL_COOKIE) {
        table->seal_ops->make_cookie(table->seal, &in, reply.cookie);
    } else {
        pony_flow_count(table, PONY_FLOW_C_DROP_REFUSED);
    }
    send_refusal(table, arrival, hello, &reply);
}

/* The flow that a HELLO from there is for; NULL: a new one must be made. Old ones are probed: those
 * of the same slot, and those of another life. PX-19, PX-90
 * `n_flows`: how many there are with that address. */
static struct pony_flow *find_for_hello(struct pony_flow_table *table, const struct pony_addr *from,
                                        const struct pony_wire_hello *hello, uint32_t *n_flows)
{
    struct pony_flow *found = NULL;
    *n_flows = 0;
    base_list_foreach (link, pony_flow_bucket(table, from)) {
        struct pony_flow *flow = base_list_entry(link, struct pony_flow, addr_link);
        if (!pony_addr_equal(&flow->peer, from)) {
            continue;
        }
        ++*n_flows;
        bool is_same_slot = flow->slot == hello->slot;
        if (is_same_slot && is_same_peer(flow, hello)) {
            return flow;
        }
        if (flow->state != PONY_FLOW_UP) {
            found = is_same_slot ? flow : found;
        } else if (is_same_slot || flow->peer_instance != hello->instance) {
            pony_flow_probe(flow); /* the peer forgot it, or somebody lies: its answer tells */
        }
    }
    return found;
}

/* A HELLO that may be answered: to the flow that it is for, or to a new one. */
static void take_hello(struct pony_flow_table *table, const struct pony_arrival *arrival,
                       const struct pony_wire_hello *hello, uint8_t version)
{
    uint32_t n_flows;
    struct pony_flow *flow = find_for_hello(table, &arrival->in->from, hello, &n_flows);
    bool is_new = flow == NULL;
    if (is_new) {
        /* One address, which proved to be there, has no more of the table than this. PX-94 */
        flow = n_flows >= PONY_FLOW_PER_ADDR_MAX
                   ? NULL
                   : pony_flow_new(table, &arrival->in->from, hello->slot, PONY_FLOW_HELLO_RECEIVED,
                                   arrival->now_ns);
        if (flow == NULL) {
            refuse(table, arrival, hello, SHM_REASON_NO_MEMORY);
            return;
        }
        pony_flow_arm(flow, arrival->now_ns + table->config.hello_timeout_ns);
    }
    if (flow->state != PONY_FLOW_UP) { /* nothing in a HELLO is proven: no echo once up */
        enum pony_seal_verdict verdict = agree(flow, arrival, hello);
        if (verdict != PONY_SEAL_OK) {
            refuse_seal(table, arrival, hello, verdict);
            if (is_new) {
                pony_flow_kill(flow, SHM_REASON_SECURITY, false);
            }
            return;
        }
        learn_peer(flow, hello, arrival->hdr->seq);
        flow->version = version;
        pony_flow_note_echo(flow, arrival);
    }
    flow->needs_hello_ok = true;
    pony_flow_activate(flow);
}

void pony_flow_on_hello(struct pony_flow_table *table, const struct pony_arrival *arrival)
{
    struct pony_wire_hello hello;
    pony_flow_count(table, PONY_FLOW_C_RX_HELLOS);
    if (!pony_wire_decode_hello(arrival->body, arrival->hdr->covered_len, &hello) ||
        hello.mtu_bytes < PONY_MTU_MIN || hello.mtu_bytes != arrival->in->len) {
        pony_flow_count(table, PONY_FLOW_C_DROP_HELLO);
        return;
    }
    enum pony_seal_verdict verdict = check_seal(table, arrival, &hello);
    if (verdict != PONY_SEAL_OK) {
        refuse_seal(table, arrival, &hello, verdict);
        return;
    }
    uint8_t version = choose_version(table, &hello);
    if (version == 0) {
        const struct pony_wire_versions theirs = {hello.version_min, hello.version_max};
        log_no_version(table, &arrival->in->from, &theirs, arrival->now_ns);
        refuse(table, arrival, &hello, SHM_REASON_VERSION);
        return;
    }
    take_hello(table, arrival, &hello, version);
}

void pony_flow_on_hello_ok(struct pony_flow *flow, const struct pony_arrival *arrival)
{
    struct pony_wire_hello hello;
    struct pony_flow_table *table = flow->table;
    if (!pony_wire_decode_hello(arrival->body, arrival->hdr->covered_len, &hello) ||
        hello.version_min != hello.version_max || choose_version(table, &hello) == 0 ||
        hello.slot != flow->slot || hello.mtu_bytes < PONY_MTU_MIN ||
        hello.mtu_bytes > table->config.mtu_bytes || hello.mtu_bytes != arrival->in->len) {
        pony_flow_count(table, PONY_FLOW_C_DROP_HELLO);
        return;
    }
    if (check_seal(table, arrival, &hello) != PONY_SEAL_OK) {
        return;
    }
    enum pony_seal_verdict verdict = agree(flow, arrival, &hello);
    if (verdict != PONY_SEAL_OK) {
        if (detail_of(verdict) != PONY_WIRE_DETAIL_NONE) { /* so that both logs say why */
            refuse_seal(table, arrival, &hello, verdict);
            flow->refused = SHM_REASON_SECURITY;
        }
        return;
    }
    learn_peer(flow, &hello, arrival->hdr->seq);
    flow->version = hello.version_max;
    uint64_t rtt_ns = pony_flow_take_rtt(flow, arrival);
    if (rtt_ns != 0) {
        pony_rtt_add(&flow->rtt, rtt_ns, arrival->now_ns);
    }
    pony_flow_note_echo(flow, arrival);
    pony_flow_come_up(flow, arrival->now_ns);
    /* Until the peer has our token from us it is half open there: PX-18. `up` may not end flows. */
    pony_flow_probe(flow);
}

/* A repeated or crossing one. The peer may not know yet that we know. */
void pony_flow_on_hello_ok_again(struct pony_flow *flow, const struct pony_arrival *arrival)
{
    struct pony_wire_hello hello;
    if (!pony_wire_decode_hello(arrival->body, arrival->hdr->covered_len, &hello) ||
        hello.slot != flow->slot || !is_same_peer(flow, &hello)) {
        pony_flow_count(flow->table, PONY_FLOW_C_DROP_HELLO);
        return;
    }
    if (check_seal(flow->table, arrival, &hello) != PONY_SEAL_OK ||
        agree(flow, arrival, &hello) != PONY_SEAL_OK) {
        return;
    }
    pony_flow_note_echo(flow, arrival);
    pony_flow_owe_ack(flow, arrival->now_ns, arrival->now_ns);
}

/* It wants to see first that we are where we say: PX-241. The HELLO with the cookie goes at once,
 * but whoever makes cookies up cannot make us send or sign without end. */
static void take_cookie(struct pony_flow *flow, const struct pony_arrival *arrival)
{
    struct pony_flow_table *table = flow->table;
    if (arrival->hdr->covered_len < PONY_WIRE_END_BYTES + PONY_WIRE_COOKIE_BYTES ||
        !table->seal_ops->on_cookie(table->seal, flow->idx, arrival->body + PONY_WIRE_END_BYTES)) {
        pony_flow_count(table, PONY_FLOW_C_DROP_LENGTH);
        return;
    }
    if (flow->n_cookies < PONY_FLOW_COOKIES_AT_ONCE) {
        flow->n_cookies++;
        flow->needs_hello = true;
        pony_flow_activate(flow);
    }
}

static void log_detail(struct pony_flow *flow, uint8_t detail, uint64_t now_ns)
{
    char name[PONY_ADDRESS_MAX];
    const struct base_log_place place = log_place(flow->table, now_ns);
    name_peer(&flow->peer, name);
    base_logf_limited(&place, BASE_LOG_WARN, "%s refused a flow: %s", name, detail_text(detail));
}

/* Of the HELLO_OK that we answered with: what it says is not proven, and the flow ends by itself. */
void pony_flow_on_refuse_late(struct pony_flow *flow, const struct pony_arrival *arrival)
{
    struct pony_wire_end end;
    pony_flow_count(flow->table, PONY_FLOW_C_DROP_STATE);
    if (pony_wire_decode_end(arrival->body, arrival->hdr->covered_len, &end) &&
        end.reason == SHM_REASON_SECURITY && detail_text(end.detail) != NULL) {
        log_detail(flow, end.detail, arrival->now_ns);
    }
}

void pony_flow_on_refuse(struct pony_flow *flow, const struct pony_arrival *arrival)
{
    struct pony_wire_end end;
    if (!pony_wire_decode_end(arrival->body, arrival->hdr->covered_len, &end)) {
        pony_flow_count(flow->table, PONY_FLOW_C_DROP_LENGTH);
        return;
    }
    if (end.reason == SHM_REASON_SECURITY && end.detail == PONY_WIRE_DETAIL_COOKIE) {
        take_cookie(flow, arrival);
        return;
    }
    if (end.reason == SHM_REASON_VERSION) {
        const struct pony_wire_versions theirs = {end.version_min, end.version_max};
        log_no_version(flow->table, &flow->peer, &theirs, arrival->now_ns);
    }
    bool is_known = end.reason == SHM_REASON_VERSION || end.reason == SHM_REASON_NO_MEMORY ||
                    end.reason == SHM_REASON_SECURITY;
    enum shm_reason reason = is_known ? (enum shm_reason)end.reason : SHM_REASON_PROTOCOL;
    struct pony_flow_table *table = flow->table;
    if (reason == SHM_REASON_SECURITY && detail_text(end.detail) != NULL) {
        log_detail(flow, end.detail, arrival->now_ns);
    } else if (reason == SHM_REASON_SECURITY) {
        enum pony_security_mode peers = end.mode < PONY_SECURITY_MODE_MAX
                                            ? (enum pony_security_mode)end.mode
                                            : PONY_SECURITY_MODE_MAX;
        log_refused(table, &flow->peer, peers, arrival->now_ns);
    }
    if (table->seal_ops->is_sealing) {
        flow->refused = reason; /* anybody can say so: ask on, for as long as may be. PX-230 */
        pony_flow_count(table, PONY_FLOW_C_HINTS);
        return;
    }
    pony_flow_kill(flow, reason, false);
}

/* Flows of an earlier life of the peer are gone. Another one of this life may be to another of our
 * addresses, for all we know: it was probed, and the answer tells. PX-19 */
static void kill_rivals(struct pony_flow *flow)
{
    struct base_list *bucket = pony_flow_bucket(flow->table, &flow->peer);
    for (;;) {
        struct pony_flow *rival = NULL;
        base_list_foreach (link, bucket) {
            struct pony_flow *it = base_list_entry(link, struct pony_flow, addr_link);
            bool is_other_life = it->has_peer && it->peer_instance != flow->peer_instance;
            if (it != flow && is_other_life && pony_addr_equal(&it->peer, &flow->peer)) {
                rival = it;
            }
        }
        if (rival == NULL) {
            return;
        }
        pony_flow_kill(rival, SHM_REASON_PEER_RESTARTED, false);
    }
}

void pony_flow_come_up(struct pony_flow *flow, uint64_t now_ns)
{
    struct pony_flow_table *table = flow->table;
    flow->needs_hello = false;
    flow->last_rx_ns = now_ns;
    flow->last_use_ns = now_ns;
    pony_flow_set_state(flow, PONY_FLOW_UP);
    table->seal_ops->up(table->seal, flow->idx);
    pony_path_mtu_init(&flow->pmtu, flow->tx_mtu, table->config.mtu_bytes, now_ns);
    kill_rivals(flow);
    flow->is_announced = true;
    pony_flow_count(table, PONY_FLOW_C_FLOWS_UP);
    pony_flow_arm(flow, now_ns + base_min_u64(table->config.keepalive_ns, pony_flow_idle_ns(flow)));
    if (flow->pmtu.next_ns != UINT64_MAX && flow->n_users > 0) {
        pony_flow_arm(flow, flow->pmtu.next_ns);
    }
    pony_flow_activate(flow);
    table->config.events->up(table->config.ctx, flow);
}
