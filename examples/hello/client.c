/* SPDX-License-Identifier: Apache-2.0 */

/** hello-client TARGET NAME: the smallest client. */

#include "hello.snap.h"

#include <snaprpc/snaprpc.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s TARGET NAME\n", argv[0]);
        return 2;
    }
    struct snap_loop *loop = NULL;
    struct snap_channel *channel = NULL;
    Hello__GreetRequest request = HELLO__GREET_REQUEST__INIT;
    Hello__GreetReply *reply = NULL;
    request.name = argv[2];
    struct snap_call_options options = SNAP_CALL_OPTIONS_INIT;
    options.timeout_us = 2000000;

    struct snap_status status = snap_loop_create(NULL, &loop);
    if (snap_ok(&status)) {
        status = snap_channel_open(loop, argv[1], NULL, &channel);
    }
    if (snap_ok(&status)) {
        status = hello__greeter__greet__call(channel, &request, &options, &reply);
    }
    if (snap_ok(&status)) {
        puts(reply->text);
    } else {
        fprintf(stderr, "%s: %s\n", snap_code_name(status.code), status.message);
    }
    hello__greeter__greet__free(reply);
    snap_channel_close(channel);
    snap_loop_destroy(loop);
    return snap_ok(&status) ? 0 : 1;
}
