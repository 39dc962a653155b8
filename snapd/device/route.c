/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/device/route.h"

#include "base/compiler.h"
#include "snapd/device/loop.h"

#include <stdlib.h>
#include <string.h>

struct route_dev {
    struct snapd_dev dev;
    struct snapd_dev *net;
    struct snapd_dev *loop;
    struct snapd_local_addrs local;
    struct pony_packet_out to_net[PONY_TX_BATCH_MAX];
    struct pony_packet_out to_loop[PONY_TX_BATCH_MAX];
};

static struct route_dev *route_of(struct snapd_dev *dev)
{
    return base_container_of(dev, struct route_dev, dev);
}

static const struct route_dev *const_route_of(const struct snapd_dev *dev)
{
    return (const struct route_dev *)(const void *)dev;
}

static bool is_local(const struct route_dev *route, const struct pony_addr *to)
{
    struct pony_addr host = *to;
    host.udp_port = 0;
    for (uint32_t i = 0; i < route->local.n; i++) {
        if (pony_addr_equal(&route->local.addrs[i], &host)) {
            return true;
        }
    }
    return false;
}

static void route_destroy(struct snapd_dev *dev)
{
    struct route_dev *route = route_of(dev);
    route->net->ops->destroy(route->net);
    route->loop->ops->destroy(route->loop);
    free(route);
}

static int route_fd(const struct snapd_dev *dev)
{
    const struct snapd_dev *net = const_route_of(dev)->net;
    return net->ops->fd(net);
}

static uint16_t route_port(const struct snapd_dev *dev)
{
    const struct snapd_dev *net = const_route_of(dev)->net;
    return net->ops->udp_port(net);
}

static const char *route_address(const struct snapd_dev *dev)
{
    const struct snapd_dev *net = const_route_of(dev)->net;
    return net->ops->address(net);
}

static uint32_t route_receive(struct snapd_dev *dev, struct pony_packet_in *packets, uint32_t max,
                              uint64_t now_ns)
{
    struct route_dev *route = route_of(dev);
    /* Half for the loop, so that neither keeps the other out. Both give their buffers back here. */
    uint32_t n = route->loop->ops->receive(route->loop, packets, (max + 1) / 2, now_ns);
    return n + route->net->ops->receive(route->net, packets + n, max - n, now_ns);
}

static uint32_t route_room(struct snapd_dev *dev, uint64_t now_ns)
{
    struct route_dev *route = route_of(dev);
    return base_min_u32(route->net->ops->room(route->net, now_ns),
                        route->loop->ops->room(route->loop, now_ns));
}

static void route_send(struct snapd_dev *dev, const struct pony_packet_out *packets, uint32_t n,
                       uint64_t now_ns)
{
    struct route_dev *route = route_of(dev);
    uint32_t n_net = 0;
    uint32_t n_loop = 0;
    n = base_min_u32(n, PONY_TX_BATCH_MAX);
    for (uint32_t i = 0; i < n; i++) {
        const struct pony_packet_out *p = &packets[i];
        if (snapd_loop_has_port(route->loop, p->to.udp_port) && is_local(route, &p->to)) {
            route->to_loop[n_loop++] = *p;
        } else {
            route->to_net[n_net++] = *p;
        }
    }
    if (n_net > 0) {
        route->net->ops->send(route->net, route->to_net, n_net, now_ns);
    }
    if (n_loop > 0) {
        route->loop->ops->send(route->loop, route->to_loop, n_loop, now_ns);
    }
}

static bool route_unreachable(struct snapd_dev *dev, struct pony_addr *to)
{
    struct snapd_dev *net = route_of(dev)->net;
    return net->ops->next_unreachable(net, to);
}

static bool route_too_long(struct snapd_dev *dev, struct pony_addr *to, uint32_t *bytes)
{
    struct snapd_dev *net = route_of(dev)->net;
    return net->ops->next_too_long(net, to, bytes);
}

static bool route_set_asleep(struct snapd_dev *dev, bool is_asleep, bool *wants_write)
{
    struct route_dev *route = route_of(dev);
    bool loop_wants_write = false;
    bool has_work = route->loop->ops->set_asleep(route->loop, is_asleep, &loop_wants_write);
    return route->net->ops->set_asleep(route->net, is_asleep, wants_write) || has_work;
}

static uint64_t route_deadline(const struct snapd_dev *dev)
{
    const struct snapd_dev *net = const_route_of(dev)->net;
    return net->ops->next_deadline_ns(net);
}

static void route_set_local(struct snapd_dev *dev, const struct snapd_local_addrs *addrs)
{
    route_of(dev)->local = *addrs;
}

static const char *route_counter(const struct snapd_dev *dev, uint32_t idx, uint64_t *value)
{
    const struct route_dev *route = const_route_of(dev);
    uint32_t n_net = 0;
    while (route->net->ops->counter(route->net, n_net, value) != NULL) {
        if (n_net == idx) {
            return route->net->ops->counter(route->net, idx, value);
        }
        n_net++;
    }
    return route->loop->ops->counter(route->loop, idx - n_net, value);
}

static const struct snapd_dev_ops route_ops = {
    .name = "udp+loop",
    .destroy = route_destroy,
    .fd = route_fd,
    .udp_port = route_port,
    .address = route_address,
    .receive = route_receive,
    .room = route_room,
    .send = route_send,
    .next_unreachable = route_unreachable,
    .next_too_long = route_too_long,
    .set_asleep = route_set_asleep,
    .next_deadline_ns = route_deadline,
    .set_local = route_set_local,
    .counter = route_counter,
};

enum base_err snapd_route_create(struct snapd_dev *net, struct snapd_dev *loop,
                                 struct snapd_dev **dev)
{
    struct route_dev *route = calloc(1, sizeof(*route));
    if (route == NULL) {
        net->ops->destroy(net);
        loop->ops->destroy(loop);
        return BASE_E_NOMEM;
    }
    route->dev.ops = &route_ops;
    route->net = net;
    route->loop = loop;
    *dev = &route->dev;
    return BASE_OK;
}
