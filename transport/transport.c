/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/transport.h"

#include <string.h>

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

const struct snapi_transport_ops *snapi_transport_find(const char *name)
{
    for (int i = 0; snapi_transport_all[i] != NULL; i++) {
        if (strcmp(snapi_transport_all[i]->name, name) == 0) {
            return snapi_transport_all[i];
        }
    }
    return NULL;
}
