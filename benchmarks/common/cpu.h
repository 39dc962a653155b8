/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCHMARKS_COMMON_CPU_H
#define BENCHMARKS_COMMON_CPU_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * CPU time of some processes and of the whole machine between two moments.
 *
 * Units  seconds. Processes by their CPU clocks (ns; threads that ended meanwhile count), the machine from
 *        /proc/stat (ticks of 10 ms: measure for seconds).
 */
enum {
    BENCH_PROCESSES_MAX = 8
};

struct bench_process {
    const char *name;
    pid_t pid;
    double before_s, used_s;
};

struct bench_cpu {
    struct bench_process processes[BENCH_PROCESSES_MAX];
    uint32_t n;
    double machine_before_s, machine_s; /**< busy: all but idle and iowait */
};

/** Adds "name=pid". False: not of that form, or too many. */
bool bench_cpu_add(struct bench_cpu *cpu, const char *name_and_pid);

void bench_cpu_start(struct bench_cpu *cpu);
void bench_cpu_stop(struct bench_cpu *cpu);

/** The larger of the machine's busy time and the processes' own sum. */
double bench_cpu_total_s(const struct bench_cpu *cpu);

/**
 * Memory of a process now, in bytes: its share of all pages (Pss of smaps_rollup), those of shared
 * memory included. 0: the process is gone.
 */
uint64_t bench_memory_bytes(pid_t pid);

#ifdef __cplusplus
}
#endif

#endif
