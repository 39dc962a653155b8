/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/device/udp.h"

#include "base/compiler.h"
#include "base/fd.h"
#include "base/in6.h"
#include "snapd/device/udp_internal.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    HEADERS_V6 = 48, /**< IPv6 and UDP; IPv4's are shorter */
    MEMINFO_WORDS = SK_MEMINFO_VARS
};

/* Batches that fill one datagram: 64 packets of 1452 bytes would make a full one and a small one. */
static uint32_t batch_for(const struct snapd_udp *udp, uint32_t mtu_bytes)
{
    if (!udp->has_gso || mtu_bytes == 0) {
        return PONY_TX_BATCH_MAX;
    }
    return base_max_u32(1, base_min_u32(UDP_TX_BYTES / mtu_bytes, PONY_TX_BATCH_MAX));
}

static void name_address(struct snapd_udp *udp)
{
    union udp_name name = {.v6 = {.sin6_family = AF_UNSPEC}};
    socklen_t len = sizeof(name);
    (void)getsockname(udp->fds[0], &name.any, &len);
    char host[BASE_IN6_TEXT] = "";
    if (udp->is_v6) {
        struct base_in6 in6 = {.scope = name.v6.sin6_scope_id};
        memcpy(in6.ip, &name.v6.sin6_addr, sizeof(in6.ip));
        base_in6_format(&in6, host);
    } else {
        (void)inet_ntop(AF_INET, &name.v4.sin_addr, host, sizeof(host));
    }
    udp->port = ntohs(name.v4.sin_port);
    (void)snprintf(udp->address, sizeof(udp->address), udp->is_v6 ? "[%s]:%u" : "%s:%u", host,
                   udp->port);
}

static void udp_destroy(struct snapd_dev *dev)
{
    struct snapd_udp *udp = base_container_of(dev, struct snapd_udp, dev);
    for (uint32_t i = 0; i < UDP_FDS; i++) {
        base_fd_close(&udp->fds[i]);
    }
    base_fd_close(&udp->epoll_fd);
    free(udp->tx.stash_memory);
    free(udp->rx.memory);
    free(udp);
}

static int udp_fd(const struct snapd_dev *dev)
{
    const struct snapd_udp *udp = (const struct snapd_udp *)(const void *)dev;
    return udp->epoll_fd >= 0 ? udp->epoll_fd : udp->fds[0];
}

static uint16_t udp_port(const struct snapd_dev *dev)
{
    return ((const struct snapd_udp *)(const void *)dev)->port;
}

static uint64_t udp_deadline(const struct snapd_dev *dev)
{
    return ((const struct snapd_udp *)(const void *)dev)->side_due_ns;
}

static const char *udp_address(const struct snapd_dev *dev)
{
    return ((const struct snapd_udp *)(const void *)dev)->address;
}

static bool udp_next_unreachable(struct snapd_dev *dev, struct pony_addr *to)
{
    struct snapd_udp *udp = base_container_of(dev, struct snapd_udp, dev);
    if (udp->n_unreachable == 0) {
        return false;
    }
    *to = udp->unreachable[--udp->n_unreachable];
    return true;
}

static bool udp_next_too_long(struct snapd_dev *dev, struct pony_addr *to, uint32_t *bytes)
{
    struct snapd_udp *udp = base_container_of(dev, struct snapd_udp, dev);
    if (udp->n_too_long == 0) {
        return false;
    }
    const struct udp_too_long *hint = &udp->too_long[--udp->n_too_long];
    *to = hint->to;
    *bytes = hint->bytes;
    return true;
}

static bool udp_set_asleep(struct snapd_dev *dev, bool is_asleep, bool *wants_write)
{
    struct snapd_udp *udp = base_container_of(dev, struct snapd_udp, dev);
    bool is_full = udp->tx.stash_at < udp->tx.stash_n;
    if (udp->epoll_fd >= 0) {
        udp_conn_watch_room(udp, is_full && is_asleep);
    }
    *wants_write = is_full && udp->epoll_fd < 0;
    if (is_asleep) {
        /* Errors left in the queue would wake us for ever. */
        udp_drain_errors(udp, 0);
        udp->rx.has_slept = true;
        if (udp->conn.port != 0) {
            udp_drain_errors(udp, udp->conn.port);
        }
    }
    return udp->rx.idx < udp->rx.n || udp->may_have_errors || udp->n_unreachable > 0 ||
           udp->n_too_long > 0;
}

/* 0 for a socket that is not there. */
static uint64_t drops_of(int fd)
{
    uint32_t info[MEMINFO_WORDS] = {0};
    socklen_t len = sizeof(info);
    (void)getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len);
    return info[SK_MEMINFO_DROPS];
}

static uint64_t drops(const struct snapd_udp *udp)
{
    return drops_of(udp->fds[0]) + drops_of(udp->fds[UDP_CONN_V4]) +
           drops_of(udp->fds[UDP_CONN_V6]);
}

static const char *udp_counter(const struct snapd_dev *dev, uint32_t idx, uint64_t *value)
{
    const struct snapd_udp *udp = (const struct snapd_udp *)(const void *)dev;
    const struct udp_counters *c = &udp->counters;

    const struct {
        const char *name;
        uint64_t value;
    } all[] = {
        {"udp_sent_packets", c->sent_pkts},
        {"udp_sent_datagrams", c->sent_datagrams},
        {"udp_send_calls", c->send_calls},
        {"udp_stashed_packets", c->stashed_pkts},
        {"udp_dropped_packets", c->dropped_pkts},
        {"udp_fragmented_packets", c->fragmented_pkts},
        {"udp_received_packets", c->received_pkts},
        {"udp_received_datagrams", c->received_datagrams},
        {"udp_receive_calls", c->receive_calls},
        {"udp_truncated", c->truncated},
        {"udp_unreachable", c->unreachable},
        {"udp_side_packets", c->side_pkts},
        {"udp_side_received_datagrams", c->side_datagrams},
        {"udp_connects", c->connects},
        {"udp_connected_packets", c->conn_pkts},
        {"udp_connected_received_datagrams", c->conn_datagrams},
        {"udp_kernel_drops", 0},
    };

    if (idx >= BASE_ARRAY_LEN(all)) {
        return NULL;
    }
    *value = idx == BASE_ARRAY_LEN(all) - 1 ? drops(udp) : all[idx].value;
    return all[idx].name;
}

static const struct snapd_dev_ops udp_ops = {
    .name = "udp",
    .destroy = udp_destroy,
    .fd = udp_fd,
    .udp_port = udp_port,
    .address = udp_address,
    .receive = udp_receive,
    .room = udp_room,
    .send = udp_send,
    .next_unreachable = udp_next_unreachable,
    .next_too_long = udp_next_too_long,
    .set_asleep = udp_set_asleep,
    .next_deadline_ns = udp_deadline,
    .set_local = snapd_dev_no_local,
    .counter = udp_counter,
};

enum base_err snapd_udp_create(const struct snapd_udp_config *config, struct snapd_dev **dev)
{
    struct snapd_udp *udp = aligned_alloc(64, base_round_up_size(sizeof(*udp), 64));
    if (udp == NULL) {
        return BASE_E_NOMEM;
    }
    memset(udp, 0, sizeof(*udp));
    udp->dev.ops = &udp_ops;
    for (uint32_t i = 0; i < UDP_FDS; i++) {
        udp->fds[i] = -1;
        udp->rx.want[i] = 1;
    }
    udp->epoll_fd = -1;
    udp->side_due_ns = UINT64_MAX;
    udp->log = config->log;
    udp->tx.stash_memory = calloc(PONY_TX_BATCH_MAX, PONY_MTU_MAX);
    udp->rx.memory = aligned_alloc(4096, (size_t)UDP_RX_BUFFERS * UDP_RX_BYTES);
    enum base_err err = BASE_E_NOMEM;
    if (udp->tx.stash_memory == NULL || udp->rx.memory == NULL) {
        goto undo;
    }
    err = udp_open(config, udp);
    if (err != BASE_OK) {
        goto undo;
    }
    udp->batch_pkts = batch_for(udp, config->mtu_bytes);
    name_address(udp);
    *dev = &udp->dev;
    return BASE_OK;

undo:
    udp_destroy(&udp->dev);
    return err;
}

static uint32_t interface_mtu(int fd, const char *name)
{
    struct ifreq request = {.ifr_mtu = 0};
    (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    return ioctl(fd, SIOCGIFMTU, &request) == 0 && request.ifr_mtu > 0 ? (uint32_t)request.ifr_mtu
                                                                       : 0;
}

uint32_t snapd_udp_auto_mtu(void)
{
    struct ifaddrs *list = NULL;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uint32_t mtu = 0;
    if (fd >= 0 && getifaddrs(&list) == 0) {
        for (struct ifaddrs *it = list; it != NULL; it = it->ifa_next) {
            bool counts =
                (it->ifa_flags & (IFF_UP | IFF_LOOPBACK)) == IFF_UP && it->ifa_addr != NULL &&
                (it->ifa_addr->sa_family == AF_INET || it->ifa_addr->sa_family == AF_INET6);
            if (counts) {
                mtu = base_max_u32(mtu, interface_mtu(fd, it->ifa_name));
            }
        }
        freeifaddrs(list);
    }
    base_fd_close(&fd);
    if (mtu == 0) {
        return PONY_MTU_MAX;
    }
    return base_max_u32(PONY_MTU_MIN,
                        base_min_u32(PONY_MTU_MAX, mtu - base_min_u32(mtu, HEADERS_V6)));
}
