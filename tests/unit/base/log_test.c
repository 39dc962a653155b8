/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/fd.h"
#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
    char message[BASE_LOG_MAX];
    char component[32];
    enum base_log_level level;
    int n;
} seen;

static void keep(void *arg, enum base_log_level level, const char *component, const char *message)
{
    assert_ptr_equal(arg, &seen);
    (void)snprintf(seen.message, sizeof(seen.message), "%s", message);
    (void)snprintf(seen.component, sizeof(seen.component), "%s", component);
    seen.level = level;
    seen.n++;
}

static struct base_log logger;

static int setup(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    logger = (struct base_log){.fn = keep, .arg = &seen, .level = BASE_LOG_INFO};
    return 0;
}

static void a_message_reaches_the_function(void **state)
{
    (void)state;
    errno = ENOENT;
    base_logf(&logger, BASE_LOG_WARN, "shm", "port %d: %m", 7);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.level, BASE_LOG_WARN);
    assert_string_equal(seen.component, "shm");
    assert_string_equal(seen.message, "port 7: No such file or directory");
}

static void talkative_levels_are_left_out(void **state)
{
    (void)state;
    base_logf(&logger, BASE_LOG_DEBUG, "x", "no");
    assert_int_equal(seen.n, 0);
    base_logf(&logger, BASE_LOG_INFO, "x", "yes");
    assert_int_equal(seen.n, 1);
}

static void without_a_function_there_is_silence(void **state)
{
    (void)state;
    base_logf(NULL, BASE_LOG_ERROR, "x", "nobody");
    logger.fn = NULL;
    base_logf(&logger, BASE_LOG_ERROR, "x", "nobody");
    assert_int_equal(seen.n, 0);
}

static void long_messages_are_cut(void **state)
{
    (void)state;
    base_logf(&logger, BASE_LOG_ERROR, "x", "%0600d", 1);
    assert_int_equal(strlen(seen.message), BASE_LOG_MAX - 1);
}

static void a_strangers_newline_stays_on_the_line(void **state)
{
    (void)state;
    base_logf(&logger, BASE_LOG_ERROR, "x", "name %s", "a\nerror: forged\x1b[31m\x7f");
    assert_string_equal(seen.message, "name a?error: forged?[31m?");
}

static void the_limit_drops_and_counts(void **state)
{
    (void)state;
    struct base_log_limit limit = {.interval_ns = 1000, .burst = 2};
    struct base_log_place place = {
        .log = &logger, .limit = &limit, .now_ns = 5000, .component = "x"};
    for (int i = 0; i < 5; i++) {
        base_logf_limited(&place, BASE_LOG_WARN, "bad packet");
    }
    assert_int_equal(seen.n, 2);
    assert_string_equal(seen.message, "bad packet");
    place.now_ns = 5999;
    base_logf_limited(&place, BASE_LOG_WARN, "bad packet");
    assert_int_equal(seen.n, 2);
    place.now_ns = 6000;
    base_logf_limited(&place, BASE_LOG_WARN, "bad packet");
    assert_int_equal(seen.n, 3);
    assert_string_equal(seen.message, "bad packet (4 more like it dropped)");
    base_logf_limited(&place, BASE_LOG_WARN, "bad packet");
    assert_string_equal(seen.message, "bad packet");
}

static void the_interval_begins_with_its_first_message(void **state)
{
    (void)state;
    struct base_log_limit limit = {.interval_ns = 1000, .burst = 1};
    struct base_log_place place = {
        .log = &logger, .limit = &limit, .now_ns = 500, .component = "x"};
    base_logf_limited(&place, BASE_LOG_WARN, "bad packet");
    place.now_ns = 1499;
    base_logf_limited(&place, BASE_LOG_WARN, "bad packet");
    assert_int_equal(seen.n, 1);
    place.now_ns = 1500;
    base_logf_limited(&place, BASE_LOG_WARN, "bad packet");
    assert_int_equal(seen.n, 2);
}

static void an_unwanted_level_does_not_use_up_the_limit(void **state)
{
    (void)state;
    struct base_log_limit limit = {.interval_ns = 1000, .burst = 1};
    struct base_log_place place = {.log = &logger, .limit = &limit, .component = "x"};
    base_logf_limited(&place, BASE_LOG_DEBUG, "no");
    base_logf_limited(&place, BASE_LOG_ERROR, "yes");
    assert_int_equal(seen.n, 1);
    assert_string_equal(seen.message, "yes");
}

/* Lets `level` and `message` go to a pipe in the place of stderr; returns the bytes that came. */
static size_t capture_stderr(const char *message, char *out, size_t capacity)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    int old = dup(STDERR_FILENO);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    char program[] = "prog";
    base_log_to_stderr(program, BASE_LOG_WARN, "comp", message);
    assert_int_equal(dup2(old, STDERR_FILENO), STDERR_FILENO);
    ssize_t n = read(ends[0], out, capacity - 1);
    assert_true(n > 0);
    out[n] = '\0';
    base_fd_close(&old);
    base_fd_close(&ends[0]);
    base_fd_close(&ends[1]);
    return (size_t)n;
}

static void the_stderr_line_names_time_process_and_level(void **state)
{
    (void)state;
    char line[1024];
    char want[64];
    size_t n = capture_stderr("hello", line, sizeof(line));
    assert_int_equal(line[n - 1], '\n');
    (void)snprintf(want, sizeof(want), "Z prog[%d] warn comp: hello\n", (int)getpid());
    assert_non_null(strstr(line, want));
    assert_int_equal(strlen("2025-01-31T12:00:00.123"), strstr(line, want) - line);
}

static void the_longest_message_is_one_line(void **state)
{
    (void)state;
    char line[1024];
    char message[BASE_LOG_MAX];
    memset(message, 'a', sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    size_t n = capture_stderr(message, line, sizeof(line));
    assert_int_equal(line[n - 1], '\n');
    assert_int_equal(strchr(line, '\n') - line, n - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_message_reaches_the_function, setup),
        cmocka_unit_test_setup(talkative_levels_are_left_out, setup),
        cmocka_unit_test_setup(without_a_function_there_is_silence, setup),
        cmocka_unit_test_setup(long_messages_are_cut, setup),
        cmocka_unit_test_setup(a_strangers_newline_stays_on_the_line, setup),
        cmocka_unit_test_setup(the_limit_drops_and_counts, setup),
        cmocka_unit_test_setup(the_interval_begins_with_its_first_message, setup),
        cmocka_unit_test_setup(an_unwanted_level_does_not_use_up_the_limit, setup),
        cmocka_unit_test(the_stderr_line_names_time_process_and_level),
        cmocka_unit_test(the_longest_message_is_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
