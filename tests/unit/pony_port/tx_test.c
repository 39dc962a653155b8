/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/port/tx.h"

#include "base/compiler.h"
#include "base/rng.h"
#include "tests/support/cmocka_all.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    REGION_BYTES = 1 << 20
};

struct region {
    struct pony_port_tx tx;
    uint8_t *base;
    size_t bytes;
    int fd;
};

static void region_open(struct region *r, size_t bytes)
{
    r->bytes = bytes;
    r->fd = memfd_create("tx", MFD_CLOEXEC);
    assert_true(r->fd >= 0);
    assert_int_equal(ftruncate(r->fd, (off_t)bytes), 0);
    r->base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
    assert_true(r->base != MAP_FAILED);
    assert_int_equal(pony_port_tx_init(&r->tx, r->base, bytes), BASE_OK);
}

static void region_close(struct region *r)
{
    pony_port_tx_fini(&r->tx);
    (void)munmap(r->base, r->bytes);
    (void)close(r->fd);
}

static void what_was_given_back_last_is_taken_first(void **state)
{
    (void)state;
    struct region r;
    region_open(&r, REGION_BYTES);
    static const size_t sizes[] = {1, 64, 65, 2048, 2049, 100000};
    for (size_t i = 0; i < BASE_ARRAY_LEN(sizes); i++) {
        struct pony_port_span a, b;
        assert_int_equal(pony_port_tx_take(&r.tx, sizes[i], &a), BASE_OK);
        pony_port_tx_give(&r.tx, &a);
        assert_int_equal(pony_port_tx_take(&r.tx, sizes[i], &b), BASE_OK);
        assert_int_equal(a.off, b.off);
        pony_port_tx_give(&r.tx, &b);
    }
    region_close(&r);
}

static void the_whole_region_fits_and_a_byte_more_does_not(void **state)
{
    (void)state;
    struct region r;
    struct pony_port_span s, t;
    region_open(&r, REGION_BYTES);
    /* Leaves kept slabs, which must not stand in the way. */
    for (size_t len = 64; len <= 2048; len *= 2) {
        assert_int_equal(pony_port_tx_take(&r.tx, len, &s), BASE_OK);
        pony_port_tx_give(&r.tx, &s);
    }
    assert_int_equal(pony_port_tx_take(&r.tx, REGION_BYTES + 1, &s), BASE_AGAIN);
    assert_int_equal(pony_port_tx_take(&r.tx, REGION_BYTES, &s), BASE_OK);
    assert_int_equal(pony_port_tx_take(&r.tx, 1, &t), BASE_AGAIN);
    assert_int_equal(pony_port_tx_take(&r.tx, 0, &t), BASE_OK);
    pony_port_tx_give(&r.tx, &t);
    pony_port_tx_give(&r.tx, &s);
    assert_int_equal(pony_port_tx_take(&r.tx, REGION_BYTES, &s), BASE_OK);
    pony_port_tx_give(&r.tx, &s);
    region_close(&r);
}

static void a_region_without_a_page_is_invalid(void **state)
{
    (void)state;
    struct pony_port_tx tx;
    assert_int_equal(pony_port_tx_init(&tx, NULL, 4095), BASE_E_INVALID);
    pony_port_tx_fini(&tx);
}

static size_t memory_of(const struct region *r)
{
    struct stat st;
    assert_int_equal(fstat(r->fd, &st), 0);
    return (size_t)st.st_blocks * 512;
}

/* Trims at `now_ns` and whenever it is due then. Returns how often. */
static uint32_t trim(struct region *r, uint64_t now_ns)
{
    uint32_t n = 1;
    pony_port_tx_trim(&r->tx, now_ns);
    for (; r->tx.trim_ns <= now_ns; n++) {
        pony_port_tx_trim(&r->tx, now_ns);
    }
    return n;
}

static void memory_above_the_mark_goes_back_to_the_system_after_a_while(void **state)
{
    (void)state;
    struct region r;
    struct pony_port_span s;
    size_t bytes = 3 * (size_t)PONY_PORT_TX_KEEP_BYTES;
    region_open(&r, bytes);
    pony_port_tx_trim(&r.tx, 5);
    assert_true(pony_port_tx_trim_ns(&r.tx, 5) == UINT64_MAX);
    assert_int_equal(pony_port_tx_take(&r.tx, bytes, &s), BASE_OK);
    memset(r.base, 1, bytes);
    pony_port_tx_give(&r.tx, &s);
    assert_int_equal(pony_port_tx_trim_ns(&r.tx, 10), 10 + PONY_PORT_TX_IDLE_NS);
    pony_port_tx_trim(&r.tx, 10);
    pony_port_tx_trim(&r.tx, 9 + PONY_PORT_TX_IDLE_NS);
    assert_true(memory_of(&r) >= bytes);
    assert_int_equal(pony_port_tx_take(&r.tx, bytes, &s), BASE_OK); /* used again: not yet */
    pony_port_tx_give(&r.tx, &s);
    pony_port_tx_trim(&r.tx, 11 + PONY_PORT_TX_IDLE_NS);
    assert_true(memory_of(&r) >= bytes);
    uint32_t n = trim(&r, 11 + 2 * PONY_PORT_TX_IDLE_NS);
    assert_int_equal(n, 2 * PONY_PORT_TX_KEEP_BYTES / PONY_PORT_TX_TRIM_BYTES);
    assert_in_range(memory_of(&r), PONY_PORT_TX_KEEP_BYTES / 2, PONY_PORT_TX_KEEP_BYTES);
    assert_true(pony_port_tx_trim_ns(&r.tx, 0) == UINT64_MAX);
    region_close(&r);
}

static void memory_that_is_out_stays_when_the_rest_goes_back(void **state)
{
    (void)state;
    struct region r;
    struct pony_port_span low, high;
    size_t bytes = 2 * (size_t)PONY_PORT_TX_KEEP_BYTES;
    region_open(&r, bytes);
    assert_int_equal(pony_port_tx_take(&r.tx, bytes - 65536, &low), BASE_OK);
    assert_int_equal(pony_port_tx_take(&r.tx, 65536, &high), BASE_OK);
    memset(r.base, 0x5a, bytes);
    pony_port_tx_give(&r.tx, &low);
    pony_port_tx_trim(&r.tx, 1);
    (void)trim(&r, 2 + PONY_PORT_TX_IDLE_NS);
    assert_int_equal(memory_of(&r), PONY_PORT_TX_KEEP_BYTES + 65536);
    for (size_t i = 0; i < 65536; i++) {
        assert_int_equal(r.base[high.off + i], 0x5a);
    }
    pony_port_tx_give(&r.tx, &high);
    pony_port_tx_trim(&r.tx, 2 + PONY_PORT_TX_IDLE_NS);
    (void)trim(&r, 3 + 2 * PONY_PORT_TX_IDLE_NS);
    assert_int_equal(memory_of(&r), PONY_PORT_TX_KEEP_BYTES);
    region_close(&r);
}

/* Pieces that are out never overlap, are aligned and inside; everything comes back. */
static void random_pieces_never_overlap(void **state)
{
    (void)state;

    enum {
        N = 300
    };

    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct region r;
        struct base_rng rng;
        struct pony_port_span spans[N];
        size_t lens[N] = {0};
        uint32_t n_again = 0;
        region_open(&r, REGION_BYTES);
        base_rng_init(&rng, seed);
        for (int step = 0; step < 20000; step++) {
            uint64_t i = base_rng_below(&rng, N);
            if (lens[i] != 0) {
                for (size_t k = 0; k < lens[i]; k++) {
                    assert_int_equal(r.base[spans[i].off + k], (uint8_t)i);
                }
                pony_port_tx_give(&r.tx, &spans[i]);
                lens[i] = 0;
                continue;
            }
            size_t len = 1 + (size_t)base_rng_below(&rng, UINT64_C(1) << base_rng_below(&rng, 18));
            if (pony_port_tx_take(&r.tx, len, &spans[i]) != BASE_OK) {
                n_again++;
                continue;
            }
            assert_true(spans[i].off + len <= REGION_BYTES && spans[i].off % 64 == 0);
            memset(r.base + spans[i].off, (uint8_t)i, len);
            lens[i] = len;
        }
        for (int i = 0; i < N; i++) {
            if (lens[i] != 0) {
                pony_port_tx_give(&r.tx, &spans[i]);
            }
        }
        struct pony_port_span all;
        assert_int_equal(pony_port_tx_take(&r.tx, REGION_BYTES, &all), BASE_OK);
        assert_true(n_again > 0);
        region_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_given_back_last_is_taken_first),
        cmocka_unit_test(the_whole_region_fits_and_a_byte_more_does_not),
        cmocka_unit_test(a_region_without_a_page_is_invalid),
        cmocka_unit_test(memory_above_the_mark_goes_back_to_the_system_after_a_while),
        cmocka_unit_test(memory_that_is_out_stays_when_the_rest_goes_back),
        cmocka_unit_test(random_pieces_never_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
