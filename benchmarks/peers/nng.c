/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/common/report.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * nng REQ/REP: one context with one asynchronous operation per call in flight, at both ends, as its
 * manual shows. Callbacks run on nng's own threads, so the meter is behind a mutex. Several connections
 * are several dialers of one socket, between which nng balances.
 *
 * A request is 8 bytes (how many are wanted back; 0: the payload), then the payload.
 */
enum {
    HEAD_BYTES = 8,
    SERVED_AT_ONCE = 512
};

/** One call: at the client its place in the window, at the server one that may come. */
struct place {
    struct caller *caller; /**< NULL at the server */
    nng_ctx ctx;
    nng_aio *aio;
    uint64_t started_ns;
    bool is_sending;
};

struct caller {
    struct bench_options *options;
    struct bench_meter meter; /**< under `mutex` */
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    nng_socket socket;
    struct place *places; /**< [in_flight] */
};

static int die(const char *what, int err)
{
    fprintf(stderr, "peer-nng: %s: %s\n", what, nng_strerror(err));
    return 1;
}

static void on_served(void *arg)
{
    struct place *place = arg;
    int err = nng_aio_result(place->aio);
    if (place->is_sending || err != 0) {
        if (err == NNG_ECLOSED) {
            return;
        }
        if (err != 0 && place->is_sending) {
            nng_msg_free(nng_aio_get_msg(place->aio));
        }
        place->is_sending = false;
        nng_ctx_recv(place->ctx, place->aio);
        return;
    }
    nng_msg *message = nng_aio_get_msg(place->aio);
    uint64_t fill = 0;
    if (nng_msg_len(message) >= HEAD_BYTES) {
        memcpy(&fill, nng_msg_body(message), sizeof(fill));
    }
    if (fill > 0 && fill <= BENCH_SIZE_MAX) {
        nng_msg_free(message);
        if (nng_msg_alloc(&message, fill) != 0) {
            abort();
        }
        memset(nng_msg_body(message), 0x5a, fill);
    }
    place->is_sending = true;
    nng_aio_set_msg(place->aio, message);
    nng_ctx_send(place->ctx, place->aio);
}

static int serve(const struct bench_options *options)
{
    static struct place places[SERVED_AT_ONCE];
    char url[128];
    char host[64];
    uint16_t port = 0;
    nng_socket socket;
    bool ok = bench_split_address(options->target, host, sizeof(host), &port);
    snprintf(url, sizeof(url), "tcp://%s", options->target);
    int err = ok ? nng_rep0_open(&socket) : NNG_EADDRINVAL;
    err = err != 0 ? err : nng_setopt_size(socket, NNG_OPT_RECVMAXSZ, 0);
    for (int i = 0; err == 0 && i < SERVED_AT_ONCE; i++) {
        err = nng_aio_alloc(&places[i].aio, on_served, &places[i]);
        err = err != 0 ? err : nng_ctx_open(&places[i].ctx, socket);
    }
    err = err != 0 ? err : nng_listen(socket, url, NULL, 0);
    if (err != 0) {
        return die(url, err);
    }
    for (int i = 0; i < SERVED_AT_ONCE; i++) {
        nng_ctx_recv(places[i].ctx, places[i].aio);
    }
    printf("serving at port %u\n", port);
    fflush(stdout);
    for (;;) {
        pause();
    }
}

static void send_request(struct place *place)
{
    const struct bench_options *options = place->caller->options;
    uint64_t fill = options->is_large ? options->size : 0;
    size_t n = HEAD_BYTES + (options->is_large ? 0 : options->size);
    nng_msg *message = NULL;
    if (nng_msg_alloc(&message, n) != 0) {
        abort();
    }
    memset(nng_msg_body(message), 0, n);
    memcpy(nng_msg_body(message), &fill, sizeof(fill));
    place->is_sending = true;
    place->started_ns = bench_now_ns();
    nng_aio_set_msg(place->aio, message);
    nng_ctx_send(place->ctx, place->aio);
}

static void start(void *arg, uint32_t slot)
{
    struct caller *caller = arg;
    send_request(&caller->places[slot]);
}

static void on_event(void *arg)
{
    struct place *place = arg;
    struct caller *caller = place->caller;
    int err = nng_aio_result(place->aio);
    if (err == 0 && place->is_sending) {
        place->is_sending = false;
        nng_ctx_recv(place->ctx, place->aio);
        return;
    }
    nng_msg *message = err == 0 || place->is_sending ? nng_aio_get_msg(place->aio) : NULL;
    size_t n = message == NULL ? 0 : nng_msg_len(message);
    nng_msg_free(message);
    pthread_mutex_lock(&caller->mutex);
    bool again = err == 0 ? bench_call_ok(&caller->meter, place->started_ns, n)
                          : bench_call_failed(&caller->meter, nng_strerror(err));
    if (!again) {
        pthread_cond_signal(&caller->ended);
    }
    pthread_mutex_unlock(&caller->mutex);
    if (again) {
        send_request(place);
    }
}

/** Sleeps until the window is closed: the work is done on nng's threads. */
static void drive(void *arg)
{
    struct caller *caller = arg;
    pthread_mutex_lock(&caller->mutex);
    while (caller->meter.in_flight > 0) {
        pthread_cond_wait(&caller->ended, &caller->mutex);
    }
    pthread_mutex_unlock(&caller->mutex);
}

static int call(struct bench_options *options)
{
    struct caller caller = {
        .options = options, .mutex = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};
    char url[128];
    snprintf(url, sizeof(url), "tcp://%s", options->target);
    caller.places = calloc(options->in_flight, sizeof(*caller.places));
    if (!bench_meter_init(&caller.meter) || caller.places == NULL) {
        return 1;
    }
    int err = nng_req0_open(&caller.socket);
    err = err != 0 ? err : nng_setopt_size(caller.socket, NNG_OPT_RECVMAXSZ, 0);
    for (uint32_t i = 0; err == 0 && i < options->connections; i++) {
        err = nng_dial(caller.socket, url, NULL, 0);
    }
    for (uint32_t i = 0; err == 0 && i < options->in_flight; i++) {
        struct place *place = &caller.places[i];
        place->caller = &caller;
        err = nng_aio_alloc(&place->aio, on_event, place);
        err = err != 0 ? err : nng_ctx_open(&place->ctx, caller.socket);
    }
    if (err != 0) {
        return die(url, err);
    }
    bench_measure(options, &caller.meter,
                  &(struct bench_driver){.start = start, .drive = drive, .arg = &caller});
    return bench_report(options, &caller.meter, &(struct bench_report){.carried_by = "nng"});
}

int main(int argc, char **argv)
{
    static const struct bench_program program = {.name = "peer-nng"};
    struct bench_options options;
    int end = bench_parse(argc, argv, &program, &options);
    if (end != 0) {
        return end - 1;
    }
    return bench_is(&options, "serve") ? serve(&options) : call(&options);
}
