/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/keys.h"

#include <stdint.h>
#include <stdlib.h>

/**
 * The file of cluster keys: anything is taken or refused; what is taken keeps its bounds.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pony_security security;
    if (snapd_keys_parse("fuzz", (const char *)data, size, &security) != BASE_OK) {
        return 0;
    }
    if (security.n_psks == 0 || security.n_psks > PONY_PSKS_MAX) {
        abort();
    }
    for (uint32_t i = 0; i < security.n_psks; i++) {
        if (security.psks[i].id == 0) {
            abort();
        }
    }
    return 0;
}
