/* SPDX-License-Identifier: Apache-2.0 */

/**
 * hello-epoll TARGET: snaprpc inside a program's own event loop. Each line typed is a name to greet;
 * calls and keyboard share one epoll set and one thread.
 */

#include "hello.snap.h"

#include <snaprpc/snaprpc.h>

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static int in_flight;

static void on_greeted(void *arg, const struct snap_result *result, Hello__GreetReply *reply)
{
    (void)arg;
    in_flight--;
    if (reply != NULL) {
        puts(reply->text);
    } else {
        fprintf(stderr, "%s: %s\n", snap_code_name(result->status.code), result->status.message);
    }
}

static void greet(struct snap_channel *channel, char *name)
{
    Hello__GreetRequest request = HELLO__GREET_REQUEST__INIT;
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.timeout_us = 2000000;
    request.name = name;
    hello__greeter__greet__start(channel, &request, &options, on_greeted, NULL);
    in_flight++;
}

static int watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/** Reads names until the end of the input; then waits for the last replies. */
static int serve_both(int epoll, struct snap_loop *loop, struct snap_channel *channel)
{
    int is_open = 1;
    while (is_open || in_flight > 0) {
        struct epoll_event events[2];
        int n = epoll_wait(epoll, events, 2, -1);
        for (int i = 0; i < n; i++) {
            char line[128];
            if (events[i].data.fd == snap_loop_fd(loop)) {
                snap_loop_poll(loop, 0);
            } else if (fgets(line, sizeof(line), stdin) != NULL) {
                line[strcspn(line, "\n")] = '\0';
                greet(channel, line);
            } else {
                is_open = 0;
                epoll_ctl(epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
            }
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct snap_loop *loop = NULL;
    struct snap_channel *channel = NULL;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    setvbuf(stdin, NULL, _IONBF, 0); /* a line that waits in stdio's buffer would not wake epoll */
    struct snap_status status = snap_loop_create(NULL, &loop);
    if (snap_ok(&status)) {
        status = snap_channel_open(loop, argc > 1 ? argv[1] : "127.0.0.1:7000", NULL, &channel);
    }
    if (!snap_ok(&status) || watch(epoll, snap_loop_fd(loop)) != 0 ||
        watch(epoll, STDIN_FILENO) != 0) {
        fprintf(stderr, "cannot start: %s (standard input must be a terminal or pipe)\n",
                status.message);
        return 1;
    }
    int code = serve_both(epoll, loop, channel);
    snap_channel_close(channel);
    snap_loop_destroy(loop);
    close(epoll);
    return code;
}
