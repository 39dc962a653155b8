/* SPDX-License-Identifier: Apache-2.0 */
#include "base/event.h"

#include "base/fd.h"
#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <unistd.h>

static bool is_readable(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    return poll(&pfd, 1, 0) == 1;
}

static void signals_add_up_until_drained(void **state)
{
    (void)state;
    int fd = -1;
    assert_int_equal(base_eventfd_create(&fd), BASE_OK);
    assert_false(is_readable(fd));
    assert_int_equal(base_eventfd_drain(fd), 0);
    base_eventfd_signal(fd);
    base_eventfd_signal(fd);
    assert_true(is_readable(fd));
    assert_int_equal(base_eventfd_drain(fd), 2);
    assert_false(is_readable(fd));
    base_fd_close(&fd);
}

static void a_full_counter_neither_blocks_nor_shows_in_errno(void **state)
{
    (void)state;
    int fd = -1;
    assert_int_equal(base_eventfd_create(&fd), BASE_OK);
    const uint64_t full = UINT64_MAX - 1;
    assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
    errno = 0;
    base_eventfd_signal(fd);
    assert_int_equal(errno, 0);
    assert_true(is_readable(fd));
    assert_true(base_eventfd_drain(fd) == full);
    errno = EBUSY;
    assert_int_equal(base_eventfd_drain(fd), 0);
    assert_int_equal(errno, EBUSY);
    base_fd_close(&fd);
}

static void it_is_closed_on_exec(void **state)
{
    (void)state;
    int fd = -1;
    assert_int_equal(base_eventfd_create(&fd), BASE_OK);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    base_fd_close(&fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_add_up_until_drained),
        cmocka_unit_test(a_full_counter_neither_blocks_nor_shows_in_errno),
        cmocka_unit_test(it_is_closed_on_exec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
