/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/parts.h"

#include "base/endian.h"

#include <stdlib.h>
#include <string.h>

enum {
    PLACE_BYTES = PONY_PARTS_MAX * PONY_PART_BYTES
};

enum base_err pony_parts_init(struct pony_parts *parts)
{
    memset(parts, 0, sizeof(*parts));
    parts->memory = malloc((size_t)PONY_PARTS_PLACES * PLACE_BYTES);
    return parts->memory != NULL ? BASE_OK : BASE_E_NOMEM;
}

void pony_parts_fini(struct pony_parts *parts)
{
    free(parts->memory);
    memset(parts, 0, sizeof(*parts));
}

bool pony_part_decode(const uint8_t *body, uint32_t len, struct pony_part *part)
{
    if (len <= PONY_PART_HDR_BYTES) {
        return false;
    }
    part->idx = body[0];
    part->count = body[1];
    part->whole_len = base_load_u16(body + 2);
    part->len = len - PONY_PART_HDR_BYTES;
    part->bytes = body + PONY_PART_HDR_BYTES;
    if (part->whole_len == 0 || part->whole_len > PLACE_BYTES ||
        part->count != pony_parts_count(part->whole_len) || part->idx >= part->count ||
        base_load_u32(body + 4) != 0) {
        return false;
    }
    bool is_last = part->idx + 1 == part->count;
    uint32_t right = is_last ? part->whole_len - (uint32_t)part->idx * PONY_PART_BYTES
                             : (uint32_t)PONY_PART_BYTES;
    return part->len == right;
}

void pony_part_encode(const struct pony_part *part, uint8_t *at)
{
    at[0] = part->idx;
    at[1] = part->count;
    base_store_u16(at + 2, part->whole_len);
    base_store_u32(at + 4, 0);
}

/* Of two places the one that gives way first: a free one, else the one begun longer ago. */
static struct pony_parts_place *weaker(struct pony_parts_place *a, struct pony_parts_place *b)
{
    if (a == NULL || b == NULL) {
        return a == NULL ? b : a;
    }
    uint64_t a_ns = a->count != 0 ? a->begun_ns : 0;
    uint64_t b_ns = b->count != 0 ? b->begun_ns : 0;
    return b_ns < a_ns ? b : a;
}

/* The place of that packet, or the one to take for it. */
static struct pony_parts_place *find_place(struct pony_parts *parts, uint64_t flow, uint32_t seq)
{
    struct pony_parts_place *weakest = NULL;
    struct pony_parts_place *own = NULL; /* likewise, of this flow */
    uint32_t n_own = 0;
    for (uint32_t i = 0; i < PONY_PARTS_PLACES; i++) {
        struct pony_parts_place *place = &parts->places[i];
        if (place->count != 0 && place->flow == flow) {
            if (place->seq == seq) {
                return place;
            }
            n_own++;
            own = weaker(own, place);
        }
        weakest = weaker(weakest, place);
    }
    return n_own >= PONY_PARTS_OF_FLOW ? own : weakest;
}

const uint8_t *pony_parts_add(struct pony_parts *parts, uint64_t flow, uint32_t seq,
                              const struct pony_part *part, uint64_t now_ns)
{
    struct pony_parts_place *place = find_place(parts, flow, seq);
    bool is_same = place->count == part->count && place->whole_len == part->whole_len &&
                   place->flow == flow && place->seq == seq &&
                   now_ns - place->begun_ns < PONY_PARTS_WAIT_NS;
    if (!is_same) {
        *place = (struct pony_parts_place){.flow = flow,
                                           .seq = seq,
                                           .count = part->count,
                                           .whole_len = part->whole_len,
                                           .begun_ns = now_ns};
    }
    uint8_t *whole = parts->memory + (size_t)(place - parts->places) * PLACE_BYTES;
    memcpy(whole + (size_t)part->idx * PONY_PART_BYTES, part->bytes, part->len);
    place->got |= 1u << part->idx;
    if (place->got != (1u << place->count) - 1) {
        return NULL;
    }
    place->count = 0;
    return whole;
}
