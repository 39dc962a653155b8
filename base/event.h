/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_EVENT_H
#define BASE_EVENT_H

/**
 * eventfd as a wake-up: signal from any thread or process, drain by the sleeper.
 */
#include "base/error.h"

#include <stdint.h>

/** Non-blocking, close-on-exec. *fd is -1 on failure; close it with base_fd_close. */
BASE_MUST_USE enum base_err base_eventfd_create(int *fd);

/** Makes it readable. Never blocks: a full counter is readable already. Keeps errno. */
void base_eventfd_signal(int fd);

/** Makes it not readable; how often it was signalled, 0 when it was not. Never blocks. Keeps errno. */
uint64_t base_eventfd_drain(int fd);

#endif
