/* SPDX-License-Identifier: Apache-2.0 */
#include "base/endian.h"

#include "tests/support/cmocka_all.h"

static void numbers_are_little_endian_at_any_address(void **state)
{
    (void)state;
    uint8_t bytes[16] = {0};
    base_store_u16(bytes + 1, 0x0102);
    base_store_u32(bytes + 3, 0x03040506);
    base_store_u64(bytes + 7, UINT64_C(0x0708090a0b0c0d0e));
    const uint8_t want[16] = {0, 2, 1, 6, 5, 4, 3, 0xe, 0xd, 0xc, 0xb, 0xa, 9, 8, 7, 0};
    assert_memory_equal(bytes, want, 16);
    assert_int_equal(base_load_u16(bytes + 1), 0x0102);
    assert_int_equal(base_load_u32(bytes + 3), 0x03040506);
    assert_true(base_load_u64(bytes + 7) == UINT64_C(0x0708090a0b0c0d0e));
}

static void what_is_put_is_got(void **state)
{
    (void)state;
    uint8_t bytes[18];
    struct base_put_cursor put = base_put_cursor_make(bytes, sizeof(bytes));
    base_cursor_put_u8(&put, 0xff);
    base_cursor_put_u16(&put, UINT16_MAX);
    base_cursor_put_u32(&put, UINT32_MAX);
    base_cursor_put_u64(&put, UINT64_MAX);
    base_cursor_put_bytes(&put, "abc", 3);
    assert_true(base_put_cursor_is_ok(&put));
    assert_int_equal(base_put_cursor_left(&put), 0);
    struct base_cursor get = base_cursor_make(bytes, sizeof(bytes));
    assert_int_equal(base_cursor_get_u8(&get), 0xff);
    assert_int_equal(base_cursor_get_u16(&get), UINT16_MAX);
    assert_int_equal(base_cursor_get_u32(&get), UINT32_MAX);
    assert_true(base_cursor_get_u64(&get) == UINT64_MAX);
    char text[4] = "";
    base_cursor_get_copy(&get, text, 3);
    assert_string_equal(text, "abc");
    assert_true(base_cursor_is_ok(&get));
    assert_int_equal(base_cursor_left(&get), 0);
}

static void reading_past_the_end_fails_for_good(void **state)
{
    (void)state;
    const uint8_t bytes[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    for (size_t size = 0; size < 8; size++) {
        struct base_cursor c = base_cursor_make(bytes, size);
        assert_int_equal(base_cursor_get_u64(&c), 0);
        assert_false(base_cursor_is_ok(&c));
        assert_int_equal(base_cursor_left(&c), 0);
        assert_int_equal(base_cursor_get_u8(&c), 0);
        assert_null(base_cursor_get_bytes(&c, 0));
    }
    struct base_cursor c = base_cursor_make(bytes, 8);
    assert_non_null(base_cursor_get_bytes(&c, 8));
    assert_non_null(base_cursor_get_bytes(&c, 0));
    base_cursor_skip(&c, 1);
    assert_false(base_cursor_is_ok(&c));
}

static void huge_lengths_do_not_wrap(void **state)
{
    (void)state;
    uint8_t bytes[8] = {0};
    struct base_cursor get = base_cursor_make(bytes, 8);
    base_cursor_skip(&get, 4);
    assert_null(base_cursor_get_bytes(&get, SIZE_MAX));
    get = base_cursor_make(bytes, 8);
    base_cursor_skip(&get, 4);
    assert_null(base_cursor_get_bytes(&get, SIZE_MAX - 3));
    struct base_put_cursor put = base_put_cursor_make(bytes, 8);
    base_cursor_put_u32(&put, 1);
    assert_null(base_cursor_put_room(&put, SIZE_MAX - 3));
    assert_false(base_put_cursor_is_ok(&put));
}

static void a_copy_that_does_not_fit_is_zeroed(void **state)
{
    (void)state;
    const uint8_t bytes[2] = {7, 7};
    uint8_t out[3] = {9, 9, 9};
    struct base_cursor c = base_cursor_make(bytes, 2);
    base_cursor_get_copy(&c, out, 3);
    assert_true(out[0] == 0 && out[1] == 0 && out[2] == 0);
    assert_false(base_cursor_is_ok(&c));
}

static void writing_past_the_end_writes_nothing(void **state)
{
    (void)state;
    uint8_t bytes[5] = {0};
    struct base_put_cursor c = base_put_cursor_make(bytes, 3);
    base_cursor_put_u16(&c, 0x0101);
    base_cursor_put_u16(&c, 0xffff);
    base_cursor_put_u8(&c, 0xff);
    assert_false(base_put_cursor_is_ok(&c));
    assert_int_equal(c.pos, 2);
    assert_int_equal(bytes[2], 0);
    base_cursor_put_u32(&c, UINT32_MAX);
    base_cursor_put_u64(&c, UINT64_MAX);
    assert_int_equal(bytes[3], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_little_endian_at_any_address),
        cmocka_unit_test(what_is_put_is_got),
        cmocka_unit_test(reading_past_the_end_fails_for_good),
        cmocka_unit_test(huge_lengths_do_not_wrap),
        cmocka_unit_test(a_copy_that_does_not_fit_is_zeroed),
        cmocka_unit_test(writing_past_the_end_writes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
