/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/compiler.h"
#include "snapd/pony/module.h"
#include "snapd/version.h"
#include "transport/pony/abi/address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A status reply goes out in pieces, each one chunk of one table of one engine, so that neither
 * snapd's memory nor an engine's time depends on how much there is to tell. */
enum step {
    STEP_DAEMON,
    STEP_ENGINE,
    STEP_PORTS,
    STEP_FLOWS,
    STEP_CONNECTIONS,
    STEP_END
};

struct walk {
    uint64_t id;
    enum step step;
    uint32_t engine_idx;
    uint32_t cursor;
};

enum {
    COUNTERS_PER_ROW = 8,
    DAEMON_COUNTERS = 9,
    ENGINE_METERS = 10
};

/* Room for one piece; there is one control thread. */
struct piece {
    Pony__Control__StatusReply status;
    Pony__Control__Counter counters[SNAPD_STATUS_COUNTERS + ENGINE_METERS];
    Pony__Control__Counter *counter_ptrs[SNAPD_STATUS_COUNTERS + ENGINE_METERS];
    Pony__Control__Counter row_counters[SNAPD_STATUS_CHUNK][COUNTERS_PER_ROW];
    Pony__Control__Counter *row_counter_ptrs[SNAPD_STATUS_CHUNK][COUNTERS_PER_ROW];
    char addresses[SNAPD_STATUS_CHUNK][PONY_ADDRESS_MAX];

    union {
        struct {
            Pony__Control__Port rows[SNAPD_STATUS_CHUNK];
            Pony__Control__Port *ptrs[SNAPD_STATUS_CHUNK];
            struct pony_app_info infos[SNAPD_STATUS_CHUNK];
        } ports;

        struct {
            Pony__Control__Flow rows[SNAPD_STATUS_CHUNK];
            Pony__Control__Flow *ptrs[SNAPD_STATUS_CHUNK];
            struct pony_flow_info infos[SNAPD_STATUS_CHUNK];
        } flows;

        struct {
            Pony__Control__Connection rows[SNAPD_STATUS_CHUNK];
            Pony__Control__Connection *ptrs[SNAPD_STATUS_CHUNK];
            struct pony_conn_info infos[SNAPD_STATUS_CHUNK];
        } conns;
    } u;
};

static struct piece piece;

/* protobuf-c has no const; packing only reads. */
static char *text(const char *s)
{
    return (char *)(uintptr_t)(s != NULL ? s : "");
}

static void send_piece(struct snapd_session *s, const struct walk *walk, bool has_more)
{
    Pony__Control__Reply reply = PONY__CONTROL__REPLY__INIT;
    reply.id = walk->id;
    reply.more = has_more;
    reply.what_case = PONY__CONTROL__REPLY__WHAT_STATUS;
    reply.status = &piece.status;
    snapd_session_reply(s, &reply, NULL, 0);
}

static void set_counter(Pony__Control__Counter *counter, Pony__Control__Counter **ptr,
                        const char *name, uint64_t value)
{
    *counter = (Pony__Control__Counter)PONY__CONTROL__COUNTER__INIT;
    counter->name = text(name);
    counter->value = value;
    *ptr = counter;
}

static size_t add_counters(const struct snapd_counter *from, size_t n, size_t at)
{
    for (size_t i = 0; i < n && at < BASE_ARRAY_LEN(piece.counters); i++, at++) {
        set_counter(&piece.counters[at], &piece.counter_ptrs[at], from[i].name, from[i].value);
    }
    return at;
}

static void row_counter(uint32_t row, uint32_t n, const char *name, uint64_t value)
{
    set_counter(&piece.row_counters[row][n], &piece.row_counter_ptrs[row][n], name, value);
}

static void send_daemon(struct snapd_pony *pony, struct snapd_session *s, const struct walk *walk)
{
    const struct snapd_server_counters *c = &pony->server->counters;
    const struct snapd_counter counters[DAEMON_COUNTERS] = {
        {"sessions", pony->server->n_sessions},
        {"sessions_accepted", c->accepted},
        {"sessions_refused", c->refused},
        {"sessions_malformed", c->malformed},
        {"sessions_stuck", c->stuck},
        {"accept_pauses", c->accept_pauses},
        {"ports_attached", pony->counters.attached},
        {"ports_refused", pony->counters.refused},
        {"ports_faulty", pony->counters.faults},
    };
    Pony__Control__Daemon daemon = PONY__CONTROL__DAEMON__INIT;
    daemon.version = text(SNAPD_VERSION);
    daemon.instance = pony->instance;
    daemon.pid = (uint64_t)getpid();
    daemon.uptime_ns = base_clock_now_ns() - pony->started_ns;
    daemon.socket = pony->server->config.listen->path;
    daemon.n_counters = add_counters(counters, DAEMON_COUNTERS, 0);
    daemon.counters = piece.counter_ptrs;
    piece.status.daemon = &daemon;
    send_piece(s, walk, true);
}

static void send_engine(struct snapd_pony *pony, struct snapd_session *s, const struct walk *walk)
{
    static struct snapd_engine_status status;
    struct snapd_engine *engine = pony->engines[walk->engine_idx];
    bool is_asleep = atomic_load_explicit(&engine->waker->is_asleep, memory_order_relaxed) != 0;
    snapd_proxy_status(engine, &status);
    const struct snapd_engine_meters *m = &status.meters;
    const struct snapd_counter meters[ENGINE_METERS] = {
        {"cpu_ns", status.cpu_ns},
        {"rounds", m->rounds},
        {"work_rounds", m->work_rounds},
        {"sleeps", m->sleeps},
        {"gap_max_ns", m->gap_max_ns},
        {"priority", m->priority},
        {"lightened", m->lightened},
        {"rx_budget_used_up", m->rx_budget_used_up},
        {"command_budget_used_up", m->cmd_budget_used_up},
        {"tx_budget_used_up", m->tx_budget_used_up},
    };
    Pony__Control__Engine e = PONY__CONTROL__ENGINE__INIT;
    e.engine = walk->engine_idx;
    e.device = text(engine->dev->ops->name);
    e.address = text(engine->dev->ops->address(engine->dev));
    e.busy_ns = m->busy_ns;
    e.asleep = is_asleep;
    size_t n = add_counters(meters, ENGINE_METERS, 0);
    e.n_counters = add_counters(status.counters, status.n_counters, n);
    e.counters = piece.counter_ptrs;
    Pony__Control__Engine *ptr = &e;
    piece.status.n_engines = 1;
    piece.status.engines = &ptr;
    send_piece(s, walk, true);
}

static void fill_port(struct snapd_pony *pony, const struct walk *walk, uint32_t i)
{
    const struct pony_app_info *info = &piece.u.ports.infos[i];
    struct snapd_port *port = NULL;
    HASH_FIND(hh, pony->ports, &info->port, sizeof(info->port), port);
    Pony__Control__Port *row = &piece.u.ports.rows[i];
    *row = (Pony__Control__Port)PONY__CONTROL__PORT__INIT;
    row->port = info->port;
    row->engine = walk->engine_idx;
    row->pid = info->pid;
    row->uid = info->uid;
    row->program = text(port != NULL ? port->program : NULL);
    row->connections = info->conns;
    row->listeners = info->listeners;
    row->rx_bytes_used = info->rx_bytes_used;
    row_counter(i, 0, "commands", info->commands);
    row_counter(i, 1, "completions", info->completions);
    row_counter(i, 2, "sent_msgs", info->sent_msgs);
    row_counter(i, 3, "sent_bytes", info->sent_bytes);
    row_counter(i, 4, "received_msgs", info->received_msgs);
    row_counter(i, 5, "received_bytes", info->received_bytes);
    row_counter(i, 6, "memory_bytes", port != NULL ? port->bytes : 0);
    row->n_counters = 7;
    row->counters = piece.row_counter_ptrs[i];
    piece.u.ports.ptrs[i] = row;
}

static void fill_flow(const struct walk *walk, uint32_t i)
{
    const struct pony_flow_info *info = &piece.u.flows.infos[i];
    Pony__Control__Flow *row = &piece.u.flows.rows[i];
    *row = (Pony__Control__Flow)PONY__CONTROL__FLOW__INIT;
    pony_address_format_peer((const struct shm_addr *)(const void *)&info->peer,
                             piece.addresses[i]);
    row->engine = walk->engine_idx;
    row->flow = info->flow;
    row->peer = piece.addresses[i];
    row->state = text(info->state);
    row->version = info->version;
    row->mtu_bytes = info->mtu_bytes;
    row->srtt_ns = info->srtt_ns;
    row->rto_ns = info->rto_ns;
    row->cwnd_pkts = info->cwnd_pkts;
    row->inflight_pkts = info->inflight_pkts;
    row->connections = info->users;
    row->security = text(info->security);
    row->cipher = text(info->seal.cipher);
    row->key_sent = info->seal.tx_generation;
    row->key_received = info->seal.rx_generation;
    row->cluster_key = info->seal.key_id;
    row->slot = info->slot;
    row_counter(i, 0, "sent_pkts", info->sent_pkts);
    row_counter(i, 1, "received_pkts", info->received_pkts);
    row_counter(i, 2, "retransmitted_pkts", info->retransmitted_pkts);
    row_counter(i, 3, "timeouts", info->timeouts);
    row_counter(i, 4, "duplicates", info->duplicates);
    row_counter(i, 5, "dropped", info->dropped);
    row->n_counters = 6;
    row->counters = piece.row_counter_ptrs[i];
    piece.u.flows.ptrs[i] = row;
}

static void fill_conn(uint32_t i)
{
    const struct pony_conn_info *info = &piece.u.conns.infos[i];
    Pony__Control__Connection *row = &piece.u.conns.rows[i];
    *row = (Pony__Control__Connection)PONY__CONTROL__CONNECTION__INIT;
    pony_address_format_peer((const struct shm_addr *)(const void *)&info->peer,
                             piece.addresses[i]);
    row->port = info->port;
    row->conn = info->conn;
    row->state = text(info->state);
    row->peer = piece.addresses[i];
    row->sent_msgs = info->sent_msgs;
    row->sent_bytes = info->sent_bytes;
    row->received_msgs = info->received_msgs;
    row->received_bytes = info->received_bytes;
    row->traffic = text(info->traffic);
    row->flow = info->flow;
    piece.u.conns.ptrs[i] = row;
}

static_assert(sizeof(struct pony_addr) == sizeof(struct shm_addr) &&
                  offsetof(struct pony_addr, udp_port) == offsetof(struct shm_addr, udp_port) &&
                  offsetof(struct pony_addr, scope) == offsetof(struct shm_addr, scope),
              "printed as one another");

/* The next rows of a table; false when there are none left. */
static bool send_rows(struct snapd_pony *pony, struct snapd_session *s, struct walk *walk)
{
    struct snapd_engine *engine = pony->engines[walk->engine_idx];
    uint32_t n = 0;
    if (walk->step == STEP_PORTS) {
        n = snapd_proxy_next_apps(engine, &walk->cursor, piece.u.ports.infos);
        for (uint32_t i = 0; i < n; i++) {
            fill_port(pony, walk, i);
        }
        piece.status.n_ports = n;
        piece.status.ports = piece.u.ports.ptrs;
    } else if (walk->step == STEP_FLOWS) {
        n = snapd_proxy_next_flows(engine, &walk->cursor, piece.u.flows.infos);
        for (uint32_t i = 0; i < n; i++) {
            fill_flow(walk, i);
        }
        piece.status.n_flows = n;
        piece.status.flows = piece.u.flows.ptrs;
    } else {
        n = snapd_proxy_next_conns(engine, &walk->cursor, piece.u.conns.infos);
        for (uint32_t i = 0; i < n; i++) {
            fill_conn(i);
        }
        piece.status.n_connections = n;
        piece.status.connections = piece.u.conns.ptrs;
    }
    if (n > 0) {
        send_piece(s, walk, true);
    }
    return n == SNAPD_STATUS_CHUNK;
}

static void advance(const struct snapd_pony *pony, struct walk *walk)
{
    walk->cursor = 0;
    if (walk->step != STEP_CONNECTIONS) {
        walk->step = (enum step)(walk->step + 1);
    } else if (++walk->engine_idx < pony->n_engines) {
        walk->step = STEP_ENGINE;
    } else {
        walk->step = STEP_END;
    }
}

void snapd_status_next(struct snapd_pony *pony, struct snapd_session *s)
{
    struct walk *walk = s->walk;
    while (!s->is_closing && s->n_queued == 0) {
        piece.status = (Pony__Control__StatusReply)PONY__CONTROL__STATUS_REPLY__INIT;
        bool is_done = true;
        switch (walk->step) {
        case STEP_DAEMON:
            send_daemon(pony, s, walk);
            break;
        case STEP_ENGINE:
            send_engine(pony, s, walk);
            break;
        case STEP_PORTS:
        case STEP_FLOWS:
        case STEP_CONNECTIONS:
            is_done = !send_rows(pony, s, walk);
            break;
        case STEP_END:
            send_piece(s, walk, false);
            snapd_status_end(s);
            return;
        }
        if (is_done) {
            advance(pony, walk);
        }
    }
}

void snapd_status_begin(struct snapd_pony *pony, struct snapd_session *s, uint64_t id)
{
    struct walk *walk = calloc(1, sizeof(*walk));
    if (walk == NULL) {
        snapd_session_error(s, id, BASE_E_NOMEM, "no memory for a status reply");
        return;
    }
    walk->id = id;
    s->walk = walk;
    snapd_status_next(pony, s);
}

void snapd_status_end(struct snapd_session *s)
{
    free(s->walk);
    s->walk = NULL;
}
