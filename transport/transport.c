/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/transport.h"

/* Each lies in its own room; this is the only file that knows them all. */
extern const struct snapi_transport_ops ktcp_transport_ops;
#ifdef TRANSPORT_HAS_PONY
extern const struct snapi_transport_ops pony_transport_ops;
#endif

const struct snapi_transport_ops *const snapi_transport_all[] = {
#ifdef TRANSPORT_HAS_PONY
    &pony_transport_ops,
#endif
    &ktcp_transport_ops,
    NULL,
};
