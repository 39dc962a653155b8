/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXAMPLES_FILES_TREE_H
#define EXAMPLES_FILES_TREE_H

#include <snaprpc/status.h>

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/**
 * A directory tree that cannot be left: every path is opened beneath its root by the kernel
 * (openat2, RESOLVE_BENEATH).
 */

/** Opens `path` beneath the directory `root`; "" is the root. -1 with errno. */
int tree_open(int root, const char *path, int flags);

/** The status for errno after one of these failed. */
enum snap_code tree_code(int error);

struct tree_entry {
    char *name; /**< malloc'd */
    struct stat stat;
};

/** The entries of a directory, sorted by name; *entries is free'd with tree_free(). -1: errno. */
int tree_list(int root, const char *path, struct tree_entry **entries, size_t *n);
void tree_free(struct tree_entry *entries, size_t n);

/** All bytes of a regular file, malloc'd. -1 with errno; EISDIR, EINVAL for what is no file. */
int tree_read(int root, const char *path, uint8_t **data, size_t *len);

#endif
