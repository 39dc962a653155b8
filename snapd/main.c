/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/daemon.h"
#include "snapd/options.h"
#include "snapd/version.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(enum base_err err)
{
    const char *note = base_error_last_note();
    (void)fprintf(stderr, "snapd: %s\n", note[0] != '\0' ? note : base_err_text(err));
    return err == BASE_E_INVALID ? 2 : 1;
}

int main(int argc, char **argv)
{
    struct snapd_options options;
    struct snapd_config config;
    enum base_err err = snapd_options_parse(argc, argv, &options, &config);
    if (err != BASE_OK) {
        return fail(err);
    }
    switch (options.action) {
    case SNAPD_HELP:
        return fputs(snapd_options_help, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    case SNAPD_SHOW_VERSION:
        return printf("snapd (snaprpc) %s\n", SNAPD_VERSION) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    case SNAPD_CHECK_CONFIG:
        return printf("%s: good\n",
                      options.config_path != NULL ? options.config_path : "defaults") < 0
                   ? EXIT_FAILURE
                   : EXIT_SUCCESS;
    case SNAPD_PRINT_CONFIG:
        snapd_config_print(&config, stdout);
        return EXIT_SUCCESS;
    case SNAPD_RUN:
        break;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    static char name[] = "snapd";
    const struct base_log log = {
        .fn = base_log_to_stderr, .arg = name, .level = (enum base_log_level)config.log_level};
    err = snapd_daemon_run(&config, &log);
    return err != BASE_OK ? fail(err) : EXIT_SUCCESS;
}
