/* SPDX-License-Identifier: Apache-2.0 */
#include "base/copy.h"

#include "base/compiler.h"
#include "base/rng.h"
#include "tests/support/cmocka_all.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    SPAN = 3 * BASE_COPY_MIN_BYTES,
    EDGE = 64
};

static uint8_t from[SPAN + 2 * EDGE], to[SPAN + 2 * EDGE];

static void check(size_t from_off, size_t to_off, size_t bytes)
{
    memset(to, 0xa5, sizeof(to));
    base_copy(to + to_off, from + from_off, bytes);
    assert_memory_equal(to + to_off, from + from_off, bytes);
    for (size_t i = 0; i < to_off; i++) {
        assert_int_equal(to[i], 0xa5);
    }
    for (size_t i = to_off + bytes; i < sizeof(to); i++) {
        assert_int_equal(to[i], 0xa5);
    }
}

static int fill(void **state)
{
    (void)state;
    struct base_rng rng;
    base_rng_init(&rng, 30994);
    for (size_t i = 0; i < sizeof(from); i++) {
        from[i] = (uint8_t)base_rng_u64(&rng);
    }
    return 0;
}

static void every_byte_arrives_and_no_other_is_touched(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,
                                   1,
                                   63,
                                   64,
                                   65,
                                   BASE_COPY_MIN_BYTES - 1,
                                   BASE_COPY_MIN_BYTES,
                                   BASE_COPY_MIN_BYTES + 1,
                                   BASE_COPY_MIN_BYTES + 63,
                                   BASE_COPY_MIN_BYTES + 64,
                                   SPAN};
    for (size_t i = 0; i < BASE_ARRAY_LEN(sizes); i++) {
        check(0, 0, sizes[i]);
        check(1, EDGE, sizes[i]);
        check(EDGE, 12, sizes[i]);
    }
}

static void any_alignment_will_do(void **state)
{
    (void)state;
    for (size_t off = 0; off < 17; off++) {
        check(off, 0, BASE_COPY_MIN_BYTES + 7);
        check(0, off, BASE_COPY_MIN_BYTES + 7);
        check(off, 16 - off, BASE_COPY_MIN_BYTES + 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_arrives_and_no_other_is_touched),
        cmocka_unit_test(any_alignment_will_do),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
