/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/keys.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_BYTES_MAX = 16384
};

static const char remedy[] = "a key is a number and 64 hexadecimal digits: "
                             "echo \"1 $(openssl rand -hex 32)\"";

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Returns how many characters were the number; 0: there is none, or it is out of range. */
static size_t parse_id(const char *at, size_t n, uint32_t *id)
{
    uint64_t value = 0;
    size_t i = 0;
    while (i < n && i < 11 && at[i] >= '0' && at[i] <= '9') {
        value = value * 10 + (uint64_t)(at[i++] - '0');
    }
    *id = (uint32_t)value;
    return value >= 1 && value <= UINT32_MAX ? i : 0;
}

/* `at` neither begins nor ends with blanks. */
static bool parse_key(const char *at, size_t n, struct pony_psk *psk)
{
    size_t i = parse_id(at, n, &psk->id);
    if (i == 0 || i == n || !is_blank(at[i])) {
        return false;
    }
    while (is_blank(at[i])) {
        i++;
    }
    if (n - i != (size_t)2 * PONY_PSK_BYTES) {
        return false;
    }
    for (size_t k = 0; k < PONY_PSK_BYTES; k++) {
        int high = hex_digit(at[i + 2 * k]);
        int low = hex_digit(at[i + 2 * k + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        psk->key[k] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* Packets name a key by the low 16 bits of its number. */
static bool has_key(const struct pony_security *security, uint32_t id)
{
    for (uint32_t i = 0; i < security->n_psks; i++) {
        if ((uint16_t)security->psks[i].id == (uint16_t)id) {
            return true;
        }
    }
    return false;
}

static enum base_err take_line(const char *name, uint32_t number, const char *at, size_t n,
                               struct pony_security *security)
{
    while (n > 0 && is_blank(*at)) {
        at++;
        n--;
    }
    while (n > 0 && is_blank(at[n - 1])) {
        n--;
    }
    if (n == 0 || *at == '#') {
        return BASE_OK;
    }
    struct pony_psk psk;
    enum base_err err = BASE_E_INVALID;
    if (!parse_key(at, n, &psk)) {
        base_error_note("%s:%u: no key; %s", name, number, remedy);
    } else if (has_key(security, psk.id)) {
        base_error_note(
            "%s:%u: there is a key %u already, or one with the same remainder by 65536; "
            "give the new one another number",
            name, number, psk.id);
    } else if (security->n_psks == PONY_PSKS_MAX) {
        base_error_note("%s:%u: more than %d keys; remove those that are not in use any more", name,
                        number, PONY_PSKS_MAX);
    } else {
        security->psks[security->n_psks++] = psk;
        err = BASE_OK;
    }
    explicit_bzero(&psk, sizeof(psk));
    return err;
}

enum base_err snapd_keys_parse(const char *name, const char *text, size_t len,
                               struct pony_security *security)
{
    uint32_t number = 0;
    security->n_psks = 0;
    while (len > 0) {
        const char *end = memchr(text, '\n', len);
        size_t n = end != NULL ? (size_t)(end - text) : len;
        BASE_TRY(take_line(name, ++number, text, n, security));
        text += n;
        len -= n;
        if (len > 0) {
            text++;
            len--;
        }
    }
    if (security->n_psks == 0) {
        base_error_note("%s: there is no key in it; %s", name, remedy);
        return BASE_E_INVALID;
    }
    return BASE_OK;
}

static enum base_err check_file(const char *path, int fd, bool is_secret)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        base_error_note("%s: %m", path);
        return BASE_E_IO;
    }
    if (!S_ISREG(st.st_mode)) {
        base_error_note("%s: not a file", path);
        return BASE_E_INVALID;
    }
    if (st.st_uid != geteuid() && st.st_uid != 0) {
        base_error_note("%s: belongs to user %u, who could change it; chown it to root or to the "
                        "user that snapd runs as",
                        path, st.st_uid);
        return BASE_E_PERMISSION;
    }
    const mode_t not_for = is_secret ? S_IRWXG | S_IRWXO : S_IWGRP | S_IWOTH;
    if ((st.st_mode & not_for) != 0 && !is_secret) {
        base_error_note("%s: others than its owner may write to it (mode %04o); chmod 644 it", path,
                        st.st_mode & 07777);
        return BASE_E_PERMISSION;
    }
    if ((st.st_mode & not_for) != 0) {
        base_error_note("%s: others than its owner may use it (mode %04o); chmod 600 it, and make "
                        "new keys if others had access",
                        path, st.st_mode & 07777);
        return BASE_E_PERMISSION;
    }
    return BASE_OK;
}

/* The whole file, less than `size`. */
static enum base_err read_file(const char *path, int fd, char *text, size_t size, size_t *len)
{
    *len = 0;
    for (;;) {
        ssize_t n = read(fd, text + *len, size - *len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            base_error_note("%s: cannot be read: %m", path);
            return BASE_E_IO;
        }
        if (n == 0) {
            return BASE_OK;
        }
        *len += (size_t)n;
        if (*len == size) {
            base_error_note("%s: longer than %zu bytes; is it the right file?", path, size - 1);
            return BASE_E_INVALID;
        }
    }
}

static enum base_err read_path(const char *path, bool is_secret, char *text, size_t size,
                               size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        enum base_err err = base_err_from_errno(errno);
        base_error_note("%s: cannot be opened: %m; see [security] in snapd.conf(5)", path);
        return err;
    }
    enum base_err err = check_file(path, fd, is_secret);
    if (err == BASE_OK) {
        err = read_file(path, fd, text, size, len);
    }
    base_fd_close(&fd);
    return err;
}

enum base_err snapd_keys_read(const char *path, bool is_secret, char *text, size_t size)
{
    size_t len = 0;
    enum base_err err = read_path(path, is_secret, text, size, &len);
    if (err != BASE_OK) {
        explicit_bzero(text, size);
        return err;
    }
    text[len] = '\0';
    return BASE_OK;
}

enum base_err snapd_keys_load(const char *path, struct pony_security *security)
{
    char text[FILE_BYTES_MAX];
    size_t len = 0;
    security->n_psks = 0;
    enum base_err err = read_path(path, true, text, sizeof(text), &len);
    if (err == BASE_OK) {
        err = snapd_keys_parse(path, text, len, security);
    }
    explicit_bzero(text, sizeof(text));
    return err;
}
