/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/perf/cpu.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool perf_cpu_add(struct perf_cpu *cpu, const char *name_and_pid)
{
    const char *equals = strchr(name_and_pid, '=');
    if (equals == NULL || atoi(equals + 1) <= 0 || cpu->n == PERF_PROCESSES_MAX) {
        return false;
    }
    struct perf_process *process = &cpu->processes[cpu->n++];
    process->name = strndup(name_and_pid, (size_t)(equals - name_and_pid));
    process->pid = atoi(equals + 1);
    return process->name != NULL;
}

/** First number of a thread's schedstat: ns on a CPU. */
static double thread_s(pid_t pid, const char *thread)
{
    char path[128];
    unsigned long long ns = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, thread);
    FILE *in = fopen(path, "re");
    if (in == NULL) {
        return 0;
    }
    if (fscanf(in, "%llu", &ns) != 1) {
        ns = 0;
    }
    fclose(in);
    return (double)ns / 1e9;
}

static double process_s(pid_t pid)
{
    char path[64];
    double sum_s = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return 0;
    }
    struct dirent *it = NULL;
    while ((it = readdir(dir)) != NULL) {
        if (it->d_name[0] != '.') {
            sum_s += thread_s(pid, it->d_name);
        }
    }
    closedir(dir);
    return sum_s;
}

static double machine_s(void)
{
    unsigned long long user = 0;
    unsigned long long nice = 0;
    unsigned long long system = 0;
    unsigned long long idle = 0;
    unsigned long long iowait = 0;
    unsigned long long irq = 0;
    unsigned long long softirq = 0;
    FILE *in = fopen("/proc/stat", "re");
    if (in == NULL) {
        return 0;
    }
    int n = fscanf(in, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle,
                   &iowait, &irq, &softirq);
    fclose(in);
    double ticks = (double)sysconf(_SC_CLK_TCK);
    return n == 7 ? (double)(user + nice + system + irq + softirq) / ticks : 0;
}

void perf_cpu_start(struct perf_cpu *cpu)
{
    cpu->machine_before_s = machine_s();
    for (uint32_t i = 0; i < cpu->n; i++) {
        cpu->processes[i].before_s = process_s(cpu->processes[i].pid);
    }
}

void perf_cpu_stop(struct perf_cpu *cpu)
{
    for (uint32_t i = 0; i < cpu->n; i++) {
        cpu->processes[i].used_s = process_s(cpu->processes[i].pid) - cpu->processes[i].before_s;
    }
    cpu->machine_s = machine_s() - cpu->machine_before_s;
}

double perf_cpu_total_s(const struct perf_cpu *cpu)
{
    double sum_s = 0;
    for (uint32_t i = 0; i < cpu->n; i++) {
        sum_s += cpu->processes[i].used_s;
    }
    return sum_s > cpu->machine_s ? sum_s : cpu->machine_s;
}
