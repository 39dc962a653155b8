/* SPDX-License-Identifier: Apache-2.0 */
#include "benchmarks/common/cpu.h"

#include "tests/support/cmocka_all.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BURN_S 0.05

static void *burn(void *arg)
{
    (void)arg;
    struct timespec used;
    do {
        assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used), 0);
    } while ((double)used.tv_sec + (double)used.tv_nsec / 1e9 < BURN_S);
    return NULL;
}

static void burn_in_a_thread_that_ends(void)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, burn, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void threads_that_ended_count(void **state)
{
    (void)state;
    struct bench_cpu cpu = {0};
    char me[32];
    (void)snprintf(me, sizeof(me), "me=%d", (int)getpid());
    assert_true(bench_cpu_add(&cpu, me));
    burn_in_a_thread_that_ends();
    bench_cpu_start(&cpu);
    burn_in_a_thread_that_ends();
    bench_cpu_stop(&cpu);
    assert_true(cpu.processes[0].used_s >= BURN_S);
    assert_true(bench_cpu_total_s(&cpu) >= cpu.processes[0].used_s);
    free((void *)cpu.processes[0].name);
}

static void what_names_no_process_is_refused(void **state)
{
    (void)state;
    struct bench_cpu cpu = {0};
    const char *const bad[] = {"", "me", "me=", "me=0", "me=-1", "me=1x", "me=99999999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(bench_cpu_add(&cpu, bad[i]));
    }
    assert_int_equal(cpu.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_that_ended_count),
        cmocka_unit_test(what_names_no_process_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
