/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows secured with certificates, against those whose certificate is no good, who have somebody
 * else's, or who are not where they say.
 */
#include "base/clock.h"
#include "base/endian.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/test_certs.h"
#include "tests/support/test_security.h"
#include "tests/unit/pony_protocol/flow_pair.h"
#include "transport/pony/protocol/wire.h"

#include <stdio.h>
#include <string.h>

static struct flow_pair pair;
static struct test_cert ca, other_ca, certs[2];
static struct pony_certs files[2];
static struct pony_security security[2];
static struct base_rng rngs[2];
static char both_cas[16384];
static uint64_t walls[2];

static uint64_t wall_s(void *ctx)
{
    return *(uint64_t *)ctx;
}

/* The ends of a pair are ::1 and ::2. */
static const struct test_cert_spec good[2] = {
    {.kind = "ED25519", .san = "IP:::1,DNS:snapd.example", .usage = "serverAuth,clientAuth"},
    {.kind = "P-256", .san = "IP:::2,DNS:snapd.example", .key_usage = "digitalSignature"},
};

static void set_files(uint32_t idx)
{
    files[idx] = (struct pony_certs){
        .certificate = {"host.crt", certs[idx].cert_pem},
        .private_key = {"host.key", certs[idx].key_pem},
        .ca = {"ca.crt", ca.cert_pem},
        .peers = "address",
    };
}

static void set_cert(uint32_t idx, const struct test_cert *issuer,
                     const struct test_cert_spec *spec)
{
    test_cert_free(&certs[idx]);
    test_cert_make(&certs[idx], issuer, spec);
}

static int setup(void **state)
{
    (void)state;
    flow_pair_init(&pair);
    flow_pair_keep_logs(&pair, BASE_LOG_DEBUG);
    for (uint32_t i = 0; i < 2; i++) {
        set_cert(i, &ca, &good[i]);
        set_files(i);
        base_rng_init(&rngs[i], 50 + i);
        test_security_init(&security[i], &rngs[i]);
        security[i].mode = PONY_SECURITY_CERTS;
        security[i].n_psks = 0;
        security[i].certs = &files[i];
        walls[i] = TEST_CERTS_NOW_S;
        security[i].wall_s = wall_s;
        security[i].wall_ctx = &walls[i];
        pair.ends[i].config.security = &security[i];
    }
    return 0;
}

static int setup_started(void **state)
{
    (void)setup(state);
    flow_pair_start(&pair);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    flow_pair_stop(&pair);
    return 0;
}

static int make_cas(void **state)
{
    (void)state;
    test_cert_make(&ca, NULL, &(struct test_cert_spec){.kind = "P-256", .is_ca = true});
    test_cert_make(&other_ca, NULL, &(struct test_cert_spec){.kind = "P-256", .is_ca = true});
    return 0;
}

static int free_cas(void **state)
{
    (void)state;
    test_cert_free(&ca);
    test_cert_free(&other_ca);
    test_cert_free(&certs[0]);
    test_cert_free(&certs[1]);
    return 0;
}

/* PX-240, PX-245, PX-246: certificates of either kind. */
static void both_ends_come_up_and_data_flows(void **state)
{
    (void)state;
    flow_pair_connect(&pair);
    flow_pair_expect_data(&pair);
    for (uint32_t i = 0; i < 2; i++) {
        assert_string_equal(flow_pair_info(&pair, i).security, "certificates");
        assert_string_equal(flow_pair_info(&pair, i).seal.cipher, "aes-128-gcm");
        assert_int_equal(flow_pair_count(&pair, i, "drop_forged"), 0);
    }
}

/* PX-240: as PX-17. */
static void both_opening_at_once_share_one_flow(void **state)
{
    (void)state;
    flow_pair_open(&pair, 0);
    flow_pair_open(&pair, 1);
    flow_pair_run(&pair);
    assert_int_equal(pair.ends[0].n_ups, 1);
    assert_int_equal(pair.ends[1].n_ups, 1);
    assert_int_equal(flow_pair_n_flows(&pair, 0), 1);
    flow_pair_expect_data(&pair);
}

/* PX-242: a stranger's HELLO makes no flow and no signature, and what it gets is smaller. */
static void a_hello_without_a_cookie_gets_one_and_leaves_no_state(void **state)
{
    (void)state;
    struct flow_bytes hello;
    struct flow_bytes answer;
    flow_pair_open(&pair, 0);
    assert_true(flow_pair_take(&pair, 0, &hello));
    flow_pair_give(&pair, 1, &hello);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 0);
    assert_true(flow_pair_take(&pair, 1, &answer));
    assert_int_equal(flow_bytes_type(&answer), PONY_WIRE_REFUSE);
    assert_int_equal(answer.len, 48 + 16 + 16);
    assert_int_equal(flow_pair_count(&pair, 1, "drop_security"), 0);
    flow_pair_give(&pair, 0, &answer);
    flow_pair_run(&pair);
    assert_int_equal(pair.ends[0].n_ups, 1);
}

/* End 0 opens, is given a cookie, and says HELLO again: with its cookie, certificate and signature. */
static void take_hello_with_cookie(struct flow_bytes *hello)
{
    struct flow_bytes bytes;
    flow_pair_open(&pair, 0);
    assert_true(flow_pair_take(&pair, 0, &bytes));
    flow_pair_give(&pair, 1, &bytes);
    assert_true(flow_pair_take(&pair, 1, &bytes));
    flow_pair_give(&pair, 0, &bytes);
    assert_true(flow_pair_take(&pair, 0, hello));
}

/* PX-241: it belongs to one address, one flow, and a short time. */
static void a_cookie_is_good_for_nobody_else_and_not_for_long(void **state)
{
    (void)state;
    struct flow_bytes hello;
    take_hello_with_cookie(&hello);
    struct pony_addr from = pair.ends[0].addr;
    from.udp_port ^= 1;
    flow_pair_give_from(&pair, 1, &hello, &from);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 0);
    pair.now_ns += (uint64_t)25 * BASE_NS_PER_S;
    flow_pair_give(&pair, 1, &hello);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 0);
    pair.now_ns -= (uint64_t)25 * BASE_NS_PER_S;
    flow_pair_give(&pair, 1, &hello);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 1);
}

/* PX-241: who makes cookies up makes us send no more than a few HELLOs. */
static void made_up_cookies_do_not_make_us_send_without_end(void **state)
{
    (void)state;
    struct flow_bytes hello;
    uint32_t n_hellos = 0;
    flow_pair_open(&pair, 0);
    assert_true(flow_pair_take(&pair, 0, &hello));
    struct flow_bytes forged = {.len = 80};
    struct pony_wire_hdr hdr = {
        .version = 1,
        .type = PONY_WIRE_REFUSE,
        .dst_flow = base_load_u32(hello.data + 48 + 4),
        .token = base_load_u64(hello.data + 48 + 8),
        .body_len = 32,
        .covered_len = 32,
    };
    struct pony_wire_end end = {
        .reason = SHM_REASON_SECURITY, .detail = PONY_WIRE_DETAIL_COOKIE, .instance = 9};
    pony_wire_encode_end(&end, forged.data + 48);
    for (uint32_t i = 0; i < 100; i++) {
        forged.data[70] = (uint8_t)i;
        pony_wire_encode(&hdr, forged.data);
        flow_pair_give(&pair, 0, &forged);
        n_hellos += flow_pair_take(&pair, 0, &hello);
    }
    assert_int_equal(n_hellos, 4);
    flow_pair_wait(&pair, BASE_NS_PER_S, true);
    assert_int_equal(pair.ends[0].n_ups, 1);
}

/* PX-243, PX-244, PX-247: what is wrong with one end's certificate, and what each of them logs. */
static void a_certificate_that_is_no_good_is_refused_and_both_say_why(void **state)
{
    (void)state;

    static const struct {
        struct test_cert_spec spec;
        bool is_other_ca;
        const char *here, *there;
    } bad[] = {
        {{.kind = "P-256", .san = "IP:::1,IP:::2"},
         true,
         "its certificate is not from the CA",
         "our certificate is not from its CA"},
        {{.kind = "P-256", .san = "IP:::1,IP:::2", .from_s = -1000, .to_s = -1},
         false,
         "its certificate has expired",
         "our certificate has expired"},
        {{.kind = "P-256", .san = "IP:::1,IP:::2", .from_s = 1, .to_s = 1000},
         false,
         "its certificate has expired, or is not valid yet",
         "our certificate has expired, or is not valid yet"},
        {{.kind = "P-256", .san = "IP:::3,DNS:snapd.example"},
         false,
         "its certificate names nobody",
         "our certificate names nobody"},
        {{.kind = "P-256"}, false, "its certificate names nobody", "our certificate names nobody"},
    };

    (void)snprintf(both_cas, sizeof(both_cas), "%s%s", ca.cert_pem, other_ca.cert_pem);
    for (size_t i = 0; i < 2 * sizeof(bad) / sizeof(bad[0]); i++) {
        uint32_t who = i % 2;
        (void)setup(NULL);
        set_cert(who, bad[i / 2].is_other_ca ? &other_ca : &ca, &bad[i / 2].spec);
        set_files(who);
        files[who].ca.text = both_cas; /* its own snapd finds nothing wrong */
        walls[who] += (uint64_t)((bad[i / 2].spec.from_s + bad[i / 2].spec.to_s) / 2);
        flow_pair_start(&pair);
        flow_pair_expect_no_flow(&pair, SHM_REASON_SECURITY);
        flow_pair_expect_logged(&pair, 1 - who, bad[i / 2].here);
        flow_pair_expect_logged(&pair, who, bad[i / 2].there);
        flow_pair_stop(&pair);
    }
    (void)setup_started(NULL);
}

/* PX-244 */
static void peers_may_be_known_by_name(void **state)
{
    (void)state;
    static const struct test_cert_spec named = {.kind = "ED25519", .san = "DNS:snapd.example"};
    for (uint32_t i = 0; i < 2; i++) {
        set_cert(i, &ca, &named);
        set_files(i);
        files[i].peers = "other.example, snapd.example";
    }
    flow_pair_start(&pair);
    flow_pair_connect(&pair);
    flow_pair_expect_data(&pair);
}

static void a_name_that_is_not_in_the_list_is_refused(void **state)
{
    (void)state;
    files[1].peers = "other.example";
    flow_pair_start(&pair);
    flow_pair_expect_no_flow(&pair, SHM_REASON_SECURITY);
    flow_pair_expect_logged(&pair, 1, "names nobody who may be a peer");
}

/* PX-243: a certificate between leaf and root, known to the other end from its file. */
static void a_chain_may_have_something_between(void **state)
{
    (void)state;
    struct test_cert between;
    test_cert_make(&between, &ca, &(struct test_cert_spec){.kind = "P-384", .is_ca = true});
    set_cert(0, &between, &good[0]);
    set_files(0);
    (void)snprintf(both_cas, sizeof(both_cas), "%s%s", between.cert_pem, ca.cert_pem);
    files[0].ca.text = both_cas;
    files[1].ca.text = both_cas;
    flow_pair_start(&pair);
    flow_pair_connect(&pair);
    flow_pair_expect_data(&pair);
    test_cert_free(&between);
}

/* Both packets that carry a certificate, with a bit changed on the way and the checksum made right
 * again: no flow, or the very same. PX-245, PX-246 */
static void a_changed_handshake_never_gives_another_flow(void **state)
{
    (void)state;
    for (uint32_t bit = 32; bit < 8 * (48 + PONY_HELLO_CERTS_BYTES); bit += 61) {
        for (uint32_t which = 0; which < 2; which++) {
            struct flow_bytes bytes;
            (void)setup_started(NULL);
            take_hello_with_cookie(&bytes);
            if (which == 1) {
                flow_pair_give(&pair, 1, &bytes);
                assert_true(flow_pair_take(&pair, 1, &bytes));
                assert_int_equal(flow_bytes_type(&bytes), PONY_WIRE_HELLO_OK);
            }
            bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            if (48u + base_load_u16(bytes.data + 46) <= bytes.len) {
                flow_bytes_seal(&bytes);
            }
            flow_pair_give(&pair, 1 - which, &bytes);
            flow_pair_run(&pair);
            uint32_t n_ups = pair.ends[0].n_ups + pair.ends[1].n_ups;
            /* A changed HELLO may get another cookie, and the one that follows is a good one. */
            assert_true(n_ups == 0 || (which == 0 && n_ups == 2));
            if (n_ups == 2) {
                flow_pair_expect_data(&pair);
            }
            flow_pair_stop(&pair);
        }
    }
    (void)setup_started(NULL);
}

/* PX-245: who has the certificate of another one, which is public, but not the key. */
static void a_signature_by_another_key_is_refused(void **state)
{
    (void)state;
    struct flow_bytes bytes;
    take_hello_with_cookie(&bytes);
    uint32_t cert_len = base_load_u16(bytes.data + 136);
    bytes.data[48 + PONY_HELLO_CERTS_FIXED + cert_len + 5] ^= 1;
    flow_bytes_seal(&bytes);
    flow_pair_give(&pair, 1, &bytes);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 0);
    flow_pair_expect_logged(&pair, 1, "it does not have the private key of its certificate");
}

/* A HELLO seen on the way, from its own address, a moment later: it is the same flow. After its
 * cookie's time it is nothing. PX-241 */
static void a_replayed_hello_disturbs_nobody(void **state)
{
    (void)state;
    struct flow_bytes old;
    take_hello_with_cookie(&old);
    flow_pair_give(&pair, 1, &old);
    flow_pair_run(&pair);
    assert_int_equal(pair.ends[0].n_ups, 1);
    for (int i = 0; i < 20; i++) {
        flow_pair_give(&pair, 1, &old);
    }
    flow_pair_run(&pair);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 1);
    flow_pair_expect_data(&pair);
}

/* PX-242 */
static void verifications_are_limited(void **state)
{
    (void)state;
    uint32_t n_answers = 0;
    for (uint32_t i = 0; i < 30; i++) {
        struct flow_bytes bytes;
        flow_pair_open(&pair, 0);
        for (int turn = 0; turn < 2; turn++) { /* HELLO, cookie, HELLO */
            assert_true(flow_pair_take(&pair, 0, &bytes));
            flow_pair_give(&pair, 1, &bytes);
            if (turn == 0 && flow_pair_take(&pair, 1, &bytes)) {
                flow_pair_give(&pair, 0, &bytes);
            }
        }
        while (flow_pair_take(&pair, 1, &bytes)) {
            n_answers += flow_bytes_type(&bytes) == PONY_WIRE_HELLO_OK;
        }
        flow_pair_restart(&pair, 0);
    }
    assert_int_equal(n_answers, 4);
}

/* PX-202 */
static void another_mode_is_refused(void **state)
{
    (void)state;
    security[1].mode = PONY_SECURITY_PSK;
    security[1].n_psks = 1;
    flow_pair_start(&pair);
    flow_pair_expect_no_flow(&pair, SHM_REASON_SECURITY);
    flow_pair_expect_logged(&pair, 0, "it wants mode psk, this engine mode certificates");
    flow_pair_expect_logged(&pair, 1, "(it: mode certificates, this engine: mode psk)");
}

/* With the files of security[0]: how many flows that ended. */
static uint32_t exchange(void)
{
    struct pony_seal_keys *keys = NULL;
    assert_int_equal(pony_seal_certs.make_keys(&security[0], &keys), BASE_OK);
    uint32_t n_ended = pony_flows_set_keys(pair.ends[0].table, keys);
    pony_seal_certs.free_keys(keys);
    return n_ended;
}

/* PX-248 */
static void certificates_are_exchanged_while_a_flow_is_up(void **state)
{
    (void)state;
    struct pony_seal_keys *keys = NULL;
    flow_pair_connect(&pair);
    set_cert(0, &ca, &good[1]);
    set_cert(0, &ca, &good[0]);
    set_files(0);
    assert_int_equal(exchange(), 0);
    flow_pair_expect_data(&pair);
    files[0].private_key.text = certs[1].key_pem;
    assert_int_equal(pony_seal_certs.make_keys(&security[0], &keys), BASE_E_INVALID);
    assert_null(keys);
    flow_pair_expect_data(&pair);
    flow_pair_restart(&pair, 1);
    flow_pair_send(&pair, 0, 1);
    flow_pair_wait(&pair, (uint64_t)6 * BASE_NS_PER_S, true);
    pair.ends[0].n_ups = 0;
    flow_pair_open(&pair, 0); /* with the new one */
    flow_pair_wait(&pair, BASE_NS_PER_S, true);
    assert_int_equal(pair.ends[0].n_ups, 1);
}

/* PX-224: as in mode psk. */
static void keys_change_while_data_flows(void **state)
{
    (void)state;
    security[0].key_packets = 10;
    security[1].key_packets = 7;
    flow_pair_start(&pair);
    flow_pair_connect(&pair);
    for (int i = 0; i < 20; i++) {
        flow_pair_expect_data(&pair);
    }
    assert_true(flow_pair_info(&pair, 0).seal.tx_generation > 10);
}

/* PX-244: a member answers in another's place, from its own address and with its own certificate. */
static void another_member_cannot_answer_for_the_one_that_was_meant(void **state)
{
    (void)state;
    struct flow_bytes bytes;
    static const struct test_cert_spec member = {.kind = "P-256", .san = "IP:::3"};
    set_cert(1, &ca, &member);
    set_files(1);
    flow_pair_start(&pair);
    take_hello_with_cookie(&bytes);
    flow_pair_give(&pair, 1, &bytes);
    assert_true(flow_pair_take(&pair, 1, &bytes));
    assert_int_equal(flow_bytes_type(&bytes), PONY_WIRE_HELLO_OK);
    struct pony_addr from = pair.ends[1].addr;
    from.ip[15] = 3;
    flow_pair_give_from(&pair, 0, &bytes, &from);
    flow_pair_run(&pair);
    assert_int_equal(pair.ends[0].n_ups, 0);
    assert_int_equal(pair.ends[1].n_delivered, 0);
}

/* PX-248 */
static void a_handshake_that_the_old_certificate_began_ends_at_once(void **state)
{
    (void)state;
    struct flow_bytes hello;
    take_hello_with_cookie(&hello);
    flow_pair_give(&pair, 1, &hello);
    set_cert(0, &ca, &good[0]);
    set_files(0);
    assert_int_equal(exchange(), 1);
    flow_pair_wait(&pair, BASE_NS_PER_S / 10, true);
    assert_int_equal(pair.ends[0].n_ups, 0);
    assert_int_equal(pair.ends[0].n_downs, 1);
    assert_int_equal(pair.ends[0].reason, SHM_REASON_SECURITY);
}

int main(void)
{
#define STARTED(test)     cmocka_unit_test_setup_teardown(test, setup_started, teardown)
#define NOT_STARTED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        STARTED(both_ends_come_up_and_data_flows),
        STARTED(both_opening_at_once_share_one_flow),
        STARTED(a_hello_without_a_cookie_gets_one_and_leaves_no_state),
        STARTED(a_cookie_is_good_for_nobody_else_and_not_for_long),
        STARTED(made_up_cookies_do_not_make_us_send_without_end),
        NOT_STARTED(a_certificate_that_is_no_good_is_refused_and_both_say_why),
        NOT_STARTED(peers_may_be_known_by_name),
        NOT_STARTED(a_name_that_is_not_in_the_list_is_refused),
        NOT_STARTED(a_chain_may_have_something_between),
        NOT_STARTED(a_changed_handshake_never_gives_another_flow),
        STARTED(a_signature_by_another_key_is_refused),
        STARTED(a_replayed_hello_disturbs_nobody),
        STARTED(verifications_are_limited),
        NOT_STARTED(another_mode_is_refused),
        STARTED(certificates_are_exchanged_while_a_flow_is_up),
        NOT_STARTED(keys_change_while_data_flows),
        NOT_STARTED(another_member_cannot_answer_for_the_one_that_was_meant),
        STARTED(a_handshake_that_the_old_certificate_began_ends_at_once),
    };
    return cmocka_run_group_tests(tests, make_cas, free_cas);
}
