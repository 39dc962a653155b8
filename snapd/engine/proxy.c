/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/engine/proxy.h"

#include "base/clock.h"
#include "base/compiler.h"

#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>

void snapd_proxy_run(struct snapd_engine *engine, struct snapd_work *work)
{
    if (!engine->is_started) {
        /* No thread: before the start, or after the end. */
        work->run(work);
        return;
    }
    while (!snapd_mailbox_post(&engine->mailbox, work)) {
        (void)sched_yield();
    }
    snapd_waker_wake(engine->waker);
    uint32_t seconds = 0;
    while (!snapd_mailbox_wait(work, BASE_NS_PER_S)) {
        base_logf(engine->config.log, BASE_LOG_ERROR, "control",
                  "engine %u has not answered for %u s", engine->config.idx, ++seconds);
    }
}

struct attach_work {
    struct snapd_work work;
    struct snapd_engine *engine;
    const struct pony_app_config *config;
    int doorbell_fd;
    struct pony_app *app;
    enum base_err err;
    char note[256];
};

static void do_attach(struct snapd_work *work)
{
    struct attach_work *a = base_container_of(work, struct attach_work, work);
    base_error_clear_note();
    a->err = pony_engine_attach(a->engine->pony, a->config, &a->app);
    if (a->err == BASE_OK) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = a->doorbell_fd};
        if (epoll_ctl(a->engine->epoll_fd, EPOLL_CTL_ADD, a->doorbell_fd, &event) != 0) {
            base_error_note("doorbell: %m");
            pony_engine_detach(a->engine->pony, a->app, a->engine->now_ns);
            a->err = BASE_E_IO;
        }
    }
    /* The note belongs to this thread; the poster needs it. */
    (void)snprintf(a->note, sizeof(a->note), "%s", base_error_last_note());
}

enum base_err snapd_proxy_attach(struct snapd_engine *engine, const struct pony_app_config *config,
                                 int doorbell_fd, struct pony_app **app)
{
    struct attach_work a = {
        .work.run = do_attach, .engine = engine, .config = config, .doorbell_fd = doorbell_fd};
    snapd_proxy_run(engine, &a.work);
    if (a.err != BASE_OK) {
        base_error_note("engine %u: %s", engine->config.idx,
                        a.note[0] != '\0' ? a.note : base_err_text(a.err));
        return a.err;
    }
    *app = a.app;
    return BASE_OK;
}

struct detach_work {
    struct snapd_work work;
    struct snapd_engine *engine;
    struct pony_app *app;
    int doorbell_fd;
};

static void do_detach(struct snapd_work *work)
{
    struct detach_work *d = base_container_of(work, struct detach_work, work);
    (void)epoll_ctl(d->engine->epoll_fd, EPOLL_CTL_DEL, d->doorbell_fd, NULL);
    pony_engine_detach(d->engine->pony, d->app, d->engine->now_ns);
}

void snapd_proxy_detach(struct snapd_engine *engine, struct pony_app *app, int doorbell_fd)
{
    struct detach_work d = {
        .work.run = do_detach, .engine = engine, .app = app, .doorbell_fd = doorbell_fd};
    snapd_proxy_run(engine, &d.work);
}

struct local_work {
    struct snapd_work work;
    struct snapd_engine *engine;
    const struct snapd_local_addrs *addrs;
};

static void do_set_local(struct snapd_work *work)
{
    struct local_work *l = base_container_of(work, struct local_work, work);
    l->engine->dev->ops->set_local(l->engine->dev, l->addrs);
}

void snapd_proxy_set_local(struct snapd_engine *engine, const struct snapd_local_addrs *addrs)
{
    struct local_work l = {.work.run = do_set_local, .engine = engine, .addrs = addrs};
    snapd_proxy_run(engine, &l.work);
}

struct keys_work {
    struct snapd_work work;
    struct snapd_engine *engine;
    struct pony_seal_keys *keys;
    uint32_t n_ended;
};

static void do_set_keys(struct snapd_work *work)
{
    struct keys_work *k = base_container_of(work, struct keys_work, work);
    k->n_ended = pony_engine_set_keys(k->engine->pony, k->keys);
}

uint32_t snapd_proxy_set_keys(struct snapd_engine *engine, struct pony_seal_keys *keys)
{
    struct keys_work k = {.work.run = do_set_keys, .engine = engine, .keys = keys};
    snapd_proxy_run(engine, &k.work);
    return k.n_ended;
}

struct tap_work {
    struct snapd_work work;
    struct snapd_engine *engine;
    struct snapd_tap *tap;
};

static void do_set_tap(struct snapd_work *work)
{
    struct tap_work *t = base_container_of(work, struct tap_work, work);
    t->engine->tap = t->tap;
}

void snapd_proxy_set_tap(struct snapd_engine *engine, struct snapd_tap *tap)
{
    struct tap_work t = {.work.run = do_set_tap, .engine = engine, .tap = tap};
    snapd_proxy_run(engine, &t.work);
}

struct status_work {
    struct snapd_work work;
    struct snapd_engine *engine;
    struct snapd_engine_status *status;
};

static void do_status(struct snapd_work *work)
{
    struct status_work *w = base_container_of(work, struct status_work, work);
    struct snapd_engine *e = w->engine;
    struct snapd_engine_status *s = w->status;
    s->meters = e->meters;
    s->cpu_ns = base_clock_thread_cpu_ns();
    s->n_counters = 0;
    struct snapd_counter *c = s->counters;
    for (uint32_t i = 0; s->n_counters < SNAPD_STATUS_COUNTERS; i++) {
        c[s->n_counters].name = pony_engine_counter(e->pony, i, &c[s->n_counters].value);
        if (c[s->n_counters].name == NULL) {
            break;
        }
        s->n_counters++;
    }
    for (uint32_t i = 0; s->n_counters < SNAPD_STATUS_COUNTERS; i++) {
        c[s->n_counters].name = e->dev->ops->counter(e->dev, i, &c[s->n_counters].value);
        if (c[s->n_counters].name == NULL) {
            break;
        }
        s->n_counters++;
    }
}

void snapd_proxy_status(struct snapd_engine *engine, struct snapd_engine_status *status)
{
    struct status_work w = {.work.run = do_status, .engine = engine, .status = status};
    snapd_proxy_run(engine, &w.work);
}

enum table {
    TABLE_APPS,
    TABLE_CONNS,
    TABLE_FLOWS
};

struct walk_work {
    struct snapd_work work;
    const struct pony_engine *pony;
    enum table table;
    uint32_t cursor;
    uint32_t n;
    void *rows;
};

static bool next_row(struct walk_work *w)
{
    switch (w->table) {
    case TABLE_APPS:
        return pony_engine_next_app(w->pony, &w->cursor, &((struct pony_app_info *)w->rows)[w->n]);
    case TABLE_CONNS:
        return pony_engine_next_conn(w->pony, &w->cursor,
                                     &((struct pony_conn_info *)w->rows)[w->n]);
    case TABLE_FLOWS:
        return pony_engine_next_flow(w->pony, &w->cursor,
                                     &((struct pony_flow_info *)w->rows)[w->n]);
    }
    return false;
}

static void do_walk(struct snapd_work *work)
{
    struct walk_work *w = base_container_of(work, struct walk_work, work);
    while (w->n < SNAPD_STATUS_CHUNK && next_row(w)) {
        w->n++;
    }
}

static uint32_t walk(struct snapd_engine *engine, enum table table, uint32_t *cursor, void *rows)
{
    struct walk_work w = {
        .work.run = do_walk, .pony = engine->pony, .table = table, .cursor = *cursor, .rows = rows};
    snapd_proxy_run(engine, &w.work);
    *cursor = w.cursor;
    return w.n;
}

uint32_t snapd_proxy_next_apps(struct snapd_engine *engine, uint32_t *cursor,
                               struct pony_app_info *rows)
{
    return walk(engine, TABLE_APPS, cursor, rows);
}

uint32_t snapd_proxy_next_conns(struct snapd_engine *engine, uint32_t *cursor,
                                struct pony_conn_info *rows)
{
    return walk(engine, TABLE_CONNS, cursor, rows);
}

uint32_t snapd_proxy_next_flows(struct snapd_engine *engine, uint32_t *cursor,
                                struct pony_flow_info *rows)
{
    return walk(engine, TABLE_FLOWS, cursor, rows);
}
