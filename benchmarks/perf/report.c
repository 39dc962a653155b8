/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/perf/perf.h"

#include <jansson.h>
#include <stdio.h>

static const char *carried_by(const struct perf_result *result)
{
    return result->by_tcp == 0 ? "pony" : result->by_pony == 0 ? "tcp" : "pony and tcp";
}

static double us(const struct base_hist *hist, double pct)
{
    return (double)base_hist_percentile(hist, pct) / 1e3;
}

static void report_text(const struct perf_options *options, const struct perf_result *result)
{
    double seconds = (double)result->elapsed_ns / 1e9;
    double cores = perf_cpu_total_s(&options->cpu) / seconds;
    double rate = (double)result->calls / seconds;
    double gbps = (double)result->bytes * 8 / 1e9 / seconds;
    printf("%s over %s: %llu bytes, %u in flight on %u channel%s, %.1f s\n", options->test,
           carried_by(result), (unsigned long long)options->size, options->in_flight,
           options->channels, options->channels == 1 ? "" : "s", seconds);
    printf("  round trip us  min %.1f  p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f\n",
           us(&result->rtt, 0), us(&result->rtt, 50), us(&result->rtt, 90), us(&result->rtt, 99),
           us(&result->rtt, 99.9), us(&result->rtt, 100));
    printf("  %.0f calls/s, %.0f per core; %.2f Gb/s, %.2f per core\n", rate, rate / cores, gbps,
           gbps / cores);
    printf("  cores %.2f:", cores);
    for (uint32_t i = 0; i < options->cpu.n; i++) {
        printf(" %s %.2f", options->cpu.processes[i].name,
               options->cpu.processes[i].used_s / seconds);
    }
    printf(" (machine %.2f)\n", options->cpu.machine_s / seconds);
}

static void report_json(const struct perf_options *options, const struct perf_result *result)
{
    double seconds = (double)result->elapsed_ns / 1e9;
    double cores = perf_cpu_total_s(&options->cpu) / seconds;
    double rate = (double)result->calls / seconds;
    double gbps = (double)result->bytes * 8 / 1e9 / seconds;
    json_t *processes = json_object();
    for (uint32_t i = 0; i < options->cpu.n; i++) {
        json_object_set_new(processes, options->cpu.processes[i].name,
                            json_real(options->cpu.processes[i].used_s));
    }
    json_t *out = json_pack(
        "{s:i, s:s, s:s, s:I, s:i, s:i, s:f, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, "
        "s:f, s:f, s:o}",
        "schema_version", 1, "test", options->test, "transport", carried_by(result), "size_bytes",
        (json_int_t)options->size, "in_flight", (int)options->in_flight, "channels",
        (int)options->channels, "seconds", seconds, "calls", (json_int_t)result->calls,
        "calls_per_s", rate, "calls_per_s_per_core", rate / cores, "gbps", gbps, "gbps_per_core",
        gbps / cores, "cores", cores, "machine_cpu_s", options->cpu.machine_s, "rtt_min_us",
        us(&result->rtt, 0), "rtt_p50_us", us(&result->rtt, 50), "rtt_p99_us", us(&result->rtt, 99),
        "rtt_p999_us", us(&result->rtt, 99.9), "rtt_max_us", us(&result->rtt, 100), "process_cpu_s",
        processes);
    json_dumpf(out, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(out);
}

void perf_report(const struct perf_options *options, const struct perf_result *result)
{
    if (options->is_json) {
        report_json(options, result);
    } else {
        report_text(options, result);
    }
}
