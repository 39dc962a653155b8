/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/frames.h"

#include "tests/support/cmocka_all.h"

#include <string.h>

static const uint8_t data[5] = {'h', 'e', 'l', 'l', 'o'};

/* PX-60: one of each type, every field set. */
static const struct pony_frame samples[] = {
    {.type = PONY_FRAME_OPEN,
     .flags = 2,
     .conn = 0x01020304,
     .service = 0x1122334455667788,
     .limit_bytes = 0x99,
     .eager_max_bytes = 0x4000},
    {.type = PONY_FRAME_OPEN_OK,
     .conn = 1,
     .own_conn = 2,
     .limit_bytes = UINT32_MAX,
     .eager_max_bytes = 4},
    {.type = PONY_FRAME_REFUSE, .conn = 5, .reason = 4},
    {.type = PONY_FRAME_SMALL,
     .flags = PONY_FRAME_ORDERED,
     .conn = 6,
     .stream = 7,
     .seq = 8,
     .data = data,
     .data_len = 5},
    {.type = PONY_FRAME_FRAG,
     .flags = PONY_FRAME_ORDERED | PONY_FRAME_EAGER,
     .conn = 9,
     .msg_no = 10,
     .total_bytes = 11,
     .off = 12,
     .stream = 13,
     .seq = 14,
     .data = data,
     .data_len = 5},
    {.type = PONY_FRAME_RTS,
     .conn = 15,
     .msg_no = 16,
     .total_bytes = 17,
     .stream = 18,
     .seq = 19,
     .rts_no = 20},
    {.type = PONY_FRAME_GRANT, .conn = 21, .msg_no = 22},
    {.type = PONY_FRAME_CREDIT, .conn = 23, .limit_bytes = 24},
    {.type = PONY_FRAME_CLOSE, .conn = 25, .msg_no = 26},
    {.type = PONY_FRAME_CLOSE_OK, .conn = 27},
    {.type = PONY_FRAME_RESET, .conn = 28, .reason = 255},
    {.type = PONY_FRAME_PAD, .data = data, .data_len = 5},
};

enum {
    N_SAMPLES = sizeof(samples) / sizeof(samples[0])
};

static uint32_t write_sample(uint8_t *to, const struct pony_frame *frame)
{
    uint32_t n = pony_frame_put(to, frame);
    assert_int_equal(n, pony_frame_bytes(frame->type));
    if (frame->data_len > 0) {
        memcpy(to + n, frame->data, frame->data_len);
    }
    return n + frame->data_len;
}

static void every_type_comes_back_as_it_went(void **state)
{
    (void)state;
    uint8_t bytes[512];
    uint32_t n = 0;
    assert_int_equal(N_SAMPLES, PONY_FRAME_MAX - 1);
    for (size_t i = 0; i < N_SAMPLES; i++) {
        n += write_sample(bytes + n, &samples[i]);
    }
    struct base_cursor cursor = base_cursor_make(bytes, n);
    for (size_t i = 0; i < N_SAMPLES; i++) {
        struct pony_frame got;
        assert_true(pony_frame_get(&cursor, &got));
        if (samples[i].data_len > 0) {
            assert_memory_equal(got.data, data, sizeof(data));
        }
        got.data = samples[i].data;
        assert_memory_equal(&got, &samples[i], sizeof(got));
    }
    assert_int_equal(base_cursor_left(&cursor), 0);
}

static void a_frame_is_these_bytes(void **state)
{
    (void)state;
    static const uint8_t golden[] = {4, 1, 5, 0, 6, 0,   0,   0,   7,   0,  0,
                                     0, 8, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'};
    uint8_t bytes[64];
    assert_int_equal(write_sample(bytes, &samples[3]), sizeof(golden));
    assert_memory_equal(bytes, golden, sizeof(golden));
}

static void a_frame_cut_anywhere_is_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SAMPLES; i++) {
        uint8_t bytes[64];
        uint32_t n = write_sample(bytes, &samples[i]);
        for (uint32_t cut = 1; cut < n; cut++) {
            struct base_cursor cursor = base_cursor_make(bytes, cut);
            struct pony_frame got;
            assert_false(pony_frame_get(&cursor, &got));
        }
    }
}

/* PX-80 */
static void an_open_has_one_of_three_classes(void **state)
{
    (void)state;
    uint8_t bytes[PONY_OPEN_BYTES] = {PONY_FRAME_OPEN};
    for (unsigned flags = 0; flags < 256; flags++) {
        struct pony_frame got;
        bytes[1] = (uint8_t)flags;
        struct base_cursor cursor = base_cursor_make(bytes, sizeof(bytes));
        assert_int_equal(pony_frame_get(&cursor, &got), flags < 3);
        assert_true(flags >= 3 || got.flags == flags);
    }
}

static void unknown_types_flags_and_lengths_are_malformed(void **state)
{
    (void)state;
    uint8_t bytes[64] = {0};
    struct pony_frame got;
    for (unsigned type = 0; type < 256; type++) {
        bytes[0] = (uint8_t)type;
        struct base_cursor cursor = base_cursor_make(bytes, sizeof(bytes));
        assert_int_equal(pony_frame_get(&cursor, &got), type >= 1 && type < PONY_FRAME_MAX);
    }
    bytes[0] = PONY_FRAME_SMALL;
    bytes[1] = PONY_FRAME_EAGER; /* only a piece has it */
    struct base_cursor cursor = base_cursor_make(bytes, sizeof(bytes));
    assert_false(pony_frame_get(&cursor, &got));
    bytes[0] = PONY_FRAME_CREDIT;
    bytes[1] = 0;
    bytes[2] = 1; /* no data in this type */
    cursor = base_cursor_make(bytes, sizeof(bytes));
    assert_false(pony_frame_get(&cursor, &got));
}

/* PX-78 */
static void a_pad_fills_up_to_the_next_multiple_that_it_can_reach(void **state)
{
    (void)state;
    assert_int_equal(pony_frame_pad_for(0), 0);
    assert_int_equal(pony_frame_pad_for(PONY_ALIGN_BYTES), 0);
    assert_int_equal(pony_frame_pad_for(1), PONY_ALIGN_BYTES - 1);
    assert_int_equal(pony_frame_pad_for(PONY_ALIGN_BYTES - PONY_PAD_BYTES), PONY_PAD_BYTES);
    assert_int_equal(pony_frame_pad_for(PONY_ALIGN_BYTES - PONY_PAD_BYTES + 1),
                     PONY_PAD_BYTES - 1 + PONY_ALIGN_BYTES);
    for (uint32_t bytes = 0; bytes < 1000; bytes++) {
        uint32_t pad = pony_frame_pad_for(bytes);
        assert_int_equal((bytes + pad) % PONY_ALIGN_BYTES, 0);
        assert_true(pad == 0 || pad >= PONY_PAD_BYTES);
        assert_true(pad < PONY_ALIGN_BYTES + PONY_PAD_BYTES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_comes_back_as_it_went),
        cmocka_unit_test(a_frame_is_these_bytes),
        cmocka_unit_test(a_frame_cut_anywhere_is_malformed),
        cmocka_unit_test(an_open_has_one_of_three_classes),
        cmocka_unit_test(unknown_types_flags_and_lengths_are_malformed),
        cmocka_unit_test(a_pad_fills_up_to_the_next_multiple_that_it_can_reach),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
