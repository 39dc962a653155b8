/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a program of takes and gives on the page allocator, beside one byte per page. */
#include "base/assert.h"
#include "base/endian.h"
#include "base/pages.h"

enum {
    MAX_PAGES = 300,
    MAX_STEPS = 400
};

static bool taken[MAX_PAGES + 1];

/* True when every page of [idx, idx + n) is there and `wanted`. */
static bool all_are(uint32_t n_pages, uint32_t idx, uint32_t n, bool wanted)
{
    for (uint32_t i = idx; i < idx + n; i++) {
        if (i >= n_pages || taken[i] != wanted) {
            return false;
        }
    }
    return true;
}

static int64_t first_fit(uint32_t n_pages, uint32_t n)
{
    for (uint32_t i = 0; i < n_pages; i++) {
        if (n > 0 && all_are(n_pages, i, n, false)) {
            return i;
        }
    }
    return -1;
}

static void step(struct base_pages *pages, struct base_cursor *c)
{
    uint8_t op = base_cursor_get_u8(c);
    uint32_t idx = base_cursor_get_u16(c) % (MAX_PAGES + 50);
    uint32_t n = base_cursor_get_u8(c);
    bool is_taken = op % 2 != 0;
    bool is_done = false;
    if (is_taken) {
        int64_t want = first_fit(pages->n_pages, n);
        base_assert(base_pages_take(pages, n) == want);
        is_done = want >= 0;
        idx = (uint32_t)want;
    } else {
        bool is_good = n > 0 && all_are(pages->n_pages, idx, n, true);
        is_done = base_pages_give(pages, idx, n) == BASE_OK;
        base_assert(is_done == is_good);
    }
    if (is_done) {
        memset(taken + idx, is_taken, n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct base_cursor c = base_cursor_make(data, size);
    struct base_pages pages;
    uint32_t n_pages = 1 + base_cursor_get_u16(&c) % MAX_PAGES;
    memset(taken, 0, sizeof(taken));
    if (base_pages_init(&pages, n_pages) != BASE_OK) {
        return 0;
    }
    for (uint32_t n = 0; n < MAX_STEPS && base_cursor_left(&c) > 0; n++) {
        step(&pages, &c);
    }
    base_pages_fini(&pages);
    return 0;
}
