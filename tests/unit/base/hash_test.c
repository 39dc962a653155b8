/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include "tests/support/cmocka_all.h"

#include <string.h>

/* Vectors from RFC 3720, appendix B.4, and the check value of the CRC catalogue. */
static void crc32c_gives_the_published_values(void **state)
{
    (void)state;
    unsigned char zeros[32] = {0};
    unsigned char ones[32];
    unsigned char rising[32];
    memset(ones, 0xff, sizeof(ones));
    for (unsigned char i = 0; i < 32; i++) {
        rising[i] = i;
    }
    assert_int_equal(base_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(base_crc32c(0, zeros, 32), 0x8a9136aa);
    assert_int_equal(base_crc32c(0, ones, 32), 0x62a8ab43);
    assert_int_equal(base_crc32c(0, rising, 32), 0x46dd794e);
    assert_int_equal(base_crc32c(0, "", 0), 0);
}

static void crc32c_of_parts_is_that_of_the_whole(void **state)
{
    (void)state;
    const char digits[] = "123456789";
    for (size_t cut = 0; cut <= 9; cut++) {
        uint32_t crc = base_crc32c(0, digits, cut);
        assert_int_equal(base_crc32c(crc, digits + cut, 9 - cut), 0xe3069283);
    }
}

static void hash64_depends_on_every_bit_and_the_seed(void **state)
{
    (void)state;
    unsigned char data[40] = {0};
    uint64_t plain = base_hash64(0, data, sizeof(data));
    assert_true(plain == base_hash64(0, data, sizeof(data)));
    assert_true(plain != base_hash64(1, data, sizeof(data)));
    assert_true(plain != base_hash64(0, data, sizeof(data) - 1));
    for (size_t i = 0; i < sizeof(data) * 8; i++) {
        data[i / 8] ^= (unsigned char)(1 << (i % 8));
        assert_true(plain != base_hash64(0, data, sizeof(data)));
        data[i / 8] ^= (unsigned char)(1 << (i % 8));
    }
    /* XXH3 of nothing, from its reference. */
    assert_true(base_hash64(0, NULL, 0) == UINT64_C(0x2d06800538d394c2));
}

static void hash_pair_depends_on_every_bit_and_the_seed(void **state)
{
    (void)state;
    uint64_t plain = base_hash_pair(9, 5, 7);
    assert_true(plain == base_hash_pair(9, 5, 7));
    assert_true(plain != base_hash_pair(9, 7, 5));
    for (int i = 0; i < 64; i++) {
        uint64_t bit = UINT64_C(1) << i;
        assert_true(plain != base_hash_pair(9 ^ bit, 5, 7));
        assert_true(plain != base_hash_pair(9, 5 ^ bit, 7));
        assert_true(plain != base_hash_pair(9, 5, 7 ^ bit));
    }
}

/* As in a table of calls: one pointer, numbers that count up. */
static void hash_pair_spreads_what_counts_up(void **state)
{
    (void)state;

    enum {
        SLOTS = 1024
    };

    unsigned char used[SLOTS] = {0};
    unsigned most = 0;
    for (uint64_t id = 1; id <= SLOTS; id++) {
        unsigned char *slot = &used[base_hash_pair(12345, 0x7f00deadbe40, id) % SLOTS];
        *slot = (unsigned char)(*slot + 1);
        most = *slot > most ? *slot : most;
    }
    assert_in_range(most, 1, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_gives_the_published_values),
        cmocka_unit_test(crc32c_of_parts_is_that_of_the_whole),
        cmocka_unit_test(hash64_depends_on_every_bit_and_the_seed),
        cmocka_unit_test(hash_pair_depends_on_every_bit_and_the_seed),
        cmocka_unit_test(hash_pair_spreads_what_counts_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
