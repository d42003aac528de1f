/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A memory region of system.xml, as this protection domain maps it.
 */
#ifndef KINTSUGI_REGION_H
#define KINTSUGI_REGION_H

#include <stddef.h>

struct kintsugi_region {
    void *start;
    size_t size;
};

#endif
