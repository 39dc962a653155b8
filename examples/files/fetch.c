/* SPDX-License-Identifier: Apache-2.0 */

/**
 * files-fetch: fetches every file of a files-server's tree, many at a time, and compares each with
 * the same file on disk by its hash. Shows what carried the calls while transports come and go.
 *
 * A call that ends with UNAVAILABLE may or may not have run; Get is not declared idempotent, so the
 * library does not repeat it. This program does, as a new call with a new ticket; at the end the
 * server tells whether any ticket was served twice.
 */

#include "files.snap.h"
#include "tally.h"
#include "tree.h"

#include <snaprpc/snaprpc.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum {
    IN_FLIGHT_DEFAULT = 16,
    PASSES_MAX = 16,
    CALL_TIMEOUT_US = 10000000,
    PONY_WAIT_US = 10000000
};

struct file {
    char *path;
    uint64_t size;
};

struct fetch {
    struct snap_loop *loop;
    struct snap_channel *channel;
    int root; /**< the same tree on disk */
    struct file *files;
    size_t n_files;
    size_t next; /**< of the pass: the next file to ask for */
    size_t done; /**< of the pass: compared */
    uint32_t in_flight;
    uint32_t in_flight_max;
    uint64_t ticket;
    bool failed;
    struct tally tally;   /**< of the pass */
    const char *progress; /**< file to which "pass done total" is written; NULL: none */
    int pass;
};

/** One file on its way. */
struct get {
    struct fetch *fetch;
    size_t file;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
    (void)signal;
    interrupted = 1;
}

static bool report(const struct snap_status *status, const char *what)
{
    if (!snap_ok(status)) {
        fprintf(stderr, "files-fetch: %s: %s: %s\n", what, snap_code_name(status->code),
                status->message);
    }
    return snap_ok(status);
}

/* ---- what there is ---- */

static bool add_file(struct fetch *fetch, const char *dir, const Files__Entry *entry)
{
    size_t n = fetch->n_files;
    if ((n & (n - 1)) == 0) {
        struct file *more = realloc(fetch->files, (n == 0 ? 1 : n * 2) * sizeof(*more));
        if (more == NULL) {
            return false;
        }
        fetch->files = more;
    }
    struct file *file = &fetch->files[n];
    file->size = entry->size;
    if (asprintf(&file->path, "%s%s%s", dir, dir[0] == '\0' ? "" : "/", entry->name) < 0) {
        return false;
    }
    fetch->n_files++;
    return true;
}

/** Asks for the entries of `dir` and all below it. */
static bool walk(struct fetch *fetch, char *dir)
{
    Files__ListRequest request = FILES__LIST_REQUEST__INIT;
    Files__ListReply *reply = NULL;
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.timeout_us = CALL_TIMEOUT_US;
    request.path = dir;
    struct snap_status status =
        files__files__list__call(fetch->channel, &request, &options, &reply);
    bool ok = report(&status, dir[0] == '\0' ? "list of the root" : dir) && !interrupted;
    for (size_t i = 0; ok && i < reply->n_entries; i++) {
        const Files__Entry *entry = reply->entries[i];
        if (entry->kind == FILES__KIND__FILE) {
            ok = add_file(fetch, dir, entry);
        } else if (entry->kind == FILES__KIND__DIRECTORY) {
            char *below = NULL;
            ok = asprintf(&below, "%s%s%s", dir, dir[0] == '\0' ? "" : "/", entry->name) >= 0 &&
                 walk(fetch, below);
            free(below);
        }
    }
    files__files__list__free(reply);
    return ok;
}

/* ---- one file ---- */

static void start_get(struct fetch *fetch, struct get *get);

/** Compares with the disk. A file that cannot be read there is an error as well. */
static bool is_right(const struct fetch *fetch, const struct file *file,
                     const Files__GetReply *reply)
{
    uint8_t *data = NULL;
    size_t len = 0;
    if (tree_read(fetch->root, file->path, &data, &len) != 0) {
        fprintf(stderr, "files-fetch: %s on disk: %s\n", file->path, strerror(errno));
        return false;
    }
    bool same = XXH3_64bits(data, len) == XXH3_64bits(reply->data.data, reply->data.len);
    free(data);
    if (!same) {
        fprintf(stderr, "files-fetch: %s differs from the disk\n", file->path);
    }
    return same;
}

static void write_progress(const struct fetch *fetch)
{
    FILE *out = fetch->progress == NULL ? NULL : fopen(fetch->progress, "we");
    if (out != NULL) {
        fprintf(out, "%d %zu %zu\n", fetch->pass, fetch->done, fetch->n_files);
        fclose(out);
    }
}

static void on_got(void *arg, const struct snap_result *result, Files__GetReply *reply)
{
    struct get *get = arg;
    struct fetch *fetch = get->fetch;
    tally_add(&fetch->tally, result, reply == NULL ? 0 : reply->data.len);
    if (result->status.code == SNAP_UNAVAILABLE && !interrupted) {
        start_get(fetch, get); /* another call, another ticket */
        return;
    }
    if (!report(&result->status, fetch->files[get->file].path) || reply == NULL ||
        !is_right(fetch, &fetch->files[get->file], reply)) {
        fetch->failed = true;
    }
    fetch->done++;
    if (fetch->done % 64 == 0) {
        write_progress(fetch);
    }
    if (fetch->next < fetch->n_files && !fetch->failed && !interrupted) {
        get->file = fetch->next++;
        start_get(fetch, get);
    } else {
        fetch->in_flight--;
        free(get);
    }
}

static void start_get(struct fetch *fetch, struct get *get)
{
    Files__GetRequest request = FILES__GET_REQUEST__INIT;
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.timeout_us = CALL_TIMEOUT_US;
    request.path = fetch->files[get->file].path;
    request.ticket = ++fetch->ticket;
    files__files__get__start(fetch->channel, &request, &options, on_got, get);
    fetch->tally.started++;
}

/* ---- one pass over all files ---- */

static bool pass(struct fetch *fetch, bool wants_pony)
{
    if (wants_pony) {
        struct snap_status status =
            snap_channel_wait(fetch->channel, SNAP_TRANSPORT_PONY, PONY_WAIT_US);
        if (!report(&status, "waiting for Pony")) {
            return false;
        }
    }
    tally_init(&fetch->tally);
    fetch->next = 0;
    fetch->done = 0;
    write_progress(fetch);
    while (fetch->in_flight < fetch->in_flight_max && fetch->next < fetch->n_files) {
        struct get *get = malloc(sizeof(*get));
        if (get == NULL) {
            return false;
        }
        *get = (struct get){.fetch = fetch, .file = fetch->next++};
        fetch->in_flight++;
        start_get(fetch, get);
    }
    while (fetch->in_flight > 0) {
        snap_loop_poll(fetch->loop, 100);
    }
    write_progress(fetch);
    tally_print(&fetch->tally, fetch->n_files);
    bool all_over_pony = fetch->tally.by_tcp == 0;
    if (wants_pony && !all_over_pony && !fetch->failed) {
        fprintf(stderr, "files-fetch: some calls of this pass went over kernel TCP\n");
    }
    return !fetch->failed && !interrupted && fetch->tally.started == fetch->tally.ended &&
           (!wants_pony || all_over_pony);
}

/** Asks the server how often it ran Get. */
static bool check_tally(struct fetch *fetch)
{
    Files__TallyRequest request = FILES__TALLY_REQUEST__INIT;
    Files__TallyReply *reply = NULL;
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.timeout_us = CALL_TIMEOUT_US;
    struct snap_status status =
        files__files__tally__call(fetch->channel, &request, &options, &reply);
    if (!report(&status, "tally")) {
        return false;
    }
    bool ok = reply->tickets_twice == 0;
    printf("    the server ran Get for %llu of %llu calls, %llu of them twice\n",
           (unsigned long long)reply->runs, (unsigned long long)fetch->ticket,
           (unsigned long long)reply->tickets_twice);
    files__files__tally__free(reply);
    return ok;
}

static void print_log(void *arg, enum snap_log_level level, const char *component, const char *line)
{
    (void)arg;
    (void)component;
    if (level <= SNAP_LOG_INFO) {
        printf("    - %s\n", line);
        fflush(stdout);
    }
}

static const char usage[] =
    "usage: files-fetch [options] TARGET DIRECTORY\n"
    "fetches every file that TARGET serves and compares it with the one below DIRECTORY\n"
    "  -p, --pass any|pony   one pass over all files; may be given again; pony: waits for Pony\n"
    "                        first and fails if a call of the pass went another way\n"
    "  -n, --in-flight N     calls at once (default 16)\n"
    "      --progress FILE   keeps \"pass done total\" in FILE\n"
    "  -h, --help\n";

struct arguments {
    bool wants_pony[PASSES_MAX];
    int n_passes;
};

/** 0: go on; else the exit code plus one. */
static int parse(int argc, char **argv, struct fetch *fetch, struct arguments *arguments)
{
    static const struct option options[] = {
        {"pass", required_argument, NULL, 'p'},
        {"in-flight", required_argument, NULL, 'n'},
        {"progress", required_argument, NULL, 'P'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option = 0;
    while ((option = getopt_long(argc, argv, "p:n:h", options, NULL)) != -1) {
        bool is_pony = option == 'p' && strcmp(optarg, "pony") == 0;
        bool is_any = option == 'p' && strcmp(optarg, "any") == 0;
        if ((is_pony || is_any) && arguments->n_passes < PASSES_MAX) {
            arguments->wants_pony[arguments->n_passes++] = is_pony;
        } else if (option == 'n' && strtoul(optarg, NULL, 10) > 0) {
            fetch->in_flight_max = (uint32_t)strtoul(optarg, NULL, 10);
        } else if (option == 'P') {
            fetch->progress = optarg;
        } else {
            fputs(usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 1 : 3;
        }
    }
    if (argc - optind != 2) {
        fputs(usage, stderr);
        return 3;
    }
    arguments->n_passes = arguments->n_passes > 0 ? arguments->n_passes : 1;
    return 0;
}

static bool run(struct fetch *fetch, const char *target, const struct arguments *arguments)
{
    struct snap_loop_options options = SNAP_LOOP_OPTIONS_INIT;
    options.log = print_log;
    options.log_level = SNAP_LOG_INFO;
    struct snap_status status = snap_loop_create(&options, &fetch->loop);
    if (snap_ok(&status)) {
        status = snap_channel_open(fetch->loop, target, NULL, &fetch->channel);
    }
    char root[] = "";
    bool ok = report(&status, target) && walk(fetch, root);
    for (int i = 0; ok && i < arguments->n_passes; i++) {
        fetch->pass = i + 1;
        ok = pass(fetch, arguments->wants_pony[i]);
    }
    return ok && check_tally(fetch);
}

int main(int argc, char **argv)
{
    struct fetch fetch = {.in_flight_max = IN_FLIGHT_DEFAULT};
    struct arguments arguments = {.n_passes = 0};
    int end = parse(argc, argv, &fetch, &arguments);
    if (end != 0) {
        return end - 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    fetch.root = open(argv[optind + 1], O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fetch.root < 0) {
        fprintf(stderr, "files-fetch: %s: %s\n", argv[optind + 1], strerror(errno));
        return 1;
    }
    bool ok = run(&fetch, argv[optind], &arguments);
    snap_channel_close(fetch.channel);
    snap_loop_destroy(fetch.loop);
    for (size_t i = 0; i < fetch.n_files; i++) {
        free(fetch.files[i].path);
    }
    free(fetch.files);
    close(fetch.root);
    return ok ? 0 : 1;
}
