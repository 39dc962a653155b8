/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_TEST_CERTS_H
#define TESTS_SUPPORT_TEST_CERTS_H

#include "transport/pony/protocol/seal.h"

#include <openssl/x509.h>

/**
 * Certificates, made when a test wants them.
 *
 * Errors  base_assert
 */
#define TEST_CERTS_NOW_S UINT64_C(1800000000)

struct test_cert_spec {
    const char *kind;  /**< "ED25519", "P-256", "P-384", "RSA" */
    const char *san;   /**< "IP:10.0.0.1,DNS:a.example"; NULL: none */
    const char *usage; /**< extended key usage; NULL: none */
    const char *key_usage;
    bool is_ca;
    int64_t from_s, to_s; /**< since TEST_CERTS_NOW_S; both 0: a month around it */
};

struct test_cert {
    EVP_PKEY *key;
    X509 *cert;
    char cert_pem[8192], key_pem[4096];
};

/** `issuer` NULL: self-signed. */
void test_cert_make(struct test_cert *out, const struct test_cert *issuer,
                    const struct test_cert_spec *spec);
void test_cert_free(struct test_cert *cert); /**< accepts a zeroed one */

/** For struct pony_security.wall_s: TEST_CERTS_NOW_S. */
uint64_t test_certs_wall_s(void *ctx);

#endif
