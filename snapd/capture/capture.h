/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_CAPTURE_CAPTURE_H
#define SNAPD_CAPTURE_CAPTURE_H

#include "base/log.h"
#include "snapd/config.h"
#include "snapd/control/module.h"
#include "snapd/engine/proxy.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Module Capture: lets one process at a time look on at the engines' packets.
 *
 * Shape    a request brings two memfds (transport/pony/abi/capture.h) and taps at the engines that
 *          are wanted; all that ends with the session. The packets do not pass through this thread.
 * Trust    root and the user that runs snapd (SO_PEERCRED): packets hold everybody's bytes
 * Threads  the control thread
 */
struct snapd_capture_config {
    struct snapd_engine **engines; /**< [n_engines], the daemon's */
    uint32_t n_engines;
    uint32_t mtu_bytes; /**< of the largest packet */
    const struct base_log *log;
};

struct snapd_capture {
    struct snapd_module module;
    struct snapd_capture_config config;
    struct snapd_session *session; /**< who captures; NULL: nobody */
    struct shm_capture_sizes sizes;
    void *records;
    void *cursors;
    int fds[SHM_CAPTURE_N_FDS];
    bool has_tap[SNAPD_ENGINES_MAX];
    struct snapd_tap taps[SNAPD_ENGINES_MAX];
};

/** Nothing to free: a capture ends with its session. */
void snapd_capture_init(struct snapd_capture *capture, const struct snapd_capture_config *config);

#endif
