/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

/**
 * Logging through a function that the owner gives. The library itself never prints: without a
 * function there is silence.
 *
 * Shape    a message is one line, cut at BASE_LOG_MAX - 1 bytes; control characters become '?'
 * Threads  the function may be called from every thread that holds the struct base_log
 * Memory   no allocation; the message lives on the stack for the length of the call
 */
#include <stdint.h>

enum base_log_level {
    BASE_LOG_ERROR,
    BASE_LOG_WARN,
    BASE_LOG_INFO,
    BASE_LOG_DEBUG
};

enum {
    BASE_LOG_MAX = 512
};

typedef void base_log_fn(void *arg, enum base_log_level level, const char *component,
                         const char *message);

struct base_log {
    base_log_fn *fn; /**< NULL: silence */
    void *arg;
    enum base_log_level level; /**< the most talkative level that is passed on */
};

/** "error", "warn", "info", "debug". */
const char *base_log_level_name(enum base_log_level level);

/** `log` may be NULL. Keeps errno; `%m` works. */
void base_logf(const struct base_log *log, enum base_log_level level, const char *component,
               const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/** At most `burst` messages per `interval_ns`; the next one allowed tells how many were dropped. */
struct base_log_limit {
    uint64_t interval_ns;
    uint32_t burst;
    uint32_t used;      /**< messages in this interval */
    uint32_t n_dropped; /**< since the last one that was written */
    uint64_t start_ns;  /**< of this interval */
};

/** base_logf under a limit. The limit has one owner thread. */
struct base_log_place {
    const struct base_log *log;
    struct base_log_limit *limit;
    uint64_t now_ns;
    const char *component;
};

void base_logf_limited(const struct base_log_place *place, enum base_log_level level,
                       const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** A base_log_fn for programs: "2025-01-31T12:00:00.123Z name[pid] warn component: message" on
 * stderr, one write per line. `arg` is the program's name (const char *), or NULL. */
void base_log_to_stderr(void *arg, enum base_log_level level, const char *component,
                        const char *message);

#endif
