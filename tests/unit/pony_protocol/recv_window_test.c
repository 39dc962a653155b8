/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/recv_window.h"

#include "base/rng.h"
#include "tests/support/cmocka_all.h"

#include <string.h>

static const uint32_t starts[] = {0, 1, 63, 64, 1023, 0x7ffffff0, 0xfffffe00, 0xffffffff};

/* PX-20 */
static void packets_in_order_leave_no_hole(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
        struct pony_recv_window window;
        pony_recv_window_init(&window, starts[s]);
        for (uint32_t i = 0; i < 3000; i++) {
            assert_int_equal(pony_recv_window_take(&window, starts[s] + i), PONY_RECV_NEW);
            assert_false(pony_recv_window_has_holes(&window));
            assert_int_equal(pony_recv_window_n_sack(&window), 0);
        }
        assert_int_equal(window.next_seq, starts[s] + 3000);
    }
}

/* PX-21, PX-23 */
static void the_window_ends_at_1024(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
        struct pony_recv_window window;
        pony_recv_window_init(&window, starts[s]);
        assert_int_equal(pony_recv_window_take(&window, starts[s] + 1024), PONY_RECV_OUTSIDE);
        assert_int_equal(pony_recv_window_take(&window, starts[s] + 0x7fffffff), PONY_RECV_OUTSIDE);
        assert_int_equal(pony_recv_window_take(&window, starts[s] + 1023), PONY_RECV_NEW);
        assert_int_equal(pony_recv_window_n_sack(&window), 16);
        assert_int_equal(pony_recv_window_take(&window, starts[s] + 1023), PONY_RECV_DUPLICATE);
        assert_int_equal(pony_recv_window_take(&window, starts[s] - 1), PONY_RECV_DUPLICATE);
        assert_int_equal(pony_recv_window_take(&window, starts[s] - 0x7fffffff),
                         PONY_RECV_DUPLICATE);
    }
}

static void a_full_window_backwards_moves_at_the_last(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
        struct pony_recv_window window;
        struct pony_seq_bits none;
        memset(&none, 0, sizeof(none));
        pony_recv_window_init(&window, starts[s]);
        for (uint32_t i = 1023; i > 0; i--) {
            assert_int_equal(pony_recv_window_take(&window, starts[s] + i), PONY_RECV_NEW);
            assert_int_equal(window.next_seq, starts[s]);
        }
        assert_int_equal(pony_recv_window_take(&window, starts[s]), PONY_RECV_NEW);
        assert_int_equal(window.next_seq, starts[s] + 1024);
        assert_int_equal(window.end_seq, starts[s] + 1024);
        assert_memory_equal(&window.got, &none, sizeof(none));
    }
}

static void sack_words_grow_at_their_edges(void **state)
{
    (void)state;

    static const struct {
        uint32_t ahead, n_sack;
    } cases[] = {{1, 1}, {64, 1}, {65, 2}, {128, 2}, {129, 3}, {960, 15}, {961, 16}, {1023, 16}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pony_recv_window window;
        uint64_t words[16];
        uint32_t bit = cases[i].ahead - 1;
        pony_recv_window_init(&window, 0xffffff80);
        (void)pony_recv_window_take(&window, 0xffffff80 + cases[i].ahead);
        assert_int_equal(pony_recv_window_n_sack(&window), cases[i].n_sack);
        assert_int_equal(pony_recv_window_sack(&window, words, 16), cases[i].n_sack);
        assert_true(words[bit / 64] == UINT64_C(1) << bit % 64);
    }
}

static void cut_sack_words_end_with_one_that_says_something(void **state)
{
    (void)state;
    struct pony_recv_window window;
    uint64_t words[16];
    pony_recv_window_init(&window, 100);
    (void)pony_recv_window_take(&window, 100 + 5);
    (void)pony_recv_window_take(&window, 100 + 300);
    assert_int_equal(pony_recv_window_sack(&window, words, 4), 1);
    assert_int_equal(pony_recv_window_sack(&window, words, 0), 0);
    assert_int_equal(pony_recv_window_sack(&window, words, 5), 5);
}

/* PX-22, PX-23; against one byte per packet */
static void random_arrivals_agree_with_a_plain_reference(void **state)
{
    (void)state;

    enum {
        N = 6000
    };

    static uint8_t got[N + 2048];
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct base_rng rng;
        struct pony_recv_window window;
        uint32_t first = (uint32_t)(0 - seed * 151);
        uint32_t next = 0;
        memset(got, 0, sizeof(got));
        base_rng_init(&rng, seed);
        pony_recv_window_init(&window, first);
        while (next < N) {
            uint32_t ahead = (uint32_t)base_rng_below(&rng, 1 + seed * 30);
            uint32_t at = next + ahead;
            enum pony_recv_verdict verdict = pony_recv_window_take(&window, first + at);
            if (ahead >= 1024) {
                assert_int_equal(verdict, PONY_RECV_OUTSIDE);
                continue;
            }
            assert_int_equal(verdict, got[at] ? PONY_RECV_DUPLICATE : PONY_RECV_NEW);
            got[at] = 1;
            while (got[next]) {
                next++;
            }
            assert_int_equal(window.next_seq, first + next);
            uint64_t words[16] = {0};
            uint32_t n = pony_recv_window_sack(&window, words, 16);
            for (uint32_t i = 0; i < 64 * n; i++) {
                bool is_set = (words[i / 64] >> (i % 64) & 1) != 0;
                assert_int_equal(is_set, i < 1023 && got[next + 1 + i]);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_in_order_leave_no_hole),
        cmocka_unit_test(the_window_ends_at_1024),
        cmocka_unit_test(a_full_window_backwards_moves_at_the_last),
        cmocka_unit_test(sack_words_grow_at_their_edges),
        cmocka_unit_test(cut_sack_words_end_with_one_that_says_something),
        cmocka_unit_test(random_arrivals_agree_with_a_plain_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
