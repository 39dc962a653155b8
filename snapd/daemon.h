/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_DAEMON_H
#define SNAPD_DAEMON_H

#include "base/log.h"
#include "snapd/config.h"

/**
 * The whole daemon, put together from a configuration.
 *
 * Order    socket first (a second snapd is refused before it disturbs the first), then devices,
 *          engines, control; taken apart in reverse, engines first telling their peers
 */

/** Runs until a signal. Errors  what kept it from starting; the note is the message for the user. */
BASE_MUST_USE enum base_err snapd_daemon_run(const struct snapd_config *config,
                                             const struct base_log *log);

#endif
