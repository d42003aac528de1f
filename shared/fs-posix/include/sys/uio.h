/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Vectored input and output.
 */
#ifndef KINTSUGI_SYS_UIO_H
#define KINTSUGI_SYS_UIO_H

#include <kintsugi/name.h>
#include <sys/types.h>

struct iovec {
    void *iov_base;
    size_t iov_len;
};
#define IOV_MAX 1024

#ifdef __cplusplus
extern "C" {
#endif
ssize_t readv(int descriptor, const struct iovec *parts, int count) KINTSUGI_NAME(readv);
ssize_t writev(int descriptor, const struct iovec *parts, int count) KINTSUGI_NAME(writev);
#ifdef __cplusplus
}
#endif

#endif
