/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mode psk where there is no OpenSSL: its name is known, and it says why it cannot be had.
 */
#include "base/assert.h"
#include "transport/pony/protocol/seal.h"

static enum base_err absent_create(const struct pony_security *security, uint32_t n_slots,
                                   uint64_t now_ns, struct pony_seal **seal)
{
    (void)security;
    (void)n_slots;
    (void)now_ns;
    *seal = NULL;
    base_error_note("this snapd was built without OpenSSL: mode psk cannot be had; install "
                    "libssl-dev and build again");
    return BASE_E_UNSUPPORTED;
}

/* There is never a seal, so nothing below is called. */

static void absent_destroy(struct pony_seal *seal)
{
    (void)seal;
}

static bool absent_begin(struct pony_seal *seal, uint32_t idx, const struct pony_seal_self *self)
{
    (void)seal;
    (void)idx;
    (void)self;
    return false;
}

static void absent_slot(struct pony_seal *seal, uint32_t idx)
{
    (void)seal;
    (void)idx;
}

static void absent_put_hello(struct pony_seal *seal, uint32_t idx, bool is_ok, uint8_t *packet)
{
    (void)seal;
    (void)idx;
    (void)is_ok;
    (void)packet;
}

static enum pony_seal_verdict absent_check_hello(struct pony_seal *seal,
                                                 const struct pony_seal_hello *in)
{
    (void)seal;
    (void)in;
    return PONY_SEAL_MODE;
}

static enum pony_seal_verdict absent_agree(struct pony_seal *seal, uint32_t idx,
                                           const struct pony_seal_hello *in, uint64_t now_ns)
{
    (void)idx;
    (void)now_ns;
    return absent_check_hello(seal, in);
}

static uint32_t absent_seal(struct pony_seal *seal, uint32_t idx, const struct pony_seal_out *out,
                            uint8_t *at)
{
    (void)seal;
    (void)idx;
    (void)out;
    (void)at;
    base_assert(seal != NULL);
    return 0;
}

static enum pony_seal_verdict absent_open(struct pony_seal *seal, uint32_t idx,
                                          const struct pony_seal_in *in, uint8_t *plain)
{
    (void)seal;
    (void)idx;
    (void)in;
    (void)plain;
    return PONY_SEAL_MODE;
}

static void absent_on_seen(struct pony_seal *seal, uint32_t idx, uint8_t seen)
{
    (void)seal;
    (void)idx;
    (void)seen;
}

static void absent_info(const struct pony_seal *seal, uint32_t idx, struct pony_seal_info *info)
{
    (void)seal;
    (void)idx;
    *info = (struct pony_seal_info){.cipher = ""};
}

const struct pony_seal_ops pony_seal_psk = {
    .name = "psk",
    .mode = PONY_SECURITY_PSK,
    .features = PONY_WIRE_FEATURE_PSK,
    .hello_bytes = PONY_HELLO_PSK_BYTES,
    .overhead_bytes = PONY_SEALED_OVERHEAD,
    .is_built = false,
    .is_sealing = true,
    .create = absent_create,
    .destroy = absent_destroy,
    .begin = absent_begin,
    .end = absent_slot,
    .up = absent_slot,
    .put_hello = absent_put_hello,
    .check_hello = absent_check_hello,
    .agree = absent_agree,
    .seal = absent_seal,
    .open = absent_open,
    .on_seen = absent_on_seen,
    .info = absent_info,
};
