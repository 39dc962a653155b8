/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/hist.h"
#include "cli/command.h"
#include "cli/table.h"

#include <snaprpc/snaprpc.h>

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    PING_COUNT = 10,
    PING_INTERVAL_MS = 100,
    PING_TIMEOUT_MS = 2000,
    TEXT_MAX = 32
};

struct ping {
    const char *target;
    uint32_t count, interval_ms, timeout_ms;
    bool is_json;

    struct snap_channel *channel;
    struct base_hist hist;
    uint32_t n_failed;
    struct snap_call_info info; /**< of the last one that came back */
    json_t *rows;               /**< JSON only */
};

static const char *transport_name(uint32_t transport)
{
    switch (transport) {
    case SNAP_TRANSPORT_PONY:
        return "pony";
    case SNAP_TRANSPORT_TCP:
        return "tcp";
    default:
        return "none";
    }
}

static bool parse_u32(const char *text, uint32_t min, uint32_t max, uint32_t *value)
{
    char *end = NULL;
    unsigned long v = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || v < min || v > max) {
        return false;
    }
    *value = (uint32_t)v;
    return true;
}

static int parse(int argc, char **argv, struct ping *ping)
{
    static const struct option options[] = {
        {"count", required_argument, NULL, 'c'},
        {"interval", required_argument, NULL, 'i'},
        {"timeout", required_argument, NULL, 't'},
        {"json", no_argument, NULL, 'j'},
        {NULL, 0, NULL, 0},
    };
    int c;
    while ((c = getopt_long(argc, argv, ":c:i:t:j", options, NULL)) != -1) {
        bool is_good = true;
        switch (c) {
        case 'c':
            is_good = parse_u32(optarg, 1, 1000000, &ping->count);
            break;
        case 'i':
            is_good = parse_u32(optarg, 0, 60000, &ping->interval_ms);
            break;
        case 't':
            is_good = parse_u32(optarg, 1, 600000, &ping->timeout_ms);
            break;
        case 'j':
            ping->is_json = true;
            break;
        case ':':
            return cli_usage("ping: %s wants a value", argv[optind - 1]);
        default:
            return cli_usage("ping: unknown option %s", argv[optind - 1]);
        }
        if (!is_good) {
            return cli_usage("ping: \"%s\" is no good value for -%c", optarg, c);
        }
    }
    if (optind + 1 != argc) {
        return cli_usage("ping: name one server, as host:port");
    }
    ping->target = argv[optind];
    return CLI_OK;
}

static void note_result(struct ping *ping, uint32_t i, const struct snap_status *status,
                        const struct snap_call_info *info, uint64_t rtt_ns)
{
    bool is_ok = status->code == SNAP_OK;
    char rtt[TEXT_MAX];
    cli_format_ns((double)rtt_ns, rtt, sizeof(rtt));
    if (is_ok) {
        base_hist_record(&ping->hist, rtt_ns);
        ping->info = *info;
    } else {
        ping->n_failed++;
    }
    if (ping->is_json) {
        json_t *row = json_object();
        (void)json_object_set_new(row, "ok", json_boolean(is_ok));
        if (is_ok) {
            (void)json_object_set_new(row, "rtt_ns", json_integer((json_int_t)rtt_ns));
            (void)json_object_set_new(row, "transport",
                                      json_string(transport_name(info->transport)));
        } else {
            (void)json_object_set_new(row, "error", json_string(status->message));
        }
        (void)json_array_append_new(ping->rows, row);
    } else if (is_ok) {
        (void)printf("%u: %s over %s (%s), peer %s\n", i + 1, rtt, transport_name(info->transport),
                     snap_why_text(info->why), info->peer);
        (void)fflush(stdout);
    } else {
        (void)printf("%u: no reply: %s\n", i + 1, status->message);
        (void)fflush(stdout);
    }
}

static void ping_all(struct ping *ping)
{
    for (uint32_t i = 0; i < ping->count; i++) {
        struct snap_call_info info = {.transport = 0};
        struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
        options.timeout_us = (uint64_t)ping->timeout_ms * 1000;
        options.info = &info;
        uint64_t rtt_ns = 0;
        struct snap_status status = snap_channel_ping(ping->channel, &options, &rtt_ns);
        note_result(ping, i, &status, &info, rtt_ns);
        if (i + 1 < ping->count) {
            const struct timespec pause = {.tv_sec = ping->interval_ms / 1000,
                                           .tv_nsec =
                                               (long)(ping->interval_ms % 1000) * BASE_NS_PER_MS};
            (void)nanosleep(&pause, NULL);
        }
    }
}

static void print_json(struct ping *ping)
{
    const struct base_hist *h = &ping->hist;
    json_t *root = json_object();
    (void)json_object_set_new(root, "schema_version", json_integer(1));
    (void)json_object_set_new(root, "target", json_string(ping->target));
    (void)json_object_set_new(root, "sent", json_integer(ping->count));
    (void)json_object_set_new(root, "lost", json_integer(ping->n_failed));
    if (h->count > 0) {
        (void)json_object_set_new(root, "transport",
                                  json_string(transport_name(ping->info.transport)));
        (void)json_object_set_new(root, "why", json_string(snap_why_text(ping->info.why)));
        (void)json_object_set_new(root, "peer", json_string(ping->info.peer));
        (void)json_object_set_new(root, "rtt_min_ns", json_integer((json_int_t)base_hist_min(h)));
        (void)json_object_set_new(root, "rtt_mean_ns", json_real(base_hist_mean(h)));
        (void)json_object_set_new(root, "rtt_p99_ns",
                                  json_integer((json_int_t)base_hist_percentile(h, 99)));
        (void)json_object_set_new(root, "rtt_max_ns", json_integer((json_int_t)base_hist_max(h)));
    }
    (void)json_object_set_new(root, "pings", ping->rows);
    (void)json_dumpf(root, stdout, JSON_INDENT(2));
    (void)fputc('\n', stdout);
    json_decref(root);
}

static void print_summary(const struct ping *ping)
{
    const struct base_hist *h = &ping->hist;
    char min[TEXT_MAX];
    char mean[TEXT_MAX];
    char p99[TEXT_MAX];
    (void)printf("%u sent, %u lost", ping->count, ping->n_failed);
    if (h->count > 0) {
        cli_format_ns((double)base_hist_min(h), min, sizeof(min));
        cli_format_ns(base_hist_mean(h), mean, sizeof(mean));
        cli_format_ns((double)base_hist_percentile(h, 99), p99, sizeof(p99));
        (void)printf("; round trip min %s, mean %s, p99 %s; last over %s: %s", min, mean, p99,
                     transport_name(ping->info.transport), snap_why_text(ping->info.why));
    }
    (void)fputc('\n', stdout);
}

int cli_ping(int argc, char **argv)
{
    static struct ping ping = {
        .count = PING_COUNT, .interval_ms = PING_INTERVAL_MS, .timeout_ms = PING_TIMEOUT_MS};
    int code = parse(argc, argv, &ping);
    if (code != CLI_OK) {
        return code;
    }
    struct snap_loop *loop = NULL;
    struct snap_status status = snap_loop_create(NULL, &loop);
    if (status.code == SNAP_OK) {
        status = snap_channel_open(loop, ping.target, NULL, &ping.channel);
    }
    if (status.code != SNAP_OK) {
        code = cli_fail("ping: %s", status.message);
        snap_loop_destroy(loop);
        return code;
    }
    base_hist_init(&ping.hist);
    ping.rows = ping.is_json ? json_array() : NULL;
    ping_all(&ping);
    snap_channel_close(ping.channel);
    snap_loop_destroy(loop);
    if (ping.is_json) {
        print_json(&ping);
    } else {
        print_summary(&ping);
    }
    return ping.n_failed == 0 ? CLI_OK : CLI_FAILED;
}
