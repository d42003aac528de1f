/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The integers; no formats, as there is no printf.
 */
#ifndef KINTSUGI_INTTYPES_H
#define KINTSUGI_INTTYPES_H

#include <stdint.h>

#endif
