/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/pony/users.h"

#include <stdlib.h>

void snapd_users_init(struct snapd_users *users, uint32_t remembered, uint64_t remember_ns)
{
    *users = (struct snapd_users){.remembered = remembered, .remember_ns = remember_ns};
    base_list_init(&users->list);
}

static void drop(struct snapd_users *users, struct snapd_user *user)
{
    base_list_del(&user->link);
    users->n--;
    snapd_cache_fini(&user->cache);
    free(user);
}

void snapd_users_fini(struct snapd_users *users)
{
    base_list_foreach_safe (it, &users->list) {
        drop(users, base_list_entry(it, struct snapd_user, link));
    }
}

struct snapd_user *snapd_users_get(struct snapd_users *users, uid_t uid)
{
    base_list_foreach (it, &users->list) {
        struct snapd_user *user = base_list_entry(it, struct snapd_user, link);
        if (user->uid == uid) {
            return user;
        }
    }
    struct snapd_user *user = calloc(1, sizeof(*user));
    if (user == NULL) {
        return NULL;
    }
    user->uid = uid;
    snapd_cache_init(&user->cache, users->remembered, users->remember_ns);
    base_list_add_tail(&users->list, &user->link);
    users->n++;
    return user;
}

void snapd_users_expire(struct snapd_users *users, uint64_t now_ns)
{
    base_list_foreach_safe (it, &users->list) {
        struct snapd_user *user = base_list_entry(it, struct snapd_user, link);
        snapd_cache_expire(&user->cache, now_ns);
        if (user->n_ports == 0 && user->cache.n == 0) {
            drop(users, user);
        }
    }
}
