/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A program as POSIX knows them: it includes POSIX's headers and checks what their functions do. It
 * knows nothing of Kintsugi, and nothing of the service's deaths.
 *
 * Each part returns 0, or the number of the line whose check has failed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __LINE__;                                                                       \
    } while (0)
#define FAILS(call, error) CHECK((errno = 0, (call) == -1) && errno == (error))

static char large[600000], again[600000];

static int descriptors(void)
{
    char bytes[16];
    struct stat found;
    int file, other;

    FAILS(open("/none", O_RDONLY), ENOENT);
    FAILS(open(0, O_RDONLY), EFAULT);
    FAILS(open("/none", O_ACCMODE), EINVAL);
    CHECK((file = open("/new", O_RDWR | O_CREAT | O_EXCL, 0666)) == 3);
    FAILS(open("/new", O_RDWR | O_CREAT | O_EXCL, 0666), EEXIST);
    CHECK(fstat(file, &found) == 0 && S_ISREG(found.st_mode) && found.st_size == 0);
    CHECK((found.st_mode & 07777) == 0644 && found.st_nlink == 1 && found.st_ino != 0);
    CHECK(write(file, "hello, world", 12) == 12);
    CHECK(lseek(file, 0, SEEK_CUR) == 12 && lseek(file, -5, SEEK_END) == 7);
    CHECK(read(file, bytes, sizeof bytes) == 5 && memcmp(bytes, "world", 5) == 0);
    CHECK(read(file, bytes, sizeof bytes) == 0);
    CHECK(pread(file, bytes, 5, 0) == 5 && memcmp(bytes, "hello", 5) == 0);
    CHECK(pwrite(file, "J", 1, 0) == 1 && lseek(file, 0, SEEK_CUR) == 12);
    FAILS(pread(file, bytes, 1, -1), EINVAL);
    FAILS(lseek(file, -1, SEEK_SET), EINVAL);
    FAILS(lseek(file, -13, SEEK_CUR), EINVAL);
    FAILS(lseek(file, 0, 9), EINVAL);
    FAILS(read(file, 0, 1), EFAULT);
    FAILS(isatty(file) - 1, ENOTTY);
    CHECK((fcntl(file, F_GETFL) & O_ACCMODE) == O_RDWR);

    /* One position for both; closing one leaves the other. */
    CHECK((other = dup(file)) == 0 && close(other) == 0);
    CHECK((other = fcntl(file, F_DUPFD, 10)) == 10);
    CHECK(lseek(other, 1, SEEK_SET) == 1 && read(file, bytes, 1) == 1 && bytes[0] == 'e');
    CHECK(dup2(file, 7) == 7 && close(file) == 0 && close(other) == 0);
    FAILS(close(file), EBADF);
    FAILS(read(file, bytes, 1), EBADF);
    CHECK(read(7, bytes, 1) == 1 && bytes[0] == 'l' && close(7) == 0);

    CHECK((file = open("/new", O_RDONLY)) == 3);
    FAILS(write(file, "x", 1), EBADF);
    FAILS(ftruncate(file, 0), EINVAL);
    CHECK(close(file) == 0 && (file = open("/new", O_WRONLY)) == 3);
    FAILS(read(file, bytes, 1), EBADF);
    CHECK(ftruncate(file, 5) == 0 && fsync(file) == 0 && fdatasync(file) == 0);
    FAILS(ftruncate(file, -1), EINVAL);
    CHECK(fstat(file, &found) == 0 && found.st_size == 5 && close(file) == 0);
    CHECK(truncate("/new", 3) == 0 && stat("/new", &found) == 0 && found.st_size == 3);
    return 0;
}

static int appends(void)
{
    char bytes[16] = "";
    struct iovec parts[2] = { { "ab", 2 }, { "cd", 2 } };
    int file = open("/log", O_WRONLY | O_CREAT | O_APPEND | O_SYNC, 0600);
    int other = open("/log", O_RDWR);

    CHECK(file == 3 && other == 4);
    CHECK(write(file, "12", 2) == 2 && write(other, "0", 1) == 1 && write(file, "34", 2) == 2);
    CHECK(lseek(file, 0, SEEK_CUR) == 4);
    CHECK(writev(file, parts, 2) == 4);
    CHECK(fcntl(file, F_SETFL, 0) == 0 && lseek(file, 1, SEEK_SET) == 1);
    CHECK(write(file, "_", 1) == 1);
    CHECK(fcntl(other, F_SETFL, O_APPEND) == 0 && write(other, "!", 1) == 1);
    CHECK(lseek(other, 0, SEEK_SET) == 0);
    parts[0].iov_base = bytes, parts[0].iov_len = 4;
    parts[1].iov_base = bytes + 8, parts[1].iov_len = 8;
    CHECK(readv(other, parts, 2) == 9);
    CHECK(memcmp(bytes, "0_34", 4) == 0 && memcmp(bytes + 8, "abcd!", 5) == 0);
    CHECK(close(file) == 0 && close(other) == 0);
    return 0;
}

static int folders(void)
{
    char path[32];
    struct stat found;
    struct dirent *entry;
    DIR *folder;
    int file, names = 0, round;

    CHECK(mkdir("/a", 0777) == 0 && mkdir("/a/b", 0700) == 0);
    FAILS(mkdir("/a", 0777), EEXIST);
    CHECK(stat("/a", &found) == 0 && S_ISDIR(found.st_mode) && (found.st_mode & 0777) == 0755);
    CHECK(getcwd(path, sizeof path) == path && strcmp(path, "/") == 0);
    CHECK(chdir("a/./b/../b") == 0 && getcwd(path, sizeof path) == path && strcmp(path, "/a/b") == 0);
    CHECK((errno = 0, getcwd(path, 4) == 0) && errno == ERANGE);
    FAILS(chdir("none"), ENOENT);
    CHECK((file = open("f", O_WRONLY | O_CREAT, 0644)) == 3 && close(file) == 0);
    FAILS(chdir("f"), ENOTDIR);
    CHECK(rename("f", "../g") == 0 && access("/a/g", R_OK | W_OK) == 0);
    FAILS(access("/a/g", X_OK), EACCES);
    FAILS(access("f", F_OK), ENOENT);
    CHECK((file = open("..", O_RDONLY | O_DIRECTORY)) == 3 && fsync(file) == 0);
    FAILS(read(file, path, 1), EISDIR);
    CHECK(fchdir(file) == 0 && close(file) == 0);
    CHECK(getcwd(path, sizeof path) == path && strcmp(path, "/a") == 0);
    FAILS(open("g", O_RDONLY | O_DIRECTORY), ENOTDIR);
    FAILS(open("b", O_RDWR), EISDIR);

    CHECK((folder = opendir(".")) != 0);
    for (round = 0; round < 2; round++) {
        while ((errno = 0, entry = readdir(folder)) != 0) {
            CHECK(strcmp(entry->d_name, "b") == 0 ? entry->d_type == DT_DIR
                                                  : strcmp(entry->d_name, "g") == 0);
            names++;
        }
        CHECK(errno == 0);
        rewinddir(folder);
    }
    CHECK(names == 4 && closedir(folder) == 0);
    CHECK((errno = 0, opendir("none") == 0) && errno == ENOENT);

    FAILS(rmdir("g"), ENOTDIR);
    FAILS(unlink("b"), EISDIR);
    FAILS(rmdir("/a"), ENOTEMPTY);
    CHECK(remove("b") == 0 && remove("g") == 0 && chdir("/") == 0 && rmdir("a") == 0);
    CHECK(umask(077) == 022 && mkdir("/private", 0777) == 0 && umask(022) == 077);
    CHECK(stat("/private", &found) == 0 && (found.st_mode & 0777) == 0700);
    return 0;
}

static int links(void)
{
    char bytes[8] = "";
    struct stat found, other;
    struct timespec times[2] = { { 7, 8 }, { 0, UTIME_OMIT } };
    int file = open("/one", O_RDWR | O_CREAT, 0644), line;

    CHECK(file == 3 && write(file, "data", 4) == 4);
    CHECK(link("/one", "/two") == 0 && stat("/two", &found) == 0 && found.st_nlink == 2);
    FAILS(link("/one", "/two"), EEXIST);
    CHECK(symlink("one", "/l") == 0 && lstat("/l", &found) == 0 && S_ISLNK(found.st_mode));
    CHECK(readlink("/l", bytes, sizeof bytes) == 3 && memcmp(bytes, "one", 3) == 0);
    CHECK(readlink("/l", bytes, 2) == 2);
    FAILS(readlink("/one", bytes, 2), EINVAL);
    FAILS(open("/l", O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK(stat("/l", &found) == 0 && stat("/one", &other) == 0 && found.st_ino == other.st_ino);
    CHECK(chmod("/l", 0600) == 0 && fstat(file, &found) == 0 && (found.st_mode & 07777) == 0600);
    CHECK(fchmod(file, 0640) == 0 && stat("/two", &found) == 0 && (found.st_mode & 0777) == 0640);
    CHECK(utimensat(AT_FDCWD, "/l", times, 0) == 0 && fstat(file, &other) == 0);
    CHECK(other.st_atim.tv_sec == 7 && other.st_atim.tv_nsec == 8);
    CHECK(other.st_mtim.tv_sec == found.st_mtim.tv_sec);
    times[1].tv_nsec = -1;
    FAILS(futimens(file, times), EINVAL);
    CHECK(futimens(file, 0) == 0 && fstat(file, &found) == 0 && found.st_atim.tv_sec > 7);

    /* Without a name, and still a file. */
    CHECK(unlink("/l") == 0 && unlink("/one") == 0 && unlink("/two") == 0);
    CHECK(fstat(file, &found) == 0 && found.st_nlink == 0);
    CHECK(pwrite(file, "more", 4, 4) == 4 && pread(file, bytes, 8, 0) == 8);
    CHECK(memcmp(bytes, "datamore", 8) == 0 && close(file) == 0);
    line = access("/one", F_OK);
    CHECK(line == -1 && errno == ENOENT);
    return 0;
}

static int limits(void)
{
    static char name[5000];
    struct flock lock = { .l_type = F_WRLCK };
    size_t place;
    int file, count;

    memset(name, 'n', sizeof name - 1);
    FAILS(open(name, O_RDONLY), ENAMETOOLONG);
    for (place = 0; place < sizeof large; place++)
        large[place] = (char)(place * 7 + place / 4096);
    CHECK((file = open("/large", O_RDWR | O_CREAT, 0644)) == 3);
    CHECK(write(file, large, sizeof large) == (ssize_t)sizeof large);
    CHECK(pread(file, again, sizeof again, 0) == (ssize_t)sizeof again);
    CHECK(memcmp(large, again, sizeof large) == 0);
    CHECK(fcntl(file, F_SETLK, &lock) == 0 && fcntl(file, F_GETLK, &lock) == 0);
    CHECK(lock.l_type == F_UNLCK);
    for (count = 0; dup(file) >= 0; count++)
        ;
    CHECK(errno == EMFILE && count == 255);
    for (count = 0; count < 256; count++)
        close(count);
    return 0;
}

int fs_posix_program(void)
{
    int line = descriptors();

    line = line ? line : appends();
    line = line ? line : folders();
    line = line ? line : links();
    return line ? line : limits();
}
