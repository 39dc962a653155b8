/* SPDX-License-Identifier: Apache-2.0 */

/**
 * ledger-client [OPTIONS] TARGET: calls a ledger-server, many calls at once from several threads, and
 * checks each reply; in the end asks the server how often each call ran. See usage. Exit 0 if no
 * rule was broken; a call may still have ended with a status: the counters tell.
 */

#include "ledger.snap.h"
#include "tests/system/ledger_data.h"

#include <snaprpc/snaprpc.h>

#include <getopt.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    THREADS_MAX = 16,
    TALLY_CHUNK = 1 << 16,
    TALLY_TIMEOUT_US = 60 * 1000 * 1000,
    READY_TIMEOUT_US = 60 * 1000 * 1000
};

/* A loaded machine may be that slow; what hangs is later. */
#define LATE_SLACK_NS 10000000000u

/** What became of a call; 0: not started. */
enum outcome {
    NOT_STARTED,
    ONCE_OK,
    MANY_OK,
    NOT_RUN,
    ONCE_MAY_HAVE_RUN,
    MANY_MAY_HAVE_RUN
};

struct client {
    struct snap_loop *loop;
    struct snap_channel *channel;
    struct ledger_stats *stats;
    uint8_t *outcomes; /**< [LEDGER_IDS] */
    uint64_t first, n; /**< n 0: until told to stop */
    uint64_t timeout_us;
    uint32_t n_async, n_blocking, window;
    uint32_t once_of_8; /**< how many of 8 calls are not idempotent */
    enum ledger_sizes sizes;
    enum snap_transport want;
    bool is_unchecked;
    const char *target;
    _Atomic uint64_t next;
    _Atomic bool is_stopped;
    _Atomic uint32_t last_transport;
    _Atomic bool has_error;
};

/** One call on its way. */
struct slot {
    struct client *client;
    sem_t *free; /**< NULL: of a blocking thread */
    uint64_t id, started_ns;
    bool is_once;
    bool is_busy;
    uint8_t *data;
    size_t capacity;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void note_error(struct client *c, const struct slot *slot, const struct snap_result *result)
{
    if (!atomic_exchange(&c->has_error, true)) {
        snprintf(c->stats->first_error, sizeof(c->stats->first_error), "call %llu: %s (ran %d): %s",
                 (unsigned long long)slot->id, snap_code_name(result->status.code),
                 result->status.ran, result->status.message);
    }
}

static void count_transport(struct client *c, const struct snap_call_info *info)
{
    struct ledger_stats *s = c->stats;
    s->by_pony += info->transport == SNAP_TRANSPORT_PONY;
    s->by_tcp += info->transport == SNAP_TRANSPORT_TCP;
    s->resent += info->attempts > 1;
    uint32_t last = atomic_exchange(&c->last_transport, info->transport);
    s->moves += last != info->transport && last != SNAP_TRANSPORT_AUTO;
}

/** Books how a call ended. */
static void settle(struct slot *slot, const struct snap_result *result,
                   const Ledger__CallReply *reply)
{
    struct client *c = slot->client;
    struct ledger_stats *s = c->stats;
    const struct snap_status *status = &result->status;
    enum outcome outcome = slot->is_once ? ONCE_OK : MANY_OK;
    if (snap_ok(status)) {
        bool is_right = reply != NULL && reply->id == slot->id &&
                        reply->payload.len == ledger_size(slot->id, c->sizes, 1) &&
                        ledger_is_right(~slot->id, reply->payload.data, reply->payload.len);
        s->wrong += !is_right;
        s->ok++;
        count_transport(c, &result->info);
    } else {
        s->unavailable += status->code == SNAP_UNAVAILABLE;
        s->deadline += status->code == SNAP_DEADLINE_EXCEEDED;
        s->other += status->code != SNAP_UNAVAILABLE && status->code != SNAP_DEADLINE_EXCEEDED;
        s->many_failed += !slot->is_once;
        note_error(c, slot, result);
        outcome = slot->is_once ? ONCE_MAY_HAVE_RUN : MANY_MAY_HAVE_RUN;
        outcome = status->ran == SNAP_RAN_NO ? NOT_RUN : outcome;
    }
    s->late += now_ns() - slot->started_ns > c->timeout_us * 1000 + LATE_SLACK_NS;
    c->outcomes[slot->id] = (uint8_t)outcome;
    s->ended++;
}

static void on_done(void *arg, const struct snap_result *result, Ledger__CallReply *reply)
{
    struct slot *slot = arg;
    settle(slot, result, reply);
    slot->is_busy = false;
    sem_post(slot->free);
}

/** The next number; false: no more calls. */
static bool next_id(struct client *c, uint64_t *id)
{
    uint64_t i = atomic_fetch_add(&c->next, 1);
    *id = c->first + i;
    return !c->is_stopped && (c->n == 0 || i < c->n) && *id < LEDGER_IDS;
}

static bool prepare(struct slot *slot, Ledger__CallRequest *request,
                    struct snap_call_options *options)
{
    struct client *c = slot->client;
    if (!next_id(c, &slot->id)) {
        return false;
    }
    size_t len = ledger_size(slot->id, c->sizes, 0);
    if (len > slot->capacity) {
        free(slot->data);
        slot->data = malloc(len);
        slot->capacity = slot->data == NULL ? 0 : len;
    }
    if (len > slot->capacity) {
        return false;
    }
    ledger_fill(slot->id, slot->data, len);
    request->id = slot->id;
    request->reply_bytes = (uint32_t)ledger_size(slot->id, c->sizes, 1);
    request->payload.data = slot->data;
    request->payload.len = len;
    options->timeout_us = c->timeout_us;
    slot->is_once = ledger_mix(slot->id) % 8 < c->once_of_8;
    slot->started_ns = now_ns();
    c->stats->started++;
    return true;
}

static void *run_blocking(void *arg)
{
    struct slot slot = {.client = arg};
    struct snap_result result;
    Ledger__CallRequest request = LEDGER__CALL_REQUEST__INIT;
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.info = &result.info;
    while (prepare(&slot, &request, &options)) {
        Ledger__CallReply *reply = NULL;
        struct snap_channel *channel = slot.client->channel;
        result.status = slot.is_once
                            ? ledger__ledger__once__call(channel, &request, &options, &reply)
                            : ledger__ledger__many__call(channel, &request, &options, &reply);
        settle(&slot, &result, reply);
        ledger__ledger__once__free(reply);
    }
    free(slot.data);
    return NULL;
}

static void start_one(struct slot *slot, const Ledger__CallRequest *request,
                      const struct snap_call_options *options)
{
    struct client *c = slot->client;
    slot->is_busy = true;
    struct snap_call_id id =
        slot->is_once ? ledger__ledger__once__start(c->channel, request, options, on_done, slot)
                      : ledger__ledger__many__start(c->channel, request, options, on_done, slot);
    if (id.v == 0) {
        fprintf(stderr, "ledger-client: a call could not be started\n");
        abort();
    }
}

static void *run_async(void *arg)
{
    struct client *c = arg;
    struct slot *slots = calloc(c->window, sizeof(*slots));
    sem_t *frees = calloc(c->window, sizeof(*frees));
    uint32_t at = 0;
    for (uint32_t i = 0; slots != NULL && frees != NULL && i < c->window; i++) {
        sem_init(&frees[i], 0, 1);
        slots[i] = (struct slot){.client = c, .free = &frees[i]};
    }
    for (;; at = (at + 1) % c->window) {
        Ledger__CallRequest request = LEDGER__CALL_REQUEST__INIT;
        struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
        while (sem_wait(&frees[at]) != 0) {
        }
        if (!prepare(&slots[at], &request, &options)) {
            sem_post(&frees[at]);
            break;
        }
        start_one(&slots[at], &request, &options);
    }
    for (uint32_t i = 0; i < c->window; i++) {
        while (sem_wait(&frees[i]) != 0) {
        }
        free(slots[i].data);
        sem_destroy(&frees[i]);
    }
    free(slots);
    free(frees);
    return NULL;
}

/* ---- afterwards ---- */

static void judge(struct client *c, uint64_t id, uint8_t n_runs)
{
    enum outcome outcome = (enum outcome)c->outcomes[id];
    bool is_once = outcome == ONCE_OK || outcome == ONCE_MAY_HAVE_RUN;
    bool is_ok = outcome == ONCE_OK || outcome == MANY_OK;
    c->stats->twice += is_once && n_runs > 1;
    c->stats->lost += is_ok && n_runs == 0;
    c->stats->phantom += (outcome == NOT_RUN || outcome == NOT_STARTED) && n_runs > 0;
}

static bool check_runs(struct client *c)
{
    uint64_t n = c->stats->started;
    for (uint64_t i = 0; i < n; i += TALLY_CHUNK) {
        Ledger__TallyRequest request = LEDGER__TALLY_REQUEST__INIT;
        Ledger__TallyReply *reply = NULL;
        struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
        options.timeout_us = TALLY_TIMEOUT_US;
        request.first = c->first + i;
        request.n = n - i < TALLY_CHUNK ? (uint32_t)(n - i) : TALLY_CHUNK;
        struct snap_status status =
            ledger__ledger__tally__call(c->channel, &request, &options, &reply);
        if (!snap_ok(&status) || reply->runs.len != request.n) {
            fprintf(stderr, "ledger-client: tally: %s: %s\n", snap_code_name(status.code),
                    status.message);
            return false;
        }
        for (uint32_t k = 0; k < request.n; k++) {
            judge(c, request.first + k, reply->runs.data[k]);
        }
        ledger__ledger__tally__free(reply);
    }
    c->stats->is_checked = 1;
    return true;
}

static bool is_clean(struct client *c)
{
    struct ledger_stats *s = c->stats;
    printf(
        "calls %llu ok %llu unavailable %llu deadline %llu other %llu wrong %llu late %llu "
        "twice %llu lost %llu phantom %llu pony %llu tcp %llu resent %llu moves %llu\n",
        (unsigned long long)s->ended, (unsigned long long)s->ok, (unsigned long long)s->unavailable,
        (unsigned long long)s->deadline, (unsigned long long)s->other, (unsigned long long)s->wrong,
        (unsigned long long)s->late, (unsigned long long)s->twice, (unsigned long long)s->lost,
        (unsigned long long)s->phantom, (unsigned long long)s->by_pony,
        (unsigned long long)s->by_tcp, (unsigned long long)s->resent, (unsigned long long)s->moves);
    if (s->first_error[0] != '\0') {
        printf("first error: %s\n", s->first_error);
    }
    fflush(stdout);
    return s->started == s->ended && s->wrong == 0 && s->late == 0 && s->twice == 0 &&
           s->lost == 0 && s->phantom == 0;
}

static void print_log(void *arg, enum snap_log_level level, const char *component, const char *line)
{
    (void)arg;
    fprintf(stderr, "%d %s: %s\n", (int)level, component, line);
}

static bool report(const struct snap_status *status, const char *what)
{
    if (!snap_ok(status)) {
        fprintf(stderr, "ledger-client: %s: %s: %s\n", what, snap_code_name(status->code),
                status->message);
    }
    return snap_ok(status);
}

static bool open_channel(struct client *c)
{
    struct snap_loop_options options = SNAP_LOOP_OPTIONS_INIT;
    options.log = print_log;
    options.log_level = SNAP_LOG_INFO;
    struct snap_status status = snap_loop_create(&options, &c->loop);
    if (snap_ok(&status) && c->n_async > 0) {
        status = snap_loop_start_thread(c->loop);
    }
    if (snap_ok(&status)) {
        status = snap_channel_open(c->loop, c->target, NULL, &c->channel);
    }
    if (snap_ok(&status)) {
        status = snap_channel_wait(c->channel, c->want, READY_TIMEOUT_US);
    }
    return report(&status, c->target);
}

/** Input's end, or a line, is the order to stop. */
static void *await_stop(void *arg)
{
    struct client *c = arg;
    char byte = 0;
    (void)!read(STDIN_FILENO, &byte, 1);
    c->is_stopped = true;
    return NULL;
}

static bool run(struct client *c)
{
    if (!open_channel(c)) {
        return false;
    }
    c->stats->is_ready = 1;
    printf("ready\n");
    fflush(stdout);
    pthread_t threads[THREADS_MAX];
    pthread_t stopper;
    uint32_t n = 0;
    if (c->n == 0 && pthread_create(&stopper, NULL, await_stop, c) == 0) {
        pthread_detach(stopper);
    }
    for (uint32_t i = 0; i < c->n_async + c->n_blocking && n < THREADS_MAX; i++) {
        n += pthread_create(&threads[n], NULL, i < c->n_async ? run_async : run_blocking, c) == 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
    bool has_checked = c->is_unchecked || check_runs(c);
    return is_clean(c) && has_checked;
}

static const char usage[] =
    "usage: ledger-client [options] TARGET\n"
    "  --calls N      how many (default: until standard input ends)\n"
    "  --first ID     number of the first\n"
    "  --async N      threads that keep --window calls in flight each (default 2)\n"
    "  --blocking N   threads that wait for each call (default 2)\n"
    "  --window N\n"
    "  --once N       N of 8 calls are not idempotent (default 4)\n"
    "  --sizes tiny|mixed|large\n"
    "  --timeout MS   of each call\n"
    "  --want any|pony|tcp   waits for it before the first call\n"
    "  --stats FILE   where the counters are\n"
    "  --unchecked    does not ask the server how often calls ran\n";

static const struct option long_options[] = {
    {"calls", required_argument, NULL, 'n'},  {"first", required_argument, NULL, 'f'},
    {"async", required_argument, NULL, 'a'},  {"blocking", required_argument, NULL, 'b'},
    {"window", required_argument, NULL, 'w'}, {"once", required_argument, NULL, 'o'},
    {"sizes", required_argument, NULL, 's'},  {"timeout", required_argument, NULL, 't'},
    {"want", required_argument, NULL, 'W'},   {"stats", required_argument, NULL, 'S'},
    {"unchecked", no_argument, NULL, 'u'},    {NULL, 0, NULL, 0},
};

static bool take_option(struct client *c, int option)
{
    uint64_t value = optarg == NULL ? 0 : strtoull(optarg, NULL, 0);
    switch (option) {
    case 'n':
        c->n = value;
        return true;
    case 'f':
        c->first = value;
        return true;
    case 'a':
        c->n_async = (uint32_t)value;
        return true;
    case 'b':
        c->n_blocking = (uint32_t)value;
        return true;
    case 'w':
        c->window = (uint32_t)value;
        return value > 0;
    case 'o':
        c->once_of_8 = (uint32_t)value;
        return true;
    case 's':
        c->sizes = optarg[0] == 't' ? LEDGER_TINY : optarg[0] == 'l' ? LEDGER_LARGE : LEDGER_MIXED;
        return true;
    case 't':
        c->timeout_us = value * 1000;
        return true;
    case 'W':
        c->want = optarg[0] == 'p'   ? SNAP_TRANSPORT_PONY
                  : optarg[0] == 't' ? SNAP_TRANSPORT_TCP
                                     : SNAP_TRANSPORT_AUTO;
        return true;
    case 'S':
        c->stats = ledger_stats_map(optarg);
        return c->stats != NULL;
    case 'u':
        c->is_unchecked = true;
        return true;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    static struct ledger_stats private_stats;
    struct client c = {.stats = &private_stats,
                       .n_async = 2,
                       .n_blocking = 2,
                       .window = 32,
                       .once_of_8 = 4,
                       .sizes = LEDGER_MIXED,
                       .timeout_us = 60 * 1000 * 1000};
    int option = 0;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (!take_option(&c, option)) {
            fputs(usage, stderr);
            return 2;
        }
    }
    c.outcomes = calloc(LEDGER_IDS, 1);
    if (optind != argc - 1 || c.outcomes == NULL) {
        fputs(usage, stderr);
        return 2;
    }
    c.target = argv[optind];
    bool ok = run(&c);
    snap_channel_close(c.channel);
    snap_loop_destroy(c.loop);
    free(c.outcomes);
    return ok ? 0 : 1;
}
