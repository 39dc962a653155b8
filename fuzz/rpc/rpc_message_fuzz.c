/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"
#include "rpc/message.h"
#include "test_messages.pb-c.h"

/* Decoding any bytes stays within its memory and its stack. The first byte chooses the type. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    static struct snapi_arena_pool *pool;
    if (pool == NULL) {
        pool = snapi_arena_pool_open();
    }
    const struct snapi_unpack in = {
        .type = data[0] % 2 == 0 ? &snaptest__tree__descriptor : &snaptest__ping__descriptor,
        .data = data + 1,
        .len = size - 1,
        .max_message_bytes = 4096,
    };
    struct snapi_arena *arena = snapi_arena_take(pool);
    ProtobufCMessage *message;
    if (snapi_message_unpack(arena, &in, &message) == BASE_OK) {
        base_assert(snapi_message_arena(message) == arena);
    }
    base_assert(arena->mem.total_bytes <= 2 * (1024 * 1024 + 4 * 4096));
    snapi_arena_give(arena);
    return 0;
}
