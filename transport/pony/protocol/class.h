/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_CLASS_H
#define PONY_PROTOCOL_CLASS_H

#include <stdint.h>

/**
 * Classes: whose messages go first, and for how long (PX-80 to PX-83).
 *
 * Shape    numbers are those of the wire. One policy for the connections of a flow (sched.c) and
 *          for the flows of an engine (flow_tx.c): the most urgent class that waits goes first, but
 *          one that waits is passed over for at most its patience, in packets.
 * Why      not by weight (deficit round robin over classes): that would let a message of the urgent
 *          class wait for the others' turns whenever its own is used up, and a class that comes and
 *          goes starve another. This bounds both waits by small numbers, whatever else is sent.
 */
enum pony_class {
    PONY_CLASS_NORMAL = 0,
    PONY_CLASS_LATENCY = 1, /**< before all others */
    PONY_CLASS_BULK = 2,    /**< after all others */
    PONY_CLASSES = 3
};

/** How many packets in a row went without each class, though it waited. */
struct pony_class_waits {
    uint32_t n_skipped[PONY_CLASSES];
};

/** From the most urgent one on. */
static inline uint32_t pony_class_by_urgency(uint32_t i)
{
    static const uint8_t classes[PONY_CLASSES] = {PONY_CLASS_LATENCY, PONY_CLASS_NORMAL,
                                                  PONY_CLASS_BULK};
    return classes[i];
}

/** The most urgent class of `busy` (bit per class, not 0). */
static inline uint32_t pony_class_most_urgent(uint32_t busy)
{
    uint32_t i = 0;
    while (i + 1 < PONY_CLASSES && (busy & 1u << pony_class_by_urgency(i)) == 0) {
        i++;
    }
    return pony_class_by_urgency(i);
}

/** Whose turn it is among `busy` (bit per class, not 0): one whose patience is over, or the most
 *  urgent. PX-82 */
static inline uint32_t pony_class_next(const struct pony_class_waits *waits, uint32_t busy)
{
    /* LATENCY is first, or second to those whose time is up. */
    static const uint8_t patience[PONY_CLASSES] = {
        [PONY_CLASS_LATENCY] = UINT8_MAX, [PONY_CLASS_NORMAL] = 3, [PONY_CLASS_BULK] = 15};
    for (uint32_t i = 0; i < PONY_CLASSES; i++) {
        uint32_t class = pony_class_by_urgency(i);
        if ((busy & 1u << class) != 0 && waits->n_skipped[class] >= patience[class]) {
            return class;
        }
    }
    return pony_class_most_urgent(busy);
}

/** A packet was made for which `busy` waited, and `served` got into it. */
static inline void pony_class_note(struct pony_class_waits *waits, uint32_t busy, uint32_t served)
{
    for (uint32_t i = 0; i < PONY_CLASSES; i++) {
        if ((served & 1u << i) != 0) {
            waits->n_skipped[i] = 0;
        } else if ((busy & 1u << i) != 0) {
            waits->n_skipped[i]++;
        }
    }
}

#endif
