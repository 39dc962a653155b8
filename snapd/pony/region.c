/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/pony/region.h"

#include "base/fd.h"
#include "snapd/memory.h"

#include <sys/mman.h>

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
    BASE_TRY(snapd_memory_make("snaprpc client area", client_bytes(s), false, &r->fds[0], &client));
    r->client = client;
    BASE_TRY(
        snapd_memory_make("snaprpc engine area", engine_bytes(s), true, &r->fds[1], &r->engine));
    BASE_TRY(snapd_memory_make("snaprpc tx region", s->tx_bytes, false, &r->fds[2], &tx));
    r->tx = tx;
    BASE_TRY(snapd_memory_make("snaprpc rx region", s->rx_bytes, true, &r->fds[3], &rx));
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
