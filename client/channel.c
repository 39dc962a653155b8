/* SPDX-License-Identifier: Apache-2.0 */
#include "client/channel.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/slab.h"
#include "client/by_id.h"
#include "rpc/options.h"
#include "rpc/status.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    CALLS_PER_CHUNK = 256,
    POOL_CALLS_MAX = SNAPI_CALLS_MAX * 4 /* of all channels of a loop together */
};

/** A caller of snap_channel_wait(): on its stack. */
struct ready_wait {
    struct base_list link;
    struct snapi_waiter waiter;
    struct snap_channel *channel;
    enum snap_transport want;
};

/* ---- which path ---- */

static uint32_t why_not_pony(const struct snap_channel *channel)
{
    const struct snapi_path *pony = &channel->pony;
    const struct snapi_transport *transport = channel->more->pony_more.transport;
    const char *reason = NULL;
    if (pony->state == SNAPI_PATH_OFF ||
        transport->ops->state(transport, &reason) == SNAPI_TRANSPORT_DOWN) {
        return SNAP_WHY_NO_SNAPD;
    }
    if (channel->is_peer_without_pony) {
        return SNAP_WHY_PEER_NO_PONY;
    }
    return pony->has_failed ? SNAP_WHY_PONY_FAILED : SNAP_WHY_PONY_CONNECTING;
}

struct snapi_path *snapi_channel_choose_other(struct snap_channel *channel, uint32_t *why)
{
    *why = channel->choice != SNAP_TRANSPORT_AUTO ? SNAP_WHY_FORCED : why_not_pony(channel);
    if (channel->choice == SNAP_TRANSPORT_PONY || !snapi_path_is_ready(&channel->more->tcp)) {
        return NULL;
    }
    return &channel->more->tcp;
}

const char *snap_why_text(enum snap_why why)
{
    switch (why) {
    case SNAP_WHY_NONE:
        return "nothing was tried yet";
    case SNAP_WHY_FORCED:
        return "the application, the target or SNAP_TRANSPORT chose it";
    case SNAP_WHY_PONY_UP:
        return "Pony reaches the server";
    case SNAP_WHY_NO_SNAPD:
        return "no snapd on this host lets us in";
    case SNAP_WHY_PEER_NO_PONY:
        return "the server has no Pony address";
    case SNAP_WHY_PONY_CONNECTING:
        return "Pony is not ready yet";
    case SNAP_WHY_PONY_FAILED:
        return "Pony broke or was refused, and is tried again";
    default:
        return "unknown";
    }
}

const char *snapi_channel_trouble(const struct snap_channel *channel)
{
    const struct snapi_path *tcp = &channel->more->tcp;
    const struct snapi_path *pony = &channel->pony;
    const struct snapi_transport *transport = channel->more->pony_more.transport;
    bool is_pony_only = channel->choice == SNAP_TRANSPORT_PONY;
    if (tcp->state != SNAPI_PATH_UP && channel->more->tcp_more.error[0] != '\0') {
        return channel->more->tcp_more.error;
    }
    if (is_pony_only && pony->state == SNAPI_PATH_OFF) {
        return "this program has no Pony transport";
    }
    const char *reason = "";
    if (is_pony_only && transport->ops->state(transport, &reason) == SNAPI_TRANSPORT_DOWN) {
        return reason;
    }
    if (is_pony_only && channel->is_peer_without_pony) {
        return "the server has no Pony address";
    }
    if (channel->more->pony_more.error[0] != '\0') {
        return channel->more->pony_more.error;
    }
    return "no answer yet";
}

void snapi_channel_log_choice(struct snap_channel *channel)
{
    uint32_t why = SNAP_WHY_NONE;
    const struct snapi_path *path = snapi_channel_choose(channel, &why);
    base_assert(channel->more != NULL); /* set when it is made; for the analyzer */
    uint32_t kind = path == NULL ? SNAP_TRANSPORT_AUTO : path->kind;
    if (kind == channel->more->logged_kind) {
        return;
    }
    channel->more->logged_kind = kind;
    const struct base_log *log = snapi_loop_log(channel->loop);
    if (path == NULL) {
        base_logf(log, BASE_LOG_INFO, "client", "%s: no transport reaches it now (%s)",
                  channel->more->target.text, snapi_channel_trouble(channel));
    } else {
        const struct snapi_path_more *more = snapi_path_more(path);
        base_logf(log, BASE_LOG_INFO, "client", "%s: calls go over %s to %s (%s)",
                  channel->more->target.text, more->transport->ops->name, snapi_path_peer(path),
                  snap_why_text(why));
    }
}

static bool is_wanted_ready(const struct snap_channel *channel, enum snap_transport want)
{
    bool may_tcp = want != SNAP_TRANSPORT_PONY && channel->choice != SNAP_TRANSPORT_PONY;
    bool may_pony = want != SNAP_TRANSPORT_TCP;
    return (may_pony && snapi_path_is_ready(&channel->pony)) ||
           (may_tcp && snapi_path_is_ready(&channel->more->tcp));
}

static void tell_ready_waits(struct snap_channel *channel)
{
    base_list_foreach_safe (it, &channel->more->ready_waits) {
        struct ready_wait *wait = base_list_entry(it, struct ready_wait, link);
        if (channel->is_closing || is_wanted_ready(channel, wait->want)) {
            base_list_del(&wait->link);
            snapi_waiter_done(channel->loop, &wait->waiter);
        }
    }
}

/** Each waiting call once: it goes to a path, waits again, or ends. */
static void dispatch_waiting(struct snap_channel *channel)
{
    struct base_list waiting;
    base_list_init(&waiting);
    base_list_splice_tail(&waiting, &channel->more->waiting);
    while (!base_list_is_empty(&waiting)) {
        struct snapi_call *call = base_list_entry(waiting.next, struct snapi_call, link);
        channel->more->waiting_bytes -= snapi_call_waiting_bytes(call);
        base_list_del(&call->link);
        snapi_call_dispatch(call);
    }
}

void snapi_channel_on_ready(struct snap_channel *channel)
{
    tell_ready_waits(channel);
    dispatch_waiting(channel);
}

void snapi_channel_on_failed(struct snap_channel *channel)
{
    dispatch_waiting(channel); /* those that must not wait end */
}

/* ---- close ---- */

static void end_all_calls(struct snap_channel *channel)
{
    const struct snap_status status = snapi_status_of(SNAP_CANCELLED, SNAP_ORIGIN_LOCAL,
                                                      SNAP_RAN_MAYBE, "the channel was closed");
    struct snap_status unsent = status;
    unsent.ran = SNAP_RAN_NO;
    for (uint32_t i = 0; i < channel->n_buckets; i++) {
        struct snapi_call *call;
        while ((call = *snapi_channel_bucket(channel, i)) != NULL) {
            bool was_sent = call->state == SNAPI_CALL_SENT || call->may_have_run;
            snapi_call_end(call, was_sent ? &status : &unsent, NULL);
        }
    }
    snapi_calls_run_ended(channel);
}

/** What the channels of a loop share. */
struct shared {
    struct base_pool calls;    /**< struct snapi_call */
    struct base_slab channels; /**< struct snap_channel */
};

/** As owner. */
static void free_channel(struct snap_loop *loop, void *arg)
{
    struct snap_channel *channel = arg;
    struct shared *shared = snapi_loop_client(loop)->data;
    if (channel->n_buckets > 1) {
        free((void *)channel->buckets);
    }
    free(channel->more);
    base_slab_give(&shared->channels, channel);
}

/** Within an iteration. */
static void tear_down(struct snap_channel *channel)
{
    channel->is_closing = true;
    snapi_loop_undefer(channel->loop, &channel->more->run_ended);
    snapi_loop_undefer(channel->loop, &channel->more->close);
    end_all_calls(channel);
    tell_ready_waits(channel);
    snapi_path_fini(&channel->pony);
    snapi_path_fini(&channel->more->tcp);
    snapi_loop_del_member(channel->loop, &channel->more->member);
    free_channel(channel->loop, channel);
}

static void run_close(struct snap_loop *loop, struct snapi_work *work)
{
    struct snap_channel *channel =
        base_container_of(work, struct snapi_channel_more, close)->channel;
    struct snapi_waiter *closer = channel->more->closer;
    (void)snapi_loop_run_submitted(loop); /* calls of other threads that were on their way */
    tear_down(channel);
    if (closer != NULL) {
        snapi_waiter_done(loop, closer);
    }
}

static void on_loop_destroy(struct snapi_member *member)
{
    tear_down(base_container_of(member, struct snapi_channel_more, member)->channel);
}

static void defer_close(struct snap_loop *loop, void *arg)
{
    struct snap_channel *channel = arg;
    channel->is_closing = true;
    snapi_loop_defer(loop, &channel->more->close);
}

void snap_channel_close(struct snap_channel *channel)
{
    if (channel == NULL || snapi_loop_is_forked(channel->loop)) {
        return;
    }
    struct snap_loop *loop = channel->loop;
    if (snapi_loop_in_callback(loop)) {
        defer_close(loop, channel);
        return;
    }
    struct snapi_waiter waiter;
    snapi_waiter_init(&waiter);
    channel->more->closer = &waiter;
    snapi_loop_exec(loop, defer_close, channel);
    enum base_err err = snapi_loop_wait(loop, &waiter, UINT64_MAX);
    assert(err == BASE_OK);
    (void)err;
}

/* ---- open ---- */

static void run_ended(struct snap_loop *loop, struct snapi_work *work)
{
    (void)loop;
    snapi_calls_run_ended(base_container_of(work, struct snapi_channel_more, run_ended)->channel);
}

static void destroy_shared(void *data)
{
    struct shared *shared = data;
    base_pool_fini(&shared->calls);
    base_slab_fini(&shared->channels);
    free(shared);
}

/** NULL: out of memory. As owner. */
static struct shared *shared_of(struct snap_loop *loop)
{
    struct snapi_shared *place = snapi_loop_client(loop);
    if (place->data != NULL) {
        return place->data;
    }
    struct shared *shared = calloc(1, sizeof(*shared));
    if (shared == NULL || base_pool_init(&shared->calls, sizeof(struct snapi_call), CALLS_PER_CHUNK,
                                         POOL_CALLS_MAX) != BASE_OK) {
        free(shared);
        return NULL;
    }
    base_slab_init(&shared->channels, sizeof(struct snap_channel));
    *place = (struct snapi_shared){.data = shared, .destroy = destroy_shared};
    return shared;
}

/** As owner: `arg` is where the channel goes; NULL: out of memory. */
static void take_channel(struct snap_loop *loop, void *arg)
{
    struct snap_channel **channel = arg;
    struct shared *shared = shared_of(loop);
    *channel = shared != NULL ? base_slab_take(&shared->channels) : NULL;
    if (*channel != NULL) {
        (*channel)->pool = &shared->calls;
    }
}

/** As owner: the parts that touch the loop. */
static void start(struct snap_loop *loop, void *arg)
{
    struct snap_channel *channel = arg;
    snapi_loop_add_member(loop, &channel->more->member);
    bool wants_pony = channel->choice != SNAP_TRANSPORT_TCP;
    bool wants_tcp = channel->more->target.n_addrs > 0; /* also to ask for the Pony address */
    snapi_path_init(&channel->pony, channel, SNAP_TRANSPORT_PONY,
                    wants_pony ? snapi_loop_transport(loop, SNAP_TRANSPORT_PONY) : NULL);
    snapi_path_init(&channel->more->tcp, channel, SNAP_TRANSPORT_TCP,
                    wants_tcp ? snapi_loop_transport(loop, SNAP_TRANSPORT_TCP) : NULL);
    memcpy(channel->more->pony_more.address, channel->more->target.pony,
           sizeof(channel->more->pony_more.address));
    snapi_path_start(&channel->pony);
    snapi_path_start(&channel->more->tcp);
}

static void init_more(struct snapi_channel_more *more, struct snap_channel *channel)
{
    more->channel = channel;
    more->member.on_loop_destroy = on_loop_destroy;
    base_rng_init(&more->rng, base_clock_now_ns() ^ (uintptr_t)channel);
    base_list_init(&more->member.link);
    base_list_init(&more->waiting);
    base_list_init(&more->ended);
    base_list_init(&more->ready_waits);
    snapi_work_init(&more->run_ended, run_ended);
    snapi_work_init(&more->close, run_close);
}

static struct snap_channel *new_channel(struct snap_loop *loop)
{
    struct snap_channel *channel = NULL;
    struct snapi_channel_more *more = calloc(1, sizeof(*more));
    if (more == NULL) {
        return NULL;
    }
    snapi_loop_exec(loop, take_channel, (void *)&channel);
    if (channel == NULL) {
        free(more);
        return NULL;
    }
    init_more(more, channel);
    channel->more = more;
    channel->n_buckets = 1;
    channel->loop = loop;
    channel->choice = (uint8_t)snapi_loop_choice(loop);
    channel->next_id = 1;
    atomic_init(&more->next_outer_id, SNAPI_OUTER_ID);
    return channel;
}

static struct snap_status apply_options(struct snap_channel *channel,
                                        const struct snap_channel_options *options)
{
    struct snap_channel_options all = SNAP_CHANNEL_OPTIONS_INIT;
    if (!snapi_options_copy(&all, sizeof(all), options)) {
        return snap_status_make(SNAP_INVALID_ARGUMENT,
                                "snap_channel_options.size is not set: begin "
                                "with SNAP_CHANNEL_OPTIONS_INIT");
    }
    if (all.traffic > SNAP_TRAFFIC_BULK) {
        return snap_status_make(SNAP_INVALID_ARGUMENT,
                                "snap_channel_options.traffic is %u: take one of enum snap_traffic",
                                all.traffic);
    }
    channel->default_timeout_us = all.default_timeout_us;
    channel->traffic = (uint8_t)all.traffic;
    if (channel->more->target.pony[0] != '\0') {
        if (channel->choice == SNAP_TRANSPORT_TCP) {
            return snap_status_make(SNAP_INVALID_ARGUMENT,
                                    "target \"%s\" is a Pony address, but SNAP_TRANSPORT or the "
                                    "loop's options allow tcp only",
                                    channel->more->target.text);
        }
        channel->choice = SNAP_TRANSPORT_PONY;
    }
    return snapi_status_ok;
}

struct snap_status snap_channel_open(struct snap_loop *loop, const char *target,
                                     const struct snap_channel_options *options,
                                     struct snap_channel **channel)
{
    *channel = NULL;
    struct snap_status status = snapi_loop_check(loop);
    if (!snap_ok(&status)) {
        return status;
    }
    struct snap_channel *made = new_channel(loop);
    if (made == NULL) {
        return snap_status_make(SNAP_RESOURCE_EXHAUSTED, "no memory for a channel");
    }
    base_error_clear_note();
    enum base_err err = snapi_target_resolve(target, &made->more->target);
    if (err != BASE_OK) {
        status = snapi_status_from_err(err, SNAP_ORIGIN_LOCAL, "cannot open a channel");
        status.code = err == BASE_E_NOT_FOUND ? SNAP_UNAVAILABLE : status.code;
    } else {
        status = apply_options(made, options);
    }
    if (!snap_ok(&status)) {
        snapi_loop_exec(loop, free_channel, made);
        return status;
    }
    snapi_loop_exec(loop, start, made);
    *channel = made;
    return snapi_status_ok;
}

/* ---- asking ---- */

struct info_query {
    struct snap_channel *channel;
    struct snap_call_info *info;
};

static void fill_info(struct snap_loop *loop, void *arg)
{
    (void)loop;
    struct info_query *query = arg;
    const struct snapi_path *path = snapi_channel_choose(query->channel, &query->info->why);
    if (path != NULL) {
        query->info->transport = path->kind;
        memcpy(query->info->peer, snapi_path_peer(path), sizeof(query->info->peer));
    }
}

void snap_channel_info(struct snap_channel *channel, struct snap_call_info *info)
{
    memset(info, 0, sizeof(*info));
    if (!snapi_loop_is_forked(channel->loop)) {
        snapi_loop_exec(channel->loop, fill_info,
                        &(struct info_query){.channel = channel, .info = info});
    }
}

static void add_ready_wait(struct snap_loop *loop, void *arg)
{
    struct ready_wait *wait = arg;
    if (wait->channel->is_closing || is_wanted_ready(wait->channel, wait->want)) {
        snapi_waiter_done(loop, &wait->waiter);
    } else {
        base_list_add_tail(&wait->channel->more->ready_waits, &wait->link);
    }
}

static void del_ready_wait(struct snap_loop *loop, void *arg)
{
    (void)loop;
    struct ready_wait *wait = arg;
    base_list_del(&wait->link);
}

struct snap_status snap_channel_wait(struct snap_channel *channel, enum snap_transport want,
                                     uint64_t timeout_us)
{
    struct snap_loop *loop = channel->loop;
    struct snap_status status = snapi_loop_check(loop);
    if (!snap_ok(&status)) {
        return status;
    }
    if (snapi_loop_in_callback(loop)) {
        return snap_status_make(SNAP_FAILED_PRECONDITION,
                                "snap_channel_wait() in a callback would wait for itself");
    }
    struct ready_wait wait = {.channel = channel, .want = want};
    base_list_init(&wait.link);
    snapi_waiter_init(&wait.waiter);
    uint64_t deadline_ns = base_add_sat_u64(base_clock_now_ns(), timeout_us * 1000);
    snapi_loop_exec(loop, add_ready_wait, &wait);
    enum base_err err = snapi_loop_wait(loop, &wait.waiter, deadline_ns);
    if (err == BASE_OK) {
        return snapi_status_ok;
    }
    snapi_loop_exec(loop, del_ready_wait, &wait);
    return snapi_status_of(SNAP_DEADLINE_EXCEEDED, SNAP_ORIGIN_LOCAL, SNAP_RAN_NO,
                           "%s is not reachable yet: %s", channel->more->target.text,
                           snapi_channel_trouble(channel));
}
