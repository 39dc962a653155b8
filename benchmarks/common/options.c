/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/common/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const rpc_tests[] = {"rpc_lat", "rpc_rate", "rpc_bw", NULL};

static const char rpc_about[] =
    "  rpc_lat       one call after the other; the request's bytes come back\n"
    "  rpc_rate      many calls in flight; the request's bytes come back\n"
    "  rpc_bw        many calls in flight; small requests, large replies\n";

static const char options_help[] =
    "\n"
    "  -s, --size N          bytes of the payload (64; rpc_bw, open_loop: 1048576)\n"
    "  -n, --in-flight N     calls at once (64; rpc_bw: 8; rpc_lat: 1)\n"
    "  -c, --connections N   connections that share them (1; idle_cpu, memory: 1000)\n"
    "  -t, --seconds N       how long (3), after --warmup N (0.5)\n"
    "      --rate N          calls/s of open_loop (100), beside --probe-rate N small ones (1000)\n"
    "      --transport T     auto, pony or tcp (auto); of snaprpc-perf only\n"
    "      --spin WHEN       never, always, default, or microseconds to look for work\n"
    "      --count NAME=PID  a process whose CPU time counts too; may be given again\n"
    "      --json            one JSON object instead of text\n"
    "  -h, --help\n"
    "\n"
    "Latencies are full round trips. CPU is the larger of the machine's busy time and the sum of the\n"
    "processes (this one and those given with --count). benchmarks/bench.py starts all that is\n"
    "needed, on one host or on two.\n";

static void print_help(FILE *out, const struct bench_program *program)
{
    fprintf(out, "usage: %s serve ADDRESS [options]\n       %s TEST TARGET [options]\n\n%s%s",
            program->name, program->name, program->about, options_help);
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
        *spin_us = BENCH_SPIN_NEVER;
    } else if (strcmp(text, "always") == 0) {
        *spin_us = BENCH_SPIN_ALWAYS;
    } else if (strcmp(text, "default") == 0) {
        *spin_us = BENCH_SPIN_DEFAULT;
    } else if (parse_number(text, 1e9, &number)) {
        *spin_us = (uint32_t)number;
    } else {
        return false;
    }
    return true;
}

static bool parse_count(const char *text, uint32_t *count)
{
    double number = 0;
    bool ok = parse_number(text, BENCH_CONNECTIONS_MAX, &number) && number >= 1;
    *count = (uint32_t)number;
    return ok;
}

/** One option; false: its value is none. */
static bool take_option(int option, struct bench_options *options)
{
    double number = 0;
    switch (option) {
    case 's':
        if (!parse_number(optarg, BENCH_SIZE_MAX, &number)) {
            return false;
        }
        options->size = (uint64_t)number;
        return true;
    case 'n':
        return parse_count(optarg, &options->in_flight);
    case 'c':
        return parse_count(optarg, &options->connections);
    case 't':
        return parse_number(optarg, 86400, &options->seconds) && options->seconds > 0;
    case 'w':
        return parse_number(optarg, 86400, &options->warmup);
    case 'R':
        return parse_number(optarg, 1e7, &options->rate) && options->rate > 0;
    case 'P':
        return parse_number(optarg, 1e6, &options->probe_rate) && options->probe_rate > 0;
    case 'T':
        options->transport = optarg;
        return strcmp(optarg, "auto") == 0 || strcmp(optarg, "pony") == 0 ||
               strcmp(optarg, "tcp") == 0;
    case 'S':
        return parse_spin(optarg, &options->spin_us);
    case 'C':
        return bench_cpu_add(&options->cpu, optarg);
    case 'j':
        options->is_json = true;
        return true;
    default:
        return false;
    }
}

static bool is_one_of(const char *test, const char *const *tests)
{
    while (*tests != NULL && strcmp(*tests, test) != 0) {
        tests++;
    }
    return *tests != NULL || strcmp(test, "serve") == 0;
}

bool bench_is(const struct bench_options *options, const char *test)
{
    return strcmp(options->test, test) == 0;
}

static void set_defaults(struct bench_options *options, const char *program, const char *test)
{
    *options = (struct bench_options){.program = program,
                                      .test = test,
                                      .seconds = 3,
                                      .warmup = 0.5,
                                      .rate = 100,
                                      .probe_rate = 1000,
                                      .transport = "auto",
                                      .spin_us = BENCH_SPIN_DEFAULT};
    bool is_many = bench_is(options, "idle_cpu") || bench_is(options, "memory");
    options->is_large = bench_is(options, "rpc_bw") || bench_is(options, "open_loop");
    options->size = options->is_large ? 1 << 20 : 64;
    options->in_flight = options->is_large ? 8 : 64;
    options->connections = is_many ? 1000 : 1;
}

static int refuse(const char *program, const char *what, const char *value)
{
    fprintf(stderr, "%s: %s: \"%s\"; see --help\n", program, what, value);
    return 3;
}

int bench_parse(int argc, char **argv, const struct bench_program *program,
                struct bench_options *options)
{
    static const struct option long_options[] = {
        {"size", required_argument, NULL, 's'},
        {"in-flight", required_argument, NULL, 'n'},
        {"connections", required_argument, NULL, 'c'},
        {"seconds", required_argument, NULL, 't'},
        {"warmup", required_argument, NULL, 'w'},
        {"rate", required_argument, NULL, 'R'},
        {"probe-rate", required_argument, NULL, 'P'},
        {"transport", required_argument, NULL, 'T'},
        {"spin", required_argument, NULL, 'S'},
        {"count", required_argument, NULL, 'C'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct bench_program full = *program;
    full.tests = full.tests != NULL ? full.tests : rpc_tests;
    full.about = full.about != NULL ? full.about : rpc_about;
    if (argc < 2 || (argv[1][0] != '-' && !is_one_of(argv[1], full.tests))) {
        return argc < 2 ? (print_help(stderr, &full), 3)
                        : refuse(full.name, "there is no test", argv[1]);
    }
    set_defaults(options, full.name, argv[1]);
    int option = 0;
    while ((option = getopt_long(argc, argv, "s:n:c:t:h", long_options, NULL)) != -1) {
        if (option == 'h') {
            print_help(stdout, &full);
            return 1;
        }
        if (option == '?' || !take_option(option, options)) {
            return refuse(full.name, "no value for an option, or one that it does not take",
                          optarg == NULL ? argv[optind - 1] : optarg);
        }
    }
    if (argc - optind != 2 || strcmp(argv[optind], options->test) != 0) {
        print_help(stderr, &full);
        return 3;
    }
    options->target = argv[optind + 1];
    options->in_flight = bench_is(options, "rpc_lat") ? 1 : options->in_flight;
    char self[64];
    snprintf(self, sizeof(self), "client=%d", (int)getpid());
    return bench_cpu_add(&options->cpu, self) ? 0 : refuse(full.name, "too many", "--count");
}

bool bench_split_address(const char *address, char *host, unsigned host_size, uint16_t *port)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || (size_t)(colon - address) >= host_size) {
        return false;
    }
    memcpy(host, address, (size_t)(colon - address));
    host[colon - address] = '\0';
    *port = (uint16_t)strtoul(colon + 1, NULL, 10);
    return *port != 0;
}
