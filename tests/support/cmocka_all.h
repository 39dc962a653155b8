/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_CMOCKA_ALL_H
#define TESTS_SUPPORT_CMOCKA_ALL_H

/**
 * cmocka.h with the headers that it needs before it. Tests include this, never cmocka.h itself.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#endif
