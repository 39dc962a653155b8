/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/event.h"
#include "base/fd.h"
#include "rpc/frame.h"
#include "rpc/loop_impl.h"
#include "rpc/options.h"
#include "rpc/status.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum {
    DEFAULT_MESSAGE_BYTES = 64 * 1024 * 1024,
    MESSAGE_BYTES_LIMIT = 1024 * 1024 * 1024,
    TIMER_GRANULARITY_NS = 1 << 14 /* 16 us */
};

static const char *const transport_names[] = {
    [SNAP_TRANSPORT_AUTO] = "auto",
    [SNAP_TRANSPORT_PONY] = "pony",
    [SNAP_TRANSPORT_TCP] = "tcp",
};

static void forward_log(void *arg, enum base_log_level level, const char *component,
                        const char *message)
{
    struct snap_loop *loop = arg;
    loop->log_fn(loop->log_arg, (enum snap_log_level)level, component, message);
}

static void on_wake(struct snapi_source *source, uint32_t events)
{
    (void)events;
    (void)base_eventfd_drain(source->fd);
}

/* The option, or what $SNAP_TRANSPORT says instead. */
static struct snap_status choose(uint32_t option, enum snap_transport *choice)
{
    if (option >= BASE_ARRAY_LEN(transport_names)) {
        return snap_status_make(SNAP_INVALID_ARGUMENT,
                                "snap_loop_options.transport: %u does not "
                                "exist",
                                option);
    }
    *choice = (enum snap_transport)option;
    const char *env = secure_getenv("SNAP_TRANSPORT");
    if (env == NULL || env[0] == '\0') {
        return snapi_status_ok;
    }
    for (uint32_t i = 0; i < BASE_ARRAY_LEN(transport_names); i++) {
        if (strcmp(env, transport_names[i]) == 0) {
            *choice = (enum snap_transport)i;
            return snapi_status_ok;
        }
    }
    return snap_status_make(SNAP_INVALID_ARGUMENT, "SNAP_TRANSPORT=%s: must be auto, pony or tcp",
                            env);
}

static struct snap_status check_options(const struct snap_loop_options *options)
{
    if (options->max_message_bytes > MESSAGE_BYTES_LIMIT) {
        return snap_status_make(SNAP_INVALID_ARGUMENT,
                                "snap_loop_options.max_message_bytes: %zu is more than %d",
                                options->max_message_bytes, MESSAGE_BYTES_LIMIT);
    }
    if (options->log_level > SNAP_LOG_DEBUG) {
        return snap_status_make(SNAP_INVALID_ARGUMENT,
                                "snap_loop_options.log_level: %u does not exist",
                                options->log_level);
    }
    return snapi_status_ok;
}

static struct snap_status fill(struct snap_loop *loop, const struct snap_loop_options *options)
{
    struct snap_status status = check_options(options);
    if (!snap_ok(&status)) {
        return status;
    }
    status = choose(options->transport, &loop->choice);
    if (!snap_ok(&status)) {
        return status;
    }
    loop->head.max_message_bytes = options->max_message_bytes != 0 ? options->max_message_bytes
                                                                   : (size_t)DEFAULT_MESSAGE_BYTES;
    loop->spin.limit_us = options->spin_us;
    loop->log_fn = options->log;
    loop->log_arg = options->log_arg;
    loop->log = (struct base_log){.fn = options->log != NULL ? forward_log : NULL,
                                  .arg = loop,
                                  .level = (enum base_log_level)options->log_level};
    const char *path = options->snapd_socket;
    if (path == NULL) {
        path = secure_getenv("SNAPD_SOCKET");
    }
    if (path != NULL && path[0] != '\0') {
        loop->snapd_socket = strdup(path);
        if (loop->snapd_socket == NULL) {
            return snap_status_make(SNAP_RESOURCE_EXHAUSTED, "out of memory");
        }
    }
    return snapi_status_ok;
}

static enum base_err open_parts(struct snap_loop *loop)
{
    BASE_TRY(snapi_poller_init(&loop->poller));
    BASE_TRY(base_eventfd_create(&loop->wake_fd));
    loop->wake_source = (struct snapi_source){.on_ready = on_wake, .fd = loop->wake_fd};
    BASE_TRY(snapi_poller_add(&loop->poller, &loop->wake_source, EPOLLIN));
    loop->head.arenas = snapi_arena_pool_open();
    BASE_ENSURE(loop->head.arenas != NULL, BASE_E_NOMEM);
    return BASE_OK;
}

static void close_parts(struct snap_loop *loop)
{
    for (uint32_t i = 0; i < SNAPI_TRANSPORTS_MAX; i++) {
        if (loop->transports[i] != NULL) {
            loop->transports[i]->ops->destroy(loop->transports[i]);
        }
    }
    snapi_poller_del(&loop->poller, &loop->wake_source);
    if (loop->timer_source.fd >= 0) {
        snapi_poller_del(&loop->poller, &loop->timer_source);
        base_fd_close(&loop->timer_source.fd);
    }
    base_fd_close(&loop->wake_fd);
    snapi_poller_fini(&loop->poller);
    if (loop->client.data != NULL) {
        loop->client.destroy(loop->client.data);
    }
    snapi_arena_pool_close(loop->head.arenas);
    (void)pthread_mutex_destroy(&loop->follow_lock);
    free(loop->snapd_socket);
    free(loop);
}

struct snap_status snapi_loop_create(const struct snap_loop_options *options,
                                     const struct snapi_transport_ops *const *transports,
                                     struct snap_loop **loop)
{
    *loop = NULL;
    struct snap_loop_options all = SNAP_LOOP_OPTIONS_INIT;
    if (!snapi_options_copy(&all, sizeof(all), options)) {
        return snap_status_make(SNAP_INVALID_ARGUMENT, "snap_loop_options.size is not set: begin "
                                                       "with SNAP_LOOP_OPTIONS_INIT");
    }
    struct snap_loop *made = aligned_alloc(BASE_CACHE_LINE, sizeof(*made));
    if (made == NULL) {
        return snap_status_make(SNAP_RESOURCE_EXHAUSTED, "out of memory");
    }
    memset(made, 0, sizeof(*made));
    made->head.fork_generation = snapi_fork_generation();
    made->available = transports;
    made->wake_fd = -1;
    made->timer_source.fd = -1;
    made->poller.epoll_fd = -1;
    made->timerfd_ns = UINT64_MAX;
    made->spin.score = 4;
    base_mpsc_init(&made->submissions);
    base_list_init(&made->followers);
    base_list_init(&made->head.starting);
    made->head.wheel = &made->wheel;
    base_list_init(&made->deferred);
    base_list_init(&made->members);
    base_wheel_init(&made->wheel, base_clock_now_ns(), TIMER_GRANULARITY_NS);
    (void)pthread_mutex_init(&made->follow_lock, NULL);

    struct snap_status status = fill(made, &all);
    if (snap_ok(&status)) {
        status = snapi_status_from_err(open_parts(made), SNAP_ORIGIN_LOCAL, "snap_loop_create");
    }
    if (!snap_ok(&status)) {
        close_parts(made);
        return status;
    }
    *loop = made;
    return status;
}

static void end_thread(struct snap_loop *loop)
{
    if (!loop->has_thread) {
        return;
    }
    atomic_store_explicit(&loop->quit, 1, memory_order_seq_cst);
    base_eventfd_signal(loop->wake_fd);
    (void)pthread_join(loop->thread, NULL);
    loop->has_thread = false;
}

void snap_loop_destroy(struct snap_loop *loop)
{
    if (loop == NULL || snapi_loop_is_forked(loop)) {
        return; /* a child leaves its parent's loop alone */
    }
    if (snapi_loop_in_callback(loop)) {
        base_logf(&loop->log, BASE_LOG_ERROR, "loop",
                  "snap_loop_destroy() from a callback of the same loop is ignored");
        return;
    }
    end_thread(loop);
    snapi_owner_lock(loop);
    loop->head.is_iterating = true;
    (void)snapi_loop_run_submitted(loop);
    struct base_list *link;
    while ((link = base_list_first(&loop->members)) != NULL) {
        struct snapi_member *member = base_list_entry(link, struct snapi_member, link);
        member->on_loop_destroy(member);
    }
    while ((link = base_list_take_first(&loop->deferred)) != NULL) {
        struct snapi_work *work = base_list_entry(link, struct snapi_work, link);
        work->is_deferred = false;
        work->run(loop, work);
    }
    (void)snapi_loop_run_submitted(loop);
    close_parts(loop);
}

static const struct snapi_transport_ops *find_ops(const struct snap_loop *loop, const char *name)
{
    for (const struct snapi_transport_ops *const *ops = loop->available; *ops != NULL; ops++) {
        if (strcmp((*ops)->name, name) == 0) {
            return *ops;
        }
    }
    return NULL;
}

struct snapi_transport *snapi_loop_transport(struct snap_loop *loop, enum snap_transport kind)
{
    if (kind != SNAP_TRANSPORT_PONY && kind != SNAP_TRANSPORT_TCP) {
        return NULL;
    }
    struct snapi_transport **place = &loop->transports[kind - 1];
    if (*place != NULL) {
        return *place;
    }
    const struct snapi_transport_ops *ops = find_ops(loop, transport_names[kind]);
    if (ops == NULL) {
        base_error_note("this build has no transport \"%s\"", transport_names[kind]);
        return NULL;
    }
    struct snapi_transport_config config = {
        .poller = &loop->poller,
        .log = &loop->log,
        .max_message_bytes = loop->head.max_message_bytes + SNAPI_FRAME_OVERHEAD_MAX,
        .snapd_socket = loop->snapd_socket,
    };
    enum base_err err = ops->create(&config, place);
    if (err != BASE_OK) {
        *place = NULL;
        base_logf(&loop->log, BASE_LOG_ERROR, "loop", "cannot make transport %s: %s", ops->name,
                  base_err_text(err));
    }
    return *place;
}

enum snap_transport snapi_loop_choice(const struct snap_loop *loop)
{
    return loop->choice;
}

size_t snapi_loop_max_body(const struct snap_loop *loop, const struct snapi_conn *conn)
{
    /* No metadata are sent (PR-6). */
    const size_t head = SNAPI_FRAME_OVERHEAD_MAX - SNAPI_FRAME_META_MAX;
    size_t carried = conn->ops->max_message(conn);
    return base_min_size(loop->head.max_message_bytes, carried > head ? carried - head : 1);
}

const struct base_log *snapi_loop_log(const struct snap_loop *loop)
{
    return &loop->log;
}

struct snapi_shared *snapi_loop_client(struct snap_loop *loop)
{
    return &loop->client;
}

void snapi_loop_add_member(struct snap_loop *loop, struct snapi_member *member)
{
    base_list_add_tail(&loop->members, &member->link);
}

void snapi_loop_del_member(struct snap_loop *loop, struct snapi_member *member)
{
    (void)loop;
    base_list_del(&member->link);
}
