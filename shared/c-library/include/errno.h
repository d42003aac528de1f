/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * POSIX's error values, with the numbers of Linux.
 */
#ifndef KINTSUGI_ERRNO_H
#define KINTSUGI_ERRNO_H

#ifdef __cplusplus
extern "C" {
#endif
int *kintsugi_errno_location(void);
#ifdef __cplusplus
}
#endif
#ifndef errno
#define errno (*kintsugi_errno_location())
#endif

/* <kintsugi/time.h> has some of them too, with the same numbers. */
#ifndef EPERM
#define EPERM 1
#endif
#define ENOENT 2
#define EINTR 4
#define EIO 5
#define EBADF 9
#ifndef EAGAIN
#define EAGAIN 11
#endif
#define EWOULDBLOCK EAGAIN
#define ENOMEM 12
#define EACCES 13
#ifndef EFAULT
#define EFAULT 14
#endif
#define EBUSY 16
#define EEXIST 17
#define EXDEV 18
#define ENODEV 19
#define ENOTDIR 20
#define EISDIR 21
#ifndef EINVAL
#define EINVAL 22
#endif
#define ENFILE 23
#define EMFILE 24
#define ENOTTY 25
#define EFBIG 27
#define ENOSPC 28
#define ESPIPE 29
#define EROFS 30
#define EMLINK 31
#define EDOM 33
#define ERANGE 34
#define EDEADLK 35
#define ENAMETOOLONG 36
#define ENOLCK 37
#define ENOSYS 38
#define ENOTEMPTY 39
#define ELOOP 40
#define EPROTO 71
#define EOVERFLOW 75
#ifndef ENOTSUP
#define ENOTSUP 95
#endif
#define EOPNOTSUPP ENOTSUP
#define ETIMEDOUT 110
#define ESTALE 116
#define EUCLEAN 117
#define EDQUOT 122

#endif
