/* SPDX-License-Identifier: Apache-2.0 */
#include "base/copy.h"

#include <stdint.h>
#include <string.h>

typedef uint64_t vector __attribute__((vector_size(16), aligned(1), may_alias));

enum {
    LINE = 4 * sizeof(vector)
};

void base_copy_long(void *to, const void *from, size_t bytes)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    for (; bytes >= LINE; bytes -= LINE, in += LINE, out += LINE) {
        const vector *v = (const vector *)(const void *)in;
        vector *w = (vector *)(void *)out;
        vector a = v[0];
        vector b = v[1];
        vector c = v[2];
        vector d = v[3];
        w[0] = a;
        w[1] = b;
        w[2] = c;
        w[3] = d;
        /* Or the compiler would see through it and call memcpy(). */
        __asm__ volatile("" ::: "memory");
    }
    if (bytes > 0) {
        memcpy(out, in, bytes);
    }
}
