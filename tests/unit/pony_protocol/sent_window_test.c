/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/sent_window.h"

#include "base/rng.h"
#include "tests/support/cmocka_all.h"
#include "transport/pony/protocol/recv_window.h"

#include <string.h>

enum {
    N_SLOTS = 1024,
    FIRST = (int)0xffffffc0 /* 64 before the wrap */
};

static struct pony_sent_window window;
static struct pony_packet_pool pool;
static struct pony_tx_packet *slots[N_SLOTS];

static int setup(void **state)
{
    (void)state;
    memset(slots, 0, sizeof(slots));
    pony_sent_window_init(&window, slots, N_SLOTS, (uint32_t)FIRST);
    return pony_packet_pool_init(&pool, N_SLOTS) == BASE_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    pony_packet_pool_fini(&pool);
    return 0;
}

static void send_at(uint32_t n, uint64_t now_ns)
{
    for (uint32_t i = 0; i < n; i++) {
        struct pony_tx_packet *packet = pony_packet_pool_take(&pool);
        assert_non_null(packet);
        pony_sent_window_push(&window, packet, now_ns);
    }
}

static bool may_ack(uint32_t ack, const uint64_t *sack, uint32_t n_sack)
{
    struct pony_acked_seqs seqs = {.ack = ack, .n_sack = n_sack, .sack = sack};
    return pony_sent_window_may_ack(&window, &seqs);
}

/* Acknowledges packet numbers from FIRST on; gives the packets back. */
static struct pony_sent_ack ack_at(uint32_t ack, const uint64_t *sack, uint32_t n_sack,
                                   uint64_t now_ns)
{
    struct pony_acked_seqs seqs = {.ack = (uint32_t)FIRST + ack, .n_sack = n_sack, .sack = sack};
    struct base_list acked;
    base_list_init(&acked);
    assert_true(pony_sent_window_may_ack(&window, &seqs));
    struct pony_sent_ack result = pony_sent_window_ack(&window, &seqs, now_ns, 100, &acked);
    struct base_list *link;
    uint32_t n = 0;
    while ((link = base_list_take_first(&acked)) != NULL) {
        pony_packet_pool_give(&pool, pony_tx_packet_of(link));
        n++;
    }
    assert_int_equal(n, result.n_acked);
    return result;
}

static void a_cumulative_ack_frees_all_before_it(void **state)
{
    (void)state;
    send_at(100, 1000);
    assert_int_equal(window.n_inflight, 100);
    assert_int_equal(ack_at(70, NULL, 0, 2000).n_acked, 70);
    assert_int_equal(window.n_inflight, 30);
    assert_int_equal(window.una_seq, (uint32_t)FIRST + 70);
    assert_int_equal(ack_at(70, NULL, 0, 2000).n_acked, 0);
    assert_int_equal(ack_at(50, NULL, 0, 2000).n_acked, 0);
    assert_int_equal(ack_at(100, NULL, 0, 2000).n_acked, 30);
    assert_true(pony_sent_window_is_idle(&window));
}

/* PX-26 */
static void an_ack_of_what_was_not_sent_is_not_believed(void **state)
{
    (void)state;
    uint32_t next = (uint32_t)FIRST + 100;
    uint64_t word = 1;
    send_at(100, 1000);
    assert_true(may_ack(next, NULL, 0));
    assert_false(may_ack(next + 1, NULL, 0));
    assert_false(may_ack(next + 0x7fffffff, NULL, 0));
    /* bit 0 is ack + 1 */
    assert_true(may_ack(next - 2, &word, 1));
    assert_false(may_ack(next - 1, &word, 1));
    word = UINT64_C(1) << 63;
    assert_true(may_ack(next - 65, &word, 1));
    assert_false(may_ack(next - 64, &word, 1));
}

/* PX-26 */
static void selective_acks_count_once(void **state)
{
    (void)state;
    uint64_t words[2] = {UINT64_C(0x8000000000000001), 1};
    send_at(100, 1000);
    assert_int_equal(ack_at(0, words, 2, 2000).n_acked, 3); /* 1, 64, 65 */
    assert_int_equal(ack_at(0, words, 2, 2100).n_acked, 0);
    assert_int_equal(window.n_sacked, 3);
    assert_int_equal(ack_at(66, NULL, 0, 2200).n_acked, 63);
    assert_int_equal(window.n_sacked, 0);
    assert_int_equal(window.n_inflight, 34);
}

/* PX-27 */
static void a_hole_is_lost_when_the_guard_has_passed(void **state)
{
    (void)state;
    uint64_t word = 0x7;
    send_at(4, 1000);
    (void)ack_at(0, &word, 1, 2000); /* 1..3 after 1000 ns; 0 is missing */
    assert_int_equal(pony_sent_window_find_lost(&window, 2000, 250), 0);
    assert_true(window.reo_deadline_ns == 1000 + 1000 + 250);
    assert_int_equal(pony_sent_window_find_lost(&window, 2249, 250), 0);
    assert_int_equal(pony_sent_window_find_lost(&window, 2250, 250), 1);
    assert_true(window.reo_deadline_ns == UINT64_MAX);
    assert_int_equal(window.n_inflight, 0);
    assert_int_equal(window.n_lost, 1);
    assert_int_equal(pony_sent_window_next_lost(&window)->packet.seq, (uint32_t)FIRST);
}

static void what_was_sent_after_the_newest_arrival_is_not_lost(void **state)
{
    (void)state;
    uint64_t word = 1;
    send_at(2, 1000);
    send_at(5, 1000);
    (void)ack_at(0, &word, 1, 2000);
    assert_int_equal(pony_sent_window_find_lost(&window, 1000000, 0), 1);
    assert_int_equal(window.n_inflight, 5);
}

static void a_resent_packet_can_be_lost_again(void **state)
{
    (void)state;
    uint64_t word = 1;
    send_at(2, 1000);
    (void)ack_at(0, &word, 1, 2000);
    assert_int_equal(pony_sent_window_find_lost(&window, 3000, 0), 1);
    pony_sent_window_resent(&window, pony_sent_window_next_lost(&window), 3000);
    assert_int_equal(pony_sent_window_find_lost(&window, 9000, 0), 0);
    send_at(1, 4000);
    word = 3;
    (void)ack_at(0, &word, 1, 5000); /* the new one arrived, the resent one did not */
    assert_int_equal(pony_sent_window_find_lost(&window, 5000, 0), 1);
}

/* PX-27 */
static void an_ack_too_fast_for_the_retransmission_says_nothing_about_it(void **state)
{
    (void)state;
    uint64_t word = 1;
    send_at(2, 1000);
    (void)ack_at(0, &word, 1, 2000);
    assert_int_equal(pony_sent_window_find_lost(&window, 3000, 0), 1);
    uint64_t before = window.rack_serial;
    pony_sent_window_resent(&window, pony_sent_window_next_lost(&window), 3000);
    assert_int_equal(ack_at(2, NULL, 0, 3050).n_acked, 1); /* 50 ns: it was the first one */
    assert_true(window.rack_serial == before);
}

/* PX-28 */
static void late_first_transmissions_are_noticed_as_reordering(void **state)
{
    (void)state;
    uint64_t word = 1;
    send_at(3, 1000);
    assert_false(ack_at(0, &word, 1, 2000).was_reordered);
    assert_true(ack_at(2, NULL, 0, 2100).was_reordered);
    assert_false(ack_at(3, NULL, 0, 2200).was_reordered);
}

/* PX-33 */
static void a_timeout_takes_the_one_sent_longest_ago(void **state)
{
    (void)state;
    assert_false(pony_sent_window_timeout(&window));
    send_at(3, 1000);
    assert_true(pony_sent_window_timeout(&window));
    assert_int_equal(pony_sent_window_next_lost(&window)->packet.seq, (uint32_t)FIRST);
    assert_int_equal(window.n_inflight, 2);
    assert_int_equal(ack_at(3, NULL, 0, 2000).n_acked, 3); /* lost ones are acknowledged too */
    assert_true(pony_sent_window_is_idle(&window));
}

static void draining_gives_every_packet_back(void **state)
{
    (void)state;
    struct base_list out;
    base_list_init(&out);
    uint64_t word = 5;
    send_at(10, 1000);
    (void)ack_at(0, &word, 1, 2000);
    (void)pony_sent_window_timeout(&window);
    pony_sent_window_drain(&window, &out);
    uint32_t n = 0;
    while (base_list_take_first(&out) != NULL) {
        n++;
    }
    assert_int_equal(n, 8);
    assert_int_equal(pony_sent_window_span(&window), 0);
    for (uint32_t i = 0; i < N_SLOTS; i++) {
        assert_null(slots[i]);
    }
}

/* Packets cross a lossy link into a receive window; its SACKs come back, some of them, late. */
static void random_exchange_keeps_the_books(void **state)
{
    (void)state;
    struct base_rng rng;
    struct pony_recv_window recv;
    uint64_t now_ns = 1000;
    base_rng_init(&rng, 7);
    pony_recv_window_init(&recv, (uint32_t)FIRST);
    for (uint32_t round = 0; round < 20000; round++) {
        now_ns += 100;
        struct pony_tx_packet *packet = pony_sent_window_next_lost(&window);
        if (packet != NULL) {
            pony_sent_window_resent(&window, packet, now_ns);
        } else if (pony_sent_window_span(&window) < N_SLOTS) {
            packet = pony_packet_pool_take(&pool);
            assert_non_null(packet);
            pony_sent_window_push(&window, packet, now_ns);
        }
        if (packet != NULL && base_rng_chance(&rng, 800000)) {
            assert_int_not_equal(pony_recv_window_take(&recv, packet->packet.seq),
                                 PONY_RECV_OUTSIDE);
        }
        if (base_rng_chance(&rng, 300000)) {
            uint64_t words[16];
            uint32_t n = pony_recv_window_sack(&recv, words, 16);
            (void)ack_at(recv.next_seq - (uint32_t)FIRST, words, n, now_ns);
            assert_int_equal(window.una_seq, recv.next_seq);
        }
        (void)pony_sent_window_find_lost(&window, now_ns, 200);
        if (round % 50 == 0) {
            (void)pony_sent_window_timeout(&window);
        }
        uint32_t n_out = pool.n_packets - pool.n_free;
        assert_int_equal(window.n_inflight + window.n_lost, n_out);
        assert_int_equal(pony_sent_window_span(&window), n_out + window.n_sacked);
    }
    assert_true(recv.next_seq - (uint32_t)FIRST > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_cumulative_ack_frees_all_before_it, setup, teardown),
        cmocka_unit_test_setup_teardown(an_ack_of_what_was_not_sent_is_not_believed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(selective_acks_count_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hole_is_lost_when_the_guard_has_passed, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_sent_after_the_newest_arrival_is_not_lost, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_resent_packet_can_be_lost_again, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_ack_too_fast_for_the_retransmission_says_nothing_about_it, setup, teardown),
        cmocka_unit_test_setup_teardown(late_first_transmissions_are_noticed_as_reordering, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_timeout_takes_the_one_sent_longest_ago, setup, teardown),
        cmocka_unit_test_setup_teardown(draining_gives_every_packet_back, setup, teardown),
        cmocka_unit_test_setup_teardown(random_exchange_keeps_the_books, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
