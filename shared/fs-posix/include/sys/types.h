/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * POSIX's types. off_t has 64 bits.
 */
#ifndef KINTSUGI_SYS_TYPES_H
#define KINTSUGI_SYS_TYPES_H

#include <stddef.h>
#include <stdint.h>
#include <kintsugi/time.h>

typedef int64_t off_t;
typedef int64_t ssize_t;
typedef uint32_t mode_t;
typedef uint64_t dev_t;
typedef uint64_t ino_t;
typedef uint32_t nlink_t;
typedef uint32_t uid_t;
typedef uint32_t gid_t;
typedef int32_t pid_t;
typedef int64_t blkcnt_t;
typedef int32_t blksize_t;

#endif
