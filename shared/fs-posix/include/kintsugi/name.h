/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The functions of this library are called kintsugi_NAME in the object files, so that a program on the
 * host can be linked with them and with the host's C library.
 */
#ifndef KINTSUGI_NAME_H
#define KINTSUGI_NAME_H

#define KINTSUGI_NAME(name) __asm__("kintsugi_" #name)

#endif
