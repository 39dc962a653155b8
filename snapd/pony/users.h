/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_PONY_USERS_H
#define SNAPD_PONY_USERS_H

#include "snapd/pony/cache.h"

#include <sys/types.h>

/**
 * What each user holds of this snapd: ports, memory, remembered addresses.
 *
 * Shape    a list: a host has few users at a time; one who holds nothing is forgotten
 * Threads  the control thread
 */
struct snapd_user {
    struct base_list link;
    uid_t uid;
    uint32_t n_ports;
    uint64_t bytes; /**< of all regions of all ports */
    struct snapd_cache cache;
};

struct snapd_users {
    uint32_t n;
    struct base_list list;
    uint32_t remembered;  /**< per user, at most */
    uint64_t remember_ns; /**< for how long */
};

void snapd_users_init(struct snapd_users *users, uint32_t remembered, uint64_t remember_ns);
void snapd_users_fini(struct snapd_users *users);

/** The record of that user, a new one if there is none. NULL when the heap is empty. */
struct snapd_user *snapd_users_get(struct snapd_users *users, uid_t uid);

/** Drops old addresses, then users who hold nothing. */
void snapd_users_expire(struct snapd_users *users, uint64_t now_ns);

#endif
