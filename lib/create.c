/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/loop.h"
#include "transport/transport.h"

/* Where the transport-neutral core meets the transports of this build: no layer below knows both. */
struct snap_status snap_loop_create(const struct snap_loop_options *options,
                                    struct snap_loop **loop)
{
    return snapi_loop_create(options, snapi_transport_all, loop);
}
