/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CONTROL_H
#define CLI_CONTROL_H

#include "base/error.h"
#include "transport/pony/abi/control.h"

#include <stddef.h>

/**
 * The command's way to snapd: one request over the control socket, all its replies.
 *
 * Blocks   for CLI_CONTROL_TIMEOUT_S at most per reply
 * Errors   the note is the message for the user
 */
enum {
    CLI_CONTROL_TIMEOUT_S = 5
};

struct cli_status {
    Pony__Control__Reply **replies;
    size_t n;
};

/** @param socket  NULL: the usual place. Free with cli_status_fini(), also after an error. */
BASE_MUST_USE enum base_err cli_status_fetch(const char *socket, struct cli_status *status);
void cli_status_fini(struct cli_status *status);

#endif
