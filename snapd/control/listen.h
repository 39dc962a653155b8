/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_CONTROL_LISTEN_H
#define SNAPD_CONTROL_LISTEN_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * The control socket: made, or taken over from the service manager.
 *
 * Shape    SOCK_SEQPACKET Unix socket, non-blocking. A socket file that nobody listens on any more
 *          is replaced; one that a snapd answers at is not. The directory is locked (flock) in
 *          between, so that two snapds that start together do not take each other's file away.
 */
struct snapd_listen {
    int fd;
    char path[108];
    dev_t dev; /**< of the file that we made; it is removed only while it is still this one */
    ino_t ino;
    bool is_ours; /**< we made the file, not the service manager */
};

/** @param mode  permissions of the socket file. The note names path, cause and remedy.
 *  Errors  BASE_E_IN_USE: a snapd answers there, or what is there is no socket; ... */
BASE_MUST_USE enum base_err snapd_listen_open(struct snapd_listen *listen, const char *path,
                                              uint32_t mode);

/** The socket that systemd opened for us (LISTEN_FDS). BASE_E_NOT_FOUND: there is none. */
BASE_MUST_USE enum base_err snapd_listen_inherit(struct snapd_listen *listen);

/** Closes, and removes the file if it is ours. Accepts what a failed open left. */
void snapd_listen_close(struct snapd_listen *listen);

/** Tells the service manager ("READY=1", "STOPPING=1") if there is one. */
void snapd_notify(const char *state);

#endif
