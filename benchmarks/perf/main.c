/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/perf/perf.h"

#include <stddef.h>

static const char about[] =
    "  rpc_lat       one blocking call after the other; the request's bytes come back\n"
    "  rpc_rate      many calls in flight; the request's bytes come back\n"
    "  rpc_bw        many calls in flight; small requests, large replies\n"
    "  open_loop     large replies at random moments (Poisson, --rate); latencies are those of a small\n"
    "                prober beside them, counted from when its calls were due\n"
    "  scale         as rpc_rate, each call on the next connection; CPU us per call\n"
    "  connect_rate  opens, calls once, closes, again and again\n"
    "  idle_cpu      many connections and nothing to do; cores\n"
    "  memory        bytes per connection, process by process\n";

struct test {
    const char *name;
    void (*run)(struct perf_client *client);
    bool opens; /**< itself, as part of what it measures */
};

static const struct test tests[] = {
    {"rpc_lat", perf_run_blocking, false}, {"rpc_rate", perf_run_window, false},
    {"rpc_bw", perf_run_window, false},    {"open_loop", perf_run_open_loop, false},
    {"scale", perf_run_window, false},     {"connect_rate", perf_run_connect, true},
    {"idle_cpu", perf_run_idle, false},    {"memory", perf_run_memory, true},
};

enum {
    N_TESTS = sizeof(tests) / sizeof(tests[0])
};

static int run(struct bench_options *options, const struct test *test)
{
    static struct perf_client client;
    bool ok = perf_client_open(&client, options, test->opens ? 0 : options->connections);
    if (ok) {
        test->run(&client);
        client.report.carried_by = perf_client_carrier(&client);
    }
    int code = bench_report(options, &client.meter, &client.report);
    perf_client_close(&client);
    return code;
}

int main(int argc, char **argv)
{
    const char *names[N_TESTS + 1] = {NULL};
    for (size_t i = 0; i < N_TESTS; i++) {
        names[i] = tests[i].name;
    }
    struct bench_program program = {.name = "snaprpc-perf", .tests = names, .about = about};
    static struct bench_options options;
    int end = bench_parse(argc, argv, &program, &options);
    if (end != 0) {
        return end - 1;
    }
    for (size_t i = 0; i < N_TESTS; i++) {
        if (bench_is(&options, tests[i].name)) {
            return run(&options, &tests[i]);
        }
    }
    return perf_serve(&options);
}
