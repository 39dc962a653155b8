/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modes psk and certificates where there is no OpenSSL: their names are known, and they say why they
 * cannot be had.
 */
#include "transport/pony/protocol/seal_none.h"

static enum base_err absent_create(const struct pony_security *security, uint32_t n_slots,
                                   uint64_t now_ns, struct pony_seal **seal)
{
    (void)n_slots;
    (void)now_ns;
    *seal = NULL;
    base_error_note("this snapd was built without OpenSSL: mode %s cannot be had; install "
                    "libssl-dev and build again",
                    pony_security_mode_name(security->mode));
    return BASE_E_UNSUPPORTED;
}

/* There is never a seal, so nothing below is called. */

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

const struct pony_seal_ops pony_seal_psk = {
    .name = "psk",
    .mode = PONY_SECURITY_PSK,
    .features = PONY_WIRE_FEATURE_PSK,
    .hello_bytes = PONY_HELLO_PSK_BYTES,
    .overhead_bytes = PONY_SEALED_OVERHEAD,
    .is_built = false,
    .is_sealing = true,
    .create = absent_create,
    .check_hello = absent_check_hello,
    .agree = absent_agree,
    PONY_SEAL_NONE_OPS,
};

const struct pony_seal_ops pony_seal_certs = {
    .name = "certificates",
    .mode = PONY_SECURITY_CERTS,
    .features = PONY_WIRE_FEATURE_CERTS,
    .hello_bytes = PONY_HELLO_CERTS_BYTES,
    .overhead_bytes = PONY_SEALED_OVERHEAD,
    .is_built = false,
    .is_sealing = true,
    .create = absent_create,
    .check_hello = absent_check_hello,
    .agree = absent_agree,
    PONY_SEAL_NONE_OPS,
};
