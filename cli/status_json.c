/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/status.h"

#include <inttypes.h>
#include <jansson.h>

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* What is not UTF-8 (a program's name may be anything) becomes null. */
static json_t *text(const char *s)
{
    json_t *value = json_string(s);
    return value != NULL ? value : json_null();
}

static json_t *counters(Pony__Control__Counter *const *list, size_t n)
{
    json_t *object = json_object();
    for (size_t i = 0; i < n; i++) {
        (void)json_object_set_new(object, list[i]->name, number(list[i]->value));
    }
    return object;
}

static json_t *daemon_json(const Pony__Control__Daemon *d)
{
    char instance[24];
    (void)snprintf(instance, sizeof(instance), "%016" PRIx64, d->instance);
    json_t *o = json_object();
    (void)json_object_set_new(o, "version", text(d->version));
    (void)json_object_set_new(o, "instance", text(instance));
    (void)json_object_set_new(o, "pid", number(d->pid));
    (void)json_object_set_new(o, "uptime_ns", number(d->uptime_ns));
    (void)json_object_set_new(o, "socket", text(d->socket));
    (void)json_object_set_new(o, "counters", counters(d->counters, d->n_counters));
    return o;
}

static json_t *engine_json(const Pony__Control__Engine *e)
{
    json_t *o = json_object();
    (void)json_object_set_new(o, "engine", number(e->engine));
    (void)json_object_set_new(o, "device", text(e->device));
    (void)json_object_set_new(o, "address", text(e->address));
    (void)json_object_set_new(o, "busy_ns", number(e->busy_ns));
    (void)json_object_set_new(o, "asleep", json_boolean(e->asleep));
    (void)json_object_set_new(o, "counters", counters(e->counters, e->n_counters));
    return o;
}

static json_t *port_json(const Pony__Control__Port *p)
{
    json_t *o = json_object();
    (void)json_object_set_new(o, "port", number(p->port));
    (void)json_object_set_new(o, "engine", number(p->engine));
    (void)json_object_set_new(o, "pid", number(p->pid));
    (void)json_object_set_new(o, "uid", number(p->uid));
    (void)json_object_set_new(o, "user",
                              text(p->user[0] != '\0' ? p->user : cli_user_name(p->uid)));
    (void)json_object_set_new(o, "program", text(p->program));
    (void)json_object_set_new(o, "connections", number(p->connections));
    (void)json_object_set_new(o, "listeners", number(p->listeners));
    (void)json_object_set_new(o, "rx_bytes_used", number(p->rx_bytes_used));
    (void)json_object_set_new(o, "counters", counters(p->counters, p->n_counters));
    return o;
}

static json_t *flow_json(const Pony__Control__Flow *f)
{
    json_t *o = json_object();
    (void)json_object_set_new(o, "engine", number(f->engine));
    (void)json_object_set_new(o, "flow", number(f->flow));
    (void)json_object_set_new(o, "slot", number(f->slot));
    (void)json_object_set_new(o, "peer", text(f->peer));
    (void)json_object_set_new(o, "state", text(f->state));
    (void)json_object_set_new(o, "version", number(f->version));
    (void)json_object_set_new(o, "mtu_bytes", number(f->mtu_bytes));
    (void)json_object_set_new(o, "srtt_ns", number(f->srtt_ns));
    (void)json_object_set_new(o, "rto_ns", number(f->rto_ns));
    (void)json_object_set_new(o, "cwnd_pkts", json_real(f->cwnd_pkts));
    (void)json_object_set_new(o, "inflight_pkts", number(f->inflight_pkts));
    (void)json_object_set_new(o, "connections", number(f->connections));
    (void)json_object_set_new(o, "security", text(f->security));
    (void)json_object_set_new(o, "cipher", text(f->cipher));
    (void)json_object_set_new(o, "key_sent", number(f->key_sent));
    (void)json_object_set_new(o, "key_received", number(f->key_received));
    (void)json_object_set_new(o, "cluster_key", number(f->cluster_key));
    (void)json_object_set_new(o, "counters", counters(f->counters, f->n_counters));
    return o;
}

static json_t *connection_json(const Pony__Control__Connection *c)
{
    json_t *o = json_object();
    (void)json_object_set_new(o, "port", number(c->port));
    (void)json_object_set_new(o, "conn", number(c->conn));
    (void)json_object_set_new(o, "state", text(c->state));
    (void)json_object_set_new(o, "peer", text(c->peer));
    (void)json_object_set_new(o, "traffic", text(c->traffic));
    (void)json_object_set_new(o, "flow", number(c->flow));
    (void)json_object_set_new(o, "sent_msgs", number(c->sent_msgs));
    (void)json_object_set_new(o, "sent_bytes", number(c->sent_bytes));
    (void)json_object_set_new(o, "received_msgs", number(c->received_msgs));
    (void)json_object_set_new(o, "received_bytes", number(c->received_bytes));
    return o;
}

enum base_err cli_status_print_json(const struct cli_status *status, FILE *out)
{
    json_t *root = json_object();
    json_t *engines = json_array();
    json_t *ports = json_array();
    json_t *flows = json_array();
    json_t *connections = json_array();
    (void)json_object_set_new(root, "schema_version", number(CLI_STATUS_SCHEMA_VERSION));
    for (size_t i = 0; i < status->n; i++) {
        const Pony__Control__StatusReply *s = status->replies[i]->status;
        if (s->daemon != NULL) {
            (void)json_object_set_new(root, "daemon", daemon_json(s->daemon));
        }
        for (size_t k = 0; k < s->n_engines; k++) {
            (void)json_array_append_new(engines, engine_json(s->engines[k]));
        }
        for (size_t k = 0; k < s->n_ports; k++) {
            (void)json_array_append_new(ports, port_json(s->ports[k]));
        }
        for (size_t k = 0; k < s->n_flows; k++) {
            (void)json_array_append_new(flows, flow_json(s->flows[k]));
        }
        for (size_t k = 0; k < s->n_connections; k++) {
            (void)json_array_append_new(connections, connection_json(s->connections[k]));
        }
    }
    (void)json_object_set_new(root, "engines", engines);
    (void)json_object_set_new(root, "ports", ports);
    (void)json_object_set_new(root, "flows", flows);
    (void)json_object_set_new(root, "connections", connections);
    int failed = json_dumpf(root, out, JSON_INDENT(2));
    json_decref(root);
    return failed == 0 && fputc('\n', out) != EOF ? BASE_OK : BASE_E_IO;
}
