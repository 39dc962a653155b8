/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/hist.h"
#include "benchmarks/perf/perf.h"
#include "perf.snap.h"

#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Open-loop load: calls are due at moments that were drawn beforehand, whether earlier ones have ended or
 * not. A call that starts late is counted from when it was due, so that a stall is seen by every call
 * that it held up (coordinated omission).
 *
 * Two sources: large replies at Poisson times on several connections (the main thread), and a prober with
 * 64-byte calls at even times, on a connection, a loop and a thread of its own. The latencies that are
 * reported are the prober's; the load's are in Gb/s.
 *
 * More load than can be carried is a result, not a failure: Gb/s are those that came within the window,
 * and a call that ran out of time, or was not started because too many waited, is lost.
 */
enum {
    WAITING_MAX = 100000, /* calls in flight or due: beyond this the rate is far too high */
    PROBE_BYTES = 64
};

/** One stream of calls. */
struct source {
    struct perf_client *client; /**< whose loop and channels it uses */
    bool is_probe;
    double interval_ns; /**< mean */
    uint64_t due_ns, end_ns, count_from_ns;
    uint64_t seed;
    uint32_t next, waiting;
    uint64_t calls, bytes; /**< ended within the window */
    uint64_t failed, lost;
    struct base_hist latency;
};

/** A call on its way. */
struct due {
    struct source *source;
    uint64_t due_ns;
};

/** xorshift64*, as good as is needed here. */
static double uniform(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return ((double)((*seed * 0x2545F4914F6CDD1Dull) >> 11) + 1) / 9007199254740993.0;
}

static void on_done(void *arg, const struct snap_result *result, Perf__Data *response)
{
    struct due *due = arg;
    struct source *source = due->source;
    source->waiting--;
    uint64_t now_ns = base_clock_now_ns();
    bool is_late = result->status.code == SNAP_DEADLINE_EXCEEDED;
    if (result->status.code != SNAP_OK && !is_late) {
        source->failed++;
        perf_client_fail(source->client, result->status.message);
    } else if (due->due_ns >= source->count_from_ns) {
        base_hist_record(&source->latency, now_ns - due->due_ns); /* at least so long, when late */
    }
    source->lost += is_late;
    if (result->status.code == SNAP_OK && now_ns >= source->count_from_ns &&
        now_ns < source->end_ns) {
        source->calls++;
        source->bytes += response->data.len;
        perf_client_carried(source->client, result->info.transport);
    }
    free(due);
}

static void start(struct source *source)
{
    struct perf_client *client = source->client;
    struct snap_channel *channel = client->channels[source->next];
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    struct due *due = malloc(sizeof(*due));
    if (due == NULL || source->waiting >= WAITING_MAX) {
        free(due);
        source->lost++;
        return;
    }
    *due = (struct due){.source = source, .due_ns = source->due_ns};
    options.timeout_us = PERF_TIMEOUT_US;
    source->next = source->next + 1 == client->n_channels ? 0 : source->next + 1;
    source->waiting++;
    if (source->is_probe) {
        Perf__Data request = PERF__DATA__INIT;
        request.data.data = client->payload;
        request.data.len = PROBE_BYTES;
        perf__perf__echo__start(channel, &request, &options, on_done, due);
    } else {
        Perf__FillRequest request = PERF__FILL_REQUEST__INIT;
        request.bytes = client->options->size;
        perf__perf__fill__start(channel, &request, &options, on_done, due);
    }
}

/** Sleeps until the next call is due or the loop has something to do; spins where that was asked for. */
static void wait_until_due(struct source *source)
{
    struct snap_loop *loop = source->client->loop;
    uint64_t now_ns = base_clock_now_ns();
    bool is_due = source->due_ns <= now_ns;
    if (snap_loop_poll(loop, 0) > 0 || is_due ||
        source->client->options->spin_us == BENCH_SPIN_ALWAYS) {
        return;
    }
    uint64_t left_ns = source->due_ns - now_ns;
    struct timespec left = {.tv_sec = (time_t)(left_ns / BASE_NS_PER_S),
                            .tv_nsec = (long)(left_ns % BASE_NS_PER_S)};
    struct pollfd pollfd = {.fd = snap_loop_fd(loop), .events = POLLIN};
    (void)ppoll(&pollfd, 1, &left, NULL);
}

static void run_source(struct source *source)
{
    while (source->due_ns < source->end_ns) {
        while (source->due_ns <= base_clock_now_ns() && source->due_ns < source->end_ns) {
            start(source);
            source->due_ns +=
                (uint64_t)(source->is_probe ? source->interval_ns
                                            : -log(uniform(&source->seed)) * source->interval_ns);
        }
        wait_until_due(source);
    }
    while (source->waiting > 0) {
        snap_loop_poll(source->client->loop, 100);
    }
}

static void *run_prober(void *arg)
{
    run_source(arg);
    return NULL;
}

static struct source source_of(struct perf_client *client, bool is_probe, uint64_t begin_ns)
{
    const struct bench_options *options = client->options;
    uint64_t count_from_ns = begin_ns + (uint64_t)(options->warmup * 1e9);
    return (struct source){.client = client,
                           .is_probe = is_probe,
                           .interval_ns = 1e9 / (is_probe ? options->probe_rate : options->rate),
                           .due_ns = begin_ns,
                           .count_from_ns = count_from_ns,
                           .end_ns = count_from_ns + (uint64_t)(options->seconds * 1e9),
                           .seed = 88172645463325252ull};
}

/** The CPU window is that of the counted calls; the prober's thread sees to it, being the steadier. */
struct cpu_window {
    struct bench_options *options;
    uint64_t from_ns, to_ns;
};

static void sleep_until(uint64_t at_ns)
{
    struct timespec at = {.tv_sec = (time_t)(at_ns / BASE_NS_PER_S),
                          .tv_nsec = (long)(at_ns % BASE_NS_PER_S)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0) {
    }
}

static void *measure_cpu(void *arg)
{
    const struct cpu_window *window = arg;
    sleep_until(window->from_ns);
    bench_cpu_start(&window->options->cpu);
    sleep_until(window->to_ns);
    bench_cpu_stop(&window->options->cpu);
    return NULL;
}

void perf_run_open_loop(struct perf_client *client)
{
    static struct perf_client probe_client;
    static struct source load;
    static struct source probe;
    pthread_t threads[2];
    struct bench_options probe_options = *client->options;
    probe_options.connections = 1;
    probe_options.size = PROBE_BYTES;
    if (!perf_client_open(&probe_client, &probe_options, 1)) {
        perf_client_fail(client, probe_client.meter.error);
        return;
    }
    uint64_t begin_ns = base_clock_now_ns();
    load = source_of(client, false, begin_ns);
    probe = source_of(&probe_client, true, begin_ns);
    struct cpu_window window = {client->options, load.count_from_ns, load.end_ns};
    if (pthread_create(&threads[0], NULL, run_prober, &probe) != 0 ||
        pthread_create(&threads[1], NULL, measure_cpu, &window) != 0) {
        perf_client_fail(client, "no thread for the prober");
        exit(1);
    }
    run_source(&load);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    base_hist_merge(client->meter.rtt, &probe.latency);
    client->meter.calls = load.calls;
    client->meter.bytes = load.bytes;
    client->meter.lost = load.lost + probe.lost;
    client->meter.failed = load.failed + probe.failed;
    client->meter.elapsed_ns = load.end_ns - load.count_from_ns;
    client->by_pony += probe_client.by_pony;
    client->by_tcp += probe_client.by_tcp;
    if (probe.failed > 0) {
        perf_client_fail(client, probe_client.meter.error);
    }
    perf_client_close(&probe_client);
}
