/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/pony/region.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
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

/* One memfd: *fd is the application's descriptor, *at our mapping. */
static enum base_err make(const char *name, uint64_t bytes, bool we_write, int *fd, void **at)
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

static uint64_t client_bytes(const struct snapd_region_sizes *s)
{
    return SHM_SLOTS_OFF + (uint64_t)s->cmd_slots * SHM_SLOT_BYTES;
}

static uint64_t engine_bytes(const struct snapd_region_sizes *s)
{
    return SHM_SLOTS_OFF + (uint64_t)s->cpl_slots * SHM_SLOT_BYTES;
}

static enum base_err make_all(struct snapd_region *r)
{
    const struct snapd_region_sizes *s = &r->sizes;
    void *client = NULL;
    void *tx = NULL;
    void *rx = NULL;
    BASE_TRY(make("snaprpc client area", client_bytes(s), false, &r->fds[0], &client));
    r->client = client;
    BASE_TRY(make("snaprpc engine area", engine_bytes(s), true, &r->fds[1], &r->engine));
    BASE_TRY(make("snaprpc tx region", s->tx_bytes, false, &r->fds[2], &tx));
    r->tx = tx;
    BASE_TRY(make("snaprpc rx region", s->rx_bytes, true, &r->fds[3], &rx));
    r->rx = rx;
    return BASE_OK;
}

enum base_err snapd_region_init(struct snapd_region *region, const struct snapd_region_sizes *sizes)
{
    *region = (struct snapd_region){.sizes = *sizes, .fds = {-1, -1, -1, -1}};
    enum base_err err = make_all(region);
    if (err != BASE_OK) {
        snapd_region_fini(region);
        return err;
    }
    struct shm_engine_area *area = region->engine;
    area->magic = SHM_MAGIC;
    area->abi_version = SHM_ABI_VERSION;
    area->cmd_slots = sizes->cmd_slots;
    area->cpl_slots = sizes->cpl_slots;
    area->tx_bytes = sizes->tx_bytes;
    area->rx_bytes = sizes->rx_bytes;
    return BASE_OK;
}

void snapd_region_close_fds(struct snapd_region *region)
{
    for (int i = 0; i < 4; i++) {
        base_fd_close(&region->fds[i]);
    }
}

static void unmap(const void *at, uint64_t bytes)
{
    if (at != NULL) {
        (void)munmap((void *)(uintptr_t)at, bytes);
    }
}

void snapd_region_fini(struct snapd_region *region)
{
    if (region->sizes.cmd_slots == 0) {
        return;
    }
    unmap(region->client, client_bytes(&region->sizes));
    unmap(region->engine, engine_bytes(&region->sizes));
    unmap(region->tx, region->sizes.tx_bytes);
    unmap(region->rx, region->sizes.rx_bytes);
    snapd_region_close_fds(region);
    region->client = NULL;
    region->engine = NULL;
    region->tx = NULL;
    region->rx = NULL;
}
