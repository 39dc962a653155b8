/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/cert_store.h"

#include "tests/support/cmocka_all.h"
#include "tests/support/test_certs.h"
#include "transport/pony/protocol/addr.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct test_cert ca, own;
static struct pony_cert_store *store;
static const struct pony_addr v4 = {.ip = {[10] = 0xff, 0xff, 10, 0, 0, 1}, .udp_port = 1};
static const struct pony_addr v6 = {.ip = {0xfd, [15] = 1}, .udp_port = 1};

static struct pony_certs files(void)
{
    return (struct pony_certs){
        .certificate = {"host.crt", own.cert_pem},
        .private_key = {"host.key", own.key_pem},
        .ca = {"ca.crt", ca.cert_pem},
        .peers = "address",
    };
}

static int setup(void **state)
{
    (void)state;
    test_cert_make(&ca, NULL, &(struct test_cert_spec){.kind = "P-256", .is_ca = true});
    test_cert_make(&own, &ca, &(struct test_cert_spec){.kind = "P-256"});
    const struct pony_certs certs = files();
    assert_int_equal(pony_cert_store_create(&certs, TEST_CERTS_NOW_S, &store), BASE_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pony_cert_store_destroy(store);
    test_cert_free(&ca);
    test_cert_free(&own);
    return 0;
}

static void expect_refused(const struct pony_certs *certs, const char *part)
{
    struct pony_cert_store *none;
    assert_int_equal(pony_cert_store_create(certs, TEST_CERTS_NOW_S, &none), BASE_E_INVALID);
    assert_null(none);
    if (strstr(base_error_last_note(), part) == NULL) {
        fail_msg("the note lacks \"%s\": %s", part, base_error_last_note());
    }
}

static enum pony_seal_verdict verify_der(const uint8_t *der, uint32_t n,
                                         const struct pony_addr *from)
{
    EVP_PKEY *key;
    const struct pony_cert_claim claim = {
        .der = der, .der_len = n, .from = from, .wall_s = TEST_CERTS_NOW_S};
    enum pony_seal_verdict verdict = pony_cert_store_verify(store, &claim, &key);
    assert_int_equal(verdict == PONY_SEAL_OK, key != NULL);
    EVP_PKEY_free(key);
    return verdict;
}

static enum pony_seal_verdict verify(const struct test_cert_spec *spec,
                                     const struct pony_addr *from)
{
    struct test_cert cert;
    uint8_t *der = NULL;
    test_cert_make(&cert, &ca, spec);
    int n = i2d_X509(cert.cert, &der);
    assert_true(n > 0);
    enum pony_seal_verdict verdict = verify_der(der, (uint32_t)n, from);
    OPENSSL_free(der);
    test_cert_free(&cert);
    return verdict;
}

/* PX-243 */
static void every_kind_of_key_but_rsa_is_taken(void **state)
{
    (void)state;
    static const char *const kinds[] = {"ED25519", "P-256", "P-384"};
    for (size_t i = 0; i < 3; i++) {
        const struct test_cert_spec spec = {.kind = kinds[i], .san = "IP:10.0.0.1"};
        assert_int_equal(verify(&spec, &v4), PONY_SEAL_OK);
    }
    const struct test_cert_spec rsa = {.kind = "RSA", .san = "IP:10.0.0.1"};
    assert_int_equal(verify(&rsa, &v4), PONY_SEAL_USAGE);
    const struct test_cert_spec other = {.kind = "secp256k1", .san = "IP:10.0.0.1"};
    assert_int_equal(verify(&other, &v4), PONY_SEAL_USAGE);
}

/* PX-244 */
static void an_address_must_be_named_exactly(void **state)
{
    (void)state;

    static const struct {
        const char *san;
        const struct pony_addr *from;
        enum pony_seal_verdict verdict;
    } cases[] = {
        {"IP:10.0.0.1", &v4, PONY_SEAL_OK},        {"IP:10.0.0.2,IP:10.0.0.1", &v4, PONY_SEAL_OK},
        {"IP:fd00::1", &v6, PONY_SEAL_OK},         {"IP:10.0.0.2", &v4, PONY_SEAL_IDENTITY},
        {"IP:fd00::2", &v6, PONY_SEAL_IDENTITY},   {"IP:10.0.0.1", &v6, PONY_SEAL_IDENTITY},
        {"DNS:10.0.0.1", &v4, PONY_SEAL_IDENTITY}, {NULL, &v4, PONY_SEAL_IDENTITY},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct test_cert_spec spec = {.kind = "P-256", .san = cases[i].san};
        assert_int_equal(verify(&spec, cases[i].from), cases[i].verdict);
    }
}

/* PX-243 */
static void what_a_certificate_is_for_is_looked_at(void **state)
{
    (void)state;

    static const struct {
        const char *usage, *key_usage;
        bool is_ca;
        enum pony_seal_verdict verdict;
    } cases[] = {
        {NULL, NULL, false, PONY_SEAL_OK},
        {"serverAuth,clientAuth", NULL, false, PONY_SEAL_OK},
        {"serverAuth,clientAuth,codeSigning", NULL, false, PONY_SEAL_OK},
        {"serverAuth", NULL, false, PONY_SEAL_USAGE},
        {"clientAuth", NULL, false, PONY_SEAL_USAGE},
        {"codeSigning", NULL, false, PONY_SEAL_USAGE},
        {NULL, "digitalSignature", false, PONY_SEAL_OK},
        {NULL, "keyAgreement", false, PONY_SEAL_USAGE},
        {NULL, NULL, true, PONY_SEAL_USAGE},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct test_cert_spec spec = {.kind = "P-256",
                                            .san = "IP:10.0.0.1",
                                            .usage = cases[i].usage,
                                            .key_usage = cases[i].key_usage,
                                            .is_ca = cases[i].is_ca};
        assert_int_equal(verify(&spec, &v4), cases[i].verdict);
    }
}

/* PX-243: the second at which it begins, and ends, is inside. */
static void dates_are_looked_at(void **state)
{
    (void)state;
    struct test_cert_spec spec = {.kind = "P-256", .san = "IP:10.0.0.1", .from_s = -9, .to_s = -1};
    assert_int_equal(verify(&spec, &v4), PONY_SEAL_EXPIRED);
    spec.to_s = 1;
    assert_int_equal(verify(&spec, &v4), PONY_SEAL_OK);
    spec.from_s = 1;
    spec.to_s = 9;
    assert_int_equal(verify(&spec, &v4), PONY_SEAL_EXPIRED);
    spec.from_s = -1;
    assert_int_equal(verify(&spec, &v4), PONY_SEAL_OK);
}

static void a_leaf_signed_by_a_leaf_is_refused(void **state)
{
    (void)state;
    struct test_cert leaf;
    uint8_t *der = NULL;
    test_cert_make(&leaf, &own, &(struct test_cert_spec){.kind = "P-256", .san = "IP:10.0.0.1"});
    int n = i2d_X509(leaf.cert, &der);
    assert_true(n > 0);
    assert_int_equal(verify_der(der, (uint32_t)n, &v4), PONY_SEAL_UNTRUSTED);
    OPENSSL_free(der);
    test_cert_free(&leaf);
}

/* Every piece of one, one with something after it, one with any byte changed. */
static void der_that_is_not_a_certificate_is_refused(void **state)
{
    (void)state;
    struct test_cert cert;
    uint8_t *der = NULL;
    test_cert_make(&cert, &ca, &(struct test_cert_spec){.kind = "ED25519", .san = "IP:10.0.0.1"});
    int got = i2d_X509(cert.cert, &der);
    assert_true(got > 0);
    uint32_t n = (uint32_t)got;
    uint8_t *copy = malloc(n + 1);
    assert_non_null(copy);
    memcpy(copy, der, n);
    copy[n] = 0;
    assert_int_equal(verify_der(copy, n, &v4), PONY_SEAL_OK);
    assert_int_equal(verify_der(copy, n + 1, &v4), PONY_SEAL_MALFORMED);
    for (uint32_t cut = 0; cut < n; cut++) {
        uint8_t *piece = malloc(cut + 1); /* so that a sanitizer sees who reads on */
        assert_non_null(piece);
        memcpy(piece, der, cut);
        assert_int_equal(verify_der(piece, cut, &v4), PONY_SEAL_MALFORMED);
        free(piece);
    }
    for (uint32_t i = 0; i < n; i++) {
        copy[i] ^= 0x11;
        assert_int_not_equal(verify_der(copy, n, &v4), PONY_SEAL_OK);
        copy[i] ^= 0x11;
    }
    free(copy);
    OPENSSL_free(der);
    test_cert_free(&cert);
}

/* PX-245 */
static void a_signature_belongs_to_its_text_and_its_key(void **state)
{
    (void)state;
    const struct pony_bytes text = {"what is signed", 14};
    const struct pony_bytes other = {"what is signee", 14};
    uint8_t sig[PONY_CERT_SIG_MAX];
    uint32_t n = pony_cert_store_sign(store, text, sig);
    assert_in_range(n, 8, sizeof(sig));
    const struct pony_bytes all = {sig, n};
    const struct pony_bytes cut = {sig, n - 1};
    assert_true(pony_cert_is_signed(own.key, text, all));
    assert_false(pony_cert_is_signed(own.key, other, all));
    assert_false(pony_cert_is_signed(own.key, text, cut));
    assert_false(pony_cert_is_signed(ca.key, text, all));
    sig[n / 2] ^= 1;
    assert_false(pony_cert_is_signed(own.key, text, all));
}

/* What would be refused by peers, or cannot be used, is refused at once, by the name of its file. */
static void files_that_are_no_good_are_refused(void **state)
{
    (void)state;
    struct test_cert cert;
    struct pony_certs certs = files();
    certs.certificate.text = "nothing";
    expect_refused(&certs, "host.crt: no certificate can be read");
    certs = files();
    certs.private_key.text = ca.cert_pem;
    expect_refused(&certs, "host.key: no private key can be read");
    certs.private_key.text = ca.key_pem;
    expect_refused(&certs, "host.key: not the key of the certificate in host.crt");
    certs = files();
    certs.ca.text = "";
    expect_refused(&certs, "ca.crt: there is no self-signed certificate");
    certs.ca.text = own.cert_pem;
    expect_refused(&certs, "ca.crt: there is no self-signed certificate");
    certs = files();
    certs.peers = " , ";
    expect_refused(&certs, "peers");
    certs.peers = "a,b,c,d,e,f,g,h,i";
    expect_refused(&certs, "more than 8 names");
    certs = files();
    test_cert_make(&cert, NULL, &(struct test_cert_spec){.kind = "P-256", .is_ca = true});
    certs.ca.text = cert.cert_pem;
    expect_refused(&certs, "not from the CA");
    test_cert_free(&cert);
}

static void a_ca_file_that_breaks_off_is_refused(void **state)
{
    (void)state;
    char text[16384];
    struct pony_certs certs = files();
    (void)snprintf(text, sizeof(text), "%s%s", ca.cert_pem, ca.cert_pem);
    text[strlen(text) - 40] = '\0';
    certs.ca.text = text;
    expect_refused(&certs, "ca.crt: certificate 2 cannot be read");
}

static void an_rsa_key_cannot_be_ours(void **state)
{
    (void)state;
    struct test_cert cert;
    struct pony_certs certs = files();
    test_cert_make(&cert, &ca, &(struct test_cert_spec){.kind = "RSA"});
    certs.certificate.text = cert.cert_pem;
    certs.private_key.text = cert.key_pem;
    expect_refused(&certs, "host.key: a key of this kind cannot be used");
    test_cert_free(&cert);
}

/* PX-240: the limit is named when it is met. */
static void a_certificate_that_is_too_large_cannot_be_ours(void **state)
{
    (void)state;
    struct test_cert cert;
    char san[2048] = "DNS:x";
    struct pony_certs certs = files();
    for (int i = 0; i < 30; i++) {
        (void)snprintf(san + strlen(san), sizeof(san) - strlen(san), ",DNS:host-%020d.example", i);
    }
    test_cert_make(&cert, &ca, &(struct test_cert_spec){.kind = "P-256", .san = san});
    certs.certificate.text = cert.cert_pem;
    certs.private_key.text = cert.key_pem;
    expect_refused(&certs, "at most 900 fit into a handshake");
    test_cert_free(&cert);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(every_kind_of_key_but_rsa_is_taken),
        CASE(an_address_must_be_named_exactly),
        CASE(what_a_certificate_is_for_is_looked_at),
        CASE(dates_are_looked_at),
        CASE(a_leaf_signed_by_a_leaf_is_refused),
        CASE(der_that_is_not_a_certificate_is_refused),
        CASE(a_signature_belongs_to_its_text_and_its_key),
        CASE(files_that_are_no_good_are_refused),
        CASE(a_ca_file_that_breaks_off_is_refused),
        CASE(an_rsa_key_cannot_be_ours),
        CASE(a_certificate_that_is_too_large_cannot_be_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
