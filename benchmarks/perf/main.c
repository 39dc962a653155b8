/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/perf/perf.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: snaprpc-perf serve ADDRESS [--spin WHEN] [--transport T]\n"
    "       snaprpc-perf rpc_lat|rpc_rate|rpc_bw TARGET [options]\n"
    "\n"
    "  rpc_lat   one blocking call after the other; the request's bytes come back\n"
    "  rpc_rate  many calls in flight; the request's bytes come back\n"
    "  rpc_bw    many calls in flight; small requests, large replies\n"
    "\n"
    "  -s, --size N          bytes of the payload (64; rpc_bw: 1048576)\n"
    "  -n, --in-flight N     calls at once (64; rpc_bw: 8; rpc_lat: 1)\n"
    "  -c, --channels N      connections that share them (1)\n"
    "  -t, --seconds N       how long (3), after --warmup N (0.5)\n"
    "      --transport T     auto, pony or tcp (auto)\n"
    "      --spin WHEN       never, always, default, or microseconds to look for work\n"
    "      --count NAME=PID  a process whose CPU time counts too; may be given again\n"
    "      --json            one JSON object instead of text\n"
    "  -h, --help\n"
    "\n"
    "Latencies are full round trips. CPU is the larger of the machine's busy time and the sum of the\n"
    "processes (this one and those given with --count). benchmarks/perf/run.sh starts all that is\n"
    "needed, on one host or on two.\n";

static int refuse(const char *what, const char *value)
{
    fprintf(stderr, "snaprpc-perf: %s: \"%s\"; see --help\n", what, value);
    return 3;
}

static bool parse_transport(const char *text, uint32_t *transport)
{
    *transport = strcmp(text, "pony") == 0  ? SNAP_TRANSPORT_PONY
                 : strcmp(text, "tcp") == 0 ? SNAP_TRANSPORT_TCP
                                            : SNAP_TRANSPORT_AUTO;
    return *transport != SNAP_TRANSPORT_AUTO || strcmp(text, "auto") == 0;
}

static bool parse_number(const char *text, double max, double *out)
{
    char *rest = NULL;
    *out = strtod(text, &rest);
    return rest != text && *rest == '\0' && *out >= 0 && *out <= max;
}

static bool parse_spin(const char *text, uint32_t *spin_us)
{
    double number = 0;
    if (strcmp(text, "never") == 0) {
        *spin_us = SNAP_SPIN_NEVER;
    } else if (strcmp(text, "always") == 0) {
        *spin_us = SNAP_SPIN_ALWAYS;
    } else if (strcmp(text, "default") == 0) {
        *spin_us = SNAP_SPIN_DEFAULT;
    } else if (parse_number(text, 1e9, &number)) {
        *spin_us = (uint32_t)number;
    } else {
        return false;
    }
    return true;
}

/** One option; false: its value is none. */
static bool take_option(int option, struct perf_options *options)
{
    double number = 0;
    switch (option) {
    case 's':
        if (!parse_number(optarg, 64 << 20, &number)) {
            return false;
        }
        options->size = (uint64_t)number;
        return true;
    case 'n':
    case 'c':
        if (!parse_number(optarg, PERF_CHANNELS_MAX, &number) || number < 1) {
            return false;
        }
        *(option == 'n' ? &options->in_flight : &options->channels) = (uint32_t)number;
        return true;
    case 't':
        return parse_number(optarg, 86400, &options->seconds) && options->seconds > 0;
    case 'w':
        return parse_number(optarg, 86400, &options->warmup);
    case 'T':
        return parse_transport(optarg, &options->transport);
    case 'S':
        return parse_spin(optarg, &options->spin_us);
    case 'C':
        return perf_cpu_add(&options->cpu, optarg);
    case 'j':
        options->is_json = true;
        return true;
    default:
        return false;
    }
}

static void set_defaults(struct perf_options *options, const char *test)
{
    bool is_bw = strcmp(test, "rpc_bw") == 0;
    *options = (struct perf_options){.test = test,
                                     .size = is_bw ? 1 << 20 : 64,
                                     .in_flight = is_bw ? 8 : 64,
                                     .channels = 1,
                                     .seconds = 3,
                                     .warmup = 0.5,
                                     .spin_us = SNAP_SPIN_DEFAULT};
}

static bool is_test(const char *text)
{
    return strcmp(text, "serve") == 0 || strcmp(text, "rpc_lat") == 0 ||
           strcmp(text, "rpc_rate") == 0 || strcmp(text, "rpc_bw") == 0;
}

int perf_parse(int argc, char **argv, struct perf_options *options)
{
    static const struct option long_options[] = {
        {"size", required_argument, NULL, 's'},
        {"in-flight", required_argument, NULL, 'n'},
        {"channels", required_argument, NULL, 'c'},
        {"seconds", required_argument, NULL, 't'},
        {"warmup", required_argument, NULL, 'w'},
        {"transport", required_argument, NULL, 'T'},
        {"spin", required_argument, NULL, 'S'},
        {"count", required_argument, NULL, 'C'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    if (argc < 2 || (argv[1][0] != '-' && !is_test(argv[1]))) {
        return argc < 2 ? (fputs(usage, stderr), 3) : refuse("there is no test", argv[1]);
    }
    set_defaults(options, argv[1]);
    int option = 0;
    int index = 0;
    while ((option = getopt_long(argc, argv, "s:n:c:t:h", long_options, &index)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return 1;
        }
        if (option == '?' || !take_option(option, options)) {
            return refuse("no value for an option, or one that it does not take",
                          optarg == NULL ? argv[optind - 1] : optarg);
        }
    }
    if (argc - optind != 2 || !is_test(argv[optind])) {
        fputs(usage, stderr);
        return 3;
    }
    options->test = argv[optind];
    options->target = argv[optind + 1];
    if (strcmp(options->test, "rpc_lat") == 0) {
        options->in_flight = 1;
        options->channels = 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct perf_options options = {.test = ""};
    static struct perf_result result;
    int end = perf_parse(argc, argv, &options);
    if (end != 0) {
        return end - 1;
    }
    if (strcmp(options.test, "serve") == 0) {
        return perf_serve(&options);
    }
    char self[64];
    snprintf(self, sizeof(self), "client=%d", (int)getpid());
    perf_cpu_add(&options.cpu, self);
    bool ok = perf_run(&options, &result);
    if (result.calls > 0) {
        perf_report(&options, &result);
    }
    if (!ok) {
        fprintf(stderr, "snaprpc-perf: %llu calls failed: %s\n", (unsigned long long)result.failed,
                result.error[0] != '\0' ? result.error : "out of memory");
    }
    return ok ? 0 : 1;
}
