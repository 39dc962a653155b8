/* SPDX-License-Identifier: Apache-2.0 */

/** hello-server [ADDRESS]: the smallest server. */

#include "hello.snap.h"

#include <snaprpc/snaprpc.h>

#include <stdio.h>

static void greet(struct snap_server_call *call, const Hello__GreetRequest *request, void *arg)
{
    (void)arg;
    if (request->name[0] == '\0') {
        snap_server_fail(call, SNAP_INVALID_ARGUMENT, "name is empty: say whom to greet");
        return;
    }
    char text[256];
    snprintf(text, sizeof(text), "Hello, %s!", request->name);
    Hello__GreetReply reply = HELLO__GREET_REPLY__INIT;
    reply.text = text;
    hello__greeter__greet__reply(call, &reply);
}

static const Hello__Greeter__Handlers handlers = {.greet = greet};

int main(int argc, char **argv)
{
    struct snap_loop *loop = NULL;
    struct snap_server *server = NULL;
    struct snap_status status = snap_loop_create(NULL, &loop);
    if (snap_ok(&status)) {
        status = snap_server_create(loop, NULL, &server);
    }
    if (snap_ok(&status)) {
        status = hello__greeter__serve(server, &handlers, NULL);
    }
    if (snap_ok(&status)) {
        status = snap_server_listen(server, argc > 1 ? argv[1] : "127.0.0.1:7000");
    }
    if (!snap_ok(&status)) {
        fprintf(stderr, "cannot serve: %s\n", status.message);
        return 1;
    }
    printf("serving at port %u\n", snap_server_port(server));
    fflush(stdout);
    snap_loop_run(loop); /* until the process is ended */
    return 0;
}
