/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_CONN_EVENTS_H
#define TESTS_SUPPORT_CONN_EVENTS_H

#include "transport/transport.h"

/** Events of connections (struct snapi_conn_events) for who has nothing to do then. */

/** on_open, on_writable. */
static inline void conn_ignores(void *arg, struct snapi_conn *conn)
{
    (void)arg;
    (void)conn;
}

static inline void conn_ignores_unsent(void *arg, struct snapi_conn *conn, uint64_t tag,
                                       const uint8_t *data, size_t len)
{
    (void)arg;
    (void)conn;
    (void)tag;
    (void)data;
    (void)len;
}

#endif
