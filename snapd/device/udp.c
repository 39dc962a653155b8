/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/device/udp.h"

#include "base/compiler.h"
#include "base/fd.h"
#include "snapd/device/udp_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    HEADERS_V6 = 48, /**< IPv6 and UDP; IPv4's are shorter */
    MEMINFO_WORDS = SK_MEMINFO_VARS
};

/* "HOST:PORT" into a name; HOST numeric, in brackets if IPv6, or '*'. */
static enum base_err parse_listen(const char *text, union udp_name *name, bool *is_any)
{
    char host[SNAPD_DEV_ADDRESS_MAX];
    const char *colon = strrchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;
    unsigned long port = 0;
    char *end = NULL;
    if (colon != NULL && colon[1] >= '0' && colon[1] <= '9') {
        port = strtoul(colon + 1, &end, 10);
    }
    bool is_ok = end != NULL && *end == '\0' && port <= 65535 && len > 0 && len < sizeof(host);
    if (is_ok) {
        bool has_brackets = text[0] == '[' && text[len - 1] == ']';
        size_t skip = has_brackets ? 1 : 0;
        memcpy(host, text + skip, len - 2 * skip);
        host[len - 2 * skip] = '\0';
        *is_any = strcmp(host, "*") == 0;
        if (*is_any || (has_brackets && inet_pton(AF_INET6, host, &name->v6.sin6_addr) == 1)) {
            name->v6.sin6_family = AF_INET6;
            name->v6.sin6_port = htons((uint16_t)port);
        } else if (!has_brackets && inet_pton(AF_INET, host, &name->v4.sin_addr) == 1) {
            name->v4.sin_family = AF_INET;
            name->v4.sin_port = htons((uint16_t)port);
        } else {
            is_ok = false;
        }
    }
    if (!is_ok) {
        base_error_note("listen address \"%.60s\" is not understood; give *:4741, 10.0.0.1:4741 or "
                        "[2001:db8::1]:4741",
                        text);
        return BASE_E_INVALID;
    }
    return BASE_OK;
}

static enum base_err add_offset(const struct snapd_udp_config *config, union udp_name *name)
{
    /* Both families have the port at the same place. */
    uint32_t port = ntohs(name->v4.sin_port);
    if (port == 0) {
        return BASE_OK;
    }
    port += config->port_offset;
    if (port > 65535) {
        base_error_note("listen address %s: port %u of engine %u does not exist; begin lower",
                        config->listen, port, config->port_offset);
        return BASE_E_INVALID;
    }
    name->v4.sin_port = htons((uint16_t)port);
    return BASE_OK;
}

/* Socket of that family, bound; -1 with errno. */
static int open_bound(const union udp_name *name)
{
    int fd = socket(name->any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    socklen_t len = name->any.sa_family == AF_INET6 ? sizeof(name->v6) : sizeof(name->v4);
    int off = 0;
    if (name->any.sa_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    }
    if (bind(fd, &name->any, len) != 0) {
        base_fd_close(&fd);
        return -1;
    }
    return fd;
}

static enum base_err open_socket(const struct snapd_udp_config *config, struct snapd_udp *udp)
{
    union udp_name name = {.v6 = {.sin6_family = AF_UNSPEC}};
    bool is_any = false;
    BASE_TRY(parse_listen(config->listen, &name, &is_any));
    BASE_TRY(add_offset(config, &name));
    udp->fd = open_bound(&name);
    if (udp->fd < 0 && is_any && errno != EADDRINUSE && errno != EACCES) {
        /* No IPv6 here. */
        in_port_t port = name.v6.sin6_port;
        name.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
        udp->fd = open_bound(&name);
    }
    if (udp->fd < 0) {
        enum base_err err = base_err_from_errno(errno);
        base_error_note("UDP port %u of listen address %s: %m%s", ntohs(name.v4.sin_port),
                        config->listen,
                        errno == EADDRINUSE ? "; is another snapd running? choose another port "
                                              "with --listen"
                                            : "");
        return err;
    }
    udp->is_v6 = name.any.sa_family == AF_INET6;
    udp->is_wildcard = udp->is_v6 ? IN6_IS_ADDR_UNSPECIFIED(&name.v6.sin6_addr)
                                  : name.v4.sin_addr.s_addr == htonl(INADDR_ANY);
    return BASE_OK;
}

static void set_int(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof(value));
}

static void set_buffer(struct snapd_udp *udp, uint64_t bytes, int option, int force)
{
    int want = (int)base_min_u64(bytes, 1u << 30);
    if (setsockopt(udp->fd, SOL_SOCKET, force, &want, sizeof(want)) == 0) {
        return;
    }
    set_int(udp->fd, SOL_SOCKET, option, want);
    int got = 0;
    socklen_t len = sizeof(got);
    (void)getsockopt(udp->fd, SOL_SOCKET, option, &got, &len);
    if (got / 2 < want) {
        base_logf(udp->log, BASE_LOG_INFO, "udp",
                  "%s buffer is %d KB instead of %d KB; raise net.core.%s_max, or run with "
                  "CAP_NET_ADMIN",
                  option == SO_RCVBUF ? "receive" : "send", got / 2048, want / 1024,
                  option == SO_RCVBUF ? "rmem" : "wmem");
    }
}

static void set_options(const struct snapd_udp_config *config, struct snapd_udp *udp)
{
    set_int(udp->fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
    set_int(udp->fd, IPPROTO_IP, IP_RECVERR, 1);
    set_int(udp->fd, IPPROTO_IP, IP_RECVTTL, 1);
    set_int(udp->fd, IPPROTO_IP, IP_RECVTOS, 1);
    if (udp->is_v6) {
        set_int(udp->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
        set_int(udp->fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
        set_int(udp->fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
        set_int(udp->fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    }
    if (udp->is_wildcard) {
        set_int(udp->fd, udp->is_v6 ? IPPROTO_IPV6 : IPPROTO_IP,
                udp->is_v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, 1);
    }
    set_buffer(udp, config->buffer_bytes, SO_RCVBUF, SO_RCVBUFFORCE);
    set_buffer(udp, config->buffer_bytes, SO_SNDBUF, SO_SNDBUFFORCE);
    if (!config->has_segmentation) {
        return;
    }
    int none = 0;
    int on = 1;
    udp->has_gso = setsockopt(udp->fd, IPPROTO_UDP, UDP_SEGMENT, &none, sizeof(none)) == 0;
    udp->has_gro = setsockopt(udp->fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) == 0;
    if (!udp->has_gso || !udp->has_gro) {
        base_logf(udp->log, BASE_LOG_WARN, "udp",
                  "this kernel has no %s: one system call carries fewer packets, which costs CPU",
                  udp->has_gso ? "UDP_GRO" : "UDP_SEGMENT");
    }
}

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
    (void)getsockname(udp->fd, &name.any, &len);
    char host[INET6_ADDRSTRLEN] = "";
    if (udp->is_v6) {
        (void)inet_ntop(AF_INET6, &name.v6.sin6_addr, host, sizeof(host));
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
    base_fd_close(&udp->fd);
    free(udp->tx.stash_memory);
    free(udp->rx.memory);
    free(udp);
}

static int udp_fd(const struct snapd_dev *dev)
{
    return ((const struct snapd_udp *)(const void *)dev)->fd;
}

static uint16_t udp_port(const struct snapd_dev *dev)
{
    return ((const struct snapd_udp *)(const void *)dev)->port;
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
    *wants_write = udp->tx.stash_at < udp->tx.stash_n;
    if (is_asleep) {
        /* Errors left in the queue would wake us for ever. */
        udp_drain_errors(udp);
    }
    return udp->rx.idx < udp->rx.n || udp->may_have_errors || udp->n_unreachable > 0 ||
           udp->n_too_long > 0;
}

static uint64_t kernel_drops(const struct snapd_udp *udp)
{
    uint32_t info[MEMINFO_WORDS] = {0};
    socklen_t len = sizeof(info);
    (void)getsockopt(udp->fd, SOL_SOCKET, SO_MEMINFO, info, &len);
    return info[SK_MEMINFO_DROPS];
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
        {"udp_kernel_drops", 0},
    };

    if (idx >= BASE_ARRAY_LEN(all)) {
        return NULL;
    }
    *value = idx == BASE_ARRAY_LEN(all) - 1 ? kernel_drops(udp) : all[idx].value;
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
    .next_deadline_ns = snapd_dev_no_deadline,
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
    udp->fd = -1;
    udp->log = config->log;
    udp->tx.stash_memory = calloc(PONY_TX_BATCH_MAX, PONY_MTU_MAX);
    udp->rx.memory = aligned_alloc(4096, (size_t)UDP_RX_BUFFERS * UDP_RX_BYTES);
    enum base_err err = BASE_E_NOMEM;
    if (udp->tx.stash_memory == NULL || udp->rx.memory == NULL) {
        goto undo;
    }
    err = open_socket(config, udp);
    if (err != BASE_OK) {
        goto undo;
    }
    set_options(config, udp);
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
