/* SPDX-License-Identifier: Apache-2.0 */

/**
 * files-server DIRECTORY [ADDRESS]: serves a directory tree until it is interrupted.
 *
 * One thread, no thread of the library's: main() drives the loop, handlers run in it.
 */

#include "files.snap.h"
#include "tree.h"

#include <snaprpc/snaprpc.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TICKETS_MAX = 1 << 24
};

struct files {
    int root;
    uint64_t runs;
    uint64_t twice;
};

static struct snap_loop *loop;
static uint8_t served[TICKETS_MAX]; /* how often each ticket was, up to 255 */

static void on_signal(int signal)
{
    (void)signal;
    snap_loop_stop(loop); /* NOLINT(bugprone-signal-handler,cert-sig30-c): made for it, loop.h */
}

static void fail(struct snap_server_call *call, const char *path)
{
    snap_server_fail(call, tree_code(errno), "%s: %s", path, strerror(errno));
}

static Files__Kind kind_of(const struct stat *stat)
{
    return S_ISREG(stat->st_mode)   ? FILES__KIND__FILE
           : S_ISDIR(stat->st_mode) ? FILES__KIND__DIRECTORY
                                    : FILES__KIND__OTHER;
}

static void list(struct snap_server_call *call, const Files__ListRequest *request, void *arg)
{
    const struct files *files = arg;
    struct tree_entry *found = NULL;
    size_t n = 0;
    if (tree_list(files->root, request->path, &found, &n) != 0) {
        fail(call, request->path);
        return;
    }
    Files__ListReply reply = FILES__LIST_REPLY__INIT;
    Files__Entry *entries = calloc(n + 1, sizeof(*entries));
    reply.entries = calloc(n + 1, sizeof(*reply.entries));
    if (entries == NULL || reply.entries == NULL) {
        fail(call, request->path);
    } else {
        for (size_t i = 0; i < n; i++) {
            files__entry__init(&entries[i]);
            entries[i].name = found[i].name;
            entries[i].kind = kind_of(&found[i].stat);
            entries[i].size = (uint64_t)found[i].stat.st_size;
            reply.entries[i] = &entries[i];
        }
        reply.n_entries = n;
        files__files__list__reply(call, &reply);
    }
    free(reply.entries);
    free(entries);
    tree_free(found, n);
}

static void stat_one(struct snap_server_call *call, const Files__StatRequest *request, void *arg)
{
    const struct files *files = arg;
    struct stat stat;
    int fd = tree_open(files->root, request->path, O_PATH);
    if (fd < 0 || fstat(fd, &stat) != 0) {
        fail(call, request->path);
    } else {
        Files__Entry entry = FILES__ENTRY__INIT;
        Files__StatReply reply = FILES__STAT_REPLY__INIT;
        entry.name = request->path;
        entry.kind = kind_of(&stat);
        entry.size = (uint64_t)stat.st_size;
        reply.entry = &entry;
        reply.modified_s = stat.st_mtim.tv_sec;
        files__files__stat__reply(call, &reply);
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void count_ticket(struct files *files, uint64_t ticket)
{
    if (ticket == 0) {
        return;
    }
    uint8_t *count = &served[ticket % TICKETS_MAX];
    files->runs++;
    *count = *count == UINT8_MAX ? UINT8_MAX : *count + 1;
    files->twice += *count == 2;
}

static void get(struct snap_server_call *call, const Files__GetRequest *request, void *arg)
{
    struct files *files = arg;
    count_ticket(files, request->ticket);
    Files__GetReply reply = FILES__GET_REPLY__INIT;
    if (tree_read(files->root, request->path, &reply.data.data, &reply.data.len) != 0) {
        fail(call, request->path);
        return;
    }
    files__files__get__reply(call, &reply); /* copies the bytes: they may go */
    free(reply.data.data);
}

static void tally(struct snap_server_call *call, const Files__TallyRequest *request, void *arg)
{
    (void)request;
    const struct files *files = arg;
    Files__TallyReply reply = FILES__TALLY_REPLY__INIT;
    reply.runs = files->runs;
    reply.tickets_twice = files->twice;
    files__files__tally__reply(call, &reply);
}

static const Files__Files__Handlers handlers = {
    .list = list,
    .stat = stat_one,
    .get = get,
    .tally = tally,
};

static void print_log(void *arg, enum snap_log_level level, const char *component, const char *line)
{
    (void)arg;
    (void)level;
    fprintf(stderr, "files-server: %s: %s\n", component, line);
}

static struct snap_status serve(struct files *files, const char *address,
                                struct snap_server **server)
{
    struct snap_loop_options options = SNAP_LOOP_OPTIONS_INIT;
    options.log = print_log;
    struct snap_status status = snap_loop_create(&options, &loop);
    if (snap_ok(&status)) {
        status = snap_server_create(loop, NULL, server);
    }
    if (snap_ok(&status)) {
        status = files__files__serve(*server, &handlers, files);
    }
    if (snap_ok(&status)) {
        status = snap_server_listen(*server, address);
    }
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3) {
        fprintf(stderr,
                "usage: %s DIRECTORY [ADDRESS]\n"
                "serves DIRECTORY at ADDRESS (default 127.0.0.1:7000)\n",
                argv[0]);
        return 2;
    }
    struct files files = {.root = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (files.root < 0) {
        fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    struct snap_server *server = NULL;
    struct snap_status status = serve(&files, argc == 3 ? argv[2] : "127.0.0.1:7000", &server);
    if (!snap_ok(&status)) {
        fprintf(stderr, "cannot serve: %s\n", status.message);
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    printf("serving %s at port %u\n", argv[1], snap_server_port(server));
    fflush(stdout);
    snap_loop_run(loop);
    snap_server_stop(server, 1000);
    snap_loop_destroy(loop);
    close(files.root);
    return 0;
}
