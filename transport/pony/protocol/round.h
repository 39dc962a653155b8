/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_ROUND_H
#define PONY_PROTOCOL_ROUND_H

#include "transport/pony/protocol/sink.h"

/**
 * The two rounds of a class: connections that have something to send, each in its turn.
 *
 * Both serve connections until the sink is full, about `budget` bytes are used, or many had nothing
 * that may go.
 */

/** Frames and eager messages. */
void pony_round_small(struct pony_round *round, struct pony_sink *sink, int64_t budget);

/** Granted messages. */
void pony_round_large(struct pony_round *round, struct pony_sink *sink, int64_t budget);

#endif
