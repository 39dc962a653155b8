/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_KEYS_H
#define SNAPD_KEYS_H

#include "base/error.h"
#include "transport/pony/protocol/seal.h"

#include <stddef.h>

/**
 * The file of cluster keys, [security] key_file in snapd.conf.
 *
 * Shape    a line per key: its number (1 to 4294967295) and 64 hexadecimal digits; empty lines and
 *          lines that begin with # are skipped; at most PONY_PSKS_MAX keys
 * Safety   a file that others than its owner may read is refused, and one whose owner is neither
 *          root nor the user that snapd runs as; buffers are erased
 * Errors   the first bad line is refused as "file:line: what; remedy" in the error note; a note
 *          never holds any part of a key
 */

/** Reads the keys into `security`, in the file's order. */
BASE_MUST_USE enum base_err snapd_keys_load(const char *path, struct pony_security *security);

/** Reads a file that nobody but its owner may have access to if `is_secret`, of less than `size` bytes,
 *  into text[size], with a NUL at its end. Errors  the note names it; text holds nothing then. */
BASE_MUST_USE enum base_err snapd_keys_read(const char *path, bool is_secret, char *text,
                                            size_t size);

/** As loaded, from text: for tests and fuzzing. */
BASE_MUST_USE enum base_err snapd_keys_parse(const char *name, const char *text, size_t len,
                                             struct pony_security *security);

#endif
