/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/capture/capture.h"

#include "base/compiler.h"
#include "base/fd.h"
#include "snapd/control/session.h"
#include "snapd/memory.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    RING_BYTES = 16 << 20 /* of each engine's ring, about; pages cost nothing until they are used */
};

static void end_capture(struct snapd_capture *c)
{
    uint32_t ring = 0;
    for (uint32_t i = 0; i < c->config.n_engines; i++) {
        if (c->has_tap[i]) {
            snapd_proxy_set_tap(c->config.engines[i], NULL);
            c->has_tap[i] = false;
            shm_capture_end(&c->taps[i].writer);
            ring++;
        }
    }
    if (c->records != NULL) {
        (void)munmap(c->records, shm_capture_records_bytes(&c->sizes));
    }
    if (c->cursors != NULL) {
        (void)munmap(c->cursors, shm_capture_cursors_bytes(&c->sizes));
    }
    base_fd_close(&c->fds[0]);
    base_fd_close(&c->fds[1]);
    if (c->session != NULL && ring > 0) {
        base_logf(c->config.log, BASE_LOG_INFO, "capture", "pid %d has ended its capture",
                  (int)c->session->pid);
    }
    c->records = NULL;
    c->cursors = NULL;
    c->session = NULL;
}

static enum base_err check_caller(const struct snapd_capture *c, const struct snapd_session *s)
{
    if (s->uid != 0 && s->uid != geteuid()) {
        base_error_note("only root and the user that runs snapd (uid %u) may capture packets, "
                        "because they hold the messages of all users; try sudo",
                        (unsigned)geteuid());
        return BASE_E_PERMISSION;
    }
    if (c->session != NULL) {
        base_error_note("pid %d is capturing at this snapd; end that first", (int)c->session->pid);
        return BASE_E_IN_USE;
    }
    return BASE_OK;
}

/* The peer of a flow of one engine. */
static bool find_flow(struct snapd_engine *engine, uint32_t flow, struct pony_addr *peer)
{
    static struct pony_flow_info rows[SNAPD_STATUS_CHUNK]; /* one control thread */
    uint32_t cursor = 0;
    uint32_t n;
    while ((n = snapd_proxy_next_flows(engine, &cursor, rows)) > 0) {
        for (uint32_t i = 0; i < n; i++) {
            if (rows[i].flow == flow) {
                *peer = rows[i].peer;
                return true;
            }
        }
    }
    return false;
}

/* What the request means at one engine. False: no packet of it is wanted. */
static bool make_filter(struct snapd_engine *engine, const Pony__Control__Capture *wish,
                        struct snapd_tap_filter *filter)
{
    *filter = (struct snapd_tap_filter){.flow = wish->flow};
    if (wish->by_flow) {
        filter->has_peer = true;
        if (!find_flow(engine, wish->flow, &filter->peer)) {
            return false;
        }
    }
    if (wish->udp_port != 0 && wish->udp_port != engine->dev->ops->udp_port(engine->dev)) {
        filter->peer_port = (uint16_t)wish->udp_port;
    }
    return true;
}

static enum base_err choose_engines(struct snapd_capture *c, const Pony__Control__Capture *wish)
{
    if (wish->udp_port > UINT16_MAX) {
        base_error_note("%u is no UDP port", wish->udp_port);
        return BASE_E_INVALID;
    }
    c->sizes.n_rings = 0;
    for (uint32_t i = 0; i < c->config.n_engines; i++) {
        c->has_tap[i] = make_filter(c->config.engines[i], wish, &c->taps[i].filter);
        c->sizes.n_rings += c->has_tap[i];
    }
    if (c->sizes.n_rings == 0) {
        base_error_note("no engine has a flow %u; snaprpc status lists them", wish->flow);
        return BASE_E_NOT_FOUND;
    }
    return BASE_OK;
}

static void choose_sizes(struct snapd_capture *c, uint32_t snap_bytes)
{
    struct shm_capture_sizes *s = &c->sizes;
    uint32_t largest = base_max_u32(c->config.mtu_bytes, PONY_MTU_MIN);
    s->snap_bytes = snap_bytes == 0 ? largest : base_min_u32(snap_bytes, largest);
    s->slot_bytes = (uint32_t)base_round_up_u64(SHM_CAPTURE_SLOT_HEAD + s->snap_bytes, 64);
    uint32_t slots = RING_BYTES / s->slot_bytes;
    s->slots = base_min_u32(base_ceil_pow2_u32(slots), SHM_CAPTURE_SLOTS_MAX);
}

static enum base_err make_rings(struct snapd_capture *c)
{
    BASE_TRY(snapd_memory_make("snaprpc capture records", shm_capture_records_bytes(&c->sizes),
                               true, &c->fds[0], &c->records));
    BASE_TRY(snapd_memory_make("snaprpc capture cursors", shm_capture_cursors_bytes(&c->sizes),
                               false, &c->fds[1], &c->cursors));
    uint32_t ring = 0;
    for (uint32_t i = 0; i < c->config.n_engines; i++) {
        if (c->has_tap[i]) {
            shm_capture_writer_init(&c->taps[i].writer, &c->sizes, ring++, c->records, c->cursors);
        }
    }
    return BASE_OK;
}

static void reply_capturing(struct snapd_capture *c, uint64_t id)
{
    Pony__Control__CaptureRing rings[SNAPD_ENGINES_MAX];
    Pony__Control__CaptureRing *ptrs[SNAPD_ENGINES_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->config.n_engines; i++) {
        const struct snapd_dev *dev = c->config.engines[i]->dev;
        if (!c->has_tap[i]) {
            continue;
        }
        rings[n] = (Pony__Control__CaptureRing)PONY__CONTROL__CAPTURE_RING__INIT;
        rings[n].engine = i;
        /* protobuf-c has no const; packing only reads. */
        rings[n].device = (char *)(uintptr_t)dev->ops->name;
        rings[n].address = (char *)(uintptr_t)dev->ops->address(dev);
        rings[n].udp_port = dev->ops->udp_port(dev);
        ptrs[n] = &rings[n];
        n++;
    }
    Pony__Control__Capturing what = PONY__CONTROL__CAPTURING__INIT;
    what.slots = c->sizes.slots;
    what.slot_bytes = c->sizes.slot_bytes;
    what.snap_bytes = c->sizes.snap_bytes;
    what.n_rings = n;
    what.rings = ptrs;
    Pony__Control__Reply reply = PONY__CONTROL__REPLY__INIT;
    reply.id = id;
    reply.what_case = PONY__CONTROL__REPLY__WHAT_CAPTURING;
    reply.capturing = &what;
    snapd_session_reply(c->session, &reply, c->fds, SHM_CAPTURE_N_FDS);
}

static void begin_capture(struct snapd_capture *c, struct snapd_session *s,
                          const Pony__Control__Request *request)
{
    base_error_clear_note();
    enum base_err err = check_caller(c, s);
    bool is_ours = err == BASE_OK;
    if (is_ours) {
        c->session = s;
        err = choose_engines(c, request->capture);
    }
    if (err == BASE_OK) {
        choose_sizes(c, request->capture->snap_bytes);
        err = make_rings(c);
    }
    if (err != BASE_OK) {
        const char *note = base_error_last_note();
        snapd_session_error(s, request->id, err, note[0] != '\0' ? note : base_err_text(err));
        if (is_ours) {
            memset(c->has_tap, 0, sizeof(c->has_tap));
            end_capture(c);
        }
        return;
    }
    base_logf(c->config.log, BASE_LOG_INFO, "capture", "pid %d (uid %u) captures at %u engines",
              (int)s->pid, s->uid, c->sizes.n_rings);
    for (uint32_t i = 0; i < c->config.n_engines; i++) {
        if (c->has_tap[i]) {
            snapd_proxy_set_tap(c->config.engines[i], &c->taps[i]);
        }
    }
    reply_capturing(c, request->id);
    base_fd_close(&c->fds[0]);
    base_fd_close(&c->fds[1]);
}

static bool capture_serve(struct snapd_module *module, struct snapd_session *s,
                          const Pony__Control__Request *request)
{
    if (request->what_case != PONY__CONTROL__REQUEST__WHAT_CAPTURE) {
        return false;
    }
    begin_capture(base_container_of(module, struct snapd_capture, module), s, request);
    return true;
}

static void capture_on_writable(struct snapd_module *module, struct snapd_session *s)
{
    (void)module;
    (void)s;
}

static void capture_on_gone(struct snapd_module *module, struct snapd_session *s)
{
    struct snapd_capture *c = base_container_of(module, struct snapd_capture, module);
    if (c->session == s) {
        end_capture(c);
    }
}

static int capture_fd(const struct snapd_module *module)
{
    (void)module;
    return -1;
}

static void capture_on_wake(struct snapd_module *module)
{
    (void)module;
}

static void capture_on_tick(struct snapd_module *module, uint64_t now_ns)
{
    (void)module;
    (void)now_ns;
}

static const struct snapd_module_ops capture_ops = {
    .name = "capture",
    .serve = capture_serve,
    .on_writable = capture_on_writable,
    .on_gone = capture_on_gone,
    .fd = capture_fd,
    .on_wake = capture_on_wake,
    .on_tick = capture_on_tick,
};

void snapd_capture_init(struct snapd_capture *capture, const struct snapd_capture_config *config)
{
    *capture =
        (struct snapd_capture){.module.ops = &capture_ops, .config = *config, .fds = {-1, -1}};
}
