/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/common/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

bool bench_cpu_add(struct bench_cpu *cpu, const char *name_and_pid)
{
    const char *equals = strchr(name_and_pid, '=');
    if (equals == NULL || cpu->n == BENCH_PROCESSES_MAX) {
        return false;
    }
    char *rest = NULL;
    long pid = strtol(equals + 1, &rest, 10);
    if (*rest != '\0' || pid <= 0 || pid > INT32_MAX) {
        return false;
    }
    struct bench_process *process = &cpu->processes[cpu->n++];
    process->name = strndup(name_and_pid, (size_t)(equals - name_and_pid));
    process->pid = (pid_t)pid;
    return process->name != NULL;
}

static bool read_line(const char *path, char *line, int size)
{
    FILE *in = fopen(path, "re");
    if (in == NULL) {
        return false;
    }
    bool ok = fgets(line, size, in) != NULL;
    fclose(in);
    return ok;
}

/** On CPUs by all its threads, those that ended too. 0: the process is gone. */
static double process_s(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0) {
        return 0;
    }
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/** Ticks of user, nice, system, irq and softirq; idle and iowait are left out. */
static double machine_s(void)
{
    enum {
        FIELDS = 7,
        IDLE = 3,
        IOWAIT = 4
    };

    char line[256];
    if (!read_line("/proc/stat", line, sizeof(line)) || strncmp(line, "cpu ", 4) != 0) {
        return 0;
    }
    unsigned long long busy = 0;
    char *at = line + 4;
    for (int i = 0; i < FIELDS; i++) {
        unsigned long long ticks = strtoull(at, &at, 10);
        busy += i == IDLE || i == IOWAIT ? 0 : ticks;
    }
    return (double)busy / (double)sysconf(_SC_CLK_TCK);
}

void bench_cpu_start(struct bench_cpu *cpu)
{
    cpu->machine_before_s = machine_s();
    for (uint32_t i = 0; i < cpu->n; i++) {
        cpu->processes[i].before_s = process_s(cpu->processes[i].pid);
    }
}

void bench_cpu_stop(struct bench_cpu *cpu)
{
    for (uint32_t i = 0; i < cpu->n; i++) {
        cpu->processes[i].used_s = process_s(cpu->processes[i].pid) - cpu->processes[i].before_s;
    }
    cpu->machine_s = machine_s() - cpu->machine_before_s;
}

double bench_cpu_total_s(const struct bench_cpu *cpu)
{
    double sum_s = 0;
    for (uint32_t i = 0; i < cpu->n; i++) {
        sum_s += cpu->processes[i].used_s;
    }
    return sum_s > cpu->machine_s ? sum_s : cpu->machine_s;
}

uint64_t bench_memory_bytes(pid_t pid)
{
    char path[64];
    char line[256];
    uint64_t kib = 0;
    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    FILE *in = fopen(path, "re");
    if (in == NULL) {
        return 0;
    }
    while (kib == 0 && fgets(line, sizeof(line), in) != NULL) {
        if (strncmp(line, "Pss:", 4) == 0) {
            kib = strtoull(line + 4, NULL, 10);
        }
    }
    fclose(in);
    return kib * 1024;
}
