/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/pony/users.h"

#include <stdlib.h>

void snapd_users_init(struct snapd_users *users, uint32_t remembered, uint64_t remember_ns)
{
    *users = (struct snapd_users){.remembered = remembered, .remember_ns = remember_ns};
}

static void drop(struct snapd_users *users, struct snapd_user *user)
{
    HASH_DEL(users->table, user);
    snapd_cache_fini(&user->cache);
    free(user);
}

void snapd_users_fini(struct snapd_users *users)
{
    struct snapd_user *user;
    struct snapd_user *next;
    HASH_ITER(hh, users->table, user, next)
    {
        drop(users, user);
    }
}

struct snapd_user *snapd_users_get(struct snapd_users *users, uid_t uid)
{
    struct snapd_user *user = NULL;
    HASH_FIND(hh, users->table, &uid, sizeof(uid), user);
    if (user != NULL) {
        return user;
    }
    user = calloc(1, sizeof(*user));
    if (user == NULL) {
        return NULL;
    }
    user->uid = uid;
    snapd_cache_init(&user->cache, users->remembered, users->remember_ns);
    HASH_ADD(hh, users->table, uid, sizeof(user->uid), user);
    return user;
}

void snapd_users_expire(struct snapd_users *users, uint64_t now_ns)
{
    struct snapd_user *user;
    struct snapd_user *next;
    HASH_ITER(hh, users->table, user, next)
    {
        snapd_cache_expire(&user->cache, now_ns);
        if (user->n_ports == 0 && user->cache.n == 0) {
            drop(users, user);
        }
    }
}
