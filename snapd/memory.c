/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/memory.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#    define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

static enum base_err fail(const char *what, uint64_t bytes)
{
    enum base_err err = base_err_from_errno(errno);
    base_error_note("%s of %llu bytes: %m", what, (unsigned long long)bytes);
    return err;
}

static int make_memfd(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) {
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    return fd;
}

/* A descriptor of the same file that cannot be written through. */
static int reopen_read_only(int fd)
{
    char path[40];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC);
}

enum base_err snapd_memory_make(const char *name, uint64_t bytes, bool we_write, int *fd, void **at)
{
    int made = make_memfd(name);
    if (made < 0) {
        return fail(name, bytes);
    }
    enum base_err err = BASE_OK;
    int prot = we_write ? PROT_READ | PROT_WRITE : PROT_READ;
    void *map = MAP_FAILED;
    if (ftruncate(made, (off_t)bytes) == 0) {
        map = mmap(NULL, bytes, prot, MAP_SHARED | MAP_NORESERVE, made, 0);
    }
    if (map == MAP_FAILED ||
        fcntl(made, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        err = fail(name, bytes);
    } else {
        *fd = we_write ? reopen_read_only(made) : fcntl(made, F_DUPFD_CLOEXEC, 0);
        if (*fd < 0) {
            err = fail(name, bytes);
        }
    }
    if (err == BASE_OK) {
        *at = map;
    } else if (map != MAP_FAILED) {
        (void)munmap(map, bytes);
    }
    base_fd_close(&made);
    return err;
}
