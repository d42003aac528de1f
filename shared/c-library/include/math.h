/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Only what the compiler makes of single instructions.
 */
#ifndef KINTSUGI_MATH_H
#define KINTSUGI_MATH_H

#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define isnan(number) __builtin_isnan(number)
#define isinf(number) __builtin_isinf(number)

#ifdef __cplusplus
extern "C" {
#endif
double fabs(double number);
#ifdef __cplusplus
}
#endif

#endif
