/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * assert of C99: a failure faults, and the supervisor restarts the program.
 */
#ifndef KINTSUGI_ASSERT_H
#define KINTSUGI_ASSERT_H

#ifdef NDEBUG
#define assert(condition) ((void)0)
#else
#define assert(condition) ((condition) ? (void)0 : __builtin_trap())
#endif

#endif
