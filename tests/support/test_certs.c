/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/test_certs.h"

#include "base/assert.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

enum {
    MONTH_S = 30 * 86400
};

uint64_t test_certs_wall_s(void *ctx)
{
    (void)ctx;
    return TEST_CERTS_NOW_S;
}

static EVP_PKEY *make_key(const char *kind)
{
    if (strcmp(kind, "ED25519") == 0) {
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
    if (strcmp(kind, "RSA") == 0) {
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    }
    return EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind);
}

static void add_extension(X509 *cert, const X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    if (value == NULL) {
        return;
    }
    X509V3_set_ctx(&ctx, (X509 *)issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    base_assert(extension != NULL && X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static void set_dates(X509 *cert, const struct test_cert_spec *spec)
{
    bool is_default = spec->from_s == 0 && spec->to_s == 0;
    time_t now = (time_t)TEST_CERTS_NOW_S;
    time_t from = now + (is_default ? -MONTH_S : spec->from_s);
    time_t to = now + (is_default ? MONTH_S : spec->to_s);
    base_assert(ASN1_TIME_set(X509_getm_notBefore(cert), from) != NULL);
    base_assert(ASN1_TIME_set(X509_getm_notAfter(cert), to) != NULL);
}

static void write_pem(struct test_cert *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    base_assert(bio != NULL && PEM_write_bio_X509(bio, cert->cert) == 1);
    int n = BIO_read(bio, cert->cert_pem, sizeof(cert->cert_pem) - 1);
    base_assert(n > 0);
    cert->cert_pem[n] = '\0';
    base_assert(PEM_write_bio_PrivateKey(bio, cert->key, NULL, NULL, 0, NULL, NULL) == 1);
    n = BIO_read(bio, cert->key_pem, sizeof(cert->key_pem) - 1);
    base_assert(n > 0);
    cert->key_pem[n] = '\0';
    BIO_free(bio);
}

void test_cert_make(struct test_cert *out, const struct test_cert *issuer,
                    const struct test_cert_spec *spec)
{
    static long serial = 1;
    char name[32];
    memset(out, 0, sizeof(*out));
    out->key = make_key(spec->kind);
    out->cert = X509_new();
    base_assert(out->key != NULL && out->cert != NULL);
    X509 *cert = out->cert;
    (void)snprintf(name, sizeof(name), "test %ld", serial);
    base_assert(X509_set_version(cert, X509_VERSION_3) == 1);
    base_assert(ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++) == 1);
    base_assert(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                           (const unsigned char *)name, -1, -1, 0) == 1);
    const struct test_cert *signer = issuer != NULL ? issuer : out;
    base_assert(X509_set_issuer_name(cert, X509_get_subject_name(signer->cert)) == 1);
    base_assert(X509_set_pubkey(cert, out->key) == 1);
    set_dates(cert, spec);
    add_extension(cert, signer->cert, NID_basic_constraints,
                  spec->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    add_extension(cert, signer->cert, NID_subject_alt_name, spec->san);
    add_extension(cert, signer->cert, NID_ext_key_usage, spec->usage);
    add_extension(cert, signer->cert, NID_key_usage,
                  spec->is_ca ? "critical,keyCertSign" : spec->key_usage);
    const EVP_MD *digest = EVP_PKEY_is_a(signer->key, "ED25519") ? NULL : EVP_sha256();
    base_assert(X509_sign(cert, signer->key, digest) > 0);
    write_pem(out);
    ERR_clear_error();
}

void test_cert_free(struct test_cert *cert)
{
    EVP_PKEY_free(cert->key);
    X509_free(cert->cert);
    memset(cert, 0, sizeof(*cert));
}
