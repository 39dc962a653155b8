/* SPDX-License-Identifier: Apache-2.0 */
#include "tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void tally_init(struct tally *tally)
{
    static uint32_t samples[TALLY_SAMPLES_MAX];
    memset(tally, 0, sizeof(*tally));
    tally->pony_us = samples;
    tally->begun_ns = now_ns();
}

void tally_add(struct tally *tally, const struct snap_result *result, uint64_t bytes)
{
    tally->ended++;
    tally->bytes += bytes;
    tally->resent += result->info.attempts > 1;
    if (result->status.code == SNAP_OK) {
        tally->answered++;
        tally->by_pony += result->info.transport == SNAP_TRANSPORT_PONY;
        tally->by_tcp += result->info.transport == SNAP_TRANSPORT_TCP;
        if (result->info.transport == SNAP_TRANSPORT_PONY && tally->n_pony_us < TALLY_SAMPLES_MAX) {
            tally->pony_us[tally->n_pony_us++] = (uint32_t)(result->info.elapsed_ns / 1000);
        }
    } else if (result->status.code == SNAP_UNAVAILABLE) {
        tally->may_have_run += result->status.ran != SNAP_RAN_NO;
        tally->not_run += result->status.ran == SNAP_RAN_NO;
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void tally_print(struct tally *tally, uint64_t n_files)
{
    uint64_t broke_off = tally->may_have_run + tally->not_run;
    double s = (double)(now_ns() - tally->begun_ns) / 1e9;
    printf("    %llu of %llu files right, %.1f MB in %.2f s: %.0f calls/s, %.2f Gb/s\n",
           (unsigned long long)tally->answered, (unsigned long long)n_files,
           (double)tally->bytes / 1e6, s, (double)tally->ended / s,
           (double)tally->bytes * 8 / 1e9 / s);
    printf("    over Pony %llu, over kernel TCP %llu; resent elsewhere %llu; broke off %llu "
           "(may have run %llu), asked for again\n",
           (unsigned long long)tally->by_pony, (unsigned long long)tally->by_tcp,
           (unsigned long long)tally->resent, (unsigned long long)broke_off,
           (unsigned long long)tally->may_have_run);
    if (tally->n_pony_us > 0) {
        qsort(tally->pony_us, tally->n_pony_us, sizeof(uint32_t), by_value);
        printf(
            "    latency over Pony, full round trip with others in flight: p50 %u us, p99 %u us\n",
            tally->pony_us[tally->n_pony_us / 2],
            tally->pony_us[tally->n_pony_us - 1 - tally->n_pony_us / 100]);
    }
    fflush(stdout);
}
