/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/wire.h"

#include "base/endian.h"
#include "base/hash.h"
#include "tests/support/cmocka_all.h"

#include <string.h>

static struct pony_wire_hdr sample(void)
{
    return (struct pony_wire_hdr){
        .version = 1,
        .type = PONY_WIRE_DATA,
        .flags = PONY_WIRE_FLAG_ECHO,
        .token = UINT64_C(0x1122334455667788),
        .dst_flow = 0x99aabbcc,
        .seq = 0xffffffff,
        .ack = 0x80000000,
        .tx_ts = 0x01020304,
        .echo_ts = 0x05060708,
        .echo_delay_ns = 0x0a0b0c0d,
        .hops = 3,
        .n_dup = 250,
        .n_ce = 65535,
        .body_len = 100,
        .covered_len = 40,
    };
}

/* Header, SACK and a body of counting bytes. */
static uint32_t build(const struct pony_wire_hdr *hdr, uint8_t *at)
{
    uint32_t hdr_len = pony_wire_hdr_len(hdr->n_sack);
    for (uint32_t i = 0; i < hdr->body_len; i++) {
        at[hdr_len + i] = (uint8_t)i;
    }
    pony_wire_encode(hdr, at);
    return hdr_len + hdr->body_len;
}

/* Sets a byte and makes the checksum right again, as a hostile peer would. */
static void forge(uint8_t *data, uint32_t at, uint8_t value)
{
    data[at] = value;
    uint32_t covered = base_load_u16(data + 46);
    base_store_u32(data, base_crc32c(0, data + 4, 44u + 8u * data[7] + covered));
}

static enum pony_wire_verdict decode(const uint8_t *data, uint32_t len)
{
    struct pony_wire_hdr hdr;
    const uint8_t *body;
    return pony_wire_decode(data, len, &hdr, &body);
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    for (uint32_t n_sack = 0; n_sack <= PONY_WIRE_SACK_WORDS_MAX; n_sack++) {
        uint8_t data[512];
        struct pony_wire_hdr in = sample();
        struct pony_wire_hdr out;
        const uint8_t *body;
        memset(&out, 0, sizeof(out));
        in.n_sack = (uint8_t)n_sack;
        for (uint32_t i = 0; i < n_sack; i++) {
            in.sack[i] = UINT64_C(0x8000000000000001) + i;
        }
        uint32_t len = build(&in, data);
        assert_int_equal(pony_wire_decode(data, len, &out, &body), PONY_WIRE_OK);
        assert_memory_equal(&in, &out, sizeof(in));
        assert_ptr_equal(body, data + 48 + 8 * n_sack);
    }
}

/* The golden packet of docs/protocol.md; its checksum comes from a bitwise CRC-32C in Python. */
static void the_layout_is_the_documented_one(void **state)
{
    (void)state;
    static const uint8_t golden[48] = {
        0x3b, 0x25, 0x5d, 0xd0, 0x01, 0x04, 0x01, 0x00, 0x88, 0x77, 0x66, 0x55,
        0x44, 0x33, 0x22, 0x11, 0xcc, 0xbb, 0xaa, 0x99, 0xff, 0xff, 0xff, 0xff,
        0x00, 0x00, 0x00, 0x80, 0x04, 0x03, 0x02, 0x01, 0x08, 0x07, 0x06, 0x05,
        0x0d, 0x0c, 0x0b, 0x0a, 0x03, 0xfa, 0xff, 0xff, 0x64, 0x00, 0x28, 0x00,
    };
    uint8_t data[512];
    struct pony_wire_hdr hdr = sample();
    (void)build(&hdr, data);
    assert_memory_equal(data + 4, golden + 4, 44);
    assert_memory_equal(data, golden, 4);
}

/* PX-5: what else ACK, PROBE and PART may carry, at its bounds. */
static void bodies_have_the_length_of_their_type(void **state)
{
    (void)state;

    static const struct {
        uint8_t type;
        uint16_t body, covered;
        bool is_good;
    } cases[] = {
        {PONY_WIRE_DATA, 0, 0, false},    {PONY_WIRE_DATA, 1, 0, true},
        {PONY_WIRE_PART, 0, 0, false},    {PONY_WIRE_PART, 1, 1, true},
        {PONY_WIRE_ACK, 0, 0, true},      {PONY_WIRE_ACK, 3, 3, false},
        {PONY_WIRE_ACK, 4, 3, false},     {PONY_WIRE_ACK, 4, 4, true},
        {PONY_WIRE_ACK, 5, 5, false},     {PONY_WIRE_PROBE, 0, 0, true},
        {PONY_WIRE_PROBE, 3, 3, false},   {PONY_WIRE_PROBE, 4, 4, true},
        {PONY_WIRE_PROBE, 400, 3, false}, {PONY_WIRE_PROBE, 400, 4, true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t data[512] = {0};
        struct pony_wire_hdr hdr = sample();
        hdr.type = cases[i].type;
        hdr.body_len = cases[i].body;
        hdr.covered_len = cases[i].covered;
        hdr.n_sack = 0;
        pony_wire_encode(&hdr, data);
        assert_int_equal(decode(data, 48u + cases[i].body),
                         cases[i].is_good ? PONY_WIRE_OK : PONY_WIRE_LENGTH);
    }
}

/* PX-2 */
static void every_cut_is_refused(void **state)
{
    (void)state;
    uint8_t data[512];
    struct pony_wire_hdr hdr = sample();
    hdr.n_sack = 2;
    hdr.sack[0] = 1;
    hdr.sack[1] = 1;
    uint32_t len = build(&hdr, data);
    for (uint32_t cut = 0; cut < len; cut++) {
        enum pony_wire_verdict verdict = decode(data, cut);
        assert_int_equal(verdict, cut < 48 + 16 ? PONY_WIRE_SHORT : PONY_WIRE_LENGTH);
    }
    assert_int_equal(decode(data, len + 1), PONY_WIRE_LENGTH);
}

/* PX-1 */
static void every_flipped_covered_bit_is_refused(void **state)
{
    (void)state;
    uint8_t data[512];
    struct pony_wire_hdr hdr = sample();
    uint32_t len = build(&hdr, data);
    for (uint32_t bit = 0; bit < (48 + 40) * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_not_equal(decode(data, len), PONY_WIRE_OK);
        data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    data[48 + 40] ^= 1; /* payload past what is covered */
    assert_int_equal(decode(data, len), PONY_WIRE_OK);
}

/* PX-4, PX-5 */
static void forged_fields_are_refused_by_name(void **state)
{
    (void)state;

    static const struct {
        uint8_t at, value;
        enum pony_wire_verdict verdict;
    } cases[] = {
        {4, 0, PONY_WIRE_VERSION},   {4, PONY_WIRE_VERSION_MAX + 1, PONY_WIRE_VERSION},
        {4, 255, PONY_WIRE_VERSION}, {5, 0, PONY_WIRE_TYPE},
        {5, 8, PONY_WIRE_TYPE},      {5, 255, PONY_WIRE_TYPE},
        {6, 2, PONY_WIRE_FLAGS},     {6, 4, PONY_WIRE_FLAGS},
        {6, 128, PONY_WIRE_FLAGS},   {5, PONY_WIRE_ACK, PONY_WIRE_LENGTH},
        {5, 10, PONY_WIRE_TYPE},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t data[512];
        struct pony_wire_hdr hdr = sample();
        uint32_t len = build(&hdr, data);
        forge(data, cases[i].at, cases[i].value);
        assert_int_equal(decode(data, len), cases[i].verdict);
    }
}

/* PX-2 */
static void covered_len_ends_at_the_body(void **state)
{
    (void)state;
    uint8_t data[512];
    struct pony_wire_hdr hdr = sample();
    hdr.covered_len = hdr.body_len;
    uint32_t len = build(&hdr, data);
    assert_int_equal(decode(data, len), PONY_WIRE_OK);
    data[46]++;
    assert_int_equal(decode(data, len), PONY_WIRE_LENGTH);
}

/* PX-3 */
static void sack_words_are_bounded_and_canonical(void **state)
{
    (void)state;
    uint8_t data[512];
    struct pony_wire_hdr hdr = sample();
    hdr.n_sack = 16;
    memset(hdr.sack, 0xff, sizeof(hdr.sack));
    uint32_t len = build(&hdr, data);
    assert_int_equal(decode(data, len), PONY_WIRE_OK);
    data[7] = 17;
    assert_int_equal(decode(data, len), PONY_WIRE_SACK);
    data[7] = 255;
    assert_int_equal(decode(data, len), PONY_WIRE_SACK);
    hdr.sack[15] = 0;
    len = build(&hdr, data);
    assert_int_equal(decode(data, len), PONY_WIRE_SACK);
}

/* PX-5 */
static void data_without_a_body_is_refused(void **state)
{
    (void)state;
    uint8_t data[512];
    struct pony_wire_hdr hdr = sample();
    hdr.body_len = 0;
    hdr.covered_len = 0;
    uint32_t len = build(&hdr, data);
    assert_int_equal(decode(data, len), PONY_WIRE_LENGTH);
    hdr.type = PONY_WIRE_ACK;
    len = build(&hdr, data);
    assert_int_equal(decode(data, len), PONY_WIRE_OK);
}

static void hello_is_written_and_read(void **state)
{
    (void)state;
    uint8_t body[PONY_WIRE_HELLO_BYTES];
    struct pony_wire_hello in = {
        .version_min = 1,
        .version_max = 9,
        .mtu_bytes = 9216,
        .flow = 0xfffffffe,
        .token = UINT64_MAX,
        .instance = 5,
        .features = UINT64_C(1) << 55,
        .slot = PONY_WIRE_SLOTS - 1,
    };
    struct pony_wire_hello out;
    memset(&out, 0, sizeof(out));
    pony_wire_encode_hello(&in, body);
    assert_true(pony_wire_decode_hello(body, sizeof(body), &out));
    assert_memory_equal(&in, &out, offsetof(struct pony_wire_hello, slot) + 1);
    assert_false(pony_wire_decode_hello(body, sizeof(body) - 1, &out));
}

static void hello_needs_an_instance_and_ordered_versions(void **state)
{
    (void)state;
    uint8_t body[PONY_WIRE_HELLO_BYTES];
    struct pony_wire_hello hello = {.version_min = 1, .version_max = 1, .instance = 1};
    pony_wire_encode_hello(&hello, body);
    assert_true(pony_wire_decode_hello(body, sizeof(body), &hello));
    body[16] = 0;
    assert_false(pony_wire_decode_hello(body, sizeof(body), &hello));
    body[16] = 1;
    body[0] = 2;
    assert_false(pony_wire_decode_hello(body, sizeof(body), &hello));
    body[0] = 0;
    assert_false(pony_wire_decode_hello(body, sizeof(body), &hello));
    body[0] = 1;
    body[31] = PONY_WIRE_SLOTS; /* PX-90 */
    assert_false(pony_wire_decode_hello(body, sizeof(body), &hello));
    body[31] = PONY_WIRE_SLOTS - 1;
    assert_true(pony_wire_decode_hello(body, sizeof(body), &hello));
}

static void end_is_written_and_read(void **state)
{
    (void)state;
    uint8_t body[PONY_WIRE_END_BYTES];
    struct pony_wire_end in = {
        .reason = 9, .version_min = 1, .version_max = 2, .instance = UINT64_MAX - 1};
    struct pony_wire_end out;
    pony_wire_encode_end(&in, body);
    assert_true(pony_wire_decode_end(body, sizeof(body), &out));
    assert_int_equal(out.reason, 9);
    assert_int_equal(out.version_min, 1);
    assert_int_equal(out.version_max, 2);
    assert_true(out.instance == UINT64_MAX - 1);
    assert_false(pony_wire_decode_end(body, sizeof(body) - 1, &out));
}

static void type_names_cover_every_byte(void **state)
{
    (void)state;
    assert_string_equal(pony_wire_type_name(PONY_WIRE_HELLO), "HELLO");
    assert_string_equal(pony_wire_type_name(PONY_WIRE_RESET), "RESET");
    for (uint32_t type = PONY_WIRE_TYPE_MAX; type < 256; type++) {
        assert_string_equal(pony_wire_type_name((uint8_t)type), "?");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(the_layout_is_the_documented_one),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(every_flipped_covered_bit_is_refused),
        cmocka_unit_test(forged_fields_are_refused_by_name),
        cmocka_unit_test(bodies_have_the_length_of_their_type),
        cmocka_unit_test(covered_len_ends_at_the_body),
        cmocka_unit_test(sack_words_are_bounded_and_canonical),
        cmocka_unit_test(data_without_a_body_is_refused),
        cmocka_unit_test(hello_is_written_and_read),
        cmocka_unit_test(hello_needs_an_instance_and_ordered_versions),
        cmocka_unit_test(end_is_written_and_read),
        cmocka_unit_test(type_names_cover_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
