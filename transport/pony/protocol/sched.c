/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/round.h"

/*
 * What is sent next. Connections of a link stand in the round of their class; for each packet the
 * class whose turn it is goes first (class.h), and what room it leaves goes to the others (PX-81).
 *
 * Within a class: deficit round robin over its connections, twice. The small round (frames, eager
 * messages) comes before the large one (granted messages), so that a small message overtakes
 * large ones, also those of other connections; but where a large one waits, at most SMALL_RUN_MAX
 * packets in a row go without it. A local connection runs through the same code: its frames go
 * straight to the peer's handler. Only a short message that nothing local waits before never comes
 * here: pony_conn_send_at_once().
 */

enum {
    SMALL_RUN_MAX = 7,
    PASSES_MAX = 256,    /* of as many connections each as a round visits: all that an engine has */
    PAD_MIN_BYTES = 1024 /* of a packet that carries no large message, to be padded */
};

static void send_refusals(struct pony_link *link, struct pony_sink *sink)
{
    struct base_list *first;
    while ((first = base_list_first(&link->refusals)) != NULL && pony_sink_fits(sink, 8)) {
        struct pony_refusal *refusal = base_list_entry(first, struct pony_refusal, link);
        struct pony_frame frame = {
            .type = PONY_FRAME_REFUSE, .conn = refusal->conn, .reason = refusal->reason};
        base_list_del(&refusal->link);
        base_pool_give(&sink->engine->refusals, base_pool_index(refusal));
        struct pony_conn *opener = pony_conn_find(sink->engine, frame.conn);
        if (sink->packet != NULL) {
            pony_sink_emit(sink, NULL, &frame);
        } else if (opener != NULL) {
            sink->n_frames++;
            pony_receive_for_conn(opener, &frame);
        }
    }
}

static void clear_if_idle(struct pony_link *link, uint32_t class)
{
    const struct pony_round *round = &link->rounds[class];
    if (base_list_is_empty(&round->small) && base_list_is_empty(&round->large)) {
        link->busy &= ~(1u << class);
    }
}

/* One class's part of a packet. */
static void serve(struct pony_link *link, struct pony_sink *sink, uint32_t class)
{
    struct pony_round *round = &link->rounds[class];
    bool large_waits = !base_list_is_empty(&round->large);
    sink->has_large = false;
    if (large_waits && round->small_run >= SMALL_RUN_MAX) {
        pony_round_large(round, sink, INT64_MAX);
    }
    pony_round_small(round, sink, INT64_MAX);
    pony_round_large(round, sink, INT64_MAX);
    round->small_run = large_waits && !sink->has_large ? round->small_run + 1 : 0;
    clear_if_idle(link, class);
}

/* Several classes wait. */
static void serve_classes(struct pony_link *link, struct pony_sink *sink)
{
    uint32_t busy = link->busy;
    uint32_t served = 0;
    for (uint32_t left = busy; left != 0 && !sink->is_full;) {
        uint32_t class = pony_class_next(&link->waits, left);
        uint32_t n_frames = sink->n_frames;
        serve(link, sink, class);
        served |= sink->n_frames != n_frames ? 1u << class : 0;
        left &= ~(1u << class);
    }
    pony_class_note(&link->waits, busy, served);
}

bool pony_sched_fill(void *ctx, struct pony_flow *flow, struct pony_packet *packet, uint32_t room,
                     uint64_t now_ns)
{
    struct pony_engine *engine = ctx;
    struct pony_link *link = pony_flow_user_data(flow);
    engine->now_ns = now_ns;
    if (link == NULL) {
        return false;
    }
    struct pony_sink sink = {.engine = engine, .packet = packet, .room = room, .left = room};
    send_refusals(link, &sink);
    /* Again when all that were visited had nothing that may go: they left the round, and nobody
     * else would ask for those behind them. */
    for (uint32_t i = 0; i < PASSES_MAX && link->busy != 0; i++) {
        uint32_t busy = link->busy;
        if ((busy & (busy - 1)) != 0) {
            serve_classes(link, &sink);
        } else {
            serve(link, &sink, (uint32_t)__builtin_ctz(busy));
        }
        if (sink.n_frames > 0 || sink.is_full) {
            break;
        }
    }
    if (link->busy != 0 && link->busy != 1u << link->class) {
        pony_link_reclass(link);
    }
    if (sink.n_frames > 0 && packet->payload == NULL &&
        (sink.is_bulk || room - sink.left >= PAD_MIN_BYTES)) {
        pony_sink_emit_pad(&sink, 0);
    }
    pony_count(engine, PONY_OPS_FRAMES_SENT, sink.n_frames);
    return sink.n_frames > 0;
}

uint32_t pony_sched_run_local(struct pony_engine *engine, uint32_t bytes)
{
    struct pony_sink sink = {.engine = engine, .room = UINT32_MAX, .left = UINT32_MAX};
    send_refusals(&engine->local, &sink);
    for (uint32_t i = 0; i < PONY_CLASSES && engine->local.busy != 0; i++) {
        uint32_t class = pony_class_by_urgency(i);
        pony_round_small(&engine->local.rounds[class], &sink, bytes);
        pony_round_large(&engine->local.rounds[class], &sink, bytes);
        clear_if_idle(&engine->local, class);
    }
    return sink.n_frames;
}
