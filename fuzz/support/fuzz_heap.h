/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_SUPPORT_FUZZ_HEAP_H
#define FUZZ_SUPPORT_FUZZ_HEAP_H

#include <stdint.h>

/**
 * Heap of a fuzzer that makes its whole world anew in each execution: malloc() of the program's own
 * code (not of libraries) takes from one arena that is rewound after the execution. The sanitizer's
 * own heap maps, fills and unmaps megabytes for that, which was most of the time of an execution.
 *
 * Shape    a mark that moves on; nothing is handed out twice between two resets, so that a use after
 *          free is always seen; 64 poisoned bytes between blocks. When the arena is full, blocks come
 *          from the sanitizer's heap.
 * Saved    fuzz_heap_save() keeps what is there: each reset brings exactly that back, addresses
 *          included, by putting back the pages that were written since. So a world is built once.
 *          Variables outside the heap are the caller's to put back, or keep them in the heap.
 * Leaks    fuzz_heap_n_live(); LeakSanitizer does not look into the arena
 * Use      snap_fuzzer(... HEAP): links this and wraps the functions
 * Threads  one
 */

/** From here on malloc() takes from the arena. */
void fuzz_heap_enter(void);
/** From here on from the sanitizer's heap again; blocks of the arena may still be freed. */
void fuzz_heap_leave(void);
/** What is in the arena now is what every reset brings back. Once. */
void fuzz_heap_save(void);
/** Back to what was saved; to nothing if nothing was. */
void fuzz_heap_reset(void);
/** Blocks that were taken and not given back. */
uint64_t fuzz_heap_n_live(void);

#endif
