/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Clocks and timers of POSIX.1-2017 on Kintsugi's time service, for protection domains in C.
 *
 * Functions return -1 and set errno, unless said otherwise. There are no signals: a timer has
 * SIGEV_NONE (or a null event), and the program asks kintsugi_timer_expired whenever the time
 * service has notified it. A restart of the service changes nothing for the program.
 */
#ifndef KINTSUGI_TIME_H
#define KINTSUGI_TIME_H

#include <stddef.h>
#include <stdint.h>

#include "kintsugi/region.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef int clockid_t;
typedef int timer_t;
typedef int64_t time_t;

struct timespec {
    time_t tv_sec;
    int64_t tv_nsec;
};

struct itimerspec {
    struct timespec it_interval;
    struct timespec it_value;
};

struct sigevent {
    int sigev_notify;
};

#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC 1
#define TIMER_ABSTIME 1
#define SIGEV_NONE 1
#define DELAYTIMER_MAX 0x7fffffff

int *kintsugi_errno_location(void);
#ifndef errno
#define errno (*kintsugi_errno_location())
#endif
#ifndef EPERM
#define EPERM 1
#endif
#ifndef EAGAIN
#define EAGAIN 11
#endif
#ifndef EFAULT
#define EFAULT 14
#endif
#ifndef EINVAL
#define EINVAL 22
#endif
#ifndef ENOTSUP
#define ENOTSUP 95
#endif

struct kintsugi_time {
    struct kintsugi_region clock;   /* timer_clock, r */
    struct kintsugi_region timers;  /* NAME_to_timer_timers, rw */
    struct kintsugi_region firings; /* timer_to_NAME_firings, r */
    struct kintsugi_region control; /* NAME_to_timer_control, rw; null without the right to set the clock */
    uint64_t (*ticks)(void);        /* reads CNTPCT_EL0 */
    void (*notify)(void);           /* notifies the time service */
    void (*wait)(void);             /* waits for its notification; may return without cause */
};

/* First of all. EAGAIN: the service has not started yet; wait for its notification and try again. The
 * functions in *connection must not call back into this library. Ends all timers of an earlier life. */
int kintsugi_time_attach(const struct kintsugi_time *connection);

int clock_gettime(clockid_t clock, struct timespec *now);
int clock_getres(clockid_t clock, struct timespec *resolution);
int clock_settime(clockid_t clock, const struct timespec *now);
int nanosleep(const struct timespec *duration, struct timespec *remaining);
/* Returns the error value. */
int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *remaining);
int timer_create(clockid_t clock, struct sigevent *event, timer_t *timer);
int timer_delete(timer_t timer);
int timer_settime(timer_t timer, int flags, const struct itimerspec *value, struct itimerspec *old);
int timer_gettime(timer_t timer, struct itimerspec *value);
/* Expirations beyond the one that kintsugi_timer_expired has reported last. */
int timer_getoverrun(timer_t timer);
/* 1 when the timer has expired since this was asked last, else 0. */
int kintsugi_timer_expired(timer_t timer);

#ifdef __cplusplus
}
#endif

#endif
