/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CONTROL_H
#define CLI_CONTROL_H

#include "base/error.h"
#include "transport/pony/abi/control.h"

#include <stddef.h>

/**
 * The command's way to snapd: a request over the control socket, its replies.
 *
 * Blocks   for CLI_CONTROL_TIMEOUT_S at most per reply
 * Errors   the note is the message for the user
 */
enum {
    CLI_CONTROL_TIMEOUT_S = 5
};

/** Connects. @param socket  NULL: the usual place. @param fd  -1 on failure; else the caller's */
BASE_MUST_USE enum base_err cli_control_open(const char *socket, int *fd);

/** Sends; sets id and abi_version. */
BASE_MUST_USE enum base_err cli_control_send(int fd, Pony__Control__Request *request);

/**
 * The next reply, which must be of kind `what` and bring exactly n_fds descriptors (the caller's).
 * @param reply  to be freed with pony__control__reply__free_unpacked(); NULL on failure
 */
BASE_MUST_USE enum base_err cli_control_receive(int fd, Pony__Control__Reply__WhatCase what,
                                                int *fds, uint32_t n_fds,
                                                Pony__Control__Reply **reply);

struct cli_status {
    Pony__Control__Reply **replies;
    size_t n;
};

/** @param socket  NULL: the usual place. Free with cli_status_fini(), also after an error. */
BASE_MUST_USE enum base_err cli_status_fetch(const char *socket, struct cli_status *status);
void cli_status_fini(struct cli_status *status);

#endif
