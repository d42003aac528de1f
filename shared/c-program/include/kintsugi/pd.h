/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What a protection domain in C has under it. Its crate calls c_program::run(), which calls
 *
 *     int main(void);
 *
 * There is one thread. When main returns, its result is logged, and the PD stays idle for ever.
 */
#ifndef KINTSUGI_PD_H
#define KINTSUGI_PD_H

#include <stddef.h>
#include <stdint.h>

#include "kintsugi/region.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A line of the log. At most 200 bytes of it are kept. */
void kintsugi_log(const char *text);

/* The region of system.xml with this name; 0, or -1 when this PD does not map it. */
int kintsugi_region(const char *name, struct kintsugi_region *region);

/* This PD's channel to the PD with this name; -1 when there is none. */
int kintsugi_channel(const char *peer);
void kintsugi_notify(unsigned channel);
/* Waits until the channel has signalled. A bit says "look", not how often. Also returns without cause, at
 * intervals of some 100 ms: what was waited for may have been lost. */
void kintsugi_wait(unsigned channel);

/* The counter, CNTPCT_EL0. */
uint64_t kintsugi_ticks(void);

/* How often this PD has been restarted. */
uint32_t kintsugi_epoch(void);

#ifdef __cplusplus
}
#endif

#endif
