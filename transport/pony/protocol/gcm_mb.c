/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/gcm.h"

#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>
#include <stdalign.h>
#include <stdlib.h>

enum {
    KEY_ALIGN = 64
};

/* Its functions for one packet at a time: they do not touch the manager. */
struct pony_gcm {
    IMB_MGR *mgr;
};

struct pony_gcm_key {
    alignas(KEY_ALIGN) struct gcm_key_data data;
    struct gcm_context_data packet; /* the one being worked on */
    IMB_MGR *mgr;
};

struct pony_gcm *pony_gcm_create(void)
{
    const uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
    struct pony_gcm *gcm = calloc(1, sizeof(*gcm));
    if (gcm == NULL) {
        return NULL;
    }
    gcm->mgr = alloc_mb_mgr(0);
    if (gcm->mgr != NULL) {
        init_mb_mgr_auto(gcm->mgr, NULL);
    }
    /* Without the instructions it would compute by table, in a time that depends on the key. */
    if (gcm->mgr == NULL || imb_get_errno(gcm->mgr) != 0 ||
        (gcm->mgr->features & needed) != needed) {
        pony_gcm_destroy(gcm);
        return NULL;
    }
    return gcm;
}

void pony_gcm_destroy(struct pony_gcm *gcm)
{
    if (gcm == NULL) {
        return;
    }
    if (gcm->mgr != NULL) {
        free_mb_mgr(gcm->mgr);
    }
    free(gcm);
}

struct pony_gcm_key *pony_gcm_key_create(const struct pony_gcm *gcm)
{
    struct pony_gcm_key *key = aligned_alloc(KEY_ALIGN, sizeof(*key));
    if (key != NULL) {
        key->mgr = gcm->mgr;
        pony_gcm_key_forget(key);
    }
    return key;
}

void pony_gcm_key_destroy(struct pony_gcm_key *key)
{
    if (key != NULL) {
        pony_gcm_key_forget(key);
        free(key);
    }
}

void pony_gcm_key_set(struct pony_gcm_key *key, const uint8_t *bytes)
{
    IMB_AES128_GCM_PRE(key->mgr, bytes, &key->data);
}

void pony_gcm_key_forget(struct pony_gcm_key *key)
{
    static const uint8_t zero[PONY_GCM_KEY_BYTES];
    OPENSSL_cleanse(&key->data, sizeof(key->data));
    OPENSSL_cleanse(&key->packet, sizeof(key->packet));
    pony_gcm_key_set(key, zero);
}

void pony_gcm_begin(struct pony_gcm_key *key, const struct pony_gcm_start *start)
{
    IMB_AES128_GCM_INIT(key->mgr, &key->data, &key->packet, start->nonce, start->covered,
                        start->covered_len);
}

void pony_gcm_encrypt(struct pony_gcm_key *key, uint8_t *to, const uint8_t *from, uint32_t len)
{
    IMB_AES128_GCM_ENC_UPDATE(key->mgr, &key->data, &key->packet, to, from, len);
}

void pony_gcm_decrypt(struct pony_gcm_key *key, uint8_t *to, const uint8_t *from, uint32_t len)
{
    IMB_AES128_GCM_DEC_UPDATE(key->mgr, &key->data, &key->packet, to, from, len);
}

void pony_gcm_end_encrypt(struct pony_gcm_key *key, uint8_t *tag)
{
    IMB_AES128_GCM_ENC_FINALIZE(key->mgr, &key->data, &key->packet, tag, PONY_GCM_TAG_BYTES);
}

bool pony_gcm_end_decrypt(struct pony_gcm_key *key, const uint8_t *tag)
{
    uint8_t right[PONY_GCM_TAG_BYTES];
    IMB_AES128_GCM_DEC_FINALIZE(key->mgr, &key->data, &key->packet, right, sizeof(right));
    bool is_right = CRYPTO_memcmp(right, tag, sizeof(right)) == 0;
    OPENSSL_cleanse(right, sizeof(right));
    return is_right;
}
