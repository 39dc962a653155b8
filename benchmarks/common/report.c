/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/common/report.h"

#include <jansson.h>
#include <stdio.h>

enum {
    SCHEMA_VERSION = 2
};

/** The figures that both forms show. */
struct figures {
    double seconds, cores, rate, gbps;
};

static struct figures figures_of(const struct bench_options *options,
                                 const struct bench_meter *meter)
{
    double seconds = (double)meter->elapsed_ns / 1e9;
    return (struct figures){.seconds = seconds,
                            .cores = bench_cpu_total_s(&options->cpu) / seconds,
                            .rate = (double)meter->calls / seconds,
                            .gbps = (double)meter->bytes * 8 / 1e9 / seconds};
}

static void print_text(const struct bench_options *options, const struct bench_meter *meter,
                       const struct bench_report *report)
{
    struct figures f = figures_of(options, meter);
    printf("%s over %s: %llu bytes, %u in flight on %u connection%s, %.1f s\n", options->test,
           report->carried_by, (unsigned long long)options->size, options->in_flight,
           options->connections, options->connections == 1 ? "" : "s", f.seconds);
    if (meter->calls > 0) {
        printf("  round trip us  min %.1f  p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f\n",
               bench_pct_us(meter, 0), bench_pct_us(meter, 50), bench_pct_us(meter, 90),
               bench_pct_us(meter, 99), bench_pct_us(meter, 99.9), bench_pct_us(meter, 100));
        printf("  %.0f calls/s, %.0f per core; %.2f Gb/s, %.2f per core\n", f.rate,
               f.rate / f.cores, f.gbps, f.gbps / f.cores);
    }
    if (report->unit != NULL) {
        printf("  %.3f %s\n", report->value, report->unit);
    }
    printf("  cores %.3f:", f.cores);
    for (uint32_t i = 0; i < options->cpu.n; i++) {
        printf(" %s %.3f", options->cpu.processes[i].name,
               options->cpu.processes[i].used_s / f.seconds);
    }
    printf(" (machine %.3f)\n", options->cpu.machine_s / f.seconds);
    for (uint32_t i = 0; report->has_memory && i < options->cpu.n; i++) {
        printf("  %s: %llu bytes per connection\n", options->cpu.processes[i].name,
               (unsigned long long)report->memory_bytes[i]);
    }
    if (meter->lost > 0) {
        printf("  lost %llu\n", (unsigned long long)meter->lost);
    }
}

static void set_real(json_t *object, const char *key, double value)
{
    json_object_set_new(object, key, json_real(value));
}

static void set_integer(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void set_latencies(json_t *out, const struct bench_meter *meter)
{
    set_real(out, "rtt_min_us", bench_pct_us(meter, 0));
    set_real(out, "rtt_p50_us", bench_pct_us(meter, 50));
    set_real(out, "rtt_p99_us", bench_pct_us(meter, 99));
    set_real(out, "rtt_p999_us", bench_pct_us(meter, 99.9));
    set_real(out, "rtt_max_us", bench_pct_us(meter, 100));
}

static void print_json(const struct bench_options *options, const struct bench_meter *meter,
                       const struct bench_report *report)
{
    struct figures f = figures_of(options, meter);
    json_t *out = json_object();
    json_t *cpu_s = json_object();
    json_t *memory = json_object();
    for (uint32_t i = 0; i < options->cpu.n; i++) {
        set_real(cpu_s, options->cpu.processes[i].name, options->cpu.processes[i].used_s);
        if (report->has_memory) {
            set_integer(memory, options->cpu.processes[i].name, report->memory_bytes[i]);
        }
    }
    const char *unit = options->is_large ? "Gb/s" : "calls/s";
    double value = options->is_large ? f.gbps : f.rate;
    set_integer(out, "schema_version", SCHEMA_VERSION);
    json_object_set_new(out, "test", json_string(options->test));
    json_object_set_new(out, "transport", json_string(report->carried_by));
    set_integer(out, "size_bytes", options->size);
    set_integer(out, "in_flight", options->in_flight);
    set_integer(out, "connections", options->connections);
    set_real(out, "seconds", f.seconds);
    set_integer(out, "calls", meter->calls);
    set_integer(out, "failed", meter->failed);
    set_integer(out, "lost", meter->lost);
    set_real(out, "value", report->unit != NULL ? report->value : value);
    json_object_set_new(out, "unit", json_string(report->unit != NULL ? report->unit : unit));
    set_real(out, "calls_per_s", f.rate);
    set_real(out, "gbps", f.gbps);
    set_real(out, "cores", f.cores);
    set_real(out, "machine_cpu_s", options->cpu.machine_s);
    json_object_set_new(out, "process_cpu_s", cpu_s);
    if (meter->calls > 0) {
        set_latencies(out, meter);
    }
    json_object_set_new(out, "memory_bytes", memory);
    json_dumpf(out, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(out);
}

int bench_report(const struct bench_options *options, const struct bench_meter *meter,
                 const struct bench_report *report)
{
    bool ok = meter->failed == 0 && (meter->calls > 0 || report->unit != NULL);
    if (meter->elapsed_ns > 0 && (ok || meter->calls > 0)) {
        if (options->is_json) {
            print_json(options, meter, report);
        } else {
            print_text(options, meter, report);
        }
    }
    if (!ok) {
        fprintf(stderr, "%s: %llu calls failed: %s\n", options->program,
                (unsigned long long)meter->failed,
                meter->error[0] != '\0' ? meter->error : "nothing was measured");
    }
    return ok ? 0 : 1;
}
