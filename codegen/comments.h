/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CODEGEN_COMMENTS_H
#define CODEGEN_COMMENTS_H

#include "codegen/problems.h"
#include "codegen/text.h"
#include "google/protobuf/descriptor.pb-c.h"

/**
 * Comments: what the author of a .proto wrote beside an element, and where the element stands.
 *
 * A comment is any text at all, from a file of someone else; in C it stands inside a block
 * comment. gen_comment_put() sees to it that it cannot end that comment, hide code from a reader
 * (Unicode's bidirectional controls) or make a compiler warn.
 */
struct gen_comment {
    struct gen_place place;
    const char *leading; /**< "" for none, as all of these */
    const char *trailing;
    char *const *detached; /**< [n_detached] */
    size_t n_detached;
};

/** A path as in google.protobuf.SourceCodeInfo.Location. */
struct gen_path {
    const int32_t *steps; /**< field number, index, field number, ... */
    size_t n;
};

/** Comment of the element at `path`; empty, and of unknown line, if `info` does not have it. */
struct gen_comment gen_comment_find(const Google__Protobuf__FileDescriptorProto *file,
                                    struct gen_path path);

/** Tells whether there is nothing but white space and asterisks. */
bool gen_comment_is_blank(const char *comment);

/**
 * Writes the lines of a comment, each after `prefix` (" *"); lines of nothing but white space
 * and asterisks are empty ones, left out at either end. Ends with a newline unless nothing was written.
 */
void gen_comment_put(struct gen_text *out, const char *prefix, const char *comment);

#endif
