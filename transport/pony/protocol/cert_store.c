/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/cert_store.h"

#include "base/assert.h"
#include "transport/pony/protocol/addr.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

enum {
    SECURITY_LEVEL = 2,  /* 112 bits: RSA from 2048 on, no SHA-1 */
    CHAIN_DEPTH_MAX = 4, /* certificates between a leaf and its root */
    NAMES_MAX = 8,
    NAME_BYTES = 128
};

struct pony_cert_store {
    uint8_t own[PONY_CERT_MAX_BYTES];
    uint32_t own_len;
    EVP_PKEY *key;
    X509_STORE *roots;
    STACK_OF(X509) * between;
    uint32_t n_names; /* 0: by address */
    char names[NAMES_MAX][NAME_BYTES];
};

static const char *last_error(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text != NULL ? text : "no PEM of that kind in it";
}

/* Ed25519, or ECDSA on a curve of NIST's; RSA's signatures would not fit beside its certificates. */
static bool is_key_good(const EVP_PKEY *key)
{
    char curve[32] = "";
    if (EVP_PKEY_is_a(key, "ED25519")) {
        return true;
    }
    return EVP_PKEY_is_a(key, "EC") &&
           EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof(curve),
                                          NULL) == 1 &&
           (strcmp(curve, "prime256v1") == 0 || strcmp(curve, "secp384r1") == 0);
}

/* Nobody is there to be asked for a password. */
/* NOLINTNEXTLINE(readability-non-const-parameter): OpenSSL gives the type */
static int no_password(char *buffer, int size, int is_writing, void *user)
{
    (void)buffer;
    (void)size;
    (void)is_writing;
    (void)user;
    return -1;
}

static X509 *read_certificate(const struct pony_pem *pem)
{
    BIO *bio = BIO_new_mem_buf(pem->text, -1);
    X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
    if (cert == NULL) {
        base_error_note("%s: no certificate can be read: %s; it must be PEM", pem->name,
                        last_error());
    }
    BIO_free(bio);
    return cert;
}

static enum base_err read_private_key(struct pony_cert_store *store, const struct pony_pem *pem)
{
    BIO *bio = BIO_new_mem_buf(pem->text, -1);
    store->key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    if (store->key == NULL) {
        base_error_note("%s: no private key can be read: %s; it must be PEM, without a password",
                        pem->name, last_error());
        return BASE_E_INVALID;
    }
    if (!is_key_good(store->key)) {
        base_error_note("%s: a key of this kind cannot be used; make one of kind Ed25519, or ECDSA "
                        "P-256 or P-384",
                        pem->name);
        return BASE_E_INVALID;
    }
    return BASE_OK;
}

/* PX-240 */
static enum base_err take_own(struct pony_cert_store *store, const struct pony_certs *certs,
                              X509 *cert)
{
    int len = i2d_X509(cert, NULL);
    if (len <= 0 || len > PONY_CERT_MAX_BYTES) {
        base_error_note(
            "%s: the certificate has %d bytes, and at most %d fit into a handshake; use "
            "an ECDSA or Ed25519 CA, and fewer names",
            certs->certificate.name, len, PONY_CERT_MAX_BYTES);
        return BASE_E_INVALID;
    }
    uint8_t *at = store->own;
    store->own_len = (uint32_t)i2d_X509(cert, &at);
    BASE_TRY(read_private_key(store, &certs->private_key));
    if (X509_check_private_key(cert, store->key) != 1) {
        base_error_note("%s: not the key of the certificate in %s", certs->private_key.name,
                        certs->certificate.name);
        return BASE_E_INVALID;
    }
    return BASE_OK;
}

/* The self-signed ones end chains, the others may stand in them. */
static bool add_ca(struct pony_cert_store *store, X509 *cert)
{
    if (X509_self_signed(cert, 0) == 1) {
        return X509_STORE_add_cert(store->roots, cert) == 1;
    }
    return sk_X509_push(store->between, cert) > 0 && X509_up_ref(cert) == 1;
}

static enum base_err read_ca(struct pony_cert_store *store, const struct pony_pem *pem)
{
    X509 *cert;
    uint32_t n_roots = 0;
    bool is_good = true;
    BIO *bio = BIO_new_mem_buf(pem->text, -1);
    while (is_good && bio != NULL &&
           (cert = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL) {
        n_roots += X509_self_signed(cert, 0) == 1;
        is_good = add_ca(store, cert);
        X509_free(cert);
    }
    BIO_free(bio);
    /* The end of the text is an error, too: no further PEM begins. */
    if (!is_good || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        base_error_note("%s: certificate %u cannot be read: %s", pem->name,
                        n_roots + (uint32_t)sk_X509_num(store->between) + 1, last_error());
        return BASE_E_INVALID;
    }
    if (n_roots == 0) {
        base_error_note(
            "%s: there is no self-signed certificate in it, so that no chain could end; "
            "add the CA's",
            pem->name);
        return BASE_E_INVALID;
    }
    return BASE_OK;
}

static enum base_err add_name(struct pony_cert_store *store, const char *at, size_t n)
{
    if (n >= NAME_BYTES || store->n_names == NAMES_MAX) {
        base_error_note("[security] peers: more than %d names, or one of more than %d characters",
                        NAMES_MAX, NAME_BYTES - 1);
        return BASE_E_INVALID;
    }
    memcpy(store->names[store->n_names], at, n);
    store->names[store->n_names++][n] = '\0';
    return BASE_OK;
}

/* "address", or names with commas or blanks between them. */
static enum base_err read_names(struct pony_cert_store *store, const char *text)
{
    static const char between[] = ", \t";
    if (strcmp(text, "address") == 0) {
        return BASE_OK;
    }
    for (text += strspn(text, between); *text != '\0'; text += strspn(text, between)) {
        size_t n = strcspn(text, between);
        BASE_TRY(add_name(store, text, n));
        text += n;
    }
    if (store->n_names == 0) {
        base_error_note(
            "[security] peers: names nobody; say address, or the DNS names of which the "
            "certificates of peers have one");
        return BASE_E_INVALID;
    }
    return BASE_OK;
}

static enum pony_seal_verdict verdict_of(int error)
{
    switch (error) {
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return PONY_SEAL_EXPIRED;
    case X509_V_ERR_INVALID_PURPOSE:
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
        return PONY_SEAL_USAGE;
    case X509_V_ERR_OUT_OF_MEM:
        return PONY_SEAL_BUSY;
    default:
        return PONY_SEAL_UNTRUSTED;
    }
}

/* PX-243: dates, chain, strength. */
static enum pony_seal_verdict check_chain(const struct pony_cert_store *store, X509 *cert,
                                          uint64_t wall_s)
{
    enum pony_seal_verdict verdict = PONY_SEAL_BUSY;
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (ctx != NULL && X509_STORE_CTX_init(ctx, store->roots, cert, store->between) == 1) {
        X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
        X509_VERIFY_PARAM_set_time(param, (time_t)wall_s);
        X509_VERIFY_PARAM_set_depth(param, CHAIN_DEPTH_MAX);
        X509_VERIFY_PARAM_set_auth_level(param, SECURITY_LEVEL);
        verdict =
            X509_verify_cert(ctx) == 1 ? PONY_SEAL_OK : verdict_of(X509_STORE_CTX_get_error(ctx));
    }
    X509_STORE_CTX_free(ctx);
    return verdict;
}

/* PX-243: either end both asks and answers, so a certificate that says what for must say both. */
static bool is_usage_good(X509 *cert)
{
    const uint32_t both = XKU_SSL_CLIENT | XKU_SSL_SERVER;
    uint32_t flags = X509_get_extension_flags(cert);
    bool may_sign = (flags & EXFLAG_KUSAGE) == 0 ||
                    (X509_get_key_usage(cert) & X509v3_KU_DIGITAL_SIGNATURE) != 0;
    uint32_t extended = X509_get_extended_key_usage(cert);
    bool is_for_us =
        (flags & EXFLAG_XKUSAGE) == 0 || (extended & both) == both || (extended & XKU_ANYEKU) != 0;
    return (flags & (EXFLAG_INVALID | EXFLAG_CA)) == 0 && may_sign && is_for_us;
}

/* PX-244 */
static bool is_allowed(const struct pony_cert_store *store, X509 *cert,
                       const struct pony_addr *from)
{
    const unsigned flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_WILDCARDS;
    if (store->n_names == 0) {
        size_t skip = pony_addr_is_v4(from) ? 12 : 0;
        return X509_check_ip(cert, from->ip + skip, sizeof(from->ip) - skip, 0) == 1;
    }
    for (uint32_t i = 0; i < store->n_names; i++) {
        if (X509_check_host(cert, store->names[i], 0, flags, NULL) == 1) {
            return true;
        }
    }
    return false;
}

static enum pony_seal_verdict check_certificate(const struct pony_cert_store *store, X509 *cert,
                                                const struct pony_cert_claim *claim)
{
    const EVP_PKEY *key = X509_get0_pubkey(cert);
    /* What is cheap comes first. */
    if (key == NULL || !is_key_good(key) || !is_usage_good(cert)) {
        return PONY_SEAL_USAGE;
    }
    if (claim->from != NULL && !is_allowed(store, cert, claim->from)) {
        return PONY_SEAL_IDENTITY;
    }
    return check_chain(store, cert, claim->wall_s);
}

enum pony_seal_verdict pony_cert_store_verify(const struct pony_cert_store *store,
                                              const struct pony_cert_claim *claim, EVP_PKEY **key)
{
    enum pony_seal_verdict verdict = PONY_SEAL_MALFORMED;
    const uint8_t *at = claim->der;
    *key = NULL;
    X509 *cert = d2i_X509(NULL, &at, (long)claim->der_len);
    if (cert != NULL && at == claim->der + claim->der_len) {
        verdict = check_certificate(store, cert, claim);
    }
    if (verdict == PONY_SEAL_OK) {
        *key = X509_get_pubkey(cert);
        verdict = *key != NULL ? PONY_SEAL_OK : PONY_SEAL_BUSY;
    }
    X509_free(cert);
    ERR_clear_error();
    return verdict;
}

/* What our peers, who have the same CA, would refuse is refused here, where it can be mended. */
static enum base_err check_own(const struct pony_cert_store *store, const struct pony_certs *certs,
                               uint64_t wall_s)
{
    EVP_PKEY *key;
    const struct pony_cert_claim claim = {
        .der = store->own, .der_len = store->own_len, .wall_s = wall_s};
    enum pony_seal_verdict verdict = pony_cert_store_verify(store, &claim, &key);
    EVP_PKEY_free(key);
    if (verdict != PONY_SEAL_OK) {
        base_error_note("%s: peers with %s would refuse this certificate: %s",
                        certs->certificate.name, certs->ca.name, pony_seal_verdict_text(verdict));
        return BASE_E_INVALID;
    }
    return BASE_OK;
}

static enum base_err fill(struct pony_cert_store *store, const struct pony_certs *certs,
                          uint64_t wall_s)
{
    store->roots = X509_STORE_new();
    store->between = sk_X509_new_null();
    BASE_ENSURE(store->roots != NULL && store->between != NULL, BASE_E_NOMEM);
    X509 *cert = read_certificate(&certs->certificate);
    BASE_ENSURE(cert != NULL, BASE_E_INVALID);
    enum base_err err = take_own(store, certs, cert);
    X509_free(cert);
    BASE_TRY(err);
    ERR_clear_error();
    BASE_TRY(read_ca(store, &certs->ca));
    BASE_TRY(read_names(store, certs->peers));
    return check_own(store, certs, wall_s);
}

enum base_err pony_cert_store_create(const struct pony_certs *certs, uint64_t wall_s,
                                     struct pony_cert_store **out)
{
    *out = NULL;
    struct pony_cert_store *store = calloc(1, sizeof(*store));
    BASE_ENSURE(store != NULL, BASE_E_NOMEM);
    ERR_clear_error();
    enum base_err err = fill(store, certs, wall_s);
    ERR_clear_error();
    if (err != BASE_OK) {
        pony_cert_store_destroy(store);
        return err;
    }
    *out = store;
    return BASE_OK;
}

void pony_cert_store_destroy(struct pony_cert_store *store)
{
    if (store == NULL) {
        return;
    }
    EVP_PKEY_free(store->key);
    X509_STORE_free(store->roots);
    sk_X509_pop_free(store->between, X509_free);
    free(store);
}

struct pony_bytes pony_cert_store_own(const struct pony_cert_store *store)
{
    return (struct pony_bytes){store->own, store->own_len};
}

/* Ed25519 hashes by itself. */
static const char *digest_of(const EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "ED25519") ? NULL : "SHA256";
}

uint32_t pony_cert_store_sign(const struct pony_cert_store *store, struct pony_bytes text,
                              uint8_t *sig)
{
    size_t n = PONY_CERT_SIG_MAX;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_signed = ctx != NULL &&
                     EVP_DigestSignInit_ex(ctx, NULL, digest_of(store->key), NULL, NULL, store->key,
                                           NULL) == 1 &&
                     EVP_DigestSign(ctx, sig, &n, text.at, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return is_signed ? (uint32_t)n : 0;
}

bool pony_cert_is_signed(EVP_PKEY *key, struct pony_bytes text, struct pony_bytes sig)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_signed =
        ctx != NULL &&
        EVP_DigestVerifyInit_ex(ctx, NULL, digest_of(key), NULL, NULL, key, NULL) == 1 &&
        EVP_DigestVerify(ctx, sig.at, sig.n, text.at, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return is_signed;
}
