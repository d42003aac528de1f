/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What stat says, and the functions on names and modes.
 */
#ifndef KINTSUGI_SYS_STAT_H
#define KINTSUGI_SYS_STAT_H

#include <kintsugi/name.h>
#include <sys/types.h>

struct stat {
    dev_t st_dev;
    ino_t st_ino;
    mode_t st_mode;
    nlink_t st_nlink;
    uid_t st_uid;
    gid_t st_gid;
    dev_t st_rdev;
    off_t st_size;
    blksize_t st_blksize;
    blkcnt_t st_blocks;
    struct timespec st_atim;
    struct timespec st_mtim;
    struct timespec st_ctim;
};
#define st_atime st_atim.tv_sec
#define st_mtime st_mtim.tv_sec
#define st_ctime st_ctim.tv_sec

#define UTIME_NOW 0x3fffffff
#define UTIME_OMIT 0x3ffffffe

#define S_IFMT 0170000
#define S_IFLNK 0120000
#define S_IFREG 0100000
#define S_IFDIR 0040000
#define S_ISLNK(mode) (((mode) & S_IFMT) == S_IFLNK)
#define S_ISREG(mode) (((mode) & S_IFMT) == S_IFREG)
#define S_ISDIR(mode) (((mode) & S_IFMT) == S_IFDIR)
#define S_IRWXU 0700
#define S_IRUSR 0400
#define S_IWUSR 0200
#define S_IXUSR 0100
#define S_IRWXG 0070
#define S_IRGRP 0040
#define S_IWGRP 0020
#define S_IXGRP 0010
#define S_IRWXO 0007
#define S_IROTH 0004
#define S_IWOTH 0002
#define S_IXOTH 0001

#ifdef __cplusplus
extern "C" {
#endif
int stat(const char *restrict path, struct stat *restrict description) KINTSUGI_NAME(stat);
int lstat(const char *restrict path, struct stat *restrict description) KINTSUGI_NAME(lstat);
int fstat(int descriptor, struct stat *description) KINTSUGI_NAME(fstat);
int mkdir(const char *path, mode_t mode) KINTSUGI_NAME(mkdir);
int chmod(const char *path, mode_t mode) KINTSUGI_NAME(chmod);
int fchmod(int descriptor, mode_t mode) KINTSUGI_NAME(fchmod);
/* folder is AT_FDCWD; null times are the present. */
int utimensat(int folder, const char *path, const struct timespec times[2], int flags)
    KINTSUGI_NAME(utimensat);
int futimens(int descriptor, const struct timespec times[2]) KINTSUGI_NAME(futimens);
mode_t umask(mode_t mask) KINTSUGI_NAME(umask);
#ifdef __cplusplus
}
#endif

#endif
