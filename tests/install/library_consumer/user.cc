/* SPDX-License-Identifier: Apache-2.0 */
#include <cstdio>
#include <snaprpc/snaprpc.h>

int main()
{
    snap_loop_options options = SNAP_LOOP_OPTIONS_INIT;
    snap_server_options server_options = SNAP_SERVER_OPTIONS_INIT;
    snap_channel_options channel_options = SNAP_CHANNEL_OPTIONS_INIT;
    snap_call_options call_options = SNAP_CALL_OPTIONS_INIT;
    (void)server_options;
    (void)channel_options;
    (void)call_options;
    snap_loop *loop = nullptr;
    snap_status status = snap_loop_create(&options, &loop);
    std::printf("%s\n", snap_code_name(static_cast<snap_code>(status.code)));
    snap_loop_destroy(loop);
    return snap_ok(&status) ? 0 : 1;
}
