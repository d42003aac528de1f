/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * There are no streams; the header is there because programs include it. Files: <unistd.h>.
 */
#ifndef KINTSUGI_STDIO_H
#define KINTSUGI_STDIO_H

#include <stddef.h>
#include <kintsugi/name.h>

#define FILENAME_MAX 4096
#define EOF (-1)

#ifdef __cplusplus
extern "C" {
#endif
int rename(const char *from, const char *to) KINTSUGI_NAME(rename);
int remove(const char *path) KINTSUGI_NAME(remove);
#ifdef __cplusplus
}
#endif

#endif
