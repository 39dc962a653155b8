/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/path_mtu.h"

#include "transport/pony/protocol/packet.h"

/* From here on sizes above `bytes` are unknown, up to the largest there may be. */
static void begin_search(struct pony_path_mtu *pmtu, uint64_t now_ns)
{
    pmtu->hi = pmtu->max + 1;
    pmtu->n_tries = 0;
    pmtu->size = pmtu->bytes < pmtu->max ? pmtu->max : 0;
    pmtu->next_ns = pmtu->size != 0 ? now_ns : UINT64_MAX;
}

void pony_path_mtu_init(struct pony_path_mtu *pmtu, uint32_t bytes, uint32_t max, uint64_t now_ns)
{
    *pmtu = (struct pony_path_mtu){.bytes = bytes, .max = max};
    begin_search(pmtu, now_ns);
}

/* The next size between what passes and what does not; the search ends when they meet. */
static void choose_size(struct pony_path_mtu *pmtu, uint64_t now_ns)
{
    pmtu->n_tries = 0;
    pmtu->next_ns = now_ns;
    if (pmtu->bytes >= pmtu->max) {
        pmtu->size = 0;
        pmtu->next_ns = UINT64_MAX;
    } else if (pmtu->hi - pmtu->bytes <= PONY_PMTU_STEP) {
        pmtu->size = 0;
        pmtu->next_ns = now_ns + PONY_PMTU_RAISE_NS;
    } else {
        pmtu->size = pmtu->bytes + (pmtu->hi - pmtu->bytes) / 2;
    }
}

uint32_t pony_path_mtu_on_time(struct pony_path_mtu *pmtu, uint64_t now_ns)
{
    if (now_ns < pmtu->next_ns) {
        return 0;
    }
    if (pmtu->size == 0) {
        begin_search(pmtu, now_ns);
    } else if (pmtu->n_tries == PONY_PMTU_TRIES) {
        pmtu->hi = pmtu->size;
        choose_size(pmtu, now_ns);
    }
    return pmtu->size;
}

void pony_path_mtu_sent(struct pony_path_mtu *pmtu, uint64_t now_ns, uint64_t wait_ns)
{
    pmtu->n_tries++;
    pmtu->next_ns = now_ns + wait_ns;
}

bool pony_path_mtu_on_answer(struct pony_path_mtu *pmtu, uint32_t number, uint64_t now_ns)
{
    if (pmtu->size == 0 || pmtu->n_tries == 0 || number != pmtu->number) {
        return false; /* late, or made up */
    }
    pmtu->bytes = pmtu->size;
    pmtu->n_black = 0;
    choose_size(pmtu, now_ns);
    return true;
}

/* Only the least is sure to pass. */
static void fall(struct pony_path_mtu *pmtu, uint64_t now_ns)
{
    pmtu->n_black = 0;
    pmtu->bytes = PONY_MTU_MIN;
    begin_search(pmtu, now_ns);
}

bool pony_path_mtu_on_loss(struct pony_path_mtu *pmtu, uint32_t bytes, uint64_t now_ns)
{
    if (bytes <= PONY_MTU_MIN || pmtu->bytes <= PONY_MTU_MIN || ++pmtu->n_black < PONY_PMTU_BLACK) {
        return false;
    }
    fall(pmtu, now_ns);
    return true;
}

bool pony_path_mtu_on_too_long(struct pony_path_mtu *pmtu, uint32_t bytes, uint64_t now_ns)
{
    if (bytes > PONY_MTU_MIN && bytes <= pmtu->bytes) {
        fall(pmtu, now_ns);
        return true;
    }
    if (pmtu->size != 0 && bytes == pmtu->size && pmtu->n_tries > 0) {
        pmtu->hi = bytes;
        choose_size(pmtu, now_ns);
    }
    return false;
}
