/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/mem.h"

#include "tests/support/cmocka_all.h"

#include <string.h>

static void a_buffer_holds_what_was_asked_for(void **state)
{
    (void)state;
    static const size_t sizes[] = {1,     4096,  4097,    16384,   16385,
                                   65536, 65537, 1 << 20, 3000000, 64 << 20};
    struct ktcp_mem mem;
    ktcp_mem_init(&mem);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct ktcp_buf buf;
        assert_int_equal(ktcp_buf_take(&mem, sizes[i], sizes[i], &buf), BASE_OK);
        assert_true(buf.capacity >= sizes[i]);
        assert_int_equal((uintptr_t)buf.data % 8, 0);
        buf.data[0] = 1;
        buf.data[sizes[i] - 1] = 2;
        ktcp_buf_give(&mem, &buf);
        assert_null(buf.data);
        ktcp_buf_give(&mem, &buf);
    }
    ktcp_mem_fini(&mem);
}

static void what_is_given_back_is_taken_again(void **state)
{
    (void)state;
    static const size_t sizes[] = {100, 10000, 60000, 1 << 20};
    struct ktcp_mem mem;
    ktcp_mem_init(&mem);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct ktcp_buf buf;
        assert_int_equal(ktcp_buf_take(&mem, sizes[i], sizes[i], &buf), BASE_OK);
        const uint8_t *data = buf.data;
        ktcp_buf_give(&mem, &buf);
        assert_int_equal(ktcp_buf_take(&mem, sizes[i], 1, &buf), BASE_OK);
        assert_ptr_equal(buf.data, data);
        ktcp_buf_give(&mem, &buf);
    }
    ktcp_mem_fini(&mem);
}

static void what_is_kept_is_bounded(void **state)
{
    (void)state;

    enum {
        N = 100
    };
    struct ktcp_mem mem;
    struct ktcp_buf maps[N], smalls[N];
    struct ktcp_chunk *chunks[N];
    ktcp_mem_init(&mem);
    for (int i = 0; i < N; i++) {
        assert_int_equal(ktcp_buf_take(&mem, 1 << 20, 1 << 20, &maps[i]), BASE_OK);
        assert_int_equal(ktcp_buf_take(&mem, 5000, 5000, &smalls[i]), BASE_OK);
        chunks[i] = ktcp_chunk_take(&mem);
        assert_non_null(chunks[i]);
    }
    for (int i = 0; i < N; i++) {
        ktcp_buf_give(&mem, &maps[i]);
        ktcp_buf_give(&mem, &smalls[i]);
        ktcp_chunk_put(&mem, chunks[i]);
    }
    assert_true(mem.map_bytes <= KTCP_MEM_KEPT_MAP_BYTES);
    assert_true(mem.n_maps <= KTCP_MEM_KEPT_MAPS);
    assert_int_equal(mem.n_chunks, KTCP_MEM_KEPT_SMALL);
    assert_int_equal(mem.n_small[1], KTCP_MEM_KEPT_SMALL);
    ktcp_mem_fini(&mem);
}

static void growing_keeps_the_bytes(void **state)
{
    (void)state;
    struct ktcp_mem mem;
    ktcp_mem_init(&mem);
    struct ktcp_buf buf;
    assert_int_equal(ktcp_buf_take(&mem, 1000, 1000, &buf), BASE_OK);
    memset(buf.data, 7, 1000);
    for (size_t bytes = 1000; bytes <= 16 << 20; bytes *= 2) {
        assert_int_equal(ktcp_buf_grow(&mem, &buf, bytes), BASE_OK);
        assert_true(buf.capacity >= bytes);
        assert_int_equal(buf.data[0], 7);
        assert_int_equal(buf.data[999], 7);
        buf.data[bytes - 1] = 7;
    }
    ktcp_buf_give(&mem, &buf);
    ktcp_mem_fini(&mem);
}

static void an_announced_size_takes_only_the_least(void **state)
{
    (void)state;
    struct ktcp_mem mem;
    ktcp_mem_init(&mem);
    struct ktcp_buf buf;
    assert_int_equal(ktcp_buf_take(&mem, (size_t)1 << 40, 256 << 10, &buf), BASE_OK);
    assert_true(buf.capacity >= 256 << 10);
    assert_true(buf.capacity <= 512 << 10);
    ktcp_buf_give(&mem, &buf);
    ktcp_mem_fini(&mem);
}

static void more_than_there_is_is_an_error(void **state)
{
    (void)state;
    struct ktcp_mem mem;
    ktcp_mem_init(&mem);
    struct ktcp_buf buf;
    assert_int_equal(ktcp_buf_take(&mem, SIZE_MAX, SIZE_MAX, &buf), BASE_E_NOMEM);
    assert_null(buf.data);
    assert_int_equal(ktcp_buf_take(&mem, (size_t)1 << 60, (size_t)1 << 60, &buf), BASE_E_NOMEM);
    ktcp_mem_fini(&mem);
}

static void a_chunk_is_found_from_its_frames(void **state)
{
    (void)state;
    struct ktcp_mem mem;
    ktcp_mem_init(&mem);
    struct ktcp_chunk *chunk = ktcp_chunk_take(&mem);
    assert_non_null(chunk);
    uint8_t *start = (uint8_t *)chunk;
    assert_ptr_equal(ktcp_chunk_of(start + KTCP_CHUNK_HEAD_BYTES), chunk);
    assert_ptr_equal(ktcp_chunk_of(start + KTCP_CHUNK_BYTES - 1), chunk);
    ktcp_chunk_put(&mem, chunk);
    ktcp_mem_fini(&mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_holds_what_was_asked_for),
        cmocka_unit_test(what_is_given_back_is_taken_again),
        cmocka_unit_test(what_is_kept_is_bounded),
        cmocka_unit_test(growing_keeps_the_bytes),
        cmocka_unit_test(an_announced_size_takes_only_the_least),
        cmocka_unit_test(more_than_there_is_is_an_error),
        cmocka_unit_test(a_chunk_is_found_from_its_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
