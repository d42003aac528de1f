/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Memory, sorting and numbers of C99: those that are there. There is no environment: getenv finds nothing.
 */
#ifndef KINTSUGI_STDLIB_H
#define KINTSUGI_STDLIB_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
void *malloc(size_t bytes);
void *calloc(size_t count, size_t bytes);
void *realloc(void *block, size_t bytes);
void free(void *block);
void qsort(void *base, size_t count, size_t bytes, int (*compare)(const void *, const void *));
long strtol(const char *restrict text, char **restrict end, int base);
unsigned long strtoul(const char *restrict text, char **restrict end, int base);
int atoi(const char *text);
int abs(int number);
char *getenv(const char *name);
/* Faults: the supervisor restarts the program. */
void abort(void) __attribute__((noreturn));
#ifdef __cplusplus
}
#endif

#endif
