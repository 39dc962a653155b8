/* SPDX-License-Identifier: Apache-2.0 */
#include <snaprpc/snaprpc.h>

#include <stdio.h>
#include <string.h>

/* A server and a channel on one loop, so that the library is more than linked. */
int main(void)
{
    struct snap_loop *loop;
    struct snap_status status = snap_loop_create(NULL, &loop);
    struct snap_server *server;
    struct snap_channel *channel;
    char target[32];
    if (snap_ok(&status)) {
        status = snap_server_create(loop, NULL, &server);
    }
    if (snap_ok(&status)) {
        status = snap_server_listen(server, "127.0.0.1:0");
    }
    if (snap_ok(&status)) {
        (void)snprintf(target, sizeof(target), "127.0.0.1:%u", snap_server_port(server));
        status = snap_channel_open(loop, target, NULL, &channel);
    }
    if (snap_ok(&status)) {
        status = snap_channel_wait(channel, SNAP_TRANSPORT_AUTO, 10000000);
    }
    (void)printf("%s %s\n", snap_code_name((enum snap_code)status.code), status.message);
    snap_loop_destroy(loop);
    return snap_ok(&status) ? 0 : 1;
}
