/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/options.h"

#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#define DEFAULT_CONFIG "/etc/snaprpc/snapd.conf"

const char snapd_options_help[] =
    "usage: snapd [options]\n"
    "\n"
    "The host's networking daemon of snaprpc: carries applications' messages over Pony Express.\n"
    "\n"
    "  -c, --config FILE        settings (default: " DEFAULT_CONFIG ", if it exists)\n"
    "  -s, --socket PATH        where applications reach it (default: $SNAPD_SOCKET, or\n"
    "                           /run/snaprpc/snapd.sock as root, or under $XDG_RUNTIME_DIR)\n"
    "  -l, --listen ADDR:PORT   UDP address of the first engine (default: *:4741; port 0: any)\n"
    "  -e, --engines N          engines, each on a thread of its own (default: 1)\n"
    "  -v, --verbose            log more: level debug\n"
    "      --foreground         stay in the foreground; this is always so\n"
    "      --check-config       say whether the settings are good, and end\n"
    "      --print-config       print the settings in force, and end\n"
    "      --version            print the version, and end\n"
    "  -h, --help               print this, and end\n"
    "\n"
    "Manual: snaprpc-snapd(8), snapd.conf(5). Status: snaprpc status.\n";

enum {
    OPT_FOREGROUND = 256,
    OPT_CHECK,
    OPT_PRINT,
    OPT_VERSION
};

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"socket", required_argument, NULL, 's'},
    {"listen", required_argument, NULL, 'l'},
    {"engines", required_argument, NULL, 'e'},
    {"verbose", no_argument, NULL, 'v'},
    {"foreground", no_argument, NULL, OPT_FOREGROUND},
    {"check-config", no_argument, NULL, OPT_CHECK},
    {"print-config", no_argument, NULL, OPT_PRINT},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* What the command line sets over the file; NULL: nothing. */
struct overrides {
    const char *socket, *listen, *engines, *log_level;
};

static enum base_err take_option(int c, char **argv, struct snapd_options *options,
                                 struct overrides *over)
{
    switch (c) {
    case 'c':
        options->config_path = optarg;
        break;
    case 's':
        over->socket = optarg;
        break;
    case 'l':
        over->listen = optarg;
        break;
    case 'e':
        over->engines = optarg;
        break;
    case 'v':
        over->log_level = "debug";
        break;
    case OPT_FOREGROUND:
        break;
    case OPT_CHECK:
        options->action = SNAPD_CHECK_CONFIG;
        break;
    case OPT_PRINT:
        options->action = SNAPD_PRINT_CONFIG;
        break;
    case OPT_VERSION:
        options->action = SNAPD_SHOW_VERSION;
        break;
    case 'h':
        options->action = SNAPD_HELP;
        break;
    case ':':
        base_error_note("option %s wants a value; see --help", argv[optind - 1]);
        return BASE_E_INVALID;
    default:
        base_error_note("unknown option %s; see --help", argv[optind - 1]);
        return BASE_E_INVALID;
    }
    return BASE_OK;
}

static enum base_err override(struct snapd_config *config, const char *where, const char *key,
                              const char *value)
{
    return value != NULL ? snapd_config_set(config, where, "snapd", key, value) : BASE_OK;
}

enum base_err snapd_options_parse(int argc, char **argv, struct snapd_options *options,
                                  struct snapd_config *config)
{
    *options = (struct snapd_options){.action = SNAPD_RUN};
    struct overrides over = {NULL, NULL, NULL, NULL};
    snapd_config_init(config);
    int c;
    optind = 1;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is no other thread yet */
    while ((c = getopt_long(argc, argv, ":c:s:l:e:vh", long_options, NULL)) != -1) {
        BASE_TRY(take_option(c, argv, options, &over));
    }
    if (optind < argc) {
        base_error_note("unexpected argument \"%s\"; see --help", argv[optind]);
        return BASE_E_INVALID;
    }
    if (options->action == SNAPD_HELP || options->action == SNAPD_SHOW_VERSION) {
        return BASE_OK;
    }
    if (options->config_path == NULL && access(DEFAULT_CONFIG, F_OK) == 0) {
        options->config_path = DEFAULT_CONFIG;
    }
    if (options->config_path != NULL) {
        BASE_TRY(snapd_config_load(config, options->config_path));
    }
    BASE_TRY(override(config, "--socket", "socket", over.socket));
    BASE_TRY(override(config, "--listen", "listen", over.listen));
    BASE_TRY(override(config, "--engines", "engines", over.engines));
    return override(config, "--verbose", "log_level", over.log_level);
}
