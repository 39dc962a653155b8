/* SPDX-License-Identifier: Apache-2.0 */
#include "server/registry.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_SLOTS = 16,
    MAX_SLOTS = 1 << 20
};

void snapi_registry_fini(struct snapi_registry *registry)
{
    free(registry->slots);
    *registry = (struct snapi_registry){0};
}

/* The slot of that name, or the free one where it would go. The table is never full. */
static struct snapi_handler *slot_of(const struct snapi_registry *r, const char *name, size_t len,
                                     uint64_t hash)
{
    uint32_t i = (uint32_t)hash & (r->n_slots - 1);
    for (;;) {
        struct snapi_handler *h = &r->slots[i];
        if (h->method == NULL ||
            (h->hash == hash && h->name.len == len && memcmp(h->name.text, name, len) == 0)) {
            return h;
        }
        i = (i + 1) & (r->n_slots - 1);
    }
}

static enum base_err grow(struct snapi_registry *r)
{
    uint32_t n_slots = r->n_slots == 0 ? FIRST_SLOTS : r->n_slots * 2;
    BASE_ENSURE(n_slots <= MAX_SLOTS, BASE_E_LIMIT);
    struct snapi_registry bigger = {.n_slots = n_slots, .n_methods = r->n_methods};
    bigger.slots = calloc(n_slots, sizeof(*bigger.slots));
    BASE_ENSURE(bigger.slots != NULL, BASE_E_NOMEM);
    for (uint32_t i = 0; i < r->n_slots; i++) {
        const struct snapi_handler *h = &r->slots[i];
        if (h->method != NULL) {
            *slot_of(&bigger, h->name.text, h->name.len, h->hash) = *h;
        }
    }
    free(r->slots);
    *r = bigger;
    return BASE_OK;
}

enum base_err snapi_registry_add(struct snapi_registry *registry, const struct snap_method *method,
                                 snap_any_fn *typed, void *arg)
{
    size_t len = strnlen(method->name, SNAP_METHOD_NAME_MAX + 1);
    if (len == 0 || len > SNAP_METHOD_NAME_MAX) {
        base_error_note("method name of %zu bytes: must be 1 to %d", len, SNAP_METHOD_NAME_MAX);
        return BASE_E_INVALID;
    }
    if (snapi_registry_find(registry, method->name, len) != NULL) {
        base_error_note("method %s is served already", method->name);
        return BASE_E_EXISTS;
    }
    if ((registry->n_methods + 1) * 2 > registry->n_slots) {
        BASE_TRY(grow(registry));
    }
    uint64_t hash = base_hash64(0, method->name, len);
    *slot_of(registry, method->name, len, hash) = (struct snapi_handler){
        .method = method, .typed = typed, .arg = arg, .name = {method->name, len}, .hash = hash};
    registry->n_methods++;
    return BASE_OK;
}

struct snapi_handler *snapi_registry_find(const struct snapi_registry *registry, const char *name,
                                          size_t name_len)
{
    if (registry->n_slots == 0) {
        return NULL;
    }
    struct snapi_handler *h = slot_of(registry, name, name_len, base_hash64(0, name, name_len));
    return h->method != NULL ? h : NULL;
}
