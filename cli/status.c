/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/status.h"

#include "cli/command.h"

#include <getopt.h>
#include <stdbool.h>

int cli_status(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"socket", required_argument, NULL, 's'},
        {NULL, 0, NULL, 0},
    };
    bool is_json = false;
    const char *socket = NULL;
    int c;
    while ((c = getopt_long(argc, argv, ":js:", options, NULL)) != -1) {
        switch (c) {
        case 'j':
            is_json = true;
            break;
        case 's':
            socket = optarg;
            break;
        case ':':
            return cli_usage("status: %s wants a value", argv[optind - 1]);
        default:
            return cli_usage("status: unknown option %s", argv[optind - 1]);
        }
    }
    if (optind < argc) {
        return cli_usage("status: unexpected \"%s\"", argv[optind]);
    }
    struct cli_status status;
    enum base_err err = cli_status_fetch(socket, &status);
    if (err == BASE_OK && is_json) {
        err = cli_status_print_json(&status, stdout);
        if (err != BASE_OK) {
            base_error_note("cannot write the JSON: %m");
        }
    } else if (err == BASE_OK) {
        cli_status_print_text(&status, stdout);
    }
    cli_status_fini(&status);
    return err == BASE_OK ? CLI_OK : cli_fail("%s", base_error_last_note());
}
