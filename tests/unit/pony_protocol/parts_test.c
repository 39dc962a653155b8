/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/parts.h"

#include "tests/support/cmocka_all.h"

#include <string.h>

enum {
    WHOLE = 3000
};

static struct pony_parts parts;
static uint8_t whole[PONY_PARTS_MAX * PONY_PART_BYTES];

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(whole); i++) {
        whole[i] = (uint8_t)(i * 31 + i / 256);
    }
    return pony_parts_init(&parts) == BASE_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    pony_parts_fini(&parts);
    return 0;
}

/* Piece `idx` of `len` bytes of `whole`, as it would be sent. */
static uint32_t make(uint32_t idx, uint32_t len, uint8_t *body)
{
    uint32_t off = idx * PONY_PART_BYTES;
    uint32_t n = len - off < PONY_PART_BYTES ? len - off : PONY_PART_BYTES;
    struct pony_part part = {
        .idx = (uint8_t)idx, .count = (uint8_t)pony_parts_count(len), .whole_len = (uint16_t)len};
    pony_part_encode(&part, body);
    memcpy(body + PONY_PART_HDR_BYTES, whole + off, n);
    return PONY_PART_HDR_BYTES + n;
}

static uint64_t now_ns = 1;

static const uint8_t *give(uint64_t flow, uint32_t seq, uint32_t idx, uint32_t len)
{
    uint8_t body[PONY_PART_HDR_BYTES + PONY_PART_BYTES];
    struct pony_part part;
    assert_true(pony_part_decode(body, make(idx, len, body), &part));
    return pony_parts_add(&parts, flow, seq, &part, now_ns++);
}

static void pieces_in_any_order_make_the_whole(void **state)
{
    (void)state;
    static const uint32_t lens[] = {1, 1024, 1025, 2048, WHOLE, 9215, 9216};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        uint32_t n = pony_parts_count(lens[i]);
        for (uint32_t k = n - 1; k > 0; k--) {
            assert_null(give(1, (uint32_t)i, k, lens[i]));
            assert_null(give(1, (uint32_t)i, k, lens[i])); /* twice is as once */
        }
        const uint8_t *got = give(1, (uint32_t)i, 0, lens[i]);
        assert_non_null(got);
        assert_memory_equal(got, whole, lens[i]);
    }
}

static void packets_and_flows_are_told_apart(void **state)
{
    (void)state;
    assert_null(give(1, 5, 0, WHOLE));
    assert_null(give(2, 5, 1, WHOLE));
    assert_null(give(1, 6, 2, WHOLE));
    assert_null(give(1, 5, 1, WHOLE));
    assert_non_null(give(1, 5, 2, WHOLE));
    assert_null(give(1, 5, 2, WHOLE)); /* begins anew: what was complete is gone */
}

static void the_oldest_gives_way_when_all_places_are_taken(void **state)
{
    (void)state;
    for (uint64_t flow = 0; flow < PONY_PARTS_PLACES; flow++) {
        assert_null(give(flow, 7, 0, 2000));
    }
    assert_null(give(1000, 7, 0, 2000)); /* takes the place of 0 */
    assert_non_null(give(1, 7, 1, 2000));
    assert_non_null(give(1000, 7, 1, 2000));
    assert_null(give(0, 7, 1, 2000));
}

static void a_flow_that_takes_many_places_gives_up_its_own(void **state)
{
    (void)state;
    assert_null(give(2, 5, 0, 2000));
    for (uint32_t seq = 0; seq < 10 * PONY_PARTS_PLACES; seq++) {
        assert_null(give(1, seq, 0, 2000));
    }
    assert_non_null(give(2, 5, 1, 2000));
    uint32_t last = 10 * PONY_PARTS_PLACES - 1;
    assert_null(give(1, last - PONY_PARTS_OF_FLOW, 1, 2000));
    assert_non_null(give(1, last, 1, 2000));
}

static void pieces_of_long_ago_are_not_mixed_with_new_ones(void **state)
{
    (void)state;
    assert_null(give(1, 5, 0, 2000));
    now_ns += PONY_PARTS_WAIT_NS - 2;
    assert_non_null(give(1, 5, 1, 2000));
    assert_null(give(1, 5, 0, 2000));
    now_ns += PONY_PARTS_WAIT_NS - 1;
    assert_null(give(1, 5, 1, 2000)); /* begins anew */
    assert_non_null(give(1, 5, 0, 2000));
}

static void a_piece_that_contradicts_the_others_begins_anew(void **state)
{
    (void)state;
    assert_null(give(1, 5, 0, WHOLE));
    assert_null(give(1, 5, 1, WHOLE));
    assert_null(give(1, 5, 2, WHOLE - 1));
    assert_null(give(1, 5, 0, WHOLE - 1));
    assert_non_null(give(1, 5, 1, WHOLE - 1));
}

/* PX-236: every field, at its bounds. */
static void a_piece_that_contradicts_itself_is_refused(void **state)
{
    (void)state;

    static const struct {
        uint32_t at;
        uint8_t value;
    } lies[] = {{0, 3},    {0, 255}, {1, 2},   {1, 4}, {1, 0}, {1, 255},
                {2, 0xb9}, {3, 0},   {3, 255}, {4, 1}, {7, 1}};

    uint8_t body[PONY_PART_HDR_BYTES + PONY_PART_BYTES];
    struct pony_part part;
    uint32_t len = make(2, WHOLE, body);
    assert_true(pony_part_decode(body, len, &part));
    assert_false(pony_part_decode(body, len - 1, &part));
    assert_false(pony_part_decode(body, len + 1, &part));
    for (uint32_t cut = 0; cut <= PONY_PART_HDR_BYTES; cut++) {
        assert_false(pony_part_decode(body, cut, &part));
    }
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        uint8_t bad[sizeof(body)];
        memcpy(bad, body, sizeof(bad));
        bad[lies[i].at] = lies[i].value;
        assert_false(pony_part_decode(bad, len, &part));
    }
    memset(body, 0, sizeof(body)); /* a whole of nothing */
    assert_false(pony_part_decode(body, PONY_PART_HDR_BYTES + 1, &part));
    uint8_t too_long[] = {9, 10, 1, 36, 0, 0, 0, 0, 1}; /* 9217 bytes */
    assert_false(pony_part_decode(too_long, sizeof(too_long), &part));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pieces_in_any_order_make_the_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(packets_and_flows_are_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(the_oldest_gives_way_when_all_places_are_taken, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_flow_that_takes_many_places_gives_up_its_own, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(pieces_of_long_ago_are_not_mixed_with_new_ones, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_piece_that_contradicts_the_others_begins_anew, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_piece_that_contradicts_itself_is_refused, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
