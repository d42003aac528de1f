/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * gettimeofday, on the time service.
 */
#ifndef KINTSUGI_SYS_TIME_H
#define KINTSUGI_SYS_TIME_H

#include <kintsugi/name.h>
#include <kintsugi/time.h>

struct timeval {
    time_t tv_sec;
    int64_t tv_usec;
};

#ifdef __cplusplus
extern "C" {
#endif
int gettimeofday(struct timeval *restrict now, void *restrict unused);
int utimes(const char *path, const struct timeval times[2]) KINTSUGI_NAME(utimes);
#ifdef __cplusplus
}
#endif

#endif
