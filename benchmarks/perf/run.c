/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "benchmarks/perf/perf.h"
#include "perf.snap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CALL_TIMEOUT_US = 10000000,
    PONY_WAIT_US = 10000000
};

struct run {
    const struct perf_options *options;
    struct perf_result *result;
    struct snap_loop *loop;
    struct snap_channel **channels; /**< [options->channels] */
    uint8_t *payload;
    uint64_t end_ns;
    uint32_t in_flight;
    bool is_counting; /**< past the warm-up */
};

/** One place in the window: always one call in flight, until the end. */
struct slot {
    struct run *run;
    struct snap_channel *channel;
};

static void start_call(struct slot *slot);

static void on_done(void *arg, const struct snap_result *result, Perf__Data *response)
{
    struct slot *slot = arg;
    struct run *run = slot->run;
    struct perf_result *out = run->result;
    if (result->status.code != SNAP_OK) {
        out->failed++;
        if (out->error[0] == '\0') {
            snprintf(out->error, sizeof(out->error), "%s", result->status.message);
        }
    } else if (run->is_counting) {
        out->calls++;
        out->bytes += response->data.len;
        out->by_pony += result->info.transport == SNAP_TRANSPORT_PONY;
        out->by_tcp += result->info.transport == SNAP_TRANSPORT_TCP;
        base_hist_record(&out->rtt, result->info.elapsed_ns);
    }
    if (base_clock_now_ns() < run->end_ns && out->failed < 100) {
        start_call(slot);
    } else {
        run->in_flight--;
    }
}

static void start_call(struct slot *slot)
{
    const struct run *run = slot->run;
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.timeout_us = CALL_TIMEOUT_US;
    if (strcmp(run->options->test, "rpc_bw") == 0) {
        Perf__FillRequest request = PERF__FILL_REQUEST__INIT;
        request.bytes = run->options->size;
        perf__perf__fill__start(slot->channel, &request, &options, on_done, slot);
    } else {
        Perf__Data request = PERF__DATA__INIT;
        request.data.data = run->payload;
        request.data.len = run->options->size;
        perf__perf__echo__start(slot->channel, &request, &options, on_done, slot);
    }
}

/** Keeps the window full for some time. */
static void run_for(struct run *run, struct slot *slots, double seconds, bool is_counting)
{
    run->is_counting = is_counting;
    uint64_t begin_ns = base_clock_now_ns();
    run->end_ns = begin_ns + (uint64_t)(seconds * 1e9);
    run->in_flight = run->options->in_flight;
    for (uint32_t i = 0; i < run->options->in_flight; i++) {
        slots[i] = (struct slot){.run = run, .channel = run->channels[i % run->options->channels]};
        start_call(&slots[i]);
    }
    while (run->in_flight > 0) {
        snap_loop_poll(run->loop, 100);
    }
    run->result->elapsed_ns = base_clock_now_ns() - begin_ns;
}

/** One blocking call after the other: what a caller that waits sees. */
static void run_blocking(struct run *run, double seconds, bool is_counting)
{
    struct perf_result *out = run->result;
    struct snap_call_info info = {0};
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.timeout_us = CALL_TIMEOUT_US;
    options.info = &info;
    Perf__Data request = PERF__DATA__INIT;
    request.data.data = run->payload;
    request.data.len = run->options->size;
    uint64_t begin_ns = base_clock_now_ns();
    uint64_t end_ns = begin_ns + (uint64_t)(seconds * 1e9);
    uint64_t now_ns = begin_ns;
    while (now_ns < end_ns && out->failed < 100) {
        Perf__Data *response = NULL;
        struct snap_status status =
            perf__perf__echo__call(run->channels[0], &request, &options, &response);
        uint64_t then_ns = now_ns;
        now_ns = base_clock_now_ns();
        if (!snap_ok(&status)) {
            out->failed++;
            snprintf(out->error, sizeof(out->error), "%s", status.message);
        } else if (is_counting) {
            out->calls++;
            out->bytes += response->data.len;
            out->by_pony += info.transport == SNAP_TRANSPORT_PONY;
            out->by_tcp += info.transport == SNAP_TRANSPORT_TCP;
            base_hist_record(&out->rtt, now_ns - then_ns);
        }
        perf__perf__echo__free(response);
    }
    out->elapsed_ns = now_ns - begin_ns;
}

static struct snap_status open_channels(struct run *run)
{
    struct snap_loop_options options = SNAP_LOOP_OPTIONS_INIT;
    options.spin_us = run->options->spin_us;
    options.transport = run->options->transport;
    options.max_message_bytes = run->options->size + 4096;
    options.max_message_bytes =
        options.max_message_bytes > (64 << 20) ? options.max_message_bytes : 0;
    struct snap_status status = snap_loop_create(&options, &run->loop);
    for (uint32_t i = 0; snap_ok(&status) && i < run->options->channels; i++) {
        status = snap_channel_open(run->loop, run->options->target, NULL, &run->channels[i]);
    }
    for (uint32_t i = 0; snap_ok(&status) && i < run->options->channels; i++) {
        status = snap_channel_wait(run->channels[i], run->options->transport, PONY_WAIT_US);
    }
    return status;
}

static void measure(struct run *run, struct perf_options *options, struct slot *slots)
{
    bool is_blocking = strcmp(options->test, "rpc_lat") == 0;
    if (is_blocking) {
        run_blocking(run, options->warmup, false);
    } else {
        run_for(run, slots, options->warmup, false);
    }
    perf_cpu_start(&options->cpu);
    if (is_blocking) {
        run_blocking(run, options->seconds, true);
    } else {
        run_for(run, slots, options->seconds, true);
    }
    perf_cpu_stop(&options->cpu);
}

bool perf_run(struct perf_options *options, struct perf_result *result)
{
    struct run run = {.options = options, .result = result};
    memset(result, 0, sizeof(*result));
    base_hist_init(&result->rtt);
    struct slot *slots = calloc(options->in_flight, sizeof(*slots));
    run.channels = calloc(options->channels, sizeof(struct snap_channel *));
    run.payload = calloc(options->size + 1, 1);
    bool ok = slots != NULL && run.channels != NULL && run.payload != NULL;
    if (ok) {
        struct snap_status status = open_channels(&run);
        ok = snap_ok(&status);
        snprintf(result->error, sizeof(result->error), "%s", status.message);
    }
    if (ok) {
        measure(&run, options, slots);
    }
    for (uint32_t i = 0; run.channels != NULL && i < options->channels; i++) {
        snap_channel_close(run.channels[i]);
    }
    snap_loop_destroy(run.loop);
    free(run.payload);
    free((void *)run.channels);
    free(slots);
    return ok && result->failed == 0 && result->calls > 0;
}
