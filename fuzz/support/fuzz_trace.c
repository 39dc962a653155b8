/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is compared with what, told to libFuzzer only where it differs. It uses the pairs to replace
 * one value by the other: equal ones replace a value by itself. Most are equal: each check of a
 * pointer's alignment is a comparison too, and telling them took a quarter of an execution.
 *
 * Compiled without sanitizers and coverage. snap_fuzzer() puts these in the way, with the linker.
 */
#include <stdint.h>

#define TELL_IF_DIFFERENT(name, type) \
    void __real___sanitizer_cov_trace_##name(type a, type b); \
    void __wrap___sanitizer_cov_trace_##name(type a, type b); \
    void __wrap___sanitizer_cov_trace_##name(type a, type b) \
    { \
        if (a != b) { \
            __real___sanitizer_cov_trace_##name(a, b); \
        } \
    }

TELL_IF_DIFFERENT(cmp1, uint8_t)
TELL_IF_DIFFERENT(cmp2, uint16_t)
TELL_IF_DIFFERENT(cmp4, uint32_t)
TELL_IF_DIFFERENT(cmp8, uint64_t)
TELL_IF_DIFFERENT(const_cmp1, uint8_t)
TELL_IF_DIFFERENT(const_cmp2, uint16_t)
TELL_IF_DIFFERENT(const_cmp4, uint32_t)
TELL_IF_DIFFERENT(const_cmp8, uint64_t)
