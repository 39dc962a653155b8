/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/device/device.h"

#include "base/in6.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

bool snapd_dev_no_unreachable(struct snapd_dev *dev, struct pony_addr *to)
{
    (void)dev;
    (void)to;
    return false;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the operation table gives the types */
bool snapd_dev_no_too_long(struct snapd_dev *dev, struct pony_addr *to, uint32_t *bytes)
{
    (void)dev;
    (void)to;
    (void)bytes;
    return false;
}

uint64_t snapd_dev_no_deadline(const struct snapd_dev *dev)
{
    (void)dev;
    return UINT64_MAX;
}

int snapd_dev_no_fd(const struct snapd_dev *dev)
{
    (void)dev;
    return -1;
}

void snapd_dev_no_local(struct snapd_dev *dev, const struct snapd_local_addrs *addrs)
{
    (void)dev;
    (void)addrs;
}

void snapd_local_addrs_read(struct snapd_local_addrs *addrs)
{
    *addrs = (struct snapd_local_addrs){.n = 0};
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) != 0) {
        return;
    }
    for (struct ifaddrs *it = list; it != NULL && addrs->n < SNAPD_LOCAL_ADDRS_MAX;
         it = it->ifa_next) {
        struct pony_addr *addr = &addrs->addrs[addrs->n];
        if (it->ifa_addr == NULL) {
            continue;
        }
        if (it->ifa_addr->sa_family == AF_INET6) {
            struct sockaddr_in6 v6;
            memcpy(&v6, it->ifa_addr, sizeof(v6));
            *addr = (struct pony_addr){.udp_port = 0};
            memcpy(addr->ip, &v6.sin6_addr, 16);
            addr->scope = base_in6_is_link_local(addr->ip) ? v6.sin6_scope_id : 0;
            addrs->n++;
        } else if (it->ifa_addr->sa_family == AF_INET) {
            struct sockaddr_in v4;
            memcpy(&v4, it->ifa_addr, sizeof(v4));
            *addr = (struct pony_addr){.ip = {[10] = 0xff, [11] = 0xff}};
            memcpy(addr->ip + 12, &v4.sin_addr, 4);
            addrs->n++;
        }
    }
    freeifaddrs(list);
}
