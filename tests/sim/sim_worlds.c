/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plays seeded worlds of whole engines; see sim_world.h.
 *
 *   sim_worlds [--first N] [--worlds N] [--seed N] [--family NAME] [--twice] [--trace] [--list]
 *
 * A failure prints the seed and the command that replays it exactly, and ends with status 1.
 */
#include "tests/sim/sim_world.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    uint64_t first, n;
    const char *family;
    bool is_twice, is_traced;
};

static void on_abort(int sig)
{
    (void)sig;
    /* NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c): one thread, at its end; says the seed */
    sim_fail(__FILE__, __LINE__, "an assertion of the engine");
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 0);
    if (*text == '\0' || *end != '\0') {
        (void)fprintf(stderr, "sim_worlds: \"%s\" is not a number\n", text);
        exit(2);
    }
    return value;
}

static void list_families(void)
{
    for (const char *const *it = sim_families; *it != NULL; it++) {
        (void)printf("%s\n", *it);
    }
}

static struct options parse(int argc, char **argv)
{
    static const struct option longs[] = {
        {"first", required_argument, NULL, 'f'}, {"worlds", required_argument, NULL, 'n'},
        {"seed", required_argument, NULL, 's'},  {"family", required_argument, NULL, 'F'},
        {"twice", no_argument, NULL, '2'},       {"trace", no_argument, NULL, 't'},
        {"list", no_argument, NULL, 'l'},        {NULL, 0, NULL, 0},
    };
    struct options options = {.first = 1, .n = 1000};
    int c;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'f':
            options.first = number(optarg);
            break;
        case 'n':
            options.n = number(optarg);
            break;
        case 's':
            options.first = number(optarg);
            options.n = 1;
            break;
        case 'F':
            options.family = optarg;
            break;
        case '2':
            options.is_twice = true;
            break;
        case 't':
            options.is_traced = true;
            break;
        case 'l':
            list_families();
            exit(0);
        default:
            exit(2);
        }
    }
    const char *seed = getenv("SEED");
    if (seed != NULL) {
        options.first = number(seed);
        options.n = 1;
    }
    return options;
}

int main(int argc, char **argv)
{
    static struct sim_world world;
    struct options options = parse(argc, argv);
    uint64_t hash = 0;
    uint64_t n_messages = 0;
    uint64_t n_packets = 0;
    uint64_t n_steps = 0;
    (void)signal(SIGABRT, on_abort);
    (void)signal(SIGSEGV, on_abort);
    for (uint64_t seed = options.first; seed < options.first + options.n; seed++) {
        uint64_t once = sim_play(&world, seed, options.family, options.is_traced);
        if (options.is_twice && sim_play(&world, seed, options.family, false) != once) {
            (void)fprintf(stderr, "sim_worlds: seed %" PRIu64 " is not the same twice\n", seed);
            return 1;
        }
        hash = hash * 31 + once;
        n_messages += world.n_arrived;
        n_packets += world.net.n_sent;
        n_steps += world.n_steps;
    }
    (void)printf("%" PRIu64 " worlds: %" PRIu64 " messages, %" PRIu64 " packets, %" PRIu64
                 " steps, hash %016" PRIx64 "\n",
                 options.n, n_messages, n_packets, n_steps, hash);
    (void)printf("dropped: %" PRIu64 " forged, %" PRIu64 " replayed, %" PRIu64
                 " of another key or mode\n",
                 world.n_dropped[SIM_DROP_FORGED], world.n_dropped[SIM_DROP_REPLAYED],
                 world.n_dropped[SIM_DROP_OTHER_KEY]);
    sim_world_fini(&world);
    return 0;
}
