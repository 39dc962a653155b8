/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/perf/perf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t spin_us_of(const struct bench_options *options)
{
    return options->spin_us == BENCH_SPIN_DEFAULT  ? SNAP_SPIN_DEFAULT
           : options->spin_us == BENCH_SPIN_ALWAYS ? SNAP_SPIN_ALWAYS
                                                   : options->spin_us;
}

static enum snap_transport transport_of(const struct bench_options *options)
{
    return strcmp(options->transport, "pony") == 0  ? SNAP_TRANSPORT_PONY
           : strcmp(options->transport, "tcp") == 0 ? SNAP_TRANSPORT_TCP
                                                    : SNAP_TRANSPORT_AUTO;
}

struct snap_loop_options perf_loop_options(const struct bench_options *options)
{
    struct snap_loop_options loop = SNAP_LOOP_OPTIONS_INIT;
    loop.spin_us = spin_us_of(options);
    loop.transport = transport_of(options);
    loop.max_message_bytes = BENCH_SIZE_MAX + 4096;
    return loop;
}

bool perf_client_fail(struct perf_client *client, const char *why)
{
    client->meter.failed++;
    if (client->meter.error[0] == '\0') {
        snprintf(client->meter.error, sizeof(client->meter.error), "%s", why);
    }
    return false;
}

bool perf_client_open(struct perf_client *client, struct bench_options *options, uint32_t n)
{
    *client = (struct perf_client){.options = options};
    client->channels = calloc(options->connections, sizeof(struct snap_channel *));
    client->payload = calloc(options->size + 1, 1);
    if (!bench_meter_init(&client->meter) || client->channels == NULL || client->payload == NULL) {
        return perf_client_fail(client, "out of memory");
    }
    struct snap_loop_options loop = perf_loop_options(options);
    struct snap_status status = snap_loop_create(&loop, &client->loop);
    return snap_ok(&status) ? perf_client_grow(client, n)
                            : perf_client_fail(client, status.message);
}

bool perf_client_grow(struct perf_client *client, uint32_t n)
{
    uint32_t first = client->n_channels;
    while (client->n_channels < n) {
        struct snap_status status = snap_channel_open(client->loop, client->options->target, NULL,
                                                      &client->channels[client->n_channels]);
        if (!snap_ok(&status)) {
            return perf_client_fail(client, status.message);
        }
        client->n_channels++;
    }
    enum snap_transport want = transport_of(client->options);
    for (uint32_t i = first; i < n; i++) {
        struct snap_status status = snap_channel_wait(client->channels[i], want, PERF_TIMEOUT_US);
        if (!snap_ok(&status)) {
            return perf_client_fail(client, status.message);
        }
    }
    return true;
}

void perf_client_close(struct perf_client *client)
{
    for (uint32_t i = 0; i < client->n_channels; i++) {
        snap_channel_close(client->channels[i]);
    }
    snap_loop_destroy(client->loop);
    bench_meter_fini(&client->meter);
    free(client->payload);
    free((void *)client->channels);
}

void perf_client_carried(struct perf_client *client, uint32_t transport)
{
    client->by_pony += transport == SNAP_TRANSPORT_PONY;
    client->by_tcp += transport == SNAP_TRANSPORT_TCP;
}

const char *perf_client_carrier(const struct perf_client *client)
{
    return client->by_tcp == 0 ? "pony" : client->by_pony == 0 ? "tcp" : "pony and tcp";
}
