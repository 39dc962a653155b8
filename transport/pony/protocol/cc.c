/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/cc.h"

#include <string.h>

const struct pony_cc_ops *const pony_cc_all[] = {
    &pony_cc_delay, &pony_cc_fixed, &pony_cc_swift, &pony_cc_timely, NULL,
};

const struct pony_cc_ops *pony_cc_find(const char *name)
{
    if (name == NULL) {
        return pony_cc_all[0];
    }
    for (const struct pony_cc_ops *const *it = pony_cc_all; *it != NULL; it++) {
        if (strcmp((*it)->name, name) == 0) {
            return *it;
        }
    }
    return NULL;
}

uint64_t pony_cc_no_pacing(const void *state, uint64_t srtt_ns)
{
    (void)state;
    (void)srtt_ns;
    return 0;
}
