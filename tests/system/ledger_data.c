/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/system/ledger_data.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

uint64_t ledger_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

size_t ledger_size(uint64_t id, enum ledger_sizes sizes, uint64_t salt)
{
    uint64_t r = ledger_mix(id * 2 + 1 + salt * 0x10001);
    uint64_t kind = r & 4095;
    uint64_t rest = r >> 12;
    switch (sizes) {
    case LEDGER_TINY:
        return rest % 65;
    case LEDGER_LARGE:
        return (64u << 10) + rest % ((2u << 20) - (64u << 10));
    case LEDGER_MIXED:
        break;
    }
    if (kind == 0) {
        return (1u << 20) + rest % (3u << 20);
    }
    if (kind < 32) {
        return rest % ((256u << 10) + 1);
    }
    if (kind < 400) {
        return rest % (16u << 10);
    }
    return kind < 800 ? rest % 2048 : rest % 257;
}

void ledger_fill(uint64_t seed, uint8_t *data, size_t len)
{
    uint64_t state = ledger_mix(seed);
    for (size_t i = 0; i < len; i += sizeof(state)) {
        state = state * 0x5851f42d4c957f2du + 0x14057b7ef767814fu;
        uint64_t word = state ^ (state >> 29);
        memcpy(data + i, &word, len - i < sizeof(word) ? len - i : sizeof(word));
    }
}

bool ledger_is_right(uint64_t seed, const uint8_t *data, size_t len)
{
    uint64_t state = ledger_mix(seed);
    for (size_t i = 0; i < len; i += sizeof(state)) {
        state = state * 0x5851f42d4c957f2du + 0x14057b7ef767814fu;
        uint64_t word = state ^ (state >> 29);
        if (memcmp(data + i, &word, len - i < sizeof(word) ? len - i : sizeof(word)) != 0) {
            return false;
        }
    }
    return true;
}

struct ledger_stats *ledger_stats_map(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return NULL;
    }
    void *stats = MAP_FAILED;
    if (ftruncate(fd, sizeof(struct ledger_stats)) == 0) {
        stats = mmap(NULL, sizeof(struct ledger_stats), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    close(fd);
    return stats == MAP_FAILED ? NULL : stats;
}
