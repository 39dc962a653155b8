/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {
    [BASE_LOG_ERROR] = "error",
    [BASE_LOG_WARN] = "warn",
    [BASE_LOG_INFO] = "info",
    [BASE_LOG_DEBUG] = "debug",
};

const char *base_log_level_name(enum base_log_level level)
{
    unsigned idx = (unsigned)level;
    return idx < sizeof(level_names) / sizeof(level_names[0]) ? level_names[idx] : "?";
}

static bool is_wanted(const struct base_log *log, enum base_log_level level)
{
    return log != NULL && log->fn != NULL && level <= log->level;
}

/* What a stranger named may be in the message: one line stays one line. */
static void make_printable(char *message)
{
    for (char *at = message; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            *at = '?';
        }
    }
}

void base_logf(const struct base_log *log, enum base_log_level level, const char *component,
               const char *fmt, ...)
{
    if (!is_wanted(log, level)) {
        return;
    }
    int saved = errno;
    char message[BASE_LOG_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    make_printable(message);
    log->fn(log->arg, level, component, message);
    errno = saved;
}

/* Counts the message; false when this interval has had its burst. */
static bool is_allowed(struct base_log_limit *limit, uint64_t now_ns)
{
    if (limit->used == 0 || now_ns - limit->start_ns >= limit->interval_ns) {
        limit->start_ns = now_ns;
        limit->used = 0;
    }
    if (limit->used >= limit->burst) {
        limit->n_dropped += limit->n_dropped < UINT32_MAX;
        return false;
    }
    limit->used++;
    return true;
}

void base_logf_limited(const struct base_log_place *place, enum base_log_level level,
                       const char *fmt, ...)
{
    if (!is_wanted(place->log, level) || !is_allowed(place->limit, place->now_ns)) {
        return;
    }
    int saved = errno;
    char message[BASE_LOG_MAX];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    if (place->limit->n_dropped > 0 && len >= 0 && len < BASE_LOG_MAX) {
        (void)snprintf(message + len, sizeof(message) - (size_t)len, " (%u more like it dropped)",
                       place->limit->n_dropped);
    }
    place->limit->n_dropped = 0;
    make_printable(message);
    place->log->fn(place->log->arg, level, place->component, message);
    errno = saved;
}

void base_log_to_stderr(void *arg, enum base_log_level level, const char *component,
                        const char *message)
{
    const char *program = arg != NULL ? arg : "";
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    struct tm tm = {0};
    (void)gmtime_r(&now.tv_sec, &tm);
    char stamp[32] = "";
    (void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);

    char line[BASE_LOG_MAX + 160];
    int len =
        snprintf(line, sizeof(line) - 1, "%s.%03ldZ %s[%d] %s %s: %s", stamp, now.tv_nsec / 1000000,
                 program, (int)getpid(), base_log_level_name(level), component, message);
    if (len < 0) {
        return;
    }
    size_t n = (size_t)len < sizeof(line) - 1 ? (size_t)len : sizeof(line) - 2;
    line[n++] = '\n';
    /* One write, so that lines of several threads and processes stay whole. A log that cannot be
     * written has nowhere to say so. */
    ssize_t written = write(STDERR_FILENO, line, n);
    (void)written;
}
