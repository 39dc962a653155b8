/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/status.h"
#include "cli/table.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdbool.h>
#include <string.h>

enum {
    CELL_MAX = 32
};

const char *cli_user_name(uint32_t uid)
{
    static char number[16];
    const struct passwd *user = getpwuid((uid_t)uid);
    if (user != NULL) {
        return user->pw_name;
    }
    (void)snprintf(number, sizeof(number), "%u", uid);
    return number;
}

static uint64_t counter(Pony__Control__Counter *const *counters, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(counters[i]->name, name) == 0) {
            return counters[i]->value;
        }
    }
    return 0;
}

static void add_ns(struct cli_table *table, uint64_t ns)
{
    char text[CELL_MAX];
    cli_format_ns((double)ns, text, sizeof(text));
    cli_table_add(table, "%s", text);
}

static void add_count(struct cli_table *table, uint64_t value)
{
    char text[CELL_MAX];
    cli_format_count((double)value, text, sizeof(text));
    cli_table_add(table, "%s", text);
}

static void add_head(struct cli_table *table, const char *const *names, size_t n)
{
    cli_table_init(table, n);
    for (size_t i = 0; i < n; i++) {
        cli_table_add(table, "%s", names[i]);
    }
}

static void print_daemon(const Pony__Control__Daemon *d, FILE *out)
{
    char uptime[CELL_MAX];
    cli_format_ns((double)d->uptime_ns, uptime, sizeof(uptime));
    (void)fprintf(out, "snapd %s, pid %" PRIu64 ", up %s, instance %016" PRIx64 "\nsocket %s\n",
                  d->version, d->pid, uptime, d->instance, d->socket);
}

static void add_engine(struct cli_table *t, const Pony__Control__Engine *e)
{
    cli_table_add(t, "%u", e->engine);
    cli_table_add(t, "%s", e->device);
    cli_table_add(t, "%s", e->address);
    cli_table_add(t, "%s", e->asleep ? "asleep" : "up");
    add_ns(t, counter(e->counters, e->n_counters, "cpu_ns"));
    add_ns(t, e->busy_ns);
    add_ns(t, counter(e->counters, e->n_counters, "gap_max_ns"));
    add_count(t, counter(e->counters, e->n_counters, "udp_sent_packets"));
    add_count(t, counter(e->counters, e->n_counters, "udp_received_packets"));
    add_count(t, counter(e->counters, e->n_counters, "udp_kernel_drops"));
}

static void add_port(struct cli_table *t, const Pony__Control__Port *p)
{
    cli_table_add(t, "%" PRIu64, p->port);
    cli_table_add(t, "%u", p->engine);
    cli_table_add(t, "%u", p->pid);
    cli_table_add(t, "%s", p->user[0] != '\0' ? p->user : cli_user_name(p->uid));
    cli_table_add(t, "%s", p->program[0] != '\0' ? p->program : "?");
    cli_table_add(t, "%u", p->connections);
    cli_table_add(t, "%u", p->listeners);
    add_count(t, counter(p->counters, p->n_counters, "sent_msgs"));
    add_count(t, counter(p->counters, p->n_counters, "received_msgs"));
    add_count(t, p->rx_bytes_used);
    add_count(t, counter(p->counters, p->n_counters, "memory_bytes"));
}

/* "psk 7 aes-128-gcm 3/2": cluster key, keys sent with and received so far; an older snapd says
 * nothing. */
static void add_security(struct cli_table *t, const Pony__Control__Flow *f)
{
    if (f->cipher[0] == '\0') {
        cli_table_add(t, "%s", f->security[0] != '\0' ? f->security : "plain");
        return;
    }
    char number[16] = "";
    if (f->cluster_key != 0) {
        (void)snprintf(number, sizeof(number), " %u", f->cluster_key);
    }
    cli_table_add(t, "%s%s %s %u/%u", f->security, number, f->cipher, f->key_sent, f->key_received);
}

static void add_flow(struct cli_table *t, const Pony__Control__Flow *f)
{
    cli_table_add(t, "%u", f->engine);
    cli_table_add(t, "%u", f->flow);
    cli_table_add(t, "%u", f->slot);
    cli_table_add(t, "%s", f->peer);
    cli_table_add(t, "%s", f->state);
    cli_table_add(t, "%u", f->connections);
    cli_table_add(t, "%u", f->mtu_bytes);
    add_ns(t, f->srtt_ns);
    cli_table_add(t, "%.1f", f->cwnd_pkts);
    cli_table_add(t, "%u", f->inflight_pkts);
    add_count(t, counter(f->counters, f->n_counters, "sent_pkts"));
    add_count(t, counter(f->counters, f->n_counters, "received_pkts"));
    add_count(t, counter(f->counters, f->n_counters, "retransmitted_pkts"));
    add_security(t, f);
}

/* A connection between two applications of this snapd is on none. */
static void add_flow_number(struct cli_table *t, uint32_t flow)
{
    if (flow == 0) {
        cli_table_add(t, "-");
    } else {
        cli_table_add(t, "%u", flow);
    }
}

static void add_connection(struct cli_table *t, const Pony__Control__Connection *c)
{
    cli_table_add(t, "%" PRIu64, c->port);
    cli_table_add(t, "%08x", c->conn);
    cli_table_add(t, "%s", c->state);
    cli_table_add(t, "%s", c->peer);
    add_flow_number(t, c->flow);
    cli_table_add(t, "%s", c->traffic);
    add_count(t, c->sent_msgs);
    add_count(t, c->sent_bytes);
    add_count(t, c->received_msgs);
    add_count(t, c->received_bytes);
}

struct tables {
    struct cli_table engines, ports, flows, connections;
};

static void add_reply(struct tables *t, const Pony__Control__StatusReply *s)
{
    for (size_t i = 0; i < s->n_engines; i++) {
        add_engine(&t->engines, s->engines[i]);
    }
    for (size_t i = 0; i < s->n_ports; i++) {
        add_port(&t->ports, s->ports[i]);
    }
    for (size_t i = 0; i < s->n_flows; i++) {
        add_flow(&t->flows, s->flows[i]);
    }
    for (size_t i = 0; i < s->n_connections; i++) {
        add_connection(&t->connections, s->connections[i]);
    }
}

#define HEAD(table, ...) \
    do { \
        static const char *const names[] = {__VA_ARGS__}; \
        add_head(table, names, sizeof(names) / sizeof(names[0])); \
    } while (0)

void cli_status_print_text(const struct cli_status *status, FILE *out)
{
    struct tables t;
    HEAD(&t.engines, "ENGINE", "DEVICE", "ADDRESS", "STATE", "CPU", "BUSY", "LONGEST GAP",
         "PKTS OUT", "PKTS IN", "DROPS");
    HEAD(&t.ports, "PORT", "ENGINE", "PID", "USER", "PROGRAM", "CONNS", "LISTENERS", "MSGS OUT",
         "MSGS IN", "RX USED", "MEMORY");
    HEAD(&t.flows, "ENGINE", "FLOW", "SLOT", "PEER", "STATE", "CONNS", "MTU", "RTT", "WINDOW",
         "IN FLIGHT", "PKTS OUT", "PKTS IN", "RESENT", "SECURITY");
    HEAD(&t.connections, "PORT", "CONN", "STATE", "PEER", "FLOW", "CLASS", "MSGS OUT", "BYTES OUT",
         "MSGS IN", "BYTES IN");
    for (size_t i = 0; i < status->n; i++) {
        const Pony__Control__StatusReply *s = status->replies[i]->status;
        if (s->daemon != NULL) {
            print_daemon(s->daemon, out);
        }
        add_reply(&t, s);
    }
    cli_table_print(&t.engines, "Engines", out);
    cli_table_print(&t.ports, "Ports", out);
    cli_table_print(&t.flows, "Flows", out);
    cli_table_print(&t.connections, "Connections", out);
    if (t.ports.n_cells <= t.ports.n_columns) {
        (void)fputs("\nNo application is attached.\n", out);
    }
    cli_table_fini(&t.engines);
    cli_table_fini(&t.ports);
    cli_table_fini(&t.flows);
    cli_table_fini(&t.connections);
}
