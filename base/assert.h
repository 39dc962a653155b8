/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

/**
 * base_assert: for our own invariants, O(1), stays in release builds. Nothing that a peer, a packet
 * or a client can cause may reach one. Failure prints the place to stderr and aborts.
 */
__attribute__((noreturn, cold)) void base_assert_fail(const char *expr, const char *file, int line);

#define base_assert(cond) \
    (__builtin_expect(!!(cond), 1) ? (void)0 : base_assert_fail(#cond, __FILE__, __LINE__))

#endif
