/* SPDX-License-Identifier: Apache-2.0 */

/**
 * ledger-server [ADDRESS]: serves ledger.proto until it gets SIGTERM. Prints "port N" when it does,
 * and its log to standard error. One call in sixteen is answered later, from another thread.
 */

#include "ledger.snap.h"
#include "tests/system/ledger_data.h"

#include <snaprpc/snaprpc.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HELD_MAX = 4096,
    LATER_MAX = 1 << 16
};

struct later {
    struct snap_server_call *call;
    uint64_t id;
    uint32_t bytes;
    bool is_many;
};

/** Calls for the other thread to answer. */
struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct later slots[LATER_MAX];
    size_t head, tail;
    bool is_closed;
};

static uint8_t *runs; /* [LEDGER_IDS] */
static struct queue queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER};
static struct snap_server_call *held[HELD_MAX];
static size_t n_held;
static struct snap_loop *loop;

static void answer(const struct later *work)
{
    Ledger__CallReply reply = LEDGER__CALL_REPLY__INIT;
    uint8_t *data = malloc(work->bytes + 1);
    if (data == NULL) {
        snap_server_fail(work->call, SNAP_RESOURCE_EXHAUSTED, "no memory for the reply");
        return;
    }
    ledger_fill(~work->id, data, work->bytes);
    reply.id = work->id;
    reply.payload.data = data;
    reply.payload.len = work->bytes;
    if (work->is_many) {
        ledger__ledger__many__reply(work->call, &reply);
    } else {
        ledger__ledger__once__reply(work->call, &reply);
    }
    free(data);
}

static void *answer_later(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&queue.lock);
    for (;;) {
        while (queue.head == queue.tail && !queue.is_closed) {
            pthread_cond_wait(&queue.filled, &queue.lock);
        }
        if (queue.head == queue.tail) {
            break;
        }
        struct later work = queue.slots[queue.head++ % LATER_MAX];
        pthread_mutex_unlock(&queue.lock);
        answer(&work);
        pthread_mutex_lock(&queue.lock);
    }
    pthread_mutex_unlock(&queue.lock);
    return NULL;
}

static bool put_later(const struct later *work)
{
    pthread_mutex_lock(&queue.lock);
    bool has_room = queue.tail - queue.head < LATER_MAX;
    if (has_room) {
        queue.slots[queue.tail++ % LATER_MAX] = *work;
        pthread_cond_signal(&queue.filled);
    }
    pthread_mutex_unlock(&queue.lock);
    return has_room;
}

static void book(struct snap_server_call *call, const Ledger__CallRequest *request, bool is_many)
{
    if (request->id >= LEDGER_IDS) {
        snap_server_fail(call, SNAP_INVALID_ARGUMENT, "there is no such id");
        return;
    }
    runs[request->id] = (uint8_t)(runs[request->id] + (runs[request->id] < 255));
    if (!ledger_is_right(request->id, request->payload.data, request->payload.len)) {
        snap_server_fail(call, SNAP_DATA_LOSS, "the request's bytes are wrong");
        return;
    }
    struct later work = {call, request->id, request->reply_bytes, is_many};
    if (request->id % 16 != 5 || !put_later(&work)) {
        answer(&work);
    }
}

static void once(struct snap_server_call *call, const Ledger__CallRequest *request, void *arg)
{
    (void)arg;
    book(call, request, false);
}

static void many(struct snap_server_call *call, const Ledger__CallRequest *request, void *arg)
{
    (void)arg;
    book(call, request, true);
}

static void tally(struct snap_server_call *call, const Ledger__TallyRequest *request, void *arg)
{
    (void)arg;
    Ledger__TallyReply reply = LEDGER__TALLY_REPLY__INIT;
    if (request->first > LEDGER_IDS || request->n > LEDGER_IDS - request->first) {
        snap_server_fail(call, SNAP_OUT_OF_RANGE, "there are no such ids");
        return;
    }
    reply.runs.data = runs + request->first;
    reply.runs.len = request->n;
    ledger__ledger__tally__reply(call, &reply);
}

static void fail(struct snap_server_call *call, const Ledger__FailRequest *request, void *arg)
{
    (void)arg;
    snap_server_fail(call, (enum snap_code)request->code, "%s", request->message);
}

static void hold(struct snap_server_call *call, const Ledger__HoldRequest *request, void *arg)
{
    (void)request;
    (void)arg;
    if (n_held == HELD_MAX) {
        snap_server_fail(call, SNAP_RESOURCE_EXHAUSTED, "enough calls are held");
        return;
    }
    held[n_held++] = call;
}

static void print_log(void *arg, enum snap_log_level level, const char *component, const char *line)
{
    (void)arg;
    fprintf(stderr, "%d %s: %s\n", (int)level, component, line);
}

static void on_term(int signal)
{
    (void)signal;
    snap_loop_stop(loop);
}

static const Ledger__Ledger__Handlers handlers = {
    .once = once, .many = many, .tally = tally, .fail = fail, .hold = hold};

static struct snap_status start(const char *address, struct snap_server **server)
{
    struct snap_loop_options options = SNAP_LOOP_OPTIONS_INIT;
    options.log = print_log;
    options.log_level = SNAP_LOG_INFO;
    struct snap_status status = snap_loop_create(&options, &loop);
    if (snap_ok(&status)) {
        status = snap_server_create(loop, NULL, server);
    }
    if (snap_ok(&status)) {
        status = ledger__ledger__serve(*server, &handlers, NULL);
    }
    if (snap_ok(&status)) {
        status = snap_server_listen(*server, address);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct snap_server *server = NULL;
    runs = calloc(LEDGER_IDS, 1);
    pthread_t thread;
    struct snap_status status = start(argc > 1 ? argv[1] : "127.0.0.1:0", &server);
    if (!snap_ok(&status) || runs == NULL || pthread_create(&thread, NULL, answer_later, NULL)) {
        fprintf(stderr, "cannot serve: %s: %s\n", snap_code_name(status.code), status.message);
        return 1;
    }
    struct sigaction action = {.sa_handler = on_term};
    sigaction(SIGTERM, &action, NULL);
    printf("port %u\n", snap_server_port(server));
    fflush(stdout);
    snap_loop_run(loop);

    snap_server_stop(server, 0);
    pthread_mutex_lock(&queue.lock);
    queue.is_closed = true;
    pthread_cond_signal(&queue.filled);
    pthread_mutex_unlock(&queue.lock);
    pthread_join(thread, NULL);
    Ledger__HoldReply reply = LEDGER__HOLD_REPLY__INIT;
    for (size_t i = 0; i < n_held; i++) {
        ledger__ledger__hold__reply(held[i], &reply); /* nobody waits; it is freed */
    }
    snap_loop_destroy(loop);
    free(runs);
    return 0;
}
