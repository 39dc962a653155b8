/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/seal_aead.h"

#include "base/clock.h"
#include "base/endian.h"
#include "base/rng.h"
#include "tests/support/cmocka_all.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_PACKETS = 100,
    PACKET_MAX = 9216
};

#define KEY_NS (UINT64_C(3600) * BASE_NS_PER_S)

/* Two ends that have agreed; a sends, b receives. */
struct ends {
    struct pony_aead aead;
    struct pony_aead_flow a, b;
    uint64_t now_ns;
};

static const struct pony_wire_versions versions = {PONY_WIRE_VERSION_MIN, PONY_WIRE_VERSION_MAX};
static struct ends ends;
static uint64_t n_allocations;

static void *count_malloc(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    n_allocations++;
    return malloc(n);
}

static void *count_realloc(void *at, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    n_allocations++;
    return realloc(at, n);
}

static void count_free(void *at, const char *file, int line)
{
    (void)file;
    (void)line;
    free(at);
}

static void start(enum pony_cipher cipher)
{
    static const uint8_t secrets[2][PONY_HASH_BYTES] = {{1, 2, 3}, {4, 5, 6}};
    memset(&ends, 0, sizeof(ends));
    ends.now_ns = BASE_NS_PER_S;
    assert_true(pony_aead_init(&ends.aead));
    assert_true(pony_aead_flow_init(&ends.a, &ends.aead, PONY_CIPHER_AES128_GCM));
    assert_true(pony_aead_flow_init(&ends.b, &ends.aead, PONY_CIPHER_AES128_GCM));
    struct pony_aead_setup setup = {
        .aead = &ends.aead,
        .cipher = cipher,
        .tx_secret = secrets[0],
        .rx_secret = secrets[1],
        .key_packets = KEY_PACKETS,
        .now_ns = ends.now_ns,
    };
    assert_true(pony_aead_flow_set_keys(&ends.a, &setup));
    setup.tx_secret = secrets[1];
    setup.rx_secret = secrets[0];
    assert_true(pony_aead_flow_set_keys(&ends.b, &setup));
    ends.a.tx.first_key_id = 0x5678;
}

static int setup(void **state)
{
    (void)state;
    start(PONY_CIPHER_AES128_GCM);
    return 0;
}

static int setup_chacha(void **state)
{
    (void)state;
    start(PONY_CIPHER_CHACHA20_POLY1305);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pony_aead_flow_fini(&ends.a);
    pony_aead_flow_fini(&ends.b);
    pony_aead_fini(&ends.aead);
    return 0;
}

static uint32_t seal(struct pony_aead_flow *from, uint8_t *at)
{
    static const uint8_t body[30] = "frames";
    static const uint8_t payload[77] = "an application's bytes";
    struct pony_wire_hdr hdr = {.version = PONY_WIRE_VERSION_MAX,
                                .type = PONY_WIRE_DATA,
                                .token = UINT64_C(0x1122334455667788),
                                .dst_flow = 0x99aabbcc,
                                .seq = 17,
                                .n_sack = 1,
                                .body_len = sizeof(body) + sizeof(payload),
                                .sack = {3}};
    struct pony_seal_out out = {.hdr = &hdr,
                                .body = body,
                                .payload = payload,
                                .body_len = sizeof(body),
                                .payload_len = sizeof(payload),
                                .now_ns = ends.now_ns};
    struct pony_aead_setup limits = {.key_packets = KEY_PACKETS, .now_ns = ends.now_ns};
    pony_aead_tx_rotate(from, &limits, KEY_NS, NULL);
    return pony_aead_seal(from, &out, at);
}

static enum pony_seal_verdict open_packet(struct pony_aead_flow *by, const uint8_t *packet,
                                          uint32_t len, uint8_t *plain)
{
    struct pony_sealed_outer outer;
    if (pony_sealed_decode_outer(&versions, packet, len, &outer) != PONY_WIRE_OK) {
        return PONY_SEAL_MALFORMED;
    }
    struct pony_seal_in in = {.outer = &outer, .packet = packet, .len = len, .now_ns = ends.now_ns};
    return pony_aead_open(by, &in, plain);
}

/* PX-204, PX-206, PX-220 */
static void what_is_sealed_opens_to_the_same(void **state)
{
    (void)state;
    uint8_t packet[PACKET_MAX];
    uint8_t plain[PACKET_MAX];
    uint32_t len = seal(&ends.a, packet);
    assert_int_equal(len, 48 + 8 + 30 + 77 + PONY_SEALED_OVERHEAD);
    assert_int_equal(open_packet(&ends.b, packet, len, plain), PONY_SEAL_OK);
    struct pony_sealed_outer outer;
    struct pony_wire_hdr hdr;
    const uint8_t *body;
    struct pony_sealed_note note = {1, 1};
    assert_int_equal(pony_sealed_decode_outer(&versions, packet, len, &outer), PONY_WIRE_OK);
    assert_int_equal(pony_sealed_decode_inner(&outer, plain, len - 44, &hdr, &note, &body),
                     PONY_WIRE_OK);
    assert_int_equal(hdr.type, PONY_WIRE_DATA);
    assert_int_equal(hdr.seq, 17);
    assert_int_equal(hdr.token, UINT64_C(0x1122334455667788));
    assert_int_equal(hdr.sack[0], 3);
    assert_int_equal(hdr.body_len, 107);
    assert_int_equal(note.seen, 0);
    assert_int_equal(note.first_key_id, 0x5678);
    assert_string_equal((const char *)body, "frames");
    assert_string_equal((const char *)body + 30, "an application's bytes");
}

/* PX-205: who has the key may still lie. */
static void what_was_decrypted_is_checked_like_any_packet(void **state)
{
    (void)state;
    const struct pony_sealed_outer outer = {.version = PONY_WIRE_VERSION_MAX};
    struct pony_wire_hdr hdr = {.type = PONY_WIRE_DATA, .n_sack = 2, .body_len = 5, .sack = {1, 1}};
    uint8_t good[128] = {0};
    struct pony_sealed_note note;
    const uint8_t *body;
    uint32_t len = pony_sealed_encode_inner(&hdr, &(struct pony_sealed_note){9, 0x1234}, good) + 5;

    static const struct {
        uint32_t at;
        uint8_t value;
    } lies[] = {
        {0, 0},
        {0, PONY_WIRE_HELLO},
        {0, PONY_WIRE_HELLO_OK},
        {0, PONY_WIRE_REFUSE},
        {0, PONY_WIRE_SEALED},
        {0, 255},
        {0, PONY_WIRE_ACK},
        {1, PONY_WIRE_FLAG_UNKNOWN},
        {1, 0x80},
        {2, 1},
        {2, 3},
        {2, 17},
        {2, 255},
        {28, 4},
        {28, 6},
        {29, 1},
        {40, 0},
    };

    assert_int_equal(pony_sealed_decode_inner(&outer, good, len, &hdr, &note, &body), PONY_WIRE_OK);
    assert_int_equal(note.seen, 9);
    assert_int_equal(note.first_key_id, 0x1234);
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        uint8_t bad[128];
        memcpy(bad, good, sizeof(bad));
        bad[lies[i].at] = lies[i].value;
        assert_int_not_equal(pony_sealed_decode_inner(&outer, bad, len, &hdr, &note, &body),
                             PONY_WIRE_OK);
    }
    for (uint32_t cut = 1; cut <= len; cut++) {
        assert_int_not_equal(pony_sealed_decode_inner(&outer, good, len - cut, &hdr, &note, &body),
                             PONY_WIRE_OK);
    }
}

/* PX-218 */
static void nothing_but_the_outer_header_is_readable(void **state)
{
    (void)state;
    uint8_t packet[PACKET_MAX];
    uint32_t len = seal(&ends.a, packet);
    assert_null(memmem(packet, len, "frames", 6));
    assert_null(memmem(packet, len, "application", 11));
    assert_int_equal(packet[4], PONY_WIRE_VERSION_MAX);
    assert_int_equal(packet[5], PONY_WIRE_SEALED);
    assert_int_equal(base_load_u64(packet + 8), UINT64_C(0x1122334455667788));
    assert_int_equal(base_load_u32(packet + 16), 0x99aabbcc);
}

/* PX-219 */
static void a_change_of_any_bit_is_found(void **state)
{
    (void)state;
    uint8_t packet[PACKET_MAX];
    uint8_t plain[PACKET_MAX];
    uint32_t len = seal(&ends.a, packet);
    for (uint32_t bit = 0; bit < 8 * len; bit++) {
        packet[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_not_equal(open_packet(&ends.b, packet, len, plain), PONY_SEAL_OK);
        packet[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(open_packet(&ends.b, packet, len, plain), PONY_SEAL_OK);
}

static void a_cut_or_lengthened_packet_is_found(void **state)
{
    (void)state;
    uint8_t packet[PACKET_MAX] = {0};
    uint8_t plain[PACKET_MAX];
    uint32_t len = seal(&ends.a, packet);
    for (uint32_t cut = 1; cut < len; cut++) {
        assert_int_not_equal(open_packet(&ends.b, packet, len - cut, plain), PONY_SEAL_OK);
    }
    assert_int_equal(open_packet(&ends.b, packet, len + 1, plain), PONY_SEAL_FORGED);
    assert_int_equal(open_packet(&ends.b, packet, len, plain), PONY_SEAL_OK);
}

static void a_packet_sent_back_to_its_sender_is_refused(void **state)
{
    (void)state;
    uint8_t packet[PACKET_MAX];
    uint8_t plain[PACKET_MAX];
    uint32_t len = seal(&ends.a, packet);
    assert_int_equal(open_packet(&ends.a, packet, len, plain), PONY_SEAL_FORGED);
}

static void a_packet_opens_once(void **state)
{
    (void)state;
    uint8_t packet[PACKET_MAX];
    uint8_t plain[PACKET_MAX];
    uint32_t len = seal(&ends.a, packet);
    assert_int_equal(open_packet(&ends.b, packet, len, plain), PONY_SEAL_OK);
    assert_int_equal(open_packet(&ends.b, packet, len, plain), PONY_SEAL_REPLAYED);
}

/* PX-221: the same text, sealed again, is another packet; numbers go on when keys change. */
static void no_number_is_used_twice(void **state)
{
    (void)state;
    static uint8_t packets[3 * KEY_PACKETS][256];
    for (uint32_t i = 0; i < 3 * KEY_PACKETS; i++) {
        struct pony_sealed_outer outer;
        ends.a.tx.seen = (uint8_t)ends.a.tx.generation;
        uint32_t len = seal(&ends.a, packets[i]);
        assert_int_equal(pony_sealed_decode_outer(&versions, packets[i], len, &outer),
                         PONY_WIRE_OK);
        assert_int_equal(outer.number, i);
        assert_int_equal(outer.generation, i / KEY_PACKETS);
        for (uint32_t j = 0; j < i; j++) {
            assert_memory_not_equal(packets[i] + 28, packets[j] + 28, 32);
        }
    }
}

/* PX-224 */
static void a_key_changes_only_when_the_peer_has_the_present_one(void **state)
{
    (void)state;
    uint8_t packet[PACKET_MAX];
    uint8_t plain[PACKET_MAX];
    uint32_t len = 0;
    for (uint32_t i = 0; i <= KEY_PACKETS; i++) {
        len = seal(&ends.a, packet);
    }
    assert_int_equal(ends.a.tx.generation, 1);
    for (uint32_t i = 0; i <= 2 * KEY_PACKETS; i++) {
        uint8_t lost[PACKET_MAX];
        (void)seal(&ends.a, lost);
    }
    assert_int_equal(ends.a.tx.generation, 1);
    assert_int_equal(open_packet(&ends.b, packet, len, plain), PONY_SEAL_OK);
    assert_int_equal(ends.b.rx.generation, 1);
    ends.a.tx.seen = (uint8_t)ends.b.rx.generation;
    len = seal(&ends.a, packet);
    assert_int_equal(ends.a.tx.generation, 2);
    assert_int_equal(open_packet(&ends.b, packet, len, plain), PONY_SEAL_OK);
}

/* PX-225 */
static void the_key_before_is_good_for_a_while(void **state)
{
    (void)state;
    uint8_t early[2][PACKET_MAX];
    uint8_t packet[PACKET_MAX];
    uint8_t plain[PACKET_MAX];
    uint32_t len = seal(&ends.a, early[0]);
    (void)seal(&ends.a, early[1]);
    for (uint32_t i = 0; i < KEY_PACKETS; i++) {
        len = seal(&ends.a, packet);
    }
    assert_int_equal(open_packet(&ends.b, packet, len, plain), PONY_SEAL_OK);
    assert_int_equal(ends.b.rx.generation, 1);
    ends.now_ns += (uint64_t)9 * BASE_NS_PER_S;
    assert_int_equal(open_packet(&ends.b, early[0], len, plain), PONY_SEAL_OK);
    ends.now_ns += (uint64_t)2 * BASE_NS_PER_S;
    assert_int_equal(open_packet(&ends.b, early[1], len, plain), PONY_SEAL_OLD_KEY);
}

static void a_generation_out_of_turn_is_refused(void **state)
{
    (void)state;
    static const uint32_t wrong[] = {2, 3, 4, 0x7fffffff, 0x80000000, UINT32_MAX - 1, UINT32_MAX};
    uint8_t packet[PACKET_MAX];
    uint8_t plain[PACKET_MAX];
    uint32_t len = seal(&ends.a, packet);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        base_store_u32(packet, wrong[i]);
        assert_int_equal(open_packet(&ends.b, packet, len, plain), PONY_SEAL_OLD_KEY);
    }
    base_store_u32(packet, 1); /* the next one: tried, and not believed */
    assert_int_equal(open_packet(&ends.b, packet, len, plain), PONY_SEAL_FORGED);
    assert_int_equal(ends.b.rx.generation, 0);
}

static void a_key_changes_with_time_too(void **state)
{
    (void)state;
    uint8_t packet[PACKET_MAX];
    ends.now_ns += KEY_NS - 1;
    (void)seal(&ends.a, packet);
    assert_int_equal(ends.a.tx.generation, 0);
    ends.now_ns++;
    (void)seal(&ends.a, packet);
    assert_int_equal(ends.a.tx.generation, 1);
}

/* Loss and reordering both ways while keys change every hundred packets. PX-224, PX-225 */
static void keys_change_under_loss_and_reordering(void **state)
{
    (void)state;
    static uint8_t held[64][PACKET_MAX];
    uint32_t lens[64] = {0};
    uint8_t plain[PACKET_MAX];
    struct base_rng rng;
    uint32_t n_opened = 0;
    base_rng_init(&rng, 1);
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t slot = base_rng_below(&rng, 64);
        if (lens[slot] > 0 && base_rng_chance(&rng, 800000)) {
            enum pony_seal_verdict verdict = open_packet(&ends.b, held[slot], lens[slot], plain);
            assert_true(verdict == PONY_SEAL_OK || verdict == PONY_SEAL_OLD_KEY);
            n_opened += verdict == PONY_SEAL_OK;
        }
        if (base_rng_chance(&rng, 500000)) { /* an acknowledgement that got through */
            ends.a.tx.seen = (uint8_t)ends.b.rx.generation;
        }
        lens[slot] = seal(&ends.a, held[slot]);
    }
    assert_in_range(ends.a.tx.generation, 20000 / KEY_PACKETS / 3, 20000 / KEY_PACKETS);
    assert_in_range(n_opened, 14000, 17000); /* of some 16000 that were not lost */
}

/* PX-226 */
static void sealing_opening_and_changing_keys_allocate_nothing(void **state)
{
    (void)state;
    uint8_t packet[PACKET_MAX];
    uint8_t plain[PACKET_MAX];
    uint64_t before = n_allocations;
    assert_true(before > 0); /* the counters are in place */
    for (uint32_t i = 0; i < 10 * KEY_PACKETS; i++) {
        uint32_t len = seal(&ends.a, packet);
        assert_int_equal(open_packet(&ends.b, packet, len, plain), PONY_SEAL_OK);
        ends.a.tx.seen = (uint8_t)ends.b.rx.generation;
        packet[len - 1] ^= 1;
        packet[20]++;
        assert_int_not_equal(open_packet(&ends.b, packet, len, plain), PONY_SEAL_OK);
    }
    assert_int_equal(ends.a.tx.generation, 9);
    assert_int_equal(n_allocations, before);
}

static void an_ended_flow_leaves_no_secret(void **state)
{
    (void)state;
    static const uint8_t zero[PONY_HASH_BYTES];
    uint8_t packet[PACKET_MAX];
    uint8_t plain[PACKET_MAX];
    uint32_t len = seal(&ends.a, packet);
    pony_aead_flow_reset(&ends.b);
    assert_memory_equal(ends.b.tx.secret, zero, PONY_HASH_BYTES);
    assert_memory_equal(ends.b.rx.secret, zero, PONY_HASH_BYTES);
    assert_int_not_equal(open_packet(&ends.b, packet, len, plain), PONY_SEAL_OK);
}

static const uint8_t rekey[PONY_HASH_BYTES] = {9, 9, 9};
static const struct pony_aead_move move = {.key_id = 0x10002, .rekey = rekey};

static void move_tx(struct pony_aead_flow *flow)
{
    const struct pony_aead_setup limits = {.key_packets = KEY_PACKETS, .now_ns = ends.now_ns};
    pony_aead_tx_rotate(flow, &limits, KEY_NS, &move);
}

static enum pony_seal_verdict open_moved(const uint8_t *packet, uint32_t len,
                                         const struct pony_aead_move *to, uint8_t *plain)
{
    struct pony_sealed_outer outer;
    assert_int_equal(pony_sealed_decode_outer(&versions, packet, len, &outer), PONY_WIRE_OK);
    struct pony_seal_in in = {.outer = &outer, .packet = packet, .len = len, .now_ns = ends.now_ns};
    return pony_aead_open_moved(&ends.b, &in, to, plain);
}

/* PX-228 */
static void a_flow_moves_to_another_cluster_key(void **state)
{
    (void)state;
    uint8_t before[PACKET_MAX];
    uint8_t after[PACKET_MAX];
    uint8_t plain[PACKET_MAX];
    uint32_t before_len = seal(&ends.a, before);
    move_tx(&ends.a);
    assert_int_equal(ends.a.tx.key_id, move.key_id);
    uint32_t after_len = seal(&ends.a, after);
    struct pony_sealed_outer outer;
    assert_int_equal(pony_sealed_decode_outer(&versions, after, after_len, &outer), PONY_WIRE_OK);
    assert_int_equal(outer.key_id, 2);
    assert_int_equal(outer.generation, 1);
    assert_int_equal(open_moved(after, after_len, &move, plain), PONY_SEAL_OK);
    assert_int_equal(ends.b.rx.key_id, move.key_id);
    assert_int_equal(open_packet(&ends.b, before, before_len, plain), PONY_SEAL_OK);
    for (int i = 0; i < 3; i++) { /* and on from there, as ever */
        ends.a.tx.seen = (uint8_t)ends.a.tx.generation;
        ends.a.tx.key_end = 0;
        after_len = seal(&ends.a, after);
        assert_int_equal(open_packet(&ends.b, after, after_len, plain), PONY_SEAL_OK);
    }
    assert_int_equal(ends.b.rx.generation, 4);
}

/* PX-228: nothing is moved by who does not have the other key. */
static void a_move_with_a_wrong_key_changes_nothing(void **state)
{
    (void)state;
    static const uint8_t wrong[PONY_HASH_BYTES] = {9, 9, 8};
    const struct pony_aead_move lie = {.key_id = move.key_id, .rekey = wrong};
    uint8_t packet[PACKET_MAX];
    uint8_t plain[PACKET_MAX];
    move_tx(&ends.a);
    uint32_t len = seal(&ends.a, packet);
    assert_int_equal(open_moved(packet, len, &lie, plain), PONY_SEAL_FORGED);
    assert_int_equal(open_packet(&ends.b, packet, len, plain), PONY_SEAL_FORGED);
    assert_int_equal(ends.b.rx.generation, 0);
    assert_int_equal(ends.b.rx.key_id, 0);
    assert_int_equal(open_moved(packet, len, &move, plain), PONY_SEAL_OK);
}

/* The ordinary next key is still good after that. */
static void after_a_failed_move_the_next_key_is_the_ordinary_one(void **state)
{
    (void)state;
    uint8_t packet[PACKET_MAX];
    uint8_t plain[PACKET_MAX];
    ends.a.tx.key_end = 0;
    uint32_t len = seal(&ends.a, packet);
    assert_int_equal(open_moved(packet, len, &move, plain), PONY_SEAL_FORGED);
    assert_int_equal(open_packet(&ends.b, packet, len, plain), PONY_SEAL_OK);
    assert_int_equal(ends.b.rx.generation, 1);
}

/* PX-224, PX-228 */
static void a_move_waits_until_the_peer_has_the_present_key(void **state)
{
    (void)state;
    ends.a.tx.generation = 1;
    ends.a.tx.seen = 0;
    move_tx(&ends.a);
    assert_int_equal(ends.a.tx.generation, 1);
    assert_int_equal(ends.a.tx.key_id, 0);
    ends.a.tx.seen = 1;
    move_tx(&ends.a);
    assert_int_equal(ends.a.tx.key_id, move.key_id);
}

int main(void)
{
    if (CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free) != 1) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_sealed_opens_to_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_sealed_opens_to_the_same, setup_chacha, teardown),
        cmocka_unit_test_setup_teardown(what_was_decrypted_is_checked_like_any_packet, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nothing_but_the_outer_header_is_readable, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_of_any_bit_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_of_any_bit_is_found, setup_chacha, teardown),
        cmocka_unit_test_setup_teardown(a_cut_or_lengthened_packet_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_packet_sent_back_to_its_sender_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_packet_opens_once, setup, teardown),
        cmocka_unit_test_setup_teardown(no_number_is_used_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_changes_only_when_the_peer_has_the_present_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_key_before_is_good_for_a_while, setup, teardown),
        cmocka_unit_test_setup_teardown(a_generation_out_of_turn_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_changes_with_time_too, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_change_under_loss_and_reordering, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_change_under_loss_and_reordering, setup_chacha,
                                        teardown),
        cmocka_unit_test_setup_teardown(sealing_opening_and_changing_keys_allocate_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(sealing_opening_and_changing_keys_allocate_nothing,
                                        setup_chacha, teardown),
        cmocka_unit_test_setup_teardown(an_ended_flow_leaves_no_secret, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flow_moves_to_another_cluster_key, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flow_moves_to_another_cluster_key, setup_chacha,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_move_with_a_wrong_key_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(after_a_failed_move_the_next_key_is_the_ordinary_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_move_waits_until_the_peer_has_the_present_key, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
