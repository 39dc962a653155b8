/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/abi/shm.h"

static const char *const texts[SHM_REASON_MAX] = {
    [SHM_REASON_NONE] = "no reason given",
    [SHM_REASON_CLOSED] = "closed in order",
    [SHM_REASON_ABORTED] = "aborted by the peer application",
    [SHM_REASON_APP_GONE] = "the peer application went away",
    [SHM_REASON_NO_SERVICE] = "nobody listens for that service there",
    [SHM_REASON_NO_MEMORY] = "a limit was reached; try later",
    [SHM_REASON_PEER_DEAD] = "no sign of life from the peer's snapd",
    [SHM_REASON_PEER_RESTARTED] = "the peer's snapd was restarted",
    [SHM_REASON_UNREACHABLE] = "no snapd answered there",
    [SHM_REASON_VERSION] = "no wire version in common with the peer's snapd",
    [SHM_REASON_PROTOCOL] = "the peer broke the protocol",
    [SHM_REASON_BAD_COMMAND] = "this application broke the shared-memory protocol",
    [SHM_REASON_SHUTDOWN] = "a snapd is stopping",
    [SHM_REASON_REFUSED] = "refused by the listening application",
    [SHM_REASON_SECURITY] = "the two snapds are not secured in the same way",
};

const char *shm_reason_text(enum shm_reason reason)
{
    unsigned idx = (unsigned)reason;
    return idx < SHM_REASON_MAX ? texts[idx] : "unknown reason";
}
