/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_CALL_INTERNAL_H
#define CLIENT_CALL_INTERNAL_H

#include "client/channel.h"

/**
 * What call.c, call_send.c and call_end.c share.
 */

/** Out of the list that it is in, if any. */
static inline void snapi_call_leave_lists(struct snapi_call *call)
{
    if (call->state == SNAPI_CALL_WAITING && base_list_is_linked(&call->link)) {
        call->channel->more->waiting_bytes -= snapi_call_waiting_bytes(call);
    }
    base_list_del(&call->link);
}

/** Whether the server may have run a call that has no answer. */
static inline enum snap_ran snapi_call_ran(const struct snapi_call *call)
{
    return call->may_have_run || call->state == SNAPI_CALL_SENT ? SNAP_RAN_MAYBE : SNAP_RAN_NO;
}

/** base_timer_fn of its deadline: ends the call. */
void snapi_call_on_deadline(struct base_timer *timer, uint64_t now_ns);

#endif
