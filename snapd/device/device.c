/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/device/device.h"

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
        uint8_t *ip = addrs->ip[addrs->n];
        if (it->ifa_addr == NULL) {
            continue;
        }
        if (it->ifa_addr->sa_family == AF_INET6) {
            struct sockaddr_in6 v6;
            memcpy(&v6, it->ifa_addr, sizeof(v6));
            memcpy(ip, &v6.sin6_addr, 16);
            addrs->n++;
        } else if (it->ifa_addr->sa_family == AF_INET) {
            struct sockaddr_in v4;
            memcpy(&v4, it->ifa_addr, sizeof(v4));
            memset(ip, 0, 16);
            ip[10] = 0xff;
            ip[11] = 0xff;
            memcpy(ip + 12, &v4.sin_addr, 4);
            addrs->n++;
        }
    }
    freeifaddrs(list);
}
