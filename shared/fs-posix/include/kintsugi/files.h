/* Copyright 2026, The Kintsugi authors
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Files of POSIX.1-2017 on Kintsugi's file service, for protection domains in C: everything, and how to
 * attach to the service. Programs that are given to Kintsugi as they are include <unistd.h> and so on.
 *
 * Functions return -1 (opendir, readdir, getcwd: null) and set errno. A restart of the service changes
 * nothing for the program. One thread; one user, whose files all are; no signals.
 */
#ifndef KINTSUGI_FILES_H
#define KINTSUGI_FILES_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kintsugi/region.h"

struct kintsugi_files {
    struct kintsugi_region requests;    /* NAME_to_fs_requests, rw */
    struct kintsugi_region completions; /* fs_to_NAME_completions, r */
    struct kintsugi_region output;      /* NAME_to_fs_data, rw */
    struct kintsugi_region input;       /* fs_to_NAME_data, r */
    void (*notify)(void);               /* notifies the file service */
    void (*wait)(void);                 /* waits for its notification; may return without cause, and should from
                                         * time to time, so that a lost answer is asked for again */
};

#ifdef __cplusplus
extern "C" {
#endif
/* First of all. EINVAL: a region is too small. The functions in *connection must not call back into this
 * library. Closes what was open. */
int kintsugi_files_attach(const struct kintsugi_files *connection);
#ifdef __cplusplus
}
#endif

#endif
