/* SPDX-License-Identifier: Apache-2.0 */
#include "top.snap.h"

struct snap_status go(struct snap_channel *channel, int n);

struct snap_status go(struct snap_channel *channel, int n)
{
    Api__Shared request = API__SHARED__INIT;
    Google__Protobuf__Empty *response = NULL;
    request.n = n;
    struct snap_status status = top__top__go__call(channel, &request, NULL, &response);
    top__top__go__free(response);
    return status;
}
