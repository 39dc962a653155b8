/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCHMARKS_PERF_CPU_H
#define BENCHMARKS_PERF_CPU_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * CPU time of some processes and of the whole machine between two moments, from /proc.
 *
 * Units  seconds. Processes by /proc/PID/schedstat-like nanoseconds where there is
 *        (sum over threads), the machine from /proc/stat (ticks of 10 ms: measure for seconds).
 */
enum {
    PERF_PROCESSES_MAX = 8
};

struct perf_process {
    const char *name;
    pid_t pid;
    double before_s, used_s;
};

struct perf_cpu {
    struct perf_process processes[PERF_PROCESSES_MAX];
    uint32_t n;
    double machine_before_s, machine_s; /**< busy: all but idle and iowait */
};

/** Adds "name=pid". False: not of that form, or too many. */
bool perf_cpu_add(struct perf_cpu *cpu, const char *name_and_pid);

void perf_cpu_start(struct perf_cpu *cpu);
void perf_cpu_stop(struct perf_cpu *cpu);

/** The larger of the machine's busy time and the processes' own sum. */
double perf_cpu_total_s(const struct perf_cpu *cpu);

#endif
