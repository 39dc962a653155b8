/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/port/map.h"

#include "base/fd.h"
#include "transport/pony/port/tx.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* No region is larger than this, whatever snapd says. */
#define REGION_BYTES_MAX (UINT64_C(1) << 40)

static const char *const names[PONY_PORT_N_MAPS] = {"client area", "engine area", "tx region",
                                                    "rx region"};
static const int protections[PONY_PORT_N_MAPS] = {PROT_READ | PROT_WRITE, PROT_READ,
                                                  PROT_READ | PROT_WRITE, PROT_READ};

void pony_port_map_init(struct pony_port_map *map)
{
    *map = (struct pony_port_map){.doorbell = -1, .notification = -1};
}

static bool is_slots(uint32_t n)
{
    return base_is_pow2_u32(n) && n >= SHM_SLOTS_MIN && n <= SHM_SLOTS_MAX;
}

static bool is_region(uint64_t bytes)
{
    return bytes >= PONY_PORT_PAGE_BYTES && bytes <= REGION_BYTES_MAX &&
           base_is_aligned(bytes, PONY_PORT_PAGE_BYTES);
}

static enum base_err check_reply(const Pony__Control__Attached *a)
{
    if (!is_slots(a->cmd_slots) || !is_slots(a->cpl_slots)) {
        base_error_note("snapd gave queues of %u and %u slots, not powers of two from %d to %d",
                        a->cmd_slots, a->cpl_slots, SHM_SLOTS_MIN, SHM_SLOTS_MAX);
        return BASE_E_PEER;
    }
    if (!is_region(a->tx_bytes) || !is_region(a->rx_bytes)) {
        base_error_note("snapd gave regions of %llu and %llu bytes, which cannot be",
                        (unsigned long long)a->tx_bytes, (unsigned long long)a->rx_bytes);
        return BASE_E_PEER;
    }
    if (a->udp_port > UINT16_MAX || a->max_message_bytes == 0) {
        base_error_note("snapd gave UDP port %u, messages of at most %llu bytes", a->udp_port,
                        (unsigned long long)a->max_message_bytes);
        return BASE_E_PEER;
    }
    return BASE_OK;
}

static enum base_err check_fd(int fd, const char *name, size_t bytes)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    int have = fcntl(fd, F_GET_SEALS);
    if (have < 0 || (have & seals) != seals) {
        base_error_note("snapd's %s is not sealed: it could be cut while it is used", name);
        return BASE_E_PEER;
    }
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_size < 0 || (uint64_t)st.st_size < bytes) {
        base_error_note("snapd's %s is smaller than the %zu bytes it promised", name, bytes);
        return BASE_E_PEER;
    }
    return BASE_OK;
}

static enum base_err map_one(struct pony_port_map *map, int i, int fd, size_t bytes)
{
    BASE_TRY(check_fd(fd, names[i], bytes));
    void *at = mmap(NULL, bytes, protections[i], MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (at == MAP_FAILED) {
        base_error_note("cannot map snapd's %s of %zu bytes: %m", names[i], bytes);
        return base_err_from_errno(errno);
    }
    map->maps[i] = at;
    map->map_bytes[i] = bytes;
    /* A child after fork must not write into our queues; it does not even see them. */
    (void)madvise(at, bytes, MADV_DONTFORK);
    return BASE_OK;
}

static enum base_err check_engine_area(const void *area, const Pony__Control__Attached *a)
{
    struct {
        uint64_t magic;
        uint32_t abi_version, cmd_slots, cpl_slots, pad;
        uint64_t tx_bytes, rx_bytes;
    } head;

    static_assert(offsetof(struct shm_engine_area, rx_bytes) + 8 == sizeof(head), "ABI");
    shm_copy_in(&head, area, sizeof(head));
    if (head.magic != SHM_MAGIC) {
        base_error_note("snapd's engine area does not begin with the magic number");
        return BASE_E_PEER;
    }
    if (head.abi_version != SHM_ABI_VERSION) {
        base_error_note("snapd's shared memory has ABI version %u, this program speaks %d",
                        head.abi_version, SHM_ABI_VERSION);
        return BASE_E_VERSION;
    }
    if (head.cmd_slots != a->cmd_slots || head.cpl_slots != a->cpl_slots ||
        head.tx_bytes != a->tx_bytes || head.rx_bytes != a->rx_bytes) {
        base_error_note("sizes in snapd's engine area differ from those in its reply");
        return BASE_E_PEER;
    }
    return BASE_OK;
}

static enum base_err open_all(struct pony_port_map *map, const Pony__Control__Attached *a,
                              const int *fds)
{
    BASE_TRY(check_reply(a));
    const size_t bytes[PONY_PORT_N_MAPS] = {SHM_SLOTS_OFF + (size_t)a->cmd_slots * SHM_SLOT_BYTES,
                                            SHM_SLOTS_OFF + (size_t)a->cpl_slots * SHM_SLOT_BYTES,
                                            (size_t)a->tx_bytes, (size_t)a->rx_bytes};
    for (int i = 0; i < PONY_PORT_N_MAPS; i++) {
        BASE_TRY(map_one(map, i, fds[i], bytes[i]));
    }
    BASE_TRY(check_engine_area(map->maps[1], a));
    for (int i = PONY_PORT_N_MAPS; i < SHM_N_FDS; i++) {
        BASE_TRY(base_fd_set_nonblock(fds[i]));
    }
    return BASE_OK;
}

enum base_err pony_port_map_open(struct pony_port_map *map, const Pony__Control__Attached *attached,
                                 int *fds)
{
    pony_port_map_init(map);
    enum base_err err = open_all(map, attached, fds);
    if (err != BASE_OK) {
        pony_port_map_close(map);
        return err;
    }
    shm_client_end_init(&map->end, map->maps[0], map->maps[1], attached->cmd_slots,
                        attached->cpl_slots);
    map->tx = map->maps[2];
    map->rx = map->maps[3];
    map->tx_bytes = attached->tx_bytes;
    map->rx_bytes = attached->rx_bytes;
    map->max_message_bytes =
        base_min_u64(attached->max_message_bytes, base_min_u64(attached->tx_bytes, UINT32_MAX));
    map->instance = attached->instance;
    map->udp_port = (uint16_t)attached->udp_port;
    map->doorbell = fds[4];
    map->notification = fds[5];
    fds[4] = fds[5] = -1;
    return BASE_OK;
}

void pony_port_map_close(struct pony_port_map *map)
{
    for (int i = 0; i < PONY_PORT_N_MAPS; i++) {
        if (map->maps[i] != NULL) {
            (void)munmap(map->maps[i], map->map_bytes[i]);
        }
    }
    base_fd_close(&map->doorbell);
    base_fd_close(&map->notification);
    pony_port_map_init(map);
}
