/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CODEGEN_NAMES_H
#define CODEGEN_NAMES_H

#include "codegen/arena.h"

#include <stdbool.h>

/**
 * Names: from names in a .proto to names in C, by protobuf-c's rules.
 *
 * The generated code lives beside protobuf-c's and names its types and descriptors, so the rules
 * must be the same to the letter, odd cases included ("GetURL" is "get_url", "HTTPRequest" is
 * "httprequest", "x_Y" is "x__y"). Only ASCII letters have case, whatever the locale.
 *
 * Memory  all results live in the arena
 * Source  protobuf-c 1.4.1, protoc-c/c_helpers.cc (unchanged in 1.5.2)
 */

/** "GetReply" -> "get_reply": protobuf-c's CamelToLower. */
char *gen_name_lower(struct gen_arena *arena, const char *name);

/** "get_reply" -> "GetReply": protobuf-c's ToCamel. */
char *gen_name_camel(struct gen_arena *arena, const char *name);

/**
 * What a full name is made of. With `c_package` (the file option (pb_c_file).c_package) the name's
 * package is replaced.
 */
struct gen_full_name {
    const char *name;      /**< "files.v1.GetReply", without a leading dot */
    const char *package;   /**< "files.v1"; "" for none; `name` begins with it */
    const char *c_package; /**< NULL: not given */
};

/** "files.v1.GetReply" -> "files__v1__get_reply": protobuf-c's FullNameToLower. */
char *gen_full_name_lower(struct gen_arena *arena, struct gen_full_name full);

/** "files.v1.GetReply" -> "FILES__V1__GET_REPLY": protobuf-c's FullNameToUpper. */
char *gen_full_name_upper(struct gen_arena *arena, struct gen_full_name full);

/** "files.v1.GetReply" -> "Files__V1__GetReply": protobuf-c's FullNameToC. */
char *gen_full_name_camel(struct gen_arena *arena, struct gen_full_name full);

/** "a/b.proto" -> "a/b" (".protodevel" too): what ".pb-c.h" and ".snap.h" are appended to. */
char *gen_name_file_base(struct gen_arena *arena, const char *file);

/** "a/b.proto" -> "a_2fb_2eproto": a file name as part of an include guard. */
char *gen_name_guard(struct gen_arena *arena, const char *file);

/** A struct member's name: "get" -> "get", "delete" -> "delete_". */
char *gen_name_member(struct gen_arena *arena, const char *lower);

/** Is it an identifier of the .proto language: [A-Za-z_][A-Za-z0-9_]*? */
bool gen_name_is_identifier(const char *name);

/** Is it identifiers joined by single dots? "" is not. */
bool gen_name_is_dotted(const char *name);

/** May it stand in an #include line and in a comment: printable, no quote, no backslash? */
bool gen_name_is_file(const char *name);

/** Is it reserved in C11, so that protobuf-c's generic service code cannot use it? */
bool gen_name_is_c_keyword(const char *name);

/** Is it reserved in C11 or C++20, or a macro that the usual headers and compilers define? */
bool gen_name_is_reserved(const char *name);

#endif
