/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Uses the clocks and timers of POSIX as a program would that knows nothing of Kintsugi, and checks every
 * answer and every error value. For RUN_S seconds of its work somebody kills the time service again and
 * again: nothing may be early, nothing lost, nothing twice. It ends with KINTSUGI|PASS or KINTSUGI|FAIL.
 */
#include "kintsugi/pd.h"
#include "kintsugi/time.h"

#define NS_PER_S 1000000000LL
#define RUN_S 6
#define PERIOD_NS 1000000LL
/* A period that ended so long ago must have been counted: longer than any restart. */
#define GRACE_NS 100000000LL
/* As many as timer_create gives. */
#define TIMERS_MAX 256

static unsigned timer_channel;

/* Text and a number, without a C library. */
static void say(const char *text, int64_t number) {
    char line[200], digits[24];
    size_t length = 0, count = 0;
    uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;
    while (*text && length < sizeof line - sizeof digits - 2)
        line[length++] = *text++;
    do
        digits[count++] = (char)('0' + left % 10);
    while ((left /= 10) != 0);
    if (number < 0)
        line[length++] = '-';
    while (count > 0)
        line[length++] = digits[--count];
    line[length] = 0;
    kintsugi_log(line);
}

_Noreturn static void fail(int line, const char *what, int64_t value) {
    kintsugi_log(what);
    say("it was ", value);
    say("KINTSUGI|FAIL test_time_c line=", line);
    for (;;)
        kintsugi_wait(timer_channel);
}

#define IS(left, right)                                                                                      \
    do {                                                                                                     \
        int64_t value_ = (left);                                                                             \
        if (value_ != (int64_t)(right))                                                                      \
            fail(__LINE__, #left " == " #right, value_);                                                     \
    } while (0)
#define TRUE(what)                                                                                           \
    do {                                                                                                     \
        if (!(what))                                                                                         \
            fail(__LINE__, #what, errno);                                                                    \
    } while (0)
/* Fails with this error. */
#define FAILS(call, error)                                                                                   \
    do {                                                                                                     \
        errno = 0;                                                                                           \
        IS(call, -1);                                                                                        \
        IS(errno, error);                                                                                    \
    } while (0)

static void notify(void) { kintsugi_notify(timer_channel); }

static void wait(void) { kintsugi_wait(timer_channel); }

static int64_t ns(struct timespec time) { return time.tv_sec * NS_PER_S + time.tv_nsec; }

static struct timespec spec(int64_t ns) {
    return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
}

static int64_t now(clockid_t clock) {
    struct timespec time;
    IS(clock_gettime(clock, &time), 0);
    TRUE(time.tv_nsec >= 0 && time.tv_nsec < NS_PER_S);
    return ns(time);
}

static void attach(void) {
    struct kintsugi_time time = {.ticks = kintsugi_ticks, .notify = notify, .wait = wait};
    struct timespec at;
    int channel = kintsugi_channel("timer");
    TRUE(channel >= 0);
    timer_channel = (unsigned)channel;
    IS(kintsugi_region("timer_clock", &time.clock), 0);
    IS(kintsugi_region("test_time_c_to_timer_timers", &time.timers), 0);
    IS(kintsugi_region("timer_to_test_time_c_firings", &time.firings), 0);
    IS(kintsugi_region("test_time_c_to_timer_control", &time.control), 0);
    IS(kintsugi_region("no_such_region", &time.control), -1);
    IS(kintsugi_channel("nobody"), -1);
    /* Not attached. */
    FAILS(clock_gettime(CLOCK_MONOTONIC, &at), EINVAL);
    FAILS(kintsugi_time_attach(NULL), EFAULT);
    while (kintsugi_time_attach(&time) != 0) {
        IS(errno, EAGAIN);
        wait();
    }
}

static void clocks(void) {
    struct timespec time;
    int64_t before, after, wall;
    IS(clock_getres(CLOCK_MONOTONIC, &time), 0);
    TRUE(time.tv_sec == 0 && time.tv_nsec > 0 && time.tv_nsec <= 1000);
    IS(clock_getres(CLOCK_REALTIME, NULL), 0);
    FAILS(clock_getres(7, &time), EINVAL);
    FAILS(clock_gettime(7, &time), EINVAL);
    FAILS(clock_gettime(CLOCK_REALTIME, NULL), EFAULT);
    /* 2020 or later: QEMU's real-time clock is right. */
    TRUE(now(CLOCK_REALTIME) > 1577836800 * NS_PER_S);

    time = spec(now(CLOCK_REALTIME));
    FAILS(clock_settime(CLOCK_MONOTONIC, &time), EINVAL);
    FAILS(clock_settime(-1, &time), EINVAL);
    FAILS(clock_settime(CLOCK_REALTIME, NULL), EFAULT);
    time.tv_nsec = NS_PER_S;
    FAILS(clock_settime(CLOCK_REALTIME, &time), EINVAL);
    time = (struct timespec){.tv_sec = -1};
    FAILS(clock_settime(CLOCK_REALTIME, &time), EINVAL);
    wall = now(CLOCK_REALTIME) + 1000 * NS_PER_S;
    time = spec(wall);
    before = now(CLOCK_MONOTONIC);
    IS(clock_settime(CLOCK_REALTIME, &time), 0);
    wall = now(CLOCK_REALTIME) - wall;
    after = now(CLOCK_MONOTONIC);
    TRUE(wall >= 0 && wall <= after - before);
}

static void sleeps(void) {
    struct timespec time = {.tv_nsec = 2000000}, left = {.tv_sec = 5};
    int64_t before = now(CLOCK_MONOTONIC);
    IS(nanosleep(&time, &left), 0);
    TRUE(now(CLOCK_MONOTONIC) - before >= 2000000);
    IS(ns(left), 0);
    IS(nanosleep(&time, NULL), 0);
    FAILS(nanosleep(NULL, NULL), EFAULT);
    FAILS(nanosleep(&(struct timespec){.tv_nsec = -1}, NULL), EINVAL);
    FAILS(nanosleep(&(struct timespec){.tv_nsec = NS_PER_S}, NULL), EINVAL);
    FAILS(nanosleep(&(struct timespec){.tv_sec = -1}, NULL), EINVAL);
    /* This one returns its error. */
    IS(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &(struct timespec){0}, NULL), 0);
    IS(clock_nanosleep(CLOCK_REALTIME, 0, NULL, NULL), EFAULT);
    IS(clock_nanosleep(9, 0, &time, NULL), EINVAL);
    IS(clock_nanosleep(CLOCK_REALTIME, 0, &(struct timespec){.tv_nsec = -1}, NULL), EINVAL);
}

static void timers(void) {
    static timer_t all[TIMERS_MAX];
    struct sigevent event = {.sigev_notify = 0};
    struct itimerspec value = {.it_interval = {.tv_sec = 7}, .it_value = {.tv_sec = 1000}}, old;
    timer_t timer, more;
    FAILS(timer_create(CLOCK_MONOTONIC, &event, &timer), ENOTSUP);
    event.sigev_notify = SIGEV_NONE;
    FAILS(timer_create(5, &event, &timer), EINVAL);
    FAILS(timer_create(CLOCK_MONOTONIC, &event, NULL), EFAULT);
    IS(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);

    /* Not armed. */
    IS(timer_gettime(timer, &old), 0);
    IS(ns(old.it_value), 0);
    IS(kintsugi_timer_expired(timer), 0);
    IS(timer_getoverrun(timer), 0);
    FAILS(timer_settime(timer, 0, NULL, NULL), EFAULT);
    FAILS(timer_settime(timer, 0, &(struct itimerspec){.it_value = {.tv_nsec = -1}}, NULL), EINVAL);
    FAILS(timer_settime(timer, 0, &(struct itimerspec){.it_value = {.tv_nsec = NS_PER_S}}, NULL), EINVAL);
    FAILS(timer_gettime(timer, NULL), EFAULT);
    FAILS(timer_gettime(-1, &old), EINVAL);
    FAILS(timer_settime(TIMERS_MAX, 0, &value, NULL), EINVAL);
    FAILS(timer_getoverrun(12345), EINVAL);

    /* Armed, and armed anew. */
    IS(timer_settime(timer, 0, &value, &old), 0);
    IS(ns(old.it_value), 0);
    IS(timer_gettime(timer, &old), 0);
    IS(old.it_interval.tv_sec, 7);
    TRUE(ns(old.it_value) <= 1000 * NS_PER_S && ns(old.it_value) > 999 * NS_PER_S);
    value = (struct itimerspec){.it_value = {.tv_nsec = 1}};
    IS(timer_settime(timer, TIMER_ABSTIME, &value, &old), 0);
    TRUE(ns(old.it_value) > 999 * NS_PER_S);
    while (!kintsugi_timer_expired(timer))
        wait();
    IS(kintsugi_timer_expired(timer), 0);
    IS(timer_getoverrun(timer), 0);
    IS(timer_gettime(timer, &old), 0);
    IS(ns(old.it_value), 0);

    /* All there are. */
    for (int i = 1; i < TIMERS_MAX; i++)
        IS(timer_create(CLOCK_REALTIME, NULL, &all[i]), 0);
    FAILS(timer_create(CLOCK_REALTIME, NULL, &more), EAGAIN);
    for (int i = 1; i < TIMERS_MAX; i++)
        IS(timer_delete(all[i]), 0);
    IS(timer_delete(timer), 0);
    FAILS(timer_delete(timer), EINVAL);
    FAILS(kintsugi_timer_expired(timer), EINVAL);
}

/* A timer that fires every PERIOD_NS, and how often it has been seen to. */
struct ticker {
    timer_t timer;
    int64_t first, count;
};

static int64_t due(const struct ticker *ticker, int64_t time) {
    return time < ticker->first ? 0 : (time - ticker->first) / PERIOD_NS + 1;
}

static void look(struct ticker *ticker) {
    int expired = kintsugi_timer_expired(ticker->timer);
    if (expired) {
        IS(expired, 1);
        ticker->count += 1 + timer_getoverrun(ticker->timer);
    }
    TRUE(ticker->count <= due(ticker, now(CLOCK_MONOTONIC)));
}

/* One timer on the wall clock, waited for as an event loop does. */
static void once(int64_t in_ns) {
    timer_t timer;
    int64_t deadline = now(CLOCK_REALTIME) + in_ns;
    struct itimerspec value = {.it_value = spec(deadline)}, left;
    IS(timer_create(CLOCK_REALTIME, NULL, &timer), 0);
    IS(timer_settime(timer, TIMER_ABSTIME, &value, NULL), 0);
    IS(timer_gettime(timer, &left), 0);
    TRUE(ns(left.it_value) <= in_ns);
    while (!kintsugi_timer_expired(timer))
        wait();
    TRUE(now(CLOCK_REALTIME) >= deadline);
    IS(kintsugi_timer_expired(timer), 0);
    IS(timer_getoverrun(timer), 0);
    IS(timer_delete(timer), 0);
}

/* The wall clock shows what was set, whoever died meanwhile. */
static void step(void) {
    struct timespec time;
    int64_t before = now(CLOCK_MONOTONIC), target = now(CLOCK_REALTIME) + 100 * NS_PER_S, shown;
    time = spec(target);
    IS(clock_settime(CLOCK_REALTIME, &time), 0);
    IS(nanosleep(&(struct timespec){.tv_nsec = 12000000}, NULL), 0);
    shown = now(CLOCK_REALTIME);
    TRUE(shown >= target + 12000000 - 100);
    TRUE(shown <= target + now(CLOCK_MONOTONIC) - before + 100);
}

static int64_t work(void) {
    struct ticker ticker = {.first = now(CLOCK_MONOTONIC) + PERIOD_NS};
    struct itimerspec every = {.it_interval = spec(PERIOD_NS), .it_value = spec(ticker.first)};
    int64_t rounds = 0, last = ticker.first, start = last;
    IS(timer_create(CLOCK_MONOTONIC, NULL, &ticker.timer), 0);
    IS(timer_settime(ticker.timer, TIMER_ABSTIME, &every, NULL), 0);
    for (; last - start < RUN_S * NS_PER_S; rounds++) {
        int64_t length = 1000000 + rounds * 7919 % 3000000, from = now(CLOCK_MONOTONIC), wall;
        struct timespec time = spec(length);
        TRUE(from >= last - PERIOD_NS);
        IS(nanosleep(&time, NULL), 0);
        TRUE(now(CLOCK_MONOTONIC) - from >= length);
        look(&ticker);
        wall = now(CLOCK_REALTIME) + length / 2;
        time = spec(wall);
        IS(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &time, NULL), 0);
        TRUE(now(CLOCK_REALTIME) >= wall);
        once(length / 4);
        look(&ticker);
        if (rounds % 50 == 0)
            step();
        TRUE(now(CLOCK_MONOTONIC) > last || rounds == 0);
        last = now(CLOCK_MONOTONIC);
    }
    look(&ticker);
    TRUE(ticker.count >= due(&ticker, now(CLOCK_MONOTONIC) - GRACE_NS));
    IS(timer_delete(ticker.timer), 0);
    say("periods counted: ", ticker.count);
    return rounds;
}

int main(void) {
    attach();
    clocks();
    sleeps();
    timers();
    say("KINTSUGI|PASS test_time_c rounds=", work());
    return 0;
}
