/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled without sanitizers and coverage: it is the sanitizer here. Pages are compared and copied
 * by loops of its own: the sanitizer's memcpy() would refuse what is poisoned.
 *
 * Putting back what an execution wrote costs more than the execution when each page is dropped and
 * faulted in again. So pages that are written again and again stay, and are copied from the file:
 * `kept`. Which pages were written the kernel tells (pagemap: there, and no longer the file's), and
 * it is asked only when there were page faults.
 */
#include "fuzz/support/fuzz_heap.h"

#include "base/assert.h"

#include <fcntl.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    HEAP_BYTES = 64 << 20,
    ALIGN = 16,
    REDZONE = 64,
    FREED_MAX = 4096, /* saved blocks that one execution may free */
    PAGE_BYTES = 4096,
    N_PAGES = HEAP_BYTES / PAGE_BYTES,
    PAGE_WORDS = PAGE_BYTES / sizeof(uint64_t),
    IDLE_MAX = 32, /* executions after which a kept page that none of them wrote is dropped */
    PAGEMAP_FILE_BIT = 61,
    PAGEMAP_SWAPPED_BIT = 62 /* and 63: present */
};

/* Of the block that begins at byte ALIGN * i of the arena. Outside of it: freeing touches no page. */
struct head {
    uint32_t bytes;
    bool is_taken;
};

static struct head heads[HEAP_BYTES / ALIGN];

static struct {
    uint8_t *base;
    int fd;
    uint64_t top;       /* first byte not handed out */
    uint64_t saved_top; /* 0: nothing saved */
    uint64_t saved_live;
    uint64_t n_live;
    struct head *freed[FREED_MAX]; /* of saved blocks that were freed since the reset */
    uint32_t n_freed;
    bool is_entered;
} heap;

/* Pages of the arena that are no longer the file's. */
static struct {
    const uint8_t *clean; /* the file: what was saved, zeros after it */
    int pagemap_fd;
    long n_faults; /* when it was asked last */
    uint32_t idx[N_PAGES];
    uint32_t n;
    uint8_t idle[N_PAGES]; /* by page: resets since it was written */
    bool is_kept[N_PAGES];
} kept;

/* Of libFuzzer and the libraries: what they have freed is not what we look for. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "quarantine_size_mb=16:malloc_context_size=8";
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *block, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
void __real_free(void *block);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
void __wrap_free(void *block);

static bool is_ours(const void *block)
{
    return heap.base != NULL && (uintptr_t)block - (uintptr_t)heap.base < HEAP_BYTES;
}

static struct head *head_of(const void *block)
{
    uint64_t off = (uint64_t)((const uint8_t *)block - heap.base);
    struct head *head = &heads[off / ALIGN];
    base_assert(off % ALIGN == 0 && head->is_taken); /* freed twice, or never taken */
    return head;
}

static void open_heap(void)
{
    heap.fd = memfd_create("fuzz_heap", MFD_CLOEXEC);
    base_assert(heap.fd >= 0 && ftruncate(heap.fd, HEAP_BYTES) == 0);
    heap.base = mmap(NULL, HEAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, heap.fd, 0);
    base_assert(heap.base != MAP_FAILED);
    __asan_poison_memory_region(heap.base, HEAP_BYTES);
    __lsan_register_root_region(heap.base, HEAP_BYTES); /* what a library made may hang on it */
}

void fuzz_heap_enter(void)
{
    if (heap.base == NULL) {
        open_heap();
    }
    base_assert(!heap.is_entered);
    heap.is_entered = true;
}

void fuzz_heap_leave(void)
{
    base_assert(heap.is_entered);
    heap.is_entered = false;
}

void fuzz_heap_save(void)
{
    base_assert(heap.base != NULL && heap.saved_top == 0);
    /* What was written so far stays in the file; what is written from here on stays out of it. */
    void *same =
        mmap(heap.base, HEAP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, heap.fd, 0);
    base_assert(same == heap.base);
    kept.clean = mmap(NULL, HEAP_BYTES, PROT_READ, MAP_SHARED, heap.fd, 0);
    kept.pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    base_assert(kept.clean != MAP_FAILED && kept.pagemap_fd >= 0);
    heap.saved_top = heap.top;
    heap.saved_live = heap.n_live;
    heap.n_freed = 0;
}

static long count_faults(void)
{
    struct rusage usage;
    base_assert(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_minflt + usage.ru_majflt;
}

/* Finds the pages below the top that were written for the first time. */
static void find_written(void)
{
    static uint64_t entries[N_PAGES];
    uint32_t n = (uint32_t)((heap.top + PAGE_BYTES - 1) / PAGE_BYTES);
    off_t at = (off_t)((uintptr_t)heap.base / PAGE_BYTES * sizeof(entries[0]));
    long n_faults = count_faults();
    if (n_faults == kept.n_faults) {
        return;
    }
    kept.n_faults = n_faults;
    base_assert(pread(kept.pagemap_fd, entries, n * sizeof(entries[0]), at) ==
                (ssize_t)(n * sizeof(entries[0])));
    for (uint32_t i = 0; i < n; i++) {
        bool is_written =
            entries[i] >> PAGEMAP_SWAPPED_BIT != 0 && (entries[i] >> PAGEMAP_FILE_BIT & 1) == 0;
        if (is_written && !kept.is_kept[i]) {
            kept.is_kept[i] = true;
            kept.idle[i] = 0;
            kept.idx[kept.n++] = i;
        }
    }
}

/* False: it was as it was saved. */
static bool put_back(uint32_t page)
{
    uint64_t *now = (uint64_t *)(void *)(heap.base + (size_t)page * PAGE_BYTES);
    const uint64_t *was = (const uint64_t *)(const void *)(kept.clean + (size_t)page * PAGE_BYTES);
    uint64_t changed = 0;
    for (uint32_t i = 0; i < PAGE_WORDS; i++) {
        changed |= now[i] ^ was[i];
    }
    for (uint32_t i = 0; changed != 0 && i < PAGE_WORDS; i++) {
        now[i] = was[i];
    }
    return changed != 0;
}

static void put_all_back(void)
{
    uint32_t n = 0;
    find_written();
    for (uint32_t i = 0; i < kept.n; i++) {
        uint32_t page = kept.idx[i];
        bool is_reached = (uint64_t)page * PAGE_BYTES < heap.top; /* else nothing was there */
        kept.idle[page] = is_reached && put_back(page) ? 0 : (uint8_t)(kept.idle[page] + 1);
        if (kept.idle[page] < IDLE_MAX) {
            kept.idx[n++] = page;
            continue;
        }
        kept.is_kept[page] = false;
        base_assert(madvise(heap.base + (size_t)page * PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED) == 0);
    }
    kept.n = n;
}

void fuzz_heap_reset(void)
{
    __asan_poison_memory_region(heap.base + heap.saved_top, heap.top - heap.saved_top);
    if (heap.saved_top > 0) {
        for (uint32_t i = 0; i < heap.n_freed; i++) {
            struct head *head = heap.freed[i];
            head->is_taken = true;
            __asan_unpoison_memory_region(heap.base + (size_t)(head - heads) * ALIGN, head->bytes);
        }
        put_all_back();
    }
    heap.top = heap.saved_top;
    heap.n_live = heap.saved_live;
    heap.n_freed = 0;
}

uint64_t fuzz_heap_n_live(void)
{
    return heap.n_live;
}

/* NULL: full. */
static void *take(size_t align, size_t bytes)
{
    uint64_t off = (heap.top + REDZONE + align - 1) & ~((uint64_t)align - 1);
    if (bytes > HEAP_BYTES || off + bytes + REDZONE > HEAP_BYTES) {
        return NULL;
    }
    uint8_t *block = heap.base + off;
    heads[off / ALIGN] = (struct head){(uint32_t)bytes, true};
    heap.top = off + ((bytes + ALIGN - 1) & ~((uint64_t)ALIGN - 1));
    heap.n_live++;
    __asan_unpoison_memory_region(block, bytes);
    return block;
}

void *__wrap_malloc(size_t bytes)
{
    void *block = heap.is_entered ? take(ALIGN, bytes) : NULL;
    return block != NULL ? block : __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
    size_t all;
    if (!heap.is_entered || __builtin_mul_overflow(n, bytes, &all)) {
        return __real_calloc(n, bytes);
    }
    void *block = take(ALIGN, all);
    if (block == NULL) {
        return __real_calloc(n, bytes);
    }
    if (heap.saved_top == 0) { /* else its pages are fresh */
        memset(block, 0, all);
    }
    return block;
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
    void *block = heap.is_entered ? take(align < ALIGN ? ALIGN : align, bytes) : NULL;
    return block != NULL ? block : __real_aligned_alloc(align, bytes);
}

void __wrap_free(void *block)
{
    if (!is_ours(block)) {
        __real_free(block);
        return;
    }
    struct head *head = head_of(block);
    head->is_taken = false;
    heap.n_live--;
    __asan_poison_memory_region(block, head->bytes);
    if ((uint64_t)((uint8_t *)block - heap.base) < heap.saved_top) {
        base_assert(heap.n_freed < FREED_MAX);
        heap.freed[heap.n_freed++] = head;
    }
}

void *__wrap_realloc(void *block, size_t bytes)
{
    if (!is_ours(block) && (block != NULL || !heap.is_entered)) {
        return __real_realloc(block, bytes);
    }
    void *made = __wrap_malloc(bytes);
    if (block == NULL || made == NULL) {
        return made;
    }
    const struct head *head = head_of(block);
    memcpy(made, block, head->bytes < bytes ? head->bytes : bytes);
    __wrap_free(block);
    return made;
}
