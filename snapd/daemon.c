/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/daemon.h"

#include "base/assert.h"
#include "base/fd.h"
#include "base/rng.h"
#include "snapd/capture/capture.h"
#include "snapd/control/listen.h"
#include "snapd/control/server.h"
#include "snapd/device/fault.h"
#include "snapd/device/loop.h"
#include "snapd/device/route.h"
#include "snapd/device/udp.h"
#include "snapd/engine/proxy.h"
#include "snapd/engine/runtime.h"
#include "snapd/pony/module.h"
#include "snapd/security.h"
#include "snapd/version.h"
#include "transport/pony/abi/socket_path.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    LOOP_SLOTS = 256 /* packets under way between two engines */
};

struct daemon {
    const struct snapd_config *config;
    const struct base_log *log;
    struct snapd_listen listen;
    struct snapd_server server;
    struct snapd_pony pony;
    struct snapd_capture capture;
    struct snapd_loop_fabric *fabric;
    struct snapd_waker wakers[SNAPD_ENGINES_MAX];
    struct snapd_place_session session;
    struct snapd_engine *engines[SNAPD_ENGINES_MAX];
    uint32_t n_engines;
    struct snapd_module net; /**< watches the host's addresses */
    int netlink_fd;
    uint64_t instance;
    uint32_t mtu_bytes;
    struct pony_security security; /**< its keys only while engines are made */
};

static enum base_err open_socket(struct daemon *d)
{
    enum base_err err = snapd_listen_inherit(&d->listen);
    if (err != BASE_E_NOT_FOUND) {
        return err;
    }
    char path[PONY_SOCKET_PATH_MAX];
    BASE_TRY(pony_socket_path(d->config->socket, PONY_SOCKET_LISTEN, path));
    return snapd_listen_open(&d->listen, path, d->config->socket_mode);
}

/* Every port costs three descriptors. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static enum base_err open_device(struct daemon *d, uint32_t idx, struct snapd_dev **dev)
{
    const struct snapd_config *c = d->config;
    const struct snapd_udp_config udp = {
        .listen = c->listen,
        .port_offset = (uint16_t)idx,
        .has_segmentation = c->has_segmentation != 0,
        .is_connecting = c->has_connected_socket != 0,
        .n_ports = c->n_source_ports,
        .buffer_bytes = c->socket_buffer_bytes,
        .mtu_bytes = d->mtu_bytes,
        .log = d->log,
    };
    BASE_TRY(snapd_udp_create(&udp, dev));
    if (c->n_engines > 1) {
        struct snapd_dev *net = *dev;
        struct snapd_dev *loop = NULL;
        enum base_err err =
            snapd_loop_create(d->fabric, idx, net->ops->udp_port(net), &d->wakers[idx], &loop);
        if (err != BASE_OK) {
            net->ops->destroy(net);
            return err;
        }
        BASE_TRY(snapd_route_create(net, loop, dev));
    }
    if (snapd_fault_is_on(&c->fault)) {
        struct snapd_fault_config fault = c->fault;
        /* Engines meet different fates, each time the same ones. */
        fault.seed += idx;
        BASE_TRY(snapd_fault_create(&fault, *dev, dev));
    }
    return BASE_OK;
}

static struct pony_engine_config pony_config(const struct daemon *d, const struct snapd_dev *dev,
                                             uint64_t seed)
{
    const struct snapd_config *c = d->config;
    struct pony_engine_config pony;
    pony_engine_config_init(&pony);
    pony.instance = d->instance;
    pony.seed = seed;
    pony.udp_port = dev->ops->udp_port(dev);
    pony.mtu_bytes = d->mtu_bytes;
    pony.max_apps = c->max_ports;
    pony.max_flows = c->flows;
    pony.max_packets = c->packets;
    pony.window_max_pkts = c->window_pkts;
    pony.flows_per_peer = c->flows_per_peer;
    pony.conns_per_flow = c->conns_per_flow;
    pony.rto_min_ns = c->rto_min_ns;
    pony.rto_max_ns = c->rto_max_ns;
    pony.keepalive_ns = c->keepalive_ns;
    pony.dead_ns = c->dead_ns;
    pony.hello_timeout_ns = c->hello_timeout_ns;
    pony.idle_ns = c->idle_ns;
    pony.full_checksum = c->packet_checksum == SNAPD_CHECKSUM_FULL;
    pony.congestion_control = c->congestion_control[0] != '\0' ? c->congestion_control : NULL;
    pony.security = &d->security;
    pony.log = d->log;
    return pony;
}

static enum base_err make_engine(struct daemon *d, uint32_t idx)
{
    struct snapd_dev *dev = NULL;
    uint64_t seed = 0;
    BASE_TRY(base_random_bytes(&seed, sizeof(seed)));
    BASE_TRY(open_device(d, idx, &dev));
    struct snapd_engine_config config = {
        .idx = idx,
        .dev = dev,
        .pony = pony_config(d, dev, seed),
        .idle_policy = (enum snapd_idle_policy)d->config->idle_policy,
        .spin_ns = d->config->spin_ns,
        .priority = d->config->priority,
        .session = &d->session,
        .log = d->log,
    };
    config.has_cpu = snapd_config_cpu(d->config, idx, &config.cpu);
    enum base_err err = snapd_engine_create(&config, &d->wakers[idx], &d->engines[idx]);
    if (err != BASE_OK) {
        dev->ops->destroy(dev);
        return err;
    }
    d->n_engines++;
    base_logf(d->log, BASE_LOG_INFO, "engine", "engine %u at %s, packets of %u bytes%s", idx,
              dev->ops->address(dev), d->mtu_bytes,
              snapd_fault_is_on(&d->config->fault) ? ", with faults on purpose" : "");
    return BASE_OK;
}

static void tell_addresses(struct daemon *d)
{
    struct snapd_local_addrs addrs;
    snapd_local_addrs_read(&addrs);
    for (uint32_t i = 0; i < d->n_engines; i++) {
        snapd_proxy_set_local(d->engines[i], &addrs);
    }
}

static enum base_err make_engines(struct daemon *d)
{
    const struct snapd_config *c = d->config;
    d->mtu_bytes = c->mtu_bytes != 0 ? c->mtu_bytes : snapd_udp_auto_mtu();
    while (d->instance == 0) {
        BASE_TRY(base_random_bytes(&d->instance, sizeof(d->instance)));
    }
    for (uint32_t i = 0; i < SNAPD_ENGINES_MAX; i++) {
        d->wakers[i].fd = -1;
    }
    snapd_place_session_init(&d->session);
    for (uint32_t i = 0; i < c->n_engines; i++) {
        BASE_TRY(snapd_waker_init(&d->wakers[i]));
    }
    if (c->n_engines > 1) {
        const struct snapd_loop_config loop = {
            .n_engines = c->n_engines, .mtu_bytes = d->mtu_bytes, .slots = LOOP_SLOTS};
        BASE_TRY(snapd_loop_fabric_create(&loop, &d->fabric));
    }
    enum base_err err = snapd_security_load(c, d->log, &d->security);
    for (uint32_t i = 0; err == BASE_OK && i < c->n_engines; i++) {
        err = make_engine(d, i);
    }
    snapd_security_forget(&d->security); /* engines have what they need */
    BASE_TRY(err);
    tell_addresses(d);
    for (uint32_t i = 0; i < c->n_engines; i++) {
        BASE_TRY(snapd_engine_start(d->engines[i]));
    }
    return BASE_OK;
}

/* Module Net: tells the engines when the host's addresses change. */

static bool net_serve(struct snapd_module *module, struct snapd_session *s,
                      const Pony__Control__Request *request)
{
    (void)module;
    (void)s;
    (void)request;
    return false;
}

static void net_ignore_session(struct snapd_module *module, struct snapd_session *s)
{
    (void)module;
    (void)s;
}

static int net_fd(const struct snapd_module *module)
{
    const char *at = (const char *)module - offsetof(struct daemon, net);
    return ((const struct daemon *)(const void *)at)->netlink_fd;
}

static void net_on_wake(struct snapd_module *module)
{
    struct daemon *d = base_container_of(module, struct daemon, net);
    uint8_t bytes[4096];
    /* What the messages say does not matter: all addresses are read anew. */
    while (recv(d->netlink_fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
    tell_addresses(d);
}

static void net_on_tick(struct snapd_module *module, uint64_t now_ns)
{
    (void)module;
    (void)now_ns;
}

static const struct snapd_module_ops net_ops = {
    .name = "net",
    .serve = net_serve,
    .on_writable = net_ignore_session,
    .on_gone = net_ignore_session,
    .fd = net_fd,
    .on_wake = net_on_wake,
    .on_tick = net_on_tick,
};

static void open_netlink(struct daemon *d)
{
    const struct sockaddr_nl name = {.nl_family = AF_NETLINK,
                                     .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
    d->net.ops = &net_ops;
    d->netlink_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (d->netlink_fd >= 0 &&
        bind(d->netlink_fd, (const struct sockaddr *)&name, sizeof(name)) != 0) {
        base_fd_close(&d->netlink_fd);
    }
}

static enum base_err make_control(struct daemon *d)
{
    const struct snapd_pony_config pony = {
        .config = d->config,
        .log = d->log,
        .server = &d->server,
        .instance = d->instance,
        .engines = d->engines,
        .n_engines = d->n_engines,
    };
    BASE_TRY(snapd_pony_init(&d->pony, &pony));
    BASE_TRY(snapd_server_add_module(&d->server, &d->pony.module));
    const struct snapd_capture_config capture = {
        .engines = d->engines, .n_engines = d->n_engines, .mtu_bytes = d->mtu_bytes, .log = d->log};
    snapd_capture_init(&d->capture, &capture);
    BASE_TRY(snapd_server_add_module(&d->server, &d->capture.module));
    open_netlink(d);
    return d->netlink_fd >= 0 ? snapd_server_add_module(&d->server, &d->net) : BASE_OK;
}

/* Reads keys[n_engines]. They are made for all engines before the first one gets its own, which cannot
 * fail: so that all engines have the new ones, or all the old. */
static enum base_err read_keys(struct daemon *d, struct pony_seal_keys **keys)
{
    enum base_err err = snapd_security_load(d->config, d->log, &d->security);
    for (uint32_t i = 0; err == BASE_OK && i < d->n_engines; i++) {
        err = pony_seal_all[d->security.mode]->make_keys(&d->security, &keys[i]);
    }
    snapd_security_forget(&d->security);
    return err;
}

/* SIGHUP: what flows are secured with is read again. What cannot be read changes nothing. PX-229 */
static void on_hangup(void *ctx)
{
    struct daemon *d = ctx;
    if (d->config->security_mode == PONY_SECURITY_PLAIN) {
        base_logf(d->log, BASE_LOG_INFO, "control",
                  "SIGHUP: nothing to read again in mode plain; settings are read at start only");
        return;
    }
    struct pony_seal_keys *keys[SNAPD_ENGINES_MAX] = {NULL};
    uint32_t n_ended = 0;
    base_error_clear_note();
    enum base_err err = read_keys(d, keys);
    for (uint32_t i = 0; err == BASE_OK && i < d->n_engines; i++) {
        n_ended += snapd_proxy_set_keys(d->engines[i], keys[i]);
    }
    for (uint32_t i = 0; i < d->n_engines; i++) {
        pony_seal_all[d->config->security_mode]->free_keys(keys[i]);
    }
    if (err != BASE_OK) {
        const char *note = base_error_last_note();
        base_logf(d->log, BASE_LOG_ERROR, "control", "SIGHUP: %s; the old keys stay in use",
                  note[0] != '\0' ? note : base_err_text(err));
        return;
    }
    base_logf(d->log, BASE_LOG_INFO, "control",
              "SIGHUP: keys read again; %u flows ended, as theirs was taken away", n_ended);
}

static enum base_err start(struct daemon *d)
{
    BASE_TRY(open_socket(d));
    raise_file_limit();
    const struct snapd_server_config server = {
        .listen = &d->listen,
        .log = d->log,
        .max_sessions = d->config->max_sessions,
        .on_hangup = on_hangup,
        .ctx = d,
    };
    BASE_TRY(snapd_server_init(&d->server, &server));
    BASE_TRY(make_engines(d));
    return make_control(d);
}

static void stop(struct daemon *d)
{
    /* The threads end first, each telling its peers; then ports are taken apart on this one. */
    for (uint32_t i = 0; i < d->n_engines; i++) {
        snapd_engine_stop(d->engines[i]);
    }
    snapd_server_fini(&d->server);
    snapd_pony_fini(&d->pony);
    for (uint32_t i = 0; i < d->n_engines; i++) {
        snapd_engine_destroy(d->engines[i]);
    }
    for (uint32_t i = 0; i < SNAPD_ENGINES_MAX; i++) {
        snapd_waker_fini(&d->wakers[i]);
    }
    snapd_loop_fabric_destroy(d->fabric);
    base_fd_close(&d->netlink_fd);
    snapd_listen_close(&d->listen);
}

enum base_err snapd_daemon_run(const struct snapd_config *config, const struct base_log *log)
{
    struct daemon *d = calloc(1, sizeof(*d));
    BASE_ENSURE(d != NULL, BASE_E_NOMEM);
    d->config = config;
    d->log = log;
    d->listen.fd = -1;
    d->netlink_fd = -1;
    for (uint32_t i = 0; i < SNAPD_ENGINES_MAX; i++) {
        d->wakers[i].fd = -1;
    }
    enum base_err err = start(d);
    if (err == BASE_OK) {
        base_logf(log, BASE_LOG_INFO, "control", "snapd %s ready at %s", SNAPD_VERSION,
                  d->listen.path);
        snapd_notify("READY=1");
        err = snapd_server_run(&d->server);
        snapd_notify("STOPPING=1");
    }
    stop(d);
    free(d);
    return err;
}
