/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/common/meter.h"

#include "base/clock.h"
#include "base/hist.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FAILURES_MAX = 100 /* then the run ends */
};

uint64_t bench_now_ns(void)
{
    return base_clock_now_ns();
}

bool bench_meter_init(struct bench_meter *meter)
{
    memset(meter, 0, sizeof(*meter));
    meter->rtt = calloc(1, sizeof(*meter->rtt));
    if (meter->rtt != NULL) {
        base_hist_init(meter->rtt);
    }
    return meter->rtt != NULL;
}

void bench_meter_fini(struct bench_meter *meter)
{
    free(meter->rtt);
    meter->rtt = NULL;
}

static bool goes_on(struct bench_meter *meter, uint64_t now_ns)
{
    if (now_ns < meter->end_ns && meter->failed < FAILURES_MAX) {
        return true;
    }
    meter->in_flight--;
    return false;
}

bool bench_call_ok(struct bench_meter *meter, uint64_t started_ns, uint64_t bytes)
{
    uint64_t now_ns = base_clock_now_ns();
    if (meter->is_counting) {
        meter->calls++;
        meter->bytes += bytes;
        base_hist_record(meter->rtt, now_ns - started_ns);
    }
    return goes_on(meter, now_ns);
}

bool bench_call_failed(struct bench_meter *meter, const char *why)
{
    meter->failed++;
    if (meter->error[0] == '\0') {
        snprintf(meter->error, sizeof(meter->error), "%s", why);
    }
    return goes_on(meter, base_clock_now_ns());
}

static void phase(const struct bench_options *options, struct bench_meter *meter,
                  const struct bench_driver *driver, double seconds)
{
    uint64_t begin_ns = base_clock_now_ns();
    meter->end_ns = begin_ns + (uint64_t)(seconds * 1e9);
    meter->in_flight = options->in_flight;
    for (uint32_t i = 0; i < options->in_flight; i++) {
        driver->start(driver->arg, i);
    }
    while (meter->in_flight > 0) {
        driver->drive(driver->arg);
    }
    meter->elapsed_ns = base_clock_now_ns() - begin_ns;
}

void bench_measure(struct bench_options *options, struct bench_meter *meter,
                   const struct bench_driver *driver)
{
    meter->is_counting = false;
    phase(options, meter, driver, options->warmup);
    meter->is_counting = true;
    bench_cpu_start(&options->cpu);
    phase(options, meter, driver, options->seconds);
    bench_cpu_stop(&options->cpu);
}

double bench_pct_us(const struct bench_meter *meter, double pct)
{
    return (double)base_hist_percentile(meter->rtt, pct) / 1e3;
}
