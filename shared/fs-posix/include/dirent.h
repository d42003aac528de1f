/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Listing a folder.
 */
#ifndef KINTSUGI_DIRENT_H
#define KINTSUGI_DIRENT_H

#include <kintsugi/name.h>
#include <sys/types.h>

#define NAME_MAX 255
#define DT_UNKNOWN 0
#define DT_DIR 4
#define DT_REG 8
#define DT_LNK 10

struct dirent {
    ino_t d_ino;
    unsigned char d_type;
    char d_name[NAME_MAX + 1];
};
typedef struct kintsugi_dir DIR;

#ifdef __cplusplus
extern "C" {
#endif
DIR *opendir(const char *path) KINTSUGI_NAME(opendir);
/* Valid until the next call for the same folder. */
struct dirent *readdir(DIR *folder) KINTSUGI_NAME(readdir);
void rewinddir(DIR *folder) KINTSUGI_NAME(rewinddir);
int closedir(DIR *folder) KINTSUGI_NAME(closedir);
#ifdef __cplusplus
}
#endif

#endif
