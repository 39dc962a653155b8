/* SPDX-License-Identifier: Apache-2.0 */
#include "base/event.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum base_err base_eventfd_create(int *fd)
{
    *fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return *fd >= 0 ? BASE_OK : base_err_from_errno(errno);
}

void base_eventfd_signal(int fd)
{
    int saved = errno;
    const uint64_t one = 1;
    ssize_t n;
    do {
        n = write(fd, &one, sizeof(one));
    } while (n < 0 && errno == EINTR);
    /* EAGAIN: the counter is full, so the sleeper sees it as readable already. */
    errno = saved;
}

uint64_t base_eventfd_drain(int fd)
{
    int saved = errno;
    uint64_t count = 0;
    ssize_t n;
    do {
        n = read(fd, &count, sizeof(count));
    } while (n < 0 && errno == EINTR);
    errno = saved;
    return n == (ssize_t)sizeof(count) ? count : 0;
}
