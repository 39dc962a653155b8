/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mode certificates: what it has beside mode psk.
 */
#include "transport/pony/protocol/certs_internal.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static void certs_destroy(struct pony_seal *seal)
{
    if (seal == NULL) {
        return;
    }
    struct pony_seal_certs *certs = seal->certs;
    if (certs != NULL) {
        pony_cert_store_destroy(certs->store);
        free(certs->flows);
        OPENSSL_cleanse(certs, sizeof(*certs));
        free(certs);
    }
    pony_psk_destroy(seal);
}

static enum base_err make(struct pony_seal *seal, const struct pony_security *security)
{
    struct pony_seal_certs *certs = calloc(1, sizeof(*certs));
    BASE_ENSURE(certs != NULL, BASE_E_NOMEM);
    seal->certs = certs;
    security->random(security->random_ctx, certs->cookie_key, sizeof(certs->cookie_key));
    certs->flows = calloc(seal->n_slots, sizeof(*certs->flows));
    BASE_ENSURE(certs->flows != NULL, BASE_E_NOMEM);
    return pony_cert_store_create(security->certs, security->wall_s(security->wall_ctx),
                                  &certs->store);
}

static enum base_err certs_create(const struct pony_security *security, uint32_t n_slots,
                                  uint64_t now_ns, struct pony_seal **out)
{
    static const uint8_t known[PONY_PSK_BYTES] = "snaprpc pony certificates 1";
    *out = NULL;
    BASE_ENSURE(security->certs != NULL && security->wall_s != NULL && security->random != NULL,
                BASE_E_INVALID);
    struct pony_security copy = *security;
    copy.n_psks = 1;
    copy.psks[0].id = 0;
    memcpy(copy.psks[0].key, known, sizeof(known));
    const struct psk_limits limits = {CERT_VERIFICATIONS_PER_S, CERT_VERIFICATIONS_MAX};
    BASE_TRY(pony_psk_create(&copy, &limits, n_slots, now_ns, out));
    enum base_err err = make(*out, security);
    (*out)->security.certs = NULL; /* the caller's */
    if (err != BASE_OK) {
        certs_destroy(*out);
        *out = NULL;
    }
    return err;
}

static bool certs_begin(struct pony_seal *seal, uint32_t idx, const struct pony_seal_self *self)
{
    memset(&seal->certs->flows[idx], 0, sizeof(seal->certs->flows[idx]));
    return pony_psk_begin(seal, idx, self);
}

static enum base_err certs_make_keys(const struct pony_security *security,
                                     struct pony_seal_keys **out)
{
    *out = NULL;
    BASE_ENSURE(security->certs != NULL && security->wall_s != NULL, BASE_E_INVALID);
    struct pony_seal_keys *keys = calloc(1, sizeof(*keys));
    BASE_ENSURE(keys != NULL, BASE_E_NOMEM);
    enum base_err err =
        pony_cert_store_create(security->certs, security->wall_s(security->wall_ctx), &keys->store);
    if (err != BASE_OK) {
        free(keys);
        return err;
    }
    *out = keys;
    return BASE_OK;
}

static void certs_free_keys(struct pony_seal_keys *keys)
{
    if (keys != NULL) {
        pony_cert_store_destroy(keys->store);
        free(keys);
    }
}

/* PX-248: flows that are up stay; signatures belong to the certificate that was there before. */
static void certs_set_keys(struct pony_seal *seal, struct pony_seal_keys *keys)
{
    struct pony_cert_store *before = seal->certs->store;
    seal->certs->store = keys->store;
    keys->store = before;
    for (uint32_t i = 0; i < seal->n_slots; i++) {
        struct psk_flow *flow = &seal->flows[i];
        bool is_said = seal->certs->flows[i].signatures[0].len > 0;
        memset(seal->certs->flows[i].signatures, 0, sizeof(seal->certs->flows[i].signatures));
        /* What was agreed on, or what the peer was told, stands on the certificate before, and its
         * next HELLO or HELLO_OK would not. */
        bool is_shaking = flow->private_key != NULL && (flow->has_keys || is_said);
        flow->is_gone = flow->is_gone || is_shaking;
    }
}

const struct pony_seal_ops pony_seal_certs = {
    .name = "certificates",
    .mode = PONY_SECURITY_CERTS,
    .features = PONY_WIRE_FEATURE_CERTS,
    .hello_bytes = PONY_HELLO_CERTS_BYTES,
    .overhead_bytes = PONY_SEALED_OVERHEAD,
    .is_built = true,
    .is_sealing = true,
    .create = certs_create,
    .destroy = certs_destroy,
    .begin = certs_begin,
    .end = pony_psk_end,
    .up = pony_psk_up,
    .put_hello = pony_certs_put_hello,
    .check_hello = pony_certs_check_hello,
    .make_cookie = pony_certs_make_cookie,
    .on_cookie = pony_certs_on_cookie,
    .agree = pony_psk_agree,
    .seal = pony_psk_seal,
    .open = pony_psk_open,
    .on_note = pony_psk_on_note,
    .make_keys = certs_make_keys,
    .free_keys = certs_free_keys,
    .set_keys = certs_set_keys,
    .check_flow = pony_psk_check_flow,
    .info = pony_psk_info,
};
