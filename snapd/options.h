/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_OPTIONS_H
#define SNAPD_OPTIONS_H

#include "snapd/config.h"

/**
 * The command line: what to do, and settings that win over the file's.
 */
enum snapd_action {
    SNAPD_RUN,
    SNAPD_CHECK_CONFIG,
    SNAPD_PRINT_CONFIG,
    SNAPD_HELP,
    SNAPD_SHOW_VERSION
};

struct snapd_options {
    enum snapd_action action;
    const char *config_path; /**< where the settings came from; NULL: defaults only */
};

/**
 * Reads the command line, then the file, then puts the command line's settings over it.
 * Errors  BASE_E_INVALID and others; the note is the message for the user.
 */
BASE_MUST_USE enum base_err snapd_options_parse(int argc, char **argv,
                                                struct snapd_options *options,
                                                struct snapd_config *config);

extern const char snapd_options_help[];

#endif
