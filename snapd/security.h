/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_SECURITY_H
#define SNAPD_SECURITY_H

#include "snapd/config.h"
#include "transport/pony/protocol/seal.h"

/**
 * [security] of snapd.conf, with the files that it names, as engines want it.
 *
 * Memory   that of certificates is static: one at a time
 * Threads  the control thread, at start and at SIGHUP
 */

/** Reads it, and tells the log what flows are secured with. Errors  the note names file, line and
 *  remedy; `security` holds no secret then. */
BASE_MUST_USE enum base_err snapd_security_load(const struct snapd_config *config,
                                                const struct base_log *log,
                                                struct pony_security *security);

/** Engines have what they need: secrets are erased. */
void snapd_security_forget(struct pony_security *security);

#endif
