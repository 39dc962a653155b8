/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mode plain: nothing is secured, and nobody is taken who wants it to be.
 */
#include "transport/pony/protocol/seal_none.h"

static enum base_err plain_create(const struct pony_security *security, uint32_t n_slots,
                                  uint64_t now_ns, struct pony_seal **seal)
{
    (void)security;
    (void)n_slots;
    (void)now_ns;
    *seal = NULL;
    return BASE_OK;
}

static enum pony_seal_verdict plain_check_hello(struct pony_seal *seal,
                                                const struct pony_seal_hello *in)
{
    (void)seal;
    return in->hello->features == 0 ? PONY_SEAL_OK : PONY_SEAL_MODE;
}

static enum pony_seal_verdict plain_agree(struct pony_seal *seal, uint32_t idx,
                                          const struct pony_seal_hello *in, uint64_t now_ns)
{
    (void)idx;
    (void)now_ns;
    return plain_check_hello(seal, in);
}

const struct pony_seal_ops pony_seal_plain = {
    .name = "plain",
    .mode = PONY_SECURITY_PLAIN,
    .features = 0,
    .hello_bytes = PONY_WIRE_HELLO_BYTES,
    .overhead_bytes = 0,
    .is_built = true,
    .is_sealing = false,
    .create = plain_create,
    .check_hello = plain_check_hello,
    .agree = plain_agree,
    PONY_SEAL_NONE_OPS,
};
