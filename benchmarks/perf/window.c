/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/perf/perf.h"
#include "perf.snap.h"

#include <stdio.h>
#include <stdlib.h>

/** One place in the window: always one call in flight, until the end. */
struct slot {
    struct perf_client *client;
    uint64_t started_ns;
};

struct window {
    struct perf_client *client;
    struct slot *slots; /**< [options->in_flight] */
    uint32_t next;      /**< channel: each call goes on the next one */
};

static struct window window;

static void start_call(void *arg, uint32_t place);

static void on_done(void *arg, const struct snap_result *result, Perf__Data *response)
{
    struct slot *slot = arg;
    struct bench_meter *meter = &slot->client->meter;
    bool again = false;
    if (result->status.code == SNAP_OK) {
        if (meter->is_counting) {
            perf_client_carried(slot->client, result->info.transport);
        }
        again = bench_call_ok(meter, slot->started_ns, response->data.len);
    } else {
        again = bench_call_failed(meter, result->status.message);
    }
    if (again) {
        start_call(&window, (uint32_t)(slot - window.slots));
    }
}

static void start_call(void *arg, uint32_t place)
{
    struct window *w = arg;
    const struct bench_options *options = w->client->options;
    struct snap_channel *channel = w->client->channels[w->next];
    struct slot *slot = &w->slots[place];
    struct snap_call_options call = SNAP_CALL_OPTIONS_INIT;
    call.timeout_us = PERF_TIMEOUT_US;
    w->next = w->next + 1 == options->connections ? 0 : w->next + 1;
    slot->started_ns = bench_now_ns();
    struct snap_call_id id = {0};
    if (options->is_large) {
        Perf__FillRequest request = PERF__FILL_REQUEST__INIT;
        request.bytes = options->size;
        id = perf__perf__fill__start(channel, &request, &call, on_done, slot);
    } else {
        Perf__Data request = PERF__DATA__INIT;
        request.data.data = w->client->payload;
        request.data.len = options->size;
        id = perf__perf__echo__start(channel, &request, &call, on_done, slot);
    }
    if (id.v == 0) {
        fputs("snaprpc-perf: out of memory for a call\n", stderr);
        exit(1);
    }
}

static void drive(void *arg)
{
    const struct window *w = arg;
    snap_loop_poll(w->client->loop, 100);
}

void perf_run_window(struct perf_client *client)
{
    struct bench_options *options = client->options;
    window = (struct window){.client = client,
                             .slots = calloc(options->in_flight, sizeof(*window.slots))};
    if (window.slots == NULL) {
        perf_client_fail(client, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < options->in_flight; i++) {
        window.slots[i].client = client;
    }
    bench_measure(options, &client->meter,
                  &(struct bench_driver){.start = start_call, .drive = drive, .arg = &window});
    if (bench_is(options, "scale") && client->meter.calls > 0) {
        client->report.unit = "CPU us/call";
        client->report.value = bench_cpu_total_s(&options->cpu) * 1e6 / (double)client->meter.calls;
    }
    free(window.slots);
}

/* One blocking call after the other: what a caller that waits sees. The window's slot is the call. */
static void call_and_wait(void *arg, uint32_t place)
{
    struct perf_client *client = arg;
    struct bench_meter *meter = &client->meter;
    struct snap_call_info info = {0};
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    (void)place;
    options.timeout_us = PERF_TIMEOUT_US;
    options.info = &info;
    Perf__Data request = PERF__DATA__INIT;
    request.data.data = client->payload;
    request.data.len = client->options->size;
    bool again = true;
    while (again) {
        Perf__Data *response = NULL;
        uint64_t started_ns = bench_now_ns();
        struct snap_status status =
            perf__perf__echo__call(client->channels[0], &request, &options, &response);
        if (!snap_ok(&status)) {
            again = bench_call_failed(meter, status.message);
        } else {
            if (meter->is_counting) {
                perf_client_carried(client, info.transport);
            }
            again = bench_call_ok(meter, started_ns, response->data.len);
        }
        perf__perf__echo__free(response);
    }
}

static void nothing_to_wait_for(void *arg)
{
    (void)arg;
}

void perf_run_blocking(struct perf_client *client)
{
    bench_measure(client->options, &client->meter,
                  &(struct bench_driver){
                      .start = call_and_wait, .drive = nothing_to_wait_for, .arg = client});
}
