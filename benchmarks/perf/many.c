/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "benchmarks/perf/perf.h"
#include "perf.snap.h"

#include <string.h>

/* Tests about connections rather than calls: making them, keeping them, what they cost in memory. */

static bool call_once(struct perf_client *client, struct snap_channel *channel)
{
    struct snap_call_info info = {0};
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.timeout_us = PERF_TIMEOUT_US;
    options.info = &info;
    Perf__Data request = PERF__DATA__INIT;
    request.data.data = client->payload;
    request.data.len = client->options->size;
    Perf__Data *response = NULL;
    struct snap_status status = perf__perf__echo__call(channel, &request, &options, &response);
    perf__perf__echo__free(response);
    perf_client_carried(client, info.transport);
    return snap_ok(&status) || perf_client_fail(client, status.message);
}

static bool call_each(struct perf_client *client, uint32_t first)
{
    bool ok = true;
    for (uint32_t i = first; ok && i < client->n_channels; i++) {
        ok = call_once(client, client->channels[i]);
    }
    return ok;
}

static void drive_for(struct perf_client *client, double seconds)
{
    uint64_t end_ns = base_clock_now_ns() + (uint64_t)(seconds * 1e9);
    for (uint64_t now_ns = 0; (now_ns = base_clock_now_ns()) < end_ns;) {
        snap_loop_poll(client->loop, (int)((end_ns - now_ns) / BASE_NS_PER_MS) + 1);
    }
}

void perf_run_idle(struct perf_client *client)
{
    struct bench_options *options = client->options;
    if (!call_each(client, 0)) {
        return;
    }
    drive_for(client, options->warmup);
    uint64_t begin_ns = base_clock_now_ns();
    bench_cpu_start(&options->cpu);
    drive_for(client, options->seconds);
    bench_cpu_stop(&options->cpu);
    client->meter.elapsed_ns = base_clock_now_ns() - begin_ns;
    client->report.unit = "cores";
    client->report.value = 0;
    for (uint32_t i = 0; i < options->cpu.n; i++) {
        client->report.value +=
            options->cpu.processes[i].used_s * 1e9 / (double)client->meter.elapsed_ns;
    }
}

void perf_run_memory(struct perf_client *client)
{
    struct bench_options *options = client->options;
    uint64_t before[BENCH_PROCESSES_MAX] = {0};
    uint32_t n = options->connections;
    /* What the first connections make once (port, pools) is not what one more costs. */
    uint32_t first = n / 10 > 0 ? n / 10 : 1;
    uint64_t begin_ns = base_clock_now_ns();
    if (n < 2) {
        perf_client_fail(client, "memory needs at least 2 connections");
        return;
    }
    if (!perf_client_grow(client, first) || !call_each(client, 0)) {
        return;
    }
    for (uint32_t i = 0; i < options->cpu.n; i++) {
        before[i] = bench_memory_bytes(options->cpu.processes[i].pid);
    }
    bench_cpu_start(&options->cpu);
    if (!perf_client_grow(client, n) || !call_each(client, first)) {
        return;
    }
    bench_cpu_stop(&options->cpu);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < options->cpu.n; i++) {
        uint64_t after = bench_memory_bytes(options->cpu.processes[i].pid);
        uint64_t growth = after > before[i] ? after - before[i] : 0;
        client->report.memory_bytes[i] = growth / (n - first);
        sum += growth;
    }
    client->report.has_memory = true;
    client->report.unit = "bytes/connection";
    client->report.value = (double)sum / (n - first);
    client->meter.elapsed_ns = base_clock_now_ns() - begin_ns;
}

/** Opens, calls once, closes. */
static bool connect_once(struct perf_client *client)
{
    if (!perf_client_grow(client, 1) || !call_once(client, client->channels[0])) {
        return false;
    }
    snap_channel_close(client->channels[0]);
    client->n_channels = 0;
    return true;
}

/* The meter's window is one connection that is made again and again. */
static void connect_again(void *arg, uint32_t place)
{
    struct perf_client *client = arg;
    struct bench_meter *meter = &client->meter;
    (void)place;
    for (bool again = true; again;) {
        uint64_t started_ns = base_clock_now_ns();
        again = connect_once(client) ? bench_call_ok(meter, started_ns, 0)
                                     : (meter->in_flight--, false);
    }
}

static void nothing_to_wait_for(void *arg)
{
    (void)arg;
}

void perf_run_connect(struct perf_client *client)
{
    struct bench_options *options = client->options;
    options->in_flight = 1;
    bench_measure(options, &client->meter,
                  &(struct bench_driver){
                      .start = connect_again, .drive = nothing_to_wait_for, .arg = client});
    client->report.unit = "connections/s";
    client->report.value = (double)client->meter.calls * 1e9 / (double)client->meter.elapsed_ns;
}
