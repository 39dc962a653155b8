/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/fake_net.h"

#include "base/event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_net fake_net = {.lock = PTHREAD_MUTEX_INITIALIZER,
                            .transports = {&fake_net.transports, &fake_net.transports}};

void fake_lock(void)
{
    (void)pthread_mutex_lock(&fake_net.lock);
}

void fake_unlock(void)
{
    (void)pthread_mutex_unlock(&fake_net.lock);
}

void fake_wake(struct fake_transport *t)
{
    base_eventfd_signal(t->wake.fd);
}

void fake_wake_all(enum snap_transport kind)
{
    base_list_foreach (it, &fake_net.transports) {
        struct fake_transport *t = base_list_entry(it, struct fake_transport, link);
        if (t->kind == kind) {
            fake_wake(t);
        }
    }
}

void fake_reset(void)
{
    fake_lock();
    for (int i = 0; i < FAKE_KINDS; i++) {
        fake_net.is_full[i] = fake_net.is_again[i] = fake_net.is_held[i] = fake_net.is_refused[i] =
            fake_net.is_hung[i] = false;
        fake_net.state[i] = SNAPI_TRANSPORT_UP;
        fake_net.max_message[i] = 0;
    }
    memset(fake_net.remembered, 0, sizeof(fake_net.remembered));
    fake_unlock();
}

static void set(bool *flag, enum snap_transport kind, bool is_on)
{
    fake_lock();
    *flag = is_on;
    fake_wake_all(kind);
    fake_unlock();
}

void fake_set_max_message(enum snap_transport kind, size_t bytes)
{
    fake_lock();
    fake_net.max_message[kind] = bytes;
    fake_unlock();
}

void fake_set_again(enum snap_transport kind, bool is_on)
{
    set(&fake_net.is_again[kind], kind, is_on);
}

void fake_set_full(enum snap_transport kind, bool is_on)
{
    set(&fake_net.is_full[kind], kind, is_on);
}

void fake_set_hold(enum snap_transport kind, bool is_on)
{
    set(&fake_net.is_held[kind], kind, is_on);
}

void fake_set_refuse(enum snap_transport kind, bool is_on)
{
    set(&fake_net.is_refused[kind], kind, is_on);
}

void fake_set_hang(enum snap_transport kind, bool is_on)
{
    set(&fake_net.is_hung[kind], kind, is_on);
}

void fake_set_state(enum snap_transport kind, enum snapi_transport_state state)
{
    fake_lock();
    fake_net.state[kind] = state;
    fake_wake_all(kind);
    fake_unlock();
}

void fake_break(enum snap_transport kind)
{
    fake_lock();
    base_list_foreach (it, &fake_net.transports) {
        struct fake_transport *t = base_list_entry(it, struct fake_transport, link);
        base_list_foreach (c, &t->conns) {
            struct fake_conn *conn = base_list_entry(c, struct fake_conn, link);
            if (t->kind == kind && !conn->is_broken) {
                conn->is_broken = true;
                conn->end_err = BASE_E_RESET;
            }
        }
    }
    fake_wake_all(kind);
    fake_unlock();
}

uint32_t fake_n_again(enum snap_transport kind)
{
    fake_lock();
    uint32_t n = fake_net.n_again[kind];
    fake_unlock();
    return n;
}

uint32_t fake_n_conns(enum snap_transport kind)
{
    uint32_t n = 0;
    fake_lock();
    base_list_foreach (it, &fake_net.transports) {
        struct fake_transport *t = base_list_entry(it, struct fake_transport, link);
        base_list_foreach (c, &t->conns) {
            n += t->kind == kind;
        }
    }
    fake_unlock();
    return n;
}

enum base_err fake_remember(struct snapi_transport *transport, const char *target,
                            const char *address)
{
    BASE_ENSURE(fake_of(transport)->kind == SNAP_TRANSPORT_PONY, BASE_E_UNSUPPORTED);
    fake_lock();
    int at = 0;
    while (at < FAKE_REMEMBER_MAX - 1 && fake_net.remembered[at].target[0] != '\0' &&
           strcmp(fake_net.remembered[at].target, target) != 0) {
        at++;
    }
    (void)snprintf(fake_net.remembered[at].target, FAKE_ADDRESS_MAX, "%s", target);
    (void)snprintf(fake_net.remembered[at].address, FAKE_ADDRESS_MAX, "%s", address);
    fake_unlock();
    return BASE_OK;
}

enum base_err fake_look_up(struct snapi_transport *transport, const char *target,
                           void (*on_found)(void *arg, const char *address), void *arg)
{
    struct fake_transport *t = fake_of(transport);
    BASE_ENSURE(t->kind == SNAP_TRANSPORT_PONY, BASE_E_UNSUPPORTED);
    struct fake_lookup *l = calloc(1, sizeof(*l));
    BASE_ENSURE(l != NULL, BASE_E_NOMEM);
    l->on_found = on_found;
    l->arg = arg;
    (void)snprintf(l->target, sizeof(l->target), "%s", target);
    fake_lock();
    base_list_add_tail(&t->lookups, &l->link);
    fake_wake(t);
    fake_unlock();
    return BASE_AGAIN;
}

void fake_look_up_no_more(struct snapi_transport *transport, void *arg)
{
    struct fake_transport *t = fake_of(transport);
    fake_lock();
    base_list_foreach_safe (it, &t->lookups) {
        struct fake_lookup *l = base_list_entry(it, struct fake_lookup, link);
        if (l->arg == arg) {
            base_list_del(&l->link);
            free(l);
        }
    }
    fake_unlock();
}
