/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows secured with a cluster key, against those who have none, another one, or change packets.
 */
#include "base/clock.h"
#include "base/endian.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/test_security.h"
#include "tests/unit/pony_protocol/flow_pair.h"
#include "transport/pony/protocol/wire.h"

#include <string.h>

static struct flow_pair pair;
static struct pony_security security[2];
static struct base_rng rngs[2];

/* Two secured ends; a test changes `security`, then starts them. */
static int setup(void **state)
{
    (void)state;
    flow_pair_init(&pair);
    flow_pair_keep_logs(&pair, BASE_LOG_WARN);
    for (uint32_t i = 0; i < 2; i++) {
        base_rng_init(&rngs[i], 50 + i);
        test_security_init(&security[i], &rngs[i]);
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

/* PX-201, PX-216 */
static void both_ends_come_up_and_data_flows(void **state)
{
    (void)state;
    flow_pair_connect(&pair);
    flow_pair_expect_data(&pair);
    for (uint32_t i = 0; i < 2; i++) {
        assert_string_equal(flow_pair_info(&pair, i).security, "psk");
        assert_string_equal(flow_pair_info(&pair, i).seal.cipher, "aes-128-gcm");
        assert_int_equal(pony_flow_room_max(pair.ends[i].flow), 1452 - 48 - PONY_SEALED_OVERHEAD);
    }
}

/* PX-203 */
static void after_the_handshake_every_packet_is_sealed(void **state)
{
    (void)state;
    struct flow_bytes bytes;
    flow_pair_open(&pair, 0);
    for (int round = 0; round < 10; round++) {
        for (uint32_t i = 0; i < 2; i++) {
            while (flow_pair_take(&pair, i, &bytes)) {
                uint8_t type = flow_bytes_type(&bytes);
                bool is_hello = type == PONY_WIRE_HELLO || type == PONY_WIRE_HELLO_OK;
                assert_true(is_hello ? round == 0 : type == PONY_WIRE_SEALED);
                flow_pair_give(&pair, 1 - i, &bytes);
            }
        }
        if (round > 0) {
            flow_pair_send(&pair, 0, 3);
            flow_pair_send(&pair, 1, 3);
        }
    }
    pony_flows_shutdown(pair.ends[0].table, SHM_REASON_SHUTDOWN);
    assert_true(flow_pair_take(&pair, 0, &bytes));
    assert_int_equal(flow_bytes_type(&bytes), PONY_WIRE_SEALED);
    flow_pair_give(&pair, 1, &bytes);
    assert_int_equal(pair.ends[1].reason, SHM_REASON_SHUTDOWN);
}

/* PX-212 */
static void both_opening_at_once_share_one_secured_flow(void **state)
{
    (void)state;
    flow_pair_connect_crossed(&pair);
    flow_pair_expect_data(&pair);
}

/* PX-202: neither side gives in, and each says what the other wanted. */
static void a_plain_end_and_a_secured_one_have_no_flow(void **state)
{
    (void)state;
    for (uint32_t plain = 0; plain < 2; plain++) {
        (void)setup(NULL);
        security[plain].mode = PONY_SECURITY_PLAIN;
        flow_pair_start(&pair);
        flow_pair_expect_no_flow(&pair, SHM_REASON_SECURITY);
        flow_pair_expect_logged(&pair, 0,
                                plain == 0 ? "it wants mode psk, this engine mode plain"
                                           : "it wants mode plain, this engine mode psk");
        flow_pair_expect_logged(&pair, 1,
                                plain == 0 ? "(it: mode plain, this engine: mode psk)"
                                           : "(it: mode psk, this engine: mode plain)");
        if (plain == 0) {
            flow_pair_stop(&pair);
        }
    }
}

/* PX-211 */
static void another_key_under_the_same_number_is_refused(void **state)
{
    (void)state;
    security[1].psks[0].key[31] ^= 1;
    flow_pair_start(&pair);
    flow_pair_expect_no_flow(&pair, SHM_REASON_SECURITY);
    flow_pair_expect_logged(&pair, 1, "another cluster key");
    assert_true(flow_pair_count(&pair, 1, "drop_security") > 0);
}

static void an_unknown_key_number_is_refused(void **state)
{
    (void)state;
    security[1].psks[0].id = 8;
    flow_pair_start(&pair);
    flow_pair_expect_no_flow(&pair, SHM_REASON_SECURITY);
    flow_pair_expect_logged(&pair, 1, "another cluster key");
}

static void no_cipher_in_common_is_refused(void **state)
{
    (void)state;
    security[0].ciphers = 1 << PONY_CIPHER_AES128_GCM;
    security[1].ciphers = 1 << PONY_CIPHER_CHACHA20_POLY1305;
    security[1].cipher_preferred = PONY_CIPHER_CHACHA20_POLY1305;
    flow_pair_start(&pair);
    flow_pair_expect_no_flow(&pair, SHM_REASON_SECURITY);
}

/* PX-215 */
static void the_cipher_is_the_one_that_is_fast_at_both_ends(void **state)
{
    (void)state;
    security[1].cipher_preferred = PONY_CIPHER_CHACHA20_POLY1305;
    flow_pair_start(&pair);
    flow_pair_connect(&pair);
    flow_pair_expect_data(&pair);
    assert_string_equal(flow_pair_info(&pair, 0).seal.cipher, "chacha20-poly1305");
    assert_string_equal(flow_pair_info(&pair, 1).seal.cipher, "chacha20-poly1305");
}

/* PX-210: new key added everywhere, then made the first everywhere, then the old one removed. */
static void a_cluster_key_is_replaced_host_by_host(void **state)
{
    (void)state;
    static const uint32_t stages[][2][2] = {
        {{7, 0}, {7, 8}}, {{7, 8}, {7, 0}}, {{7, 8}, {7, 8}}, {{8, 7}, {7, 8}},
        {{7, 8}, {8, 7}}, {{8, 7}, {8, 7}}, {{8, 0}, {8, 7}}, {{8, 0}, {8, 0}},
    };
    for (size_t s = 0; s < sizeof(stages) / sizeof(stages[0]); s++) {
        for (int both = 0; both < 2; both++) {
            (void)setup(NULL);
            for (uint32_t i = 0; i < 2; i++) {
                security[i].n_psks = stages[s][i][1] != 0 ? 2 : 1;
                for (uint32_t k = 0; k < security[i].n_psks; k++) {
                    security[i].psks[k].id = stages[s][i][k];
                    memset(security[i].psks[k].key, (int)stages[s][i][k], PONY_PSK_BYTES);
                }
            }
            flow_pair_start(&pair);
            flow_pair_open(&pair, 0);
            if (both) {
                flow_pair_open(&pair, 1);
            }
            flow_pair_run(&pair);
            assert_int_equal(pair.ends[0].n_ups, 1);
            flow_pair_expect_data(&pair);
            flow_pair_stop(&pair);
        }
    }
    (void)setup_started(NULL);
}

/* Every bit of both handshake packets, changed on the way with the checksum made right again: no
 * flow, or the very same flow. PX-213 */
static void a_changed_handshake_never_gives_another_flow(void **state)
{
    (void)state;
    for (uint32_t bit = 32; bit < 8 * (48 + PONY_HELLO_PSK_BYTES); bit++) {
        for (uint32_t which = 0; which < 2; which++) {
            struct flow_bytes hello;
            struct flow_bytes ok;
            (void)setup_started(NULL);
            flow_pair_open(&pair, 0);
            assert_true(flow_pair_take(&pair, 0, &hello));
            struct flow_bytes *changed = which == 0 ? &hello : &ok;
            if (which == 1) {
                flow_pair_give(&pair, 1, &hello);
                assert_true(flow_pair_take(&pair, 1, &ok));
            }
            changed->data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            if (48u + base_load_u16(changed->data + 46) <= changed->len) {
                flow_bytes_seal(changed);
            }
            if (which == 0) {
                flow_pair_give(&pair, 1, &hello);
            } else {
                flow_pair_give(&pair, 0, &ok);
            }
            flow_pair_run(&pair);
            /* The confirmation's place in HELLO is not used: nothing is changed by it. */
            bool is_unused = which == 0 && bit >= 8 * (48 + PONY_HELLO_CONFIRM_AT);
            assert_int_equal(pair.ends[0].n_ups, is_unused);
            assert_int_equal(pair.ends[1].n_ups, is_unused);
            flow_pair_stop(&pair);
        }
    }
    (void)setup_started(NULL);
}

/* PX-202: someone on the path makes the offer look plain. */
static void taking_the_feature_out_of_a_hello_does_not_help(void **state)
{
    (void)state;
    struct flow_bytes hello;
    flow_pair_open(&pair, 0);
    assert_true(flow_pair_take(&pair, 0, &hello));
    base_store_u64(hello.data + 48 + 24, 0);
    base_store_u16(hello.data + 46, 32);
    flow_bytes_seal(&hello);
    flow_pair_give(&pair, 1, &hello);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 0);
    assert_true(flow_pair_take(&pair, 1, &hello));
    assert_int_equal(flow_bytes_type(&hello), PONY_WIRE_REFUSE);
}

/* Ours come back to us. */
static void a_reflected_hello_makes_no_flow(void **state)
{
    (void)state;
    struct flow_bytes hello;
    flow_pair_open(&pair, 0);
    assert_true(flow_pair_take(&pair, 0, &hello));
    flow_pair_give(&pair, 0, &hello);
    while (flow_pair_take(&pair, 0, &hello)) {
        flow_pair_give(&pair, 0, &hello);
    }
    assert_int_equal(pair.ends[0].n_ups, 0);
    flow_pair_wait(&pair, BASE_NS_PER_S, true);
    assert_int_equal(pair.ends[0].n_ups, 1);
    flow_pair_expect_data(&pair);
}

/* An old HELLO of this very peer gets an answer that only the peer could use. PX-213 */
static void a_replayed_hello_does_not_disturb_a_flow(void **state)
{
    (void)state;
    struct flow_bytes old;
    struct flow_bytes answer;
    flow_pair_open(&pair, 0);
    assert_true(flow_pair_take(&pair, 0, &old));
    flow_pair_restart(&pair, 0);
    flow_pair_connect(&pair);
    flow_pair_give(&pair, 1, &old);
    uint32_t n_answers = 0;
    while (flow_pair_take(&pair, 1, &answer)) { /* and a question to the present flow */
        n_answers += flow_bytes_type(&answer) == PONY_WIRE_HELLO_OK;
        flow_pair_give(&pair, 0, &answer);
    }
    assert_int_equal(n_answers, 1);
    flow_pair_expect_data(&pair);
    flow_pair_wait(&pair, (uint64_t)5 * BASE_NS_PER_S, true);
    assert_int_equal(flow_pair_n_flows(&pair, 1), 1);
    assert_int_equal(pair.ends[1].n_downs, 0);
}

/* PX-227 */
static void key_agreements_are_limited(void **state)
{
    (void)state;
    uint32_t n_answers = 0;
    for (uint32_t i = 0; i < 200; i++) {
        struct flow_bytes bytes;
        flow_pair_open(&pair, 0);
        assert_true(flow_pair_take(&pair, 0, &bytes));
        struct pony_addr from = pair.ends[0].addr;
        from.udp_port = (uint16_t)(5000 + i);
        flow_pair_give_from(&pair, 1, &bytes, &from);
        while (flow_pair_take(&pair, 1, &bytes)) {
            n_answers += flow_bytes_type(&bytes) == PONY_WIRE_HELLO_OK;
        }
        flow_pair_restart(&pair, 0);
    }
    assert_int_equal(n_answers, 64);
}

/* PX-227: one recorded HELLO, from everywhere: beyond the limit it costs neither flow nor key. */
static void a_repeated_hello_makes_no_more_flows_than_agreements(void **state)
{
    (void)state;
    struct flow_bytes bytes;
    flow_pair_open(&pair, 0);
    assert_true(flow_pair_take(&pair, 0, &bytes));
    struct pony_addr from = pair.ends[0].addr;
    for (uint32_t i = 0; i < 300; i++) {
        from.ip[3] = (uint8_t)i;
        from.ip[4] = (uint8_t)(i >> 8);
        flow_pair_give_from(&pair, 1, &bytes, &from);
    }
    assert_int_equal(flow_pair_count(&pair, 1, "flows_opened"), 64);
}

/* PX-230: what anybody could have sent ends nothing. */
static void an_open_reset_only_makes_it_ask(void **state)
{
    (void)state;
    struct flow_bytes data;
    flow_pair_connect(&pair);
    flow_pair_send(&pair, 0, 1);
    assert_true(flow_pair_take(&pair, 0, &data)); /* an eavesdropper sees flow and token */
    struct pony_wire_end end = {.reason = SHM_REASON_SHUTDOWN, .instance = 99};
    for (int unknown = 0; unknown < 2; unknown++) {
        struct flow_bytes forged = {.len = PONY_WIRE_HDR_BYTES + PONY_WIRE_END_BYTES};
        struct pony_wire_hdr hdr = {
            .version = 1,
            .type = PONY_WIRE_RESET,
            .flags = (uint8_t)(unknown ? PONY_WIRE_FLAG_UNKNOWN : 0),
            .token = base_load_u64(data.data + 8),
            .dst_flow = base_load_u32(data.data + 16),
            .hops = 255,
            .body_len = PONY_WIRE_END_BYTES,
            .covered_len = PONY_WIRE_END_BYTES,
        };
        pony_wire_encode_end(&end, forged.data + PONY_WIRE_HDR_BYTES);
        pony_wire_encode(&hdr, forged.data);
        flow_pair_give(&pair, unknown ? 0 : 1, &forged);
        assert_int_equal(flow_pair_count(&pair, unknown ? 0 : 1, "hints_not_believed"), 1);
    }
    flow_pair_wait(&pair, (uint64_t)20 * BASE_NS_PER_S, true);
    assert_int_equal(pair.ends[0].n_downs, 0);
    assert_int_equal(pair.ends[1].n_downs, 0);
    flow_pair_expect_data(&pair);
}

/* PX-230: and where it is true, the end comes sooner than by silence alone. */
static void a_restarted_peer_is_found_through_its_hint(void **state)
{
    (void)state;
    flow_pair_connect(&pair);
    pony_flow_add_user(pair.ends[0].flow);
    flow_pair_restart(&pair, 1);
    flow_pair_send(&pair, 0, 1);
    flow_pair_wait(&pair, 1500 * BASE_NS_PER_MS, true);
    assert_int_equal(pair.ends[0].n_downs, 1);
    assert_int_equal(pair.ends[0].reason, SHM_REASON_PEER_RESTARTED);
    assert_in_range(flow_pair_count(&pair, 1, "tx_resets"), 1, 100);
}

/* PX-230: who says "no" may not be the one who was asked. */
static void a_forged_refusal_does_not_end_a_handshake(void **state)
{
    (void)state;
    struct flow_bytes hello;
    struct flow_bytes forged = {.len = PONY_WIRE_HDR_BYTES + PONY_WIRE_END_BYTES};
    flow_pair_open(&pair, 0);
    assert_true(flow_pair_take(&pair, 0, &hello));
    struct pony_wire_hdr hdr = {
        .version = 1,
        .type = PONY_WIRE_REFUSE,
        .dst_flow = base_load_u32(hello.data + 48 + 4),
        .token = base_load_u64(hello.data + 48 + 8),
        .body_len = PONY_WIRE_END_BYTES,
        .covered_len = PONY_WIRE_END_BYTES,
    };
    struct pony_wire_end end = {.reason = SHM_REASON_SECURITY, .instance = 99};
    pony_wire_encode_end(&end, forged.data + PONY_WIRE_HDR_BYTES);
    pony_wire_encode(&hdr, forged.data);
    flow_pair_give(&pair, 0, &forged);
    assert_int_equal(pair.ends[0].n_downs, 0);
    flow_pair_give(&pair, 1, &hello);
    flow_pair_run(&pair);
    assert_int_equal(pair.ends[0].n_ups, 1);
    flow_pair_expect_data(&pair);
}

/* PX-203 */
static void open_data_on_a_secured_flow_is_dropped(void **state)
{
    (void)state;
    struct flow_bytes data;
    flow_pair_connect(&pair);
    flow_pair_send(&pair, 0, 1);
    assert_true(flow_pair_take(&pair, 0, &data));
    struct flow_bytes forged = {.len = PONY_WIRE_HDR_BYTES + 4};
    struct pony_wire_hdr hdr = {
        .version = 1,
        .type = PONY_WIRE_DATA,
        .token = base_load_u64(data.data + 8),
        .dst_flow = base_load_u32(data.data + 16),
        .body_len = 4,
        .covered_len = 4,
    };
    pony_wire_encode(&hdr, forged.data);
    flow_pair_give(&pair, 1, &forged);
    assert_int_equal(flow_pair_count(&pair, 1, "drop_unsealed"), 1);
    assert_int_equal(pair.ends[1].n_delivered, 0);
}

/* PX-223 */
static void a_replayed_packet_is_dropped(void **state)
{
    (void)state;
    struct flow_bytes data;
    flow_pair_connect(&pair);
    flow_pair_send(&pair, 0, 1);
    assert_true(flow_pair_take(&pair, 0, &data));
    flow_pair_give(&pair, 1, &data);
    flow_pair_give(&pair, 1, &data);
    assert_int_equal(flow_pair_count(&pair, 1, "drop_replayed"), 1);
    assert_int_equal(flow_pair_count(&pair, 1, "rx_duplicates"), 0);
    assert_int_equal(pair.ends[1].n_delivered, 1);
}

/* PX-221 */
static void a_packet_sent_again_looks_like_another(void **state)
{
    (void)state;
    struct flow_bytes first;
    struct flow_bytes again;
    flow_pair_connect(&pair);
    flow_pair_send(&pair, 0, 1);
    assert_true(flow_pair_take(&pair, 0, &first));
    pair.now_ns += BASE_NS_PER_S;
    pony_flows_on_time(pair.ends[0].table, pair.now_ns);
    assert_true(flow_pair_take(&pair, 0, &again));
    assert_int_equal(base_load_u64(again.data + 20), base_load_u64(first.data + 20) + 1);
    assert_memory_not_equal(again.data + 28, first.data + 28, 16);
    flow_pair_give(&pair, 1, &again);
    flow_pair_give(&pair, 1, &first);
    assert_int_equal(pair.ends[1].n_delivered, 1);
}

/* PX-224 */
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
    assert_true(flow_pair_info(&pair, 0).seal.rx_generation > 10);
    assert_int_equal(flow_pair_info(&pair, 0).seal.tx_generation,
                     flow_pair_info(&pair, 1).seal.rx_generation);
    assert_int_equal(flow_pair_count(&pair, 0, "tx_resent"), 0);
}

static struct pony_seal_keys *make_keys(const struct pony_security *from)
{
    struct pony_seal_keys *keys = NULL;
    assert_int_equal(pony_seal_psk.make_keys(from, &keys), BASE_OK);
    return keys;
}

static void take_keys(uint32_t idx, struct pony_seal_keys *keys, uint32_t n_to_end)
{
    assert_int_equal(pony_flows_set_keys(pair.ends[idx].table, keys), n_to_end);
    pony_seal_psk.free_keys(keys);
}

/* Up to two keys, each of bytes like its number. */
static void set_keys(uint32_t idx, uint32_t first, uint32_t second, uint32_t n_to_end)
{
    struct pony_security keys = security[idx];
    keys.n_psks = second != 0 ? 2 : 1;
    keys.psks[0].id = first;
    keys.psks[1].id = second;
    memset(keys.psks[0].key, (int)first, PONY_PSK_BYTES);
    memset(keys.psks[1].key, (int)second, PONY_PSK_BYTES);
    take_keys(idx, make_keys(&keys), n_to_end);
}

static void start_with_key_7(void)
{
    for (uint32_t i = 0; i < 2; i++) {
        memset(security[i].psks[0].key, 7, PONY_PSK_BYTES);
    }
    flow_pair_start(&pair);
    flow_pair_connect(&pair);
    assert_int_equal(flow_pair_info(&pair, 0).seal.key_id, 7);
}

/* PX-228, PX-229: the way of PX-210, on a flow that is there all the time. */
static void a_flow_moves_to_a_new_cluster_key_while_data_flows(void **state)
{
    (void)state;
    start_with_key_7();
    for (uint32_t turn = 0; turn < 2; turn++) {
        set_keys(turn, 7, 8, 0);
        flow_pair_expect_data(&pair);
        assert_int_equal(flow_pair_info(&pair, turn).seal.key_id, 7);
    }
    set_keys(0, 8, 7, 0); /* the other one still prefers 7, but has 8 */
    flow_pair_send(&pair, 0, 50);
    flow_pair_run(&pair);
    flow_pair_expect_data(&pair);
    assert_int_equal(flow_pair_info(&pair, 0).seal.key_id, 8);
    assert_int_equal(flow_pair_info(&pair, 1).seal.key_id, 8);
    set_keys(1, 8, 7, 0);
    flow_pair_expect_data(&pair);
    set_keys(0, 8, 0, 0);
    flow_pair_expect_data(&pair);
    set_keys(1, 8, 0, 0);
    flow_pair_expect_data(&pair);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(pair.ends[i].n_downs, 0);
        assert_int_equal(flow_pair_count(&pair, i, "drop_forged"), 0);
        assert_int_equal(flow_pair_count(&pair, i, "drop_old_key"), 0);
        assert_int_equal(flow_pair_info(&pair, i).seal.tx_generation, 1);
    }
}

/* Nobody is moved to a key that the peer may not have. */
static void a_key_that_only_one_end_has_is_not_used(void **state)
{
    (void)state;
    start_with_key_7();
    set_keys(0, 8, 7, 0);
    for (int i = 0; i < 5; i++) {
        flow_pair_expect_data(&pair);
    }
    assert_int_equal(flow_pair_info(&pair, 0).seal.key_id, 7);
    assert_int_equal(flow_pair_info(&pair, 0).seal.tx_generation, 0);
    set_keys(1, 7, 8, 0); /* now it has, and hears that the other one prefers it */
    flow_pair_expect_data(&pair);
    flow_pair_expect_data(&pair);
    assert_int_equal(flow_pair_info(&pair, 0).seal.key_id, 8);
}

/* Packets of the move are lost, late and twice. */
static void a_move_survives_loss_and_replay(void **state)
{
    (void)state;
    struct flow_bytes old;
    start_with_key_7();
    flow_pair_send(&pair, 0, 1);
    assert_true(flow_pair_take(&pair, 0, &old));
    set_keys(1, 7, 8, 0);
    set_keys(0, 8, 7, 0);
    (void)flow_pair_lose(&pair, 0);
    (void)flow_pair_lose(&pair, 1);
    flow_pair_send(&pair, 0, 1);
    flow_pair_wait(&pair, BASE_NS_PER_S, true);
    flow_pair_expect_data(&pair);
    flow_pair_expect_data(&pair);
    assert_int_equal(flow_pair_info(&pair, 1).seal.key_id, 8);
    flow_pair_give(&pair, 1, &old);
    flow_pair_expect_data(&pair);
    assert_int_equal(pair.ends[0].n_downs + pair.ends[1].n_downs, 0);
}

/* PX-229 */
static void flows_of_a_removed_key_end(void **state)
{
    (void)state;
    start_with_key_7();
    set_keys(0, 8, 0, 1);
    assert_int_equal(pair.ends[0].n_downs, 1);
    assert_int_equal(pair.ends[0].reason, SHM_REASON_SECURITY);
    flow_pair_run(&pair); /* the peer is told, with the flow's own keys */
    assert_int_equal(pair.ends[1].n_downs, 1);
    assert_int_equal(pair.ends[1].reason, SHM_REASON_SECURITY);
}

/* PX-229: the number stays, the key does not. */
static void a_key_that_was_changed_under_its_number_is_a_removed_one(void **state)
{
    (void)state;
    start_with_key_7();
    struct pony_security keys = security[0];
    keys.psks[0].key[0] ^= 1;
    take_keys(0, make_keys(&keys), 1);
}

/* PX-229: in the midst of a handshake. */
static void a_handshake_goes_on_with_the_new_key(void **state)
{
    (void)state;
    struct flow_bytes hello;
    for (uint32_t i = 0; i < 2; i++) {
        memset(security[i].psks[0].key, 7, PONY_PSK_BYTES);
    }
    flow_pair_start(&pair);
    set_keys(1, 8, 0, 0);
    flow_pair_open(&pair, 0);
    assert_true(flow_pair_take(&pair, 0, &hello));
    set_keys(0, 8, 0, 0);
    flow_pair_give(&pair, 1, &hello); /* refused, which nothing proves */
    flow_pair_wait(&pair, BASE_NS_PER_S, true);
    assert_int_equal(pair.ends[0].n_ups, 1);
    flow_pair_expect_data(&pair);
    assert_int_equal(flow_pair_info(&pair, 0).seal.key_id, 8);
}

/* PX-229: they are refused when they are made, of whichever engine, before any has its own. */
static void bad_keys_change_nothing(void **state)
{
    (void)state;
    start_with_key_7();
    struct pony_security bad = security[0];
    struct pony_seal_keys *keys = make_keys(&security[0]);
    pony_seal_psk.free_keys(keys);
    bad.psks[0].id = 8;
    keys = make_keys(&bad); /* good, but another engine's are not */
    pony_seal_psk.free_keys(keys);
    bad.n_psks = 0;
    assert_int_equal(pony_seal_psk.make_keys(&bad, &keys), BASE_E_INVALID);
    assert_null(keys);
    bad.n_psks = PONY_PSKS_MAX + 1;
    assert_int_equal(pony_seal_psk.make_keys(&bad, &keys), BASE_E_INVALID);
    bad.n_psks = 2; /* they would look alike in packets */
    bad.psks[1].id = bad.psks[0].id + 0x10000;
    assert_int_equal(pony_seal_psk.make_keys(&bad, &keys), BASE_E_INVALID);
    pony_seal_psk.free_keys(keys);
    flow_pair_expect_data(&pair);
    assert_int_equal(flow_pair_info(&pair, 0).seal.key_id, 7);
}

static void mode_plain_has_no_keys(void **state)
{
    (void)state;
    struct pony_seal_keys *keys = NULL;
    assert_int_equal(pony_seal_plain.make_keys(&security[0], &keys), BASE_E_UNSUPPORTED);
    assert_null(keys);
}

static void a_bad_configuration_is_refused(void **state)
{
    (void)state;
    struct pony_security good = security[0];
    struct pony_security bad[7];
    struct pony_flow_table *table;
    for (size_t i = 0; i < 7; i++) {
        bad[i] = good;
    }
    bad[0].n_psks = 0;
    bad[1].n_psks = PONY_PSKS_MAX + 1;
    bad[2].psks[0].id = 0;
    bad[3].n_psks = 2;
    bad[3].psks[1] = bad[3].psks[0];
    bad[4].random = NULL;
    bad[5].ciphers = 0;
    bad[6].mode = PONY_SECURITY_MODE_MAX;
    for (size_t i = 0; i < 7; i++) {
        struct pony_flow_config config = pair.ends[0].config;
        config.security = &bad[i];
        assert_int_equal(pony_flow_table_create(&config, 0, &table), BASE_E_INVALID);
    }
    flow_pair_start(&pair);
}

int main(void)
{
#define STARTED(test)     cmocka_unit_test_setup_teardown(test, setup_started, teardown)
#define NOT_STARTED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        STARTED(both_ends_come_up_and_data_flows),
        STARTED(after_the_handshake_every_packet_is_sealed),
        STARTED(both_opening_at_once_share_one_secured_flow),
        NOT_STARTED(a_plain_end_and_a_secured_one_have_no_flow),
        NOT_STARTED(another_key_under_the_same_number_is_refused),
        NOT_STARTED(an_unknown_key_number_is_refused),
        NOT_STARTED(no_cipher_in_common_is_refused),
        NOT_STARTED(the_cipher_is_the_one_that_is_fast_at_both_ends),
        NOT_STARTED(a_cluster_key_is_replaced_host_by_host),
        NOT_STARTED(a_changed_handshake_never_gives_another_flow),
        STARTED(taking_the_feature_out_of_a_hello_does_not_help),
        STARTED(a_reflected_hello_makes_no_flow),
        STARTED(a_replayed_hello_does_not_disturb_a_flow),
        STARTED(key_agreements_are_limited),
        STARTED(a_repeated_hello_makes_no_more_flows_than_agreements),
        STARTED(an_open_reset_only_makes_it_ask),
        STARTED(a_restarted_peer_is_found_through_its_hint),
        STARTED(a_forged_refusal_does_not_end_a_handshake),
        STARTED(open_data_on_a_secured_flow_is_dropped),
        STARTED(a_replayed_packet_is_dropped),
        STARTED(a_packet_sent_again_looks_like_another),
        NOT_STARTED(keys_change_while_data_flows),
        NOT_STARTED(a_bad_configuration_is_refused),
        NOT_STARTED(a_flow_moves_to_a_new_cluster_key_while_data_flows),
        NOT_STARTED(a_key_that_only_one_end_has_is_not_used),
        NOT_STARTED(a_move_survives_loss_and_replay),
        NOT_STARTED(flows_of_a_removed_key_end),
        NOT_STARTED(a_key_that_was_changed_under_its_number_is_a_removed_one),
        NOT_STARTED(a_handshake_goes_on_with_the_new_key),
        NOT_STARTED(bad_keys_change_nothing),
        NOT_STARTED(mode_plain_has_no_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
