/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * open and fcntl. The numbers are Linux's on AArch64.
 */
#ifndef KINTSUGI_FCNTL_H
#define KINTSUGI_FCNTL_H

#include <kintsugi/name.h>
#include <sys/types.h>

#define O_ACCMODE 3
#define O_RDONLY 0
#define O_WRONLY 1
#define O_RDWR 2
#define O_CREAT 0100
#define O_EXCL 0200
#define O_NOCTTY 0400
#define O_TRUNC 01000
#define O_APPEND 02000
#define O_NONBLOCK 04000
#define O_DSYNC 010000
#define O_DIRECTORY 040000
#define O_NOFOLLOW 0100000
#define O_CLOEXEC 02000000
#define O_SYNC 04010000

#define AT_FDCWD (-100)
#define AT_SYMLINK_NOFOLLOW 0x100

#define F_DUPFD 0
#define F_GETFD 1
#define F_SETFD 2
#define F_GETFL 3
#define F_SETFL 4
#define F_GETLK 5
#define F_SETLK 6
#define F_SETLKW 7
#define FD_CLOEXEC 1
#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2

/* Locks are between programs in POSIX, and not supported between protection domains: a lock is always
 * granted. Files that two domains write need another arrangement. */
struct flock {
    short l_type;
    short l_whence;
    off_t l_start;
    off_t l_len;
    pid_t l_pid;
};

#ifdef __cplusplus
extern "C" {
#endif
int open(const char *path, int flags, ...) KINTSUGI_NAME(open);
int creat(const char *path, mode_t mode) KINTSUGI_NAME(creat);
int fcntl(int descriptor, int command, ...) KINTSUGI_NAME(fcntl);
#ifdef __cplusplus
}
#endif

#endif
