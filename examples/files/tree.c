/* SPDX-License-Identifier: Apache-2.0 */
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int tree_open(int root, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    return (int)syscall(SYS_openat2, root, path[0] == '\0' ? "." : path, &how, sizeof(how));
}

enum snap_code tree_code(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case EXDEV: /* the path leads out of the tree */
    case ELOOP:
        return SNAP_NOT_FOUND;
    case EACCES:
    case EPERM:
        return SNAP_PERMISSION_DENIED;
    case EISDIR:
    case EINVAL:
        return SNAP_FAILED_PRECONDITION;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        return SNAP_RESOURCE_EXHAUSTED;
    default:
        return SNAP_INTERNAL;
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tree_entry *)a)->name, ((const struct tree_entry *)b)->name);
}

void tree_free(struct tree_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(entries[i].name);
    }
    free(entries);
}

/** Appends what `name` is in the directory `dir`. Entries that vanish meanwhile are left out. */
static int append(int dir, const char *name, struct tree_entry **entries, size_t *n)
{
    struct stat stat;
    if (fstatat(dir, name, &stat, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? 0 : -1;
    }
    if ((*n & (*n - 1)) == 0) {
        size_t room = *n == 0 ? 1 : *n * 2;
        struct tree_entry *more = realloc(*entries, room * sizeof(**entries));
        if (more == NULL) {
            return -1;
        }
        *entries = more;
    }
    (*entries)[*n].name = strdup(name);
    (*entries)[*n].stat = stat;
    if ((*entries)[*n].name == NULL) {
        return -1;
    }
    (*n)++;
    return 0;
}

int tree_list(int root, const char *path, struct tree_entry **entries, size_t *n)
{
    *entries = NULL;
    *n = 0;
    int fd = tree_open(root, path, O_RDONLY | O_DIRECTORY);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        return -1;
    }
    struct dirent *it = NULL;
    int failed = 0;
    while (failed == 0 && (errno = 0, it = readdir(dir)) != NULL) {
        if (strcmp(it->d_name, ".") != 0 && strcmp(it->d_name, "..") != 0) {
            failed = append(fd, it->d_name, entries, n);
        }
    }
    int error = errno;
    closedir(dir);
    if (failed != 0 || error != 0) {
        tree_free(*entries, *n);
        errno = error;
        return -1;
    }
    if (*n > 0) {
        qsort(*entries, *n, sizeof(**entries), by_name);
    }
    return 0;
}

static int read_all(int fd, uint8_t *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = read(fd, data + at, len - at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? EIO : errno; /* it became shorter while we read */
            return -1;
        }
        at += (size_t)n;
    }
    return 0;
}

int tree_read(int root, const char *path, uint8_t **data, size_t *len)
{
    *data = NULL;
    int fd = tree_open(root, path, O_RDONLY | O_NONBLOCK);
    if (fd < 0) {
        return -1;
    }
    struct stat stat;
    int error = fstat(fd, &stat) != 0 ? errno : 0;
    if (error == 0 && !S_ISREG(stat.st_mode)) {
        error = S_ISDIR(stat.st_mode) ? EISDIR : EINVAL;
    }
    if (error == 0) {
        *len = (size_t)stat.st_size;
        *data = malloc(*len + 1);
        error = *data == NULL || read_all(fd, *data, *len) != 0 ? errno : 0;
    }
    close(fd);
    if (error != 0) {
        free(*data);
        *data = NULL;
        errno = error;
        return -1;
    }
    return 0;
}
