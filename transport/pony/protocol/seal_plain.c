/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mode plain: nothing is secured, and nobody is taken who wants it to be.
 */
#include "transport/pony/protocol/seal.h"

#include <string.h>

static enum base_err plain_create(const struct pony_security *security, uint32_t n_slots,
                                  uint64_t now_ns, struct pony_seal **seal)
{
    (void)security;
    (void)n_slots;
    (void)now_ns;
    *seal = NULL;
    return BASE_OK;
}

static void plain_destroy(struct pony_seal *seal)
{
    (void)seal;
}

static bool plain_begin(struct pony_seal *seal, uint32_t idx, const struct pony_seal_self *self)
{
    (void)seal;
    (void)idx;
    (void)self;
    return true;
}

static void plain_slot(struct pony_seal *seal, uint32_t idx)
{
    (void)seal;
    (void)idx;
}

/* NOLINTBEGIN(readability-non-const-parameter): the operation table gives the types */
static void plain_put_hello(struct pony_seal *seal, uint32_t idx, bool is_ok, uint8_t *packet)
{
    (void)seal;
    (void)idx;
    (void)is_ok;
    (void)packet;
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

/* Never called: is_sealing is false. */
static uint32_t plain_seal(struct pony_seal *seal, uint32_t idx, const struct pony_seal_out *out,
                           uint8_t *at)
{
    (void)seal;
    (void)idx;
    (void)out;
    (void)at;
    return 0;
}

/* Nobody has a key here. */
static enum pony_seal_verdict plain_open(struct pony_seal *seal, uint32_t idx,
                                         const struct pony_seal_in *in, uint8_t *plain)
{
    (void)seal;
    (void)idx;
    (void)in;
    (void)plain;
    return PONY_SEAL_MODE;
}

static void plain_on_seen(struct pony_seal *seal, uint32_t idx, uint8_t seen)
{
    (void)seal;
    (void)idx;
    (void)seen;
}

static void plain_info(const struct pony_seal *seal, uint32_t idx, struct pony_seal_info *info)
{
    (void)seal;
    (void)idx;
    *info = (struct pony_seal_info){.cipher = ""};
}
/* NOLINTEND(readability-non-const-parameter) */

const struct pony_seal_ops pony_seal_plain = {
    .name = "plain",
    .mode = PONY_SECURITY_PLAIN,
    .features = 0,
    .hello_bytes = PONY_WIRE_HELLO_BYTES,
    .overhead_bytes = 0,
    .is_built = true,
    .is_sealing = false,
    .create = plain_create,
    .destroy = plain_destroy,
    .begin = plain_begin,
    .end = plain_slot,
    .up = plain_slot,
    .put_hello = plain_put_hello,
    .check_hello = plain_check_hello,
    .agree = plain_agree,
    .seal = plain_seal,
    .open = plain_open,
    .on_seen = plain_on_seen,
    .info = plain_info,
};
