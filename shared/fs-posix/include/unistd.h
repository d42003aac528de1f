/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Files of POSIX.1-2017 on the file service. One user, one process, no signals.
 */
#ifndef KINTSUGI_UNISTD_H
#define KINTSUGI_UNISTD_H

#include <kintsugi/name.h>
#include <sys/types.h>

#define SEEK_SET 0
#define SEEK_CUR 1
#define SEEK_END 2
#define R_OK 4
#define W_OK 2
#define X_OK 1
#define F_OK 0
#define _SC_PAGESIZE 30

#ifdef __cplusplus
extern "C" {
#endif
int close(int descriptor) KINTSUGI_NAME(close);
ssize_t read(int descriptor, void *bytes, size_t count) KINTSUGI_NAME(read);
ssize_t write(int descriptor, const void *bytes, size_t count) KINTSUGI_NAME(write);
ssize_t pread(int descriptor, void *bytes, size_t count, off_t offset) KINTSUGI_NAME(pread);
ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) KINTSUGI_NAME(pwrite);
off_t lseek(int descriptor, off_t offset, int whence) KINTSUGI_NAME(lseek);
int ftruncate(int descriptor, off_t size) KINTSUGI_NAME(ftruncate);
int truncate(const char *path, off_t size) KINTSUGI_NAME(truncate);
int fsync(int descriptor) KINTSUGI_NAME(fsync);
int fdatasync(int descriptor) KINTSUGI_NAME(fdatasync);
void sync(void) KINTSUGI_NAME(sync);
int dup(int descriptor) KINTSUGI_NAME(dup);
int dup2(int descriptor, int wanted) KINTSUGI_NAME(dup2);
int unlink(const char *path) KINTSUGI_NAME(unlink);
int link(const char *file, const char *name) KINTSUGI_NAME(link);
int symlink(const char *target, const char *name) KINTSUGI_NAME(symlink);
int rmdir(const char *path) KINTSUGI_NAME(rmdir);
int access(const char *path, int mode) KINTSUGI_NAME(access);
char *getcwd(char *path, size_t bytes) KINTSUGI_NAME(getcwd);
int chdir(const char *path) KINTSUGI_NAME(chdir);
int fchdir(int descriptor) KINTSUGI_NAME(fchdir);
ssize_t readlink(const char *restrict path, char *restrict target, size_t bytes) KINTSUGI_NAME(readlink);
int chown(const char *path, uid_t owner, gid_t group) KINTSUGI_NAME(chown);
int fchown(int descriptor, uid_t owner, gid_t group) KINTSUGI_NAME(fchown);
int isatty(int descriptor) KINTSUGI_NAME(isatty);
uid_t getuid(void) KINTSUGI_NAME(getuid);
uid_t geteuid(void) KINTSUGI_NAME(geteuid);
pid_t getpid(void) KINTSUGI_NAME(getpid);
long sysconf(int name) KINTSUGI_NAME(sysconf);
/* On the time service (timer-posix). */
unsigned int sleep(unsigned int seconds);
int usleep(unsigned int microseconds);
#ifdef __cplusplus
}
#endif

#endif
