/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/perf/perf.h"
#include "perf.snap.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct snap_loop *loop;
static uint8_t *filling; /* [BENCH_SIZE_MAX] */

static void on_signal(int signal)
{
    (void)signal;
    snap_loop_stop(loop); /* NOLINT(bugprone-signal-handler,cert-sig30-c): made for it, loop.h */
}

static void echo(struct snap_server_call *call, const Perf__Data *request, void *arg)
{
    (void)arg;
    perf__perf__echo__reply(call, request);
}

static void fill(struct snap_server_call *call, const Perf__FillRequest *request, void *arg)
{
    (void)arg;
    if (request->bytes > BENCH_SIZE_MAX) {
        snap_server_fail(call, SNAP_OUT_OF_RANGE, "at most %d bytes", BENCH_SIZE_MAX);
        return;
    }
    Perf__Data reply = PERF__DATA__INIT;
    reply.data.data = filling;
    reply.data.len = request->bytes;
    perf__perf__fill__reply(call, &reply);
}

static const Perf__Perf__Handlers handlers = {.echo = echo, .fill = fill};

int perf_serve(const struct bench_options *options)
{
    struct snap_server *server = NULL;
    struct snap_loop_options loop_options = perf_loop_options(options);
    filling = malloc(BENCH_SIZE_MAX);
    struct snap_status status = snap_loop_create(&loop_options, &loop);
    if (filling == NULL || !snap_ok(&status)) {
        fprintf(stderr, "snaprpc-perf: %s\n", filling == NULL ? "out of memory" : status.message);
        return 1;
    }
    memset(filling, 0x5a, BENCH_SIZE_MAX);
    status = snap_server_create(loop, NULL, &server);
    if (snap_ok(&status)) {
        status = perf__perf__serve(server, &handlers, NULL);
    }
    if (snap_ok(&status)) {
        status = snap_server_listen(server, options->target);
    }
    if (!snap_ok(&status)) {
        fprintf(stderr, "snaprpc-perf: %s\n", status.message);
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    printf("serving at port %u\n", snap_server_port(server));
    fflush(stdout);
    snap_loop_run(loop);
    snap_server_stop(server, 100);
    snap_loop_destroy(loop);
    free(filling);
    return 0;
}
