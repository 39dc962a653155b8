/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include "tests/support/cmocka_all.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct pair {
    int a;
    int b;
};

static int make_pair(void **state)
{
    static struct pair pair;
    int socks[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, socks) != 0) {
        return -1;
    }
    pair = (struct pair){socks[0], socks[1]};
    *state = &pair;
    return 0;
}

static int close_pair(void **state)
{
    struct pair *pair = *state;
    base_fd_close(&pair->a);
    base_fd_close(&pair->b);
    return 0;
}

static int count_open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    int n = 0;
    while (readdir(dir) != NULL) { /* NOLINT(concurrency-mt-unsafe): one thread */
        n++;
    }
    (void)closedir(dir);
    return n;
}

static void open_nulls(int *fds, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(fds[i] >= 0);
    }
}

static void close_all(int *fds, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        base_fd_close(&fds[i]);
    }
}

static void a_message_carries_descriptors(void **state)
{
    struct pair *pair = *state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(base_fd_send_msg(pair->a, "hi", 2, &ends[1], 1), BASE_OK);
    char data[16];
    int got[4];
    struct base_fd_msg msg = {.data = data, .capacity = 16, .fds = got, .max_fds = 4};
    assert_int_equal(base_fd_recv_msg(pair->b, &msg), BASE_OK);
    assert_int_equal(msg.len, 2);
    assert_int_equal(msg.n_fds, 1);
    assert_memory_equal(data, "hi", 2);
    assert_true((fcntl(got[0], F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(write(got[0], "x", 1), 1);
    assert_int_equal(read(ends[0], data, 1), 1);
    close_all(got, 1);
    close_all(ends, 2);
}

static void the_most_descriptors_fit_and_one_more_is_refused(void **state)
{
    struct pair *pair = *state;
    int fds[BASE_FD_MSG_MAX + 1];
    int got[BASE_FD_MSG_MAX];
    char data[4];
    open_nulls(fds, BASE_FD_MSG_MAX + 1);
    struct base_fd_msg msg = {.data = data, .capacity = 4, .fds = got, .max_fds = BASE_FD_MSG_MAX};
    assert_int_equal(base_fd_send_msg(pair->a, "x", 1, fds, BASE_FD_MSG_MAX + 1), BASE_E_INVALID);
    assert_int_equal(base_fd_send_msg(pair->a, "x", 1, fds, BASE_FD_MSG_MAX), BASE_OK);
    assert_int_equal(base_fd_recv_msg(pair->b, &msg), BASE_OK);
    assert_int_equal(msg.n_fds, BASE_FD_MSG_MAX);
    close_all(got, msg.n_fds);
    close_all(fds, BASE_FD_MSG_MAX + 1);
}

static void unwanted_descriptors_are_closed(void **state)
{
    struct pair *pair = *state;
    int fds[3];
    int got[2] = {-1, -1};
    char data[4];
    open_nulls(fds, 3);
    int before = count_open_fds();
    assert_int_equal(base_fd_send_msg(pair->a, "x", 1, fds, 3), BASE_OK);
    struct base_fd_msg msg = {.data = data, .capacity = 4, .fds = got, .max_fds = 2};
    assert_int_equal(base_fd_recv_msg(pair->b, &msg), BASE_E_MALFORMED);
    assert_int_equal(msg.n_fds, 0);
    assert_int_equal(base_fd_send_msg(pair->a, "x", 1, fds, 1), BASE_OK);
    msg.max_fds = 0;
    assert_int_equal(base_fd_recv_msg(pair->b, &msg), BASE_E_MALFORMED);
    assert_int_equal(count_open_fds(), before);
    close_all(fds, 3);
}

static void a_message_that_is_too_long_is_refused_with_its_descriptors(void **state)
{
    struct pair *pair = *state;
    int fds[1];
    int got[2];
    char data[4];
    open_nulls(fds, 1);
    int before = count_open_fds();
    assert_int_equal(base_fd_send_msg(pair->a, "12345", 5, fds, 1), BASE_OK);
    assert_int_equal(base_fd_send_msg(pair->a, "1234", 4, NULL, 0), BASE_OK);
    struct base_fd_msg msg = {.data = data, .capacity = 4, .fds = got, .max_fds = 2};
    assert_int_equal(base_fd_recv_msg(pair->b, &msg), BASE_E_MALFORMED);
    assert_int_equal(count_open_fds(), before);
    assert_int_equal(base_fd_recv_msg(pair->b, &msg), BASE_OK);
    assert_int_equal(msg.len, 4);
    close_all(fds, 1);
}

/* The receiver may open no more: the kernel drops the descriptors and says so. */
static void descriptors_past_the_process_limit_are_an_error(void **state)
{
    struct pair *pair = *state;
    int fds[2];
    int got[4];
    char data[4];
    open_nulls(fds, 2);
    assert_int_equal(base_fd_send_msg(pair->a, "x", 1, fds, 2), BASE_OK);
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int next = dup(fds[0]);
    base_fd_close(&next);
    int before = count_open_fds();
    struct rlimit tight = {.rlim_cur = (rlim_t)fds[1] + 2, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    struct base_fd_msg msg = {.data = data, .capacity = 4, .fds = got, .max_fds = 4};
    enum base_err err = base_fd_recv_msg(pair->b, &msg);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(err, BASE_E_LIMIT);
    assert_int_equal(msg.n_fds, 0);
    assert_int_equal(count_open_fds(), before);
    close_all(fds, 2);
}

static void nothing_there_and_nobody_there_are_told_apart(void **state)
{
    struct pair *pair = *state;
    char data[4];
    struct base_fd_msg msg = {.data = data, .capacity = 4};
    assert_int_equal(base_fd_recv_msg(pair->b, &msg), BASE_AGAIN);
    base_fd_close(&pair->a);
    assert_int_equal(base_fd_recv_msg(pair->b, &msg), BASE_E_CLOSED);
    assert_int_equal(base_fd_send_msg(pair->b, "x", 1, NULL, 0), BASE_E_CLOSED);
}

static void a_full_socket_says_again(void **state)
{
    struct pair *pair = *state;
    static char big[4096];
    enum base_err err = BASE_OK;
    for (int i = 0; i < 100000 && err == BASE_OK; i++) {
        err = base_fd_send_msg(pair->a, big, sizeof(big), NULL, 0);
    }
    assert_int_equal(err, BASE_AGAIN);
}

static void bad_arguments_are_refused(void **state)
{
    struct pair *pair = *state;
    char data[4];
    struct base_fd_msg msg = {.data = data, .capacity = 0};
    assert_int_equal(base_fd_recv_msg(pair->b, &msg), BASE_E_INVALID);
    msg = (struct base_fd_msg){.data = data, .capacity = 4, .max_fds = BASE_FD_MSG_MAX + 1};
    assert_int_equal(base_fd_recv_msg(pair->b, &msg), BASE_E_INVALID);
    assert_int_equal(base_fd_send_msg(pair->a, "", 0, NULL, 0), BASE_E_INVALID);
}

static void close_is_safe_to_repeat(void **state)
{
    (void)state;
    int fd = -1;
    base_fd_close(&fd);
    open_nulls(&fd, 1);
    errno = ERANGE;
    base_fd_close(&fd);
    assert_int_equal(fd, -1);
    base_fd_close(&fd);
    assert_int_equal(errno, ERANGE);
}

static void flags_are_set(void **state)
{
    (void)state;
    int fd = open("/dev/null", O_RDONLY); /* NOLINT(android-cloexec-open): the point */
    assert_int_equal(base_fd_set_nonblock(fd), BASE_OK);
    assert_int_equal(base_fd_set_cloexec(fd), BASE_OK);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    base_fd_close(&fd);
    assert_int_equal(base_fd_set_nonblock(-1), BASE_E_IO);
    assert_int_equal(base_fd_set_cloexec(-1), BASE_E_IO);
}

#define WITH_PAIR(name) cmocka_unit_test_setup_teardown(name, make_pair, close_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PAIR(a_message_carries_descriptors),
        WITH_PAIR(the_most_descriptors_fit_and_one_more_is_refused),
        WITH_PAIR(unwanted_descriptors_are_closed),
        WITH_PAIR(a_message_that_is_too_long_is_refused_with_its_descriptors),
        WITH_PAIR(descriptors_past_the_process_limit_are_an_error),
        WITH_PAIR(nothing_there_and_nobody_there_are_told_apart),
        WITH_PAIR(a_full_socket_says_again),
        WITH_PAIR(bad_arguments_are_refused),
        cmocka_unit_test(close_is_safe_to_repeat),
        cmocka_unit_test(flags_are_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
