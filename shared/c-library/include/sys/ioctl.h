/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * There are no devices; the header is there because programs include it.
 */
#ifndef KINTSUGI_SYS_IOCTL_H
#define KINTSUGI_SYS_IOCTL_H



#endif
