/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_MEMORY_H
#define SNAPD_MEMORY_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Memory shared with another process: a memfd, sized and sealed (SHRINK, GROW, SEAL) by us.
 *
 * @param we_write  we map it for writing and `*fd` is a descriptor that cannot be written through;
 *                  else we map it read-only and `*fd` can be written through
 * @param fd        for the other process; the caller's to pass and close
 * @param at        our mapping, the caller's to munmap(); pages cost nothing until they are used
 *
 * Errors  BASE_E_NOMEM, BASE_E_LIMIT, BASE_E_IO; the note says which
 */
BASE_MUST_USE enum base_err snapd_memory_make(const char *name, uint64_t bytes, bool we_write,
                                              int *fd, void **at);

#endif
