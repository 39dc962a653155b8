/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/heap_counter.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

static _Atomic uint64_t n_allocated;

uint64_t heap_allocations(void)
{
    return atomic_load(&n_allocated);
}

/* By file, not by function: under a sanitizer there is nothing else. */
#if !defined(HEAP_HAS_SANITIZER) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the names are glibc's */
/* NOLINTBEGIN(readability-identifier-naming,readability-inconsistent-declaration-parameter-name):
 * the same */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);

/* Shared libraries are to find these too, though layers hide what they define. */
#    pragma GCC visibility push(default)

void *malloc(size_t size)
{
    atomic_fetch_add(&n_allocated, 1);
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    atomic_fetch_add(&n_allocated, 1);
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    atomic_fetch_add(&n_allocated, 1);
    return __libc_realloc(p, size);
}

void *aligned_alloc(size_t align, size_t size)
{
    atomic_fetch_add(&n_allocated, 1);
    return __libc_memalign(align, size);
}

int posix_memalign(void **p, size_t align, size_t size)
{
    atomic_fetch_add(&n_allocated, 1);
    *p = __libc_memalign(align, size);
    return *p != NULL ? 0 : ENOMEM;
}

#    pragma GCC visibility pop

/* NOLINTEND(readability-identifier-naming,readability-inconsistent-declaration-parameter-name) */
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
#endif
