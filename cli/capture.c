/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/capture.h"

#include "base/clock.h"
#include "cli/command.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SECONDS_MAX = 366 * 86400
};

static bool parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
    char *end = NULL;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || v < min || v > max) {
        return false;
    }
    *value = v;
    return true;
}

/* "flow=3", "port=4741", or both with a comma between. */
static bool parse_filter(char *text, struct cli_capture_options *options)
{
    char *rest = NULL;
    for (char *term = strtok_r(text, ",", &rest); term != NULL; term = strtok_r(NULL, ",", &rest)) {
        uint64_t value = 0;
        if (strncmp(term, "flow=", 5) == 0 && !options->by_flow &&
            parse_u64(term + 5, 0, UINT32_MAX, &value)) {
            options->by_flow = true;
            options->flow = (uint32_t)value;
        } else if (strncmp(term, "port=", 5) == 0 && options->udp_port == 0 &&
                   parse_u64(term + 5, 1, UINT16_MAX, &value)) {
            options->udp_port = (uint32_t)value;
        } else {
            return false;
        }
    }
    return options->by_flow || options->udp_port != 0;
}

static bool parse_option(int c, struct cli_capture_options *o)
{
    uint64_t value = 0;
    bool is_good = true;
    switch (c) {
    case 'c':
        return parse_u64(optarg, 1, UINT64_MAX, &o->count);
    case 't':
        is_good = parse_u64(optarg, 1, SECONDS_MAX, &value);
        o->time_ns = value * BASE_NS_PER_S;
        return is_good;
    case 'l':
        is_good = parse_u64(optarg, 1, SHM_CAPTURE_SNAP_MAX, &value);
        o->snap_bytes = (uint32_t)value;
        return is_good;
    case 'f':
        return parse_filter(optarg, o);
    case 'o':
        o->output = optarg;
        return true;
    default:
        o->socket = optarg;
        return true;
    }
}

static int parse(int argc, char **argv, struct cli_capture_options *o)
{
    static const struct option options[] = {
        {"count", required_argument, NULL, 'c'},
        {"filter", required_argument, NULL, 'f'},
        {"output", required_argument, NULL, 'o'},
        {"seconds", required_argument, NULL, 't'},
        {"snaplen", required_argument, NULL, 'l'},
        {"socket", required_argument, NULL, 's'},
        {NULL, 0, NULL, 0},
    };
    int c;
    while ((c = getopt_long(argc, argv, ":c:f:o:s:", options, NULL)) != -1) {
        if (c == ':') {
            return cli_usage("capture: %s wants a value", argv[optind - 1]);
        }
        if (c == '?') {
            return cli_usage("capture: unknown option %s", argv[optind - 1]);
        }
        if (!parse_option(c, o)) {
            return c == 'f' ? cli_usage("capture: a filter is flow=NUMBER (of snaprpc status), "
                                        "port=UDPPORT, or both with a comma between")
                            : cli_usage("capture: \"%s\" is no good value there", optarg);
        }
    }
    if (optind < argc) {
        return cli_usage("capture: unexpected \"%s\"", argv[optind]);
    }
    if (o->output == NULL) {
        o->output = "-";
    }
    if (strcmp(o->output, "-") == 0 && isatty(STDOUT_FILENO)) {
        return cli_usage("capture: a terminal is no place for packets; give --output FILE, or a "
                         "pipe: snaprpc capture | wireshark -k -i -");
    }
    return CLI_OK;
}

int cli_capture(int argc, char **argv)
{
    struct cli_capture_options options = {.output = NULL};
    static struct cli_capture capture;
    int code = parse(argc, argv, &options);
    if (code != CLI_OK) {
        return code;
    }
    enum base_err err = cli_capture_open(&capture, &options);
    if (err == BASE_OK) {
        err = cli_capture_run(&capture);
        (void)fprintf(stderr, "snaprpc: %" PRIu64 " packets captured, %" PRIu64 " missed\n",
                      capture.n_written, capture.n_missed);
    }
    cli_capture_fini(&capture);
    return err == BASE_OK ? CLI_OK : cli_fail("capture: %s", base_error_last_note());
}
