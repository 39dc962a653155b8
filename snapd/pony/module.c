/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/pony/module.h"

#include "base/clock.h"
#include "base/event.h"
#include "base/fd.h"
#include "transport/pony/abi/address.h"

static struct snapd_pony *pony_of(struct snapd_module *module)
{
    return base_container_of(module, struct snapd_pony, module);
}

static void reply_done(struct snapd_session *s, uint64_t id)
{
    Pony__Control__Done done = PONY__CONTROL__DONE__INIT;
    Pony__Control__Reply reply = PONY__CONTROL__REPLY__INIT;
    reply.id = id;
    reply.what_case = PONY__CONTROL__REPLY__WHAT_DONE;
    reply.done = &done;
    snapd_session_reply(s, &reply, NULL, 0);
}

static void lookup(struct snapd_pony *pony, struct snapd_session *s,
                   const Pony__Control__Request *request)
{
    struct snapd_user *user = snapd_users_get(&pony->users, s->uid);
    const char *address =
        user != NULL ? snapd_cache_get(&user->cache, request->lookup->target, pony->server->now_ns)
                     : NULL;
    Pony__Control__Found found = PONY__CONTROL__FOUND__INIT;
    if (address != NULL) {
        /* protobuf-c has no const; packing only reads. */
        found.address = (char *)(uintptr_t)address;
    }
    Pony__Control__Reply reply = PONY__CONTROL__REPLY__INIT;
    reply.id = request->id;
    reply.what_case = PONY__CONTROL__REPLY__WHAT_FOUND;
    reply.found = &found;
    snapd_session_reply(s, &reply, NULL, 0);
}

static void remember(struct snapd_pony *pony, struct snapd_session *s,
                     const Pony__Control__Request *request)
{
    const Pony__Control__Remember *r = request->remember;
    struct snapd_user *user = snapd_users_get(&pony->users, s->uid);
    struct pony_address address;
    enum base_err err = user != NULL ? BASE_OK : BASE_E_NOMEM;
    if (err == BASE_OK && r->target[0] == '\0') {
        base_error_note("remember: the target is empty");
        err = BASE_E_INVALID;
    } else if (err == BASE_OK && r->address[0] == '\0') {
        snapd_cache_forget(&user->cache, r->target);
    } else if (err == BASE_OK) {
        err = pony_address_parse(r->address, &address);
        if (err == BASE_OK) {
            err = snapd_cache_put(&user->cache, r->target, r->address, pony->server->now_ns);
        }
    }
    if (err != BASE_OK) {
        snapd_session_error(s, request->id, err,
                            err == BASE_E_INVALID ? base_error_last_note() : base_err_text(err));
        return;
    }
    reply_done(s, request->id);
}

static bool pony_serve(struct snapd_module *module, struct snapd_session *s,
                       const Pony__Control__Request *request)
{
    struct snapd_pony *pony = pony_of(module);
    switch (request->what_case) {
    case PONY__CONTROL__REQUEST__WHAT_ATTACH:
        snapd_port_attach(pony, s, request);
        return true;
    case PONY__CONTROL__REQUEST__WHAT_LOOKUP:
        lookup(pony, s, request);
        return true;
    case PONY__CONTROL__REQUEST__WHAT_REMEMBER:
        remember(pony, s, request);
        return true;
    case PONY__CONTROL__REQUEST__WHAT_STATUS:
        snapd_status_begin(pony, s, request->id);
        return true;
    case PONY__CONTROL__REQUEST__WHAT_CAPTURE:
    case PONY__CONTROL__REQUEST__WHAT__NOT_SET:
    case _PONY__CONTROL__REQUEST__WHAT__CASE_IS_INT_SIZE:
    default:
        return false;
    }
}

static void pony_on_writable(struct snapd_module *module, struct snapd_session *s)
{
    if (s->walk != NULL) {
        snapd_status_next(pony_of(module), s);
    }
}

static void pony_on_gone(struct snapd_module *module, struct snapd_session *s)
{
    (void)module;
    snapd_status_end(s);
    if (s->port != NULL) {
        struct snapd_port *port = s->port;
        s->port = NULL;
        snapd_port_destroy(port, SHM_REASON_SHUTDOWN);
    }
}

static int pony_fd(const struct snapd_module *module)
{
    return ((const struct snapd_pony *)(const void *)module)->wake_fd;
}

static void pony_on_wake(struct snapd_module *module)
{
    struct snapd_pony *pony = pony_of(module);
    (void)base_eventfd_drain(pony->wake_fd);
    snapd_port_take_faults(pony);
}

static void pony_on_tick(struct snapd_module *module, uint64_t now_ns)
{
    snapd_users_expire(&pony_of(module)->users, now_ns);
}

static const struct snapd_module_ops pony_ops = {
    .name = "pony",
    .serve = pony_serve,
    .on_writable = pony_on_writable,
    .on_gone = pony_on_gone,
    .fd = pony_fd,
    .on_wake = pony_on_wake,
    .on_tick = pony_on_tick,
};

enum base_err snapd_pony_init(struct snapd_pony *pony, const struct snapd_pony_config *config)
{
    *pony = (struct snapd_pony){
        .module.ops = &pony_ops,
        .config = config->config,
        .log = config->log,
        .server = config->server,
        .instance = config->instance,
        .started_ns = base_clock_now_ns(),
        .engines = config->engines,
        .n_engines = config->n_engines,
        .next_port = 1,
        .wake_fd = -1,
    };
    base_mpsc_init(&pony->faults);
    snapd_users_init(&pony->users, config->config->remembered, config->config->remember_ns);
    return base_eventfd_create(&pony->wake_fd);
}

void snapd_pony_fini(struct snapd_pony *pony)
{
    if (pony->module.ops != NULL) {
        snapd_users_fini(&pony->users);
        base_fd_close(&pony->wake_fd);
    }
}
