/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Characters of C99 in the C locale: those that are there.
 */
#ifndef KINTSUGI_CTYPE_H
#define KINTSUGI_CTYPE_H

#ifdef __cplusplus
extern "C" {
#endif
int isalpha(int character);
int isdigit(int character);
int isspace(int character);
int isupper(int character);
#ifdef __cplusplus
}
#endif

#endif
