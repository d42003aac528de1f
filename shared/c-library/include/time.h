/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Clocks and timers are those of the time service; there are no time zones.
 */
#ifndef KINTSUGI_C_TIME_H
#define KINTSUGI_C_TIME_H

#include <kintsugi/time.h>

struct tm {
    int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year, tm_wday, tm_yday, tm_isdst;
};

#ifdef __cplusplus
extern "C" {
#endif
time_t time(time_t *now);
#ifdef __cplusplus
}
#endif

#endif
