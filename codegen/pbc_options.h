/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CODEGEN_PBC_OPTIONS_H
#define CODEGEN_PBC_OPTIONS_H

#include "codegen/arena.h"
#include "google/protobuf/descriptor.pb-c.h"

#include <stdbool.h>

/**
 * protobuf-c's file options (pb_c_file) that change what it names its code, or whether it makes any.
 *
 * Source  protobuf-c/protobuf-c.proto: extension 1019 of FileOptions, read by hand because
 *         protobuf-c makes no C for that file
 */
struct gen_pbc_options {
    bool no_generate;
    const char *c_package; /**< NULL: not given */
};

/** @param options  NULL allowed; malformed bytes are read up to where they are malformed */
struct gen_pbc_options gen_pbc_options_read(struct gen_arena *arena,
                                            const Google__Protobuf__FileOptions *options);

#endif
