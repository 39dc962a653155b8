/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_STATUS_H
#define CLI_STATUS_H

#include "cli/control.h"

#include <stdio.h>

/**
 * What snapd said about itself, as text for people and as JSON for programs.
 *
 * JSON   one object; schema_version grows when a field changes its meaning or goes. Instances are
 *        strings of 16 hexadecimal digits, since they do not fit into a double.
 */
enum {
    CLI_STATUS_SCHEMA_VERSION = 1
};

void cli_status_print_text(const struct cli_status *status, FILE *out);

/** Errors  BASE_E_NOMEM, BASE_E_IO */
BASE_MUST_USE enum base_err cli_status_print_json(const struct cli_status *status, FILE *out);

/** Name of a user, or its number; valid until the next call. */
const char *cli_user_name(uint32_t uid);

#endif
