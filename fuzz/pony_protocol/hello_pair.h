/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_PONY_PROTOCOL_HELLO_PAIR_H
#define FUZZ_PONY_PROTOCOL_HELLO_PAIR_H

#include "transport/pony/protocol/flow.h"

/**
 * What the fuzzers of handshakes share: two flow tables, the first of which opens a flow to the
 * second, and one packet between them that is changed on its way.
 *
 * Shape    addresses ::1 and ::2; time stands still, so nothing is sent twice
 * Memory   fuzz_heap: the tables are made in the first call, and in each they are as they were then;
 *          what OpenSSL made for a flow it gets back before that
 * Errors   base_assert
 */
struct hello_packet {
    uint8_t data[PONY_MTU_MIN];
    uint32_t len;
};

/** Sets in `security`, which is mode psk's, what is not so at end `idx`; called once for each. */
typedef void hello_secure_fn(struct pony_security *security, uint32_t idx);

/** False: the packet is as it was. */
typedef bool hello_change_fn(struct hello_packet *packet, const uint8_t *data, size_t size);

struct hello_script {
    hello_secure_fn *secure; /**< the same in each call */
    hello_change_fn *change;
    uint32_t which; /**< packet; even ones are of end 0 */
    const uint8_t *data;
    size_t size; /**< 0: nothing is changed */
};

/** Plays it to the end; returns how many ends came up. */
uint32_t hello_pair_play(const struct hello_script *script, bool *is_changed);

/** Makes the packet's checksum right, if what it covers is there. */
void hello_packet_sum(struct hello_packet *packet);

#endif
