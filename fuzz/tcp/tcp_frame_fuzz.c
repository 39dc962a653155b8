/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"
#include "tests/support/ktcp_feed.h"

#include <stdalign.h>

/**
 * The stream of a TCP connection: the first input byte seeds how it is cut into reads, the rest is
 * the stream. Whatever it is, cut or in one go, it must give the same messages and the same end.
 */
enum {
    MAX_MESSAGE_BYTES = 1 << 20
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static alignas(64) uint8_t shared[KTCP_RX_SHARED_BYTES];

struct outcome {
    enum base_err err;
    bool has_ended;
    uint32_t n_messages;
    uint64_t sum; /**< over all bytes of all messages */
};

static bool on_preface(void *arg)
{
    (void)arg;
    return true;
}

static bool on_message(void *arg, const uint8_t *data, size_t len)
{
    struct outcome *out = arg;
    base_assert((uintptr_t)data % 8 == 0);
    base_assert(len <= MAX_MESSAGE_BYTES);
    out->n_messages++;
    out->sum = out->sum * 31 + len;
    for (size_t i = 0; i < len; i++) {
        out->sum = out->sum * 31 + data[i];
    }
    return true;
}

static struct outcome run(const uint8_t *data, size_t size, struct base_rng *rng)
{
    struct outcome out = {0};
    struct ktcp_mem mem;
    struct ktcp_rx rx;
    struct ktcp_rx_sink sink = {.on_preface = on_preface, .on_message = on_message, .arg = &out};
    ktcp_mem_init(&mem);
    ktcp_rx_init(&rx, &mem, &sink, MAX_MESSAGE_BYTES);
    size_t n_fed;
    out.err = ktcp_feed(&rx, shared, data, size, rng, &n_fed);
    out.has_ended = rx.has_ended;
    base_assert(out.err == BASE_OK || rx.why != NULL);
    ktcp_rx_fini(&rx);
    ktcp_mem_fini(&mem);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    struct base_rng rng;
    base_rng_init(&rng, data[0]);
    struct outcome whole = run(data + 1, size - 1, NULL);
    struct outcome cut = run(data + 1, size - 1, &rng);
    base_assert(whole.err == cut.err);
    base_assert(whole.has_ended == cut.has_ended);
    base_assert(whole.n_messages == cut.n_messages);
    base_assert(whole.sum == cut.sum);
    return 0;
}
