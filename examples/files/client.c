/* SPDX-License-Identifier: Apache-2.0 */

/**
 * files-client TARGET list|stat|get PATH: one blocking call to a files-server, and what carried it.
 */

#include "files.snap.h"

#include <snaprpc/snaprpc.h>

#include <stdio.h>
#include <string.h>

static const char *kind_name(Files__Kind kind)
{
    return kind == FILES__KIND__DIRECTORY ? "dir" : kind == FILES__KIND__FILE ? "file" : "other";
}

static struct snap_status list(struct snap_channel *channel, char *path,
                               const struct snap_call_options *options)
{
    Files__ListRequest request = FILES__LIST_REQUEST__INIT;
    Files__ListReply *reply = NULL;
    request.path = path;
    struct snap_status status = files__files__list__call(channel, &request, options, &reply);
    for (size_t i = 0; reply != NULL && i < reply->n_entries; i++) {
        printf("%-5s %10llu %s\n", kind_name(reply->entries[i]->kind),
               (unsigned long long)reply->entries[i]->size, reply->entries[i]->name);
    }
    files__files__list__free(reply);
    return status;
}

static struct snap_status stat_one(struct snap_channel *channel, char *path,
                                   const struct snap_call_options *options)
{
    Files__StatRequest request = FILES__STAT_REQUEST__INIT;
    Files__StatReply *reply = NULL;
    request.path = path;
    struct snap_status status = files__files__stat__call(channel, &request, options, &reply);
    if (reply != NULL && reply->entry != NULL) {
        printf("%s: %s, %llu bytes, modified %lld\n", path, kind_name(reply->entry->kind),
               (unsigned long long)reply->entry->size, (long long)reply->modified_s);
    }
    files__files__stat__free(reply);
    return status;
}

static struct snap_status get(struct snap_channel *channel, char *path,
                              const struct snap_call_options *options)
{
    Files__GetRequest request = FILES__GET_REQUEST__INIT;
    Files__GetReply *reply = NULL;
    request.path = path;
    struct snap_status status = files__files__get__call(channel, &request, options, &reply);
    if (reply != NULL) {
        fwrite(reply->data.data, 1, reply->data.len, stdout);
    }
    files__files__get__free(reply);
    return status;
}

int main(int argc, char **argv)
{
    struct snap_status (*run)(struct snap_channel *, char *, const struct snap_call_options *) =
        NULL;
    if (argc == 4) {
        run = strcmp(argv[2], "list") == 0   ? list
              : strcmp(argv[2], "stat") == 0 ? stat_one
              : strcmp(argv[2], "get") == 0  ? get
                                             : NULL;
    }
    if (run == NULL) {
        fprintf(stderr, "usage: %s TARGET list|stat|get PATH\n", argv[0]);
        return 2;
    }
    struct snap_loop *loop = NULL;
    struct snap_channel *channel = NULL;
    struct snap_call_info info = {0};
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.timeout_us = 5000000;
    options.info = &info;
    struct snap_status status = snap_loop_create(NULL, &loop);
    if (snap_ok(&status)) {
        status = snap_channel_open(loop, argv[1], NULL, &channel);
    }
    if (snap_ok(&status)) {
        status = run(channel, argv[3], &options);
    }
    if (!snap_ok(&status)) {
        fprintf(stderr, "%s: %s\n", snap_code_name(status.code), status.message);
    } else {
        fprintf(stderr, "%s in %.0f us over %s (%s)\n", info.peer, (double)info.elapsed_ns / 1e3,
                info.transport == SNAP_TRANSPORT_PONY ? "Pony" : "kernel TCP",
                snap_why_text(info.why));
    }
    snap_channel_close(channel);
    snap_loop_destroy(loop);
    return snap_ok(&status) ? 0 : 1;
}
