/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CODEGEN_MODEL_H
#define CODEGEN_MODEL_H

#include "codegen/arena.h"
#include "codegen/comments.h"
#include "codegen/options.h"
#include "codegen/problems.h"
#include "google/protobuf/compiler/plugin.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Model: the request, checked, with every name in C worked out. What is in the model can be
 * emitted without another check; what cannot be generated is in the problems.
 *
 * Memory   everything lives in the arena; strings may point into the request, which must outlive it
 * Threads  one
 */

/** A .proto, of those asked for or of those imported. */
struct gen_file {
    const Google__Protobuf__FileDescriptorProto *proto;
    const char *name;             /**< "a/files.proto" */
    const char *base;             /**< "a/files" */
    const char *package;          /**< "" for none */
    const char *c_package;        /**< (pb_c_file).c_package; NULL: not given */
    bool has_no_c;                /**< (pb_c_file).no_generate: there is no .pb-c.h */
    bool is_wanted;               /**< code is to be generated for it */
    struct gen_service *services; /**< [n_services]; of wanted files only */
    size_t n_services;
    const struct gen_file **includes; /**< [n_includes] others whose types the services use */
    size_t n_includes;
};

/** A message type, as the code names it. */
struct gen_type {
    const char *camel; /**< "Files__GetReply", the struct */
    const char *lower; /**< "files__get_reply", before "__descriptor" */
    const struct gen_file *file;
};

struct gen_method {
    const char *full_name; /**< "files.Files/Get" */
    const char *lower;     /**< "files__files__get", before "__call" and the like */
    const char *camel;     /**< "Files__Files__Get", before "Done" */
    const char *member;    /**< "get", in the table of handlers */
    const struct gen_type *request;
    const struct gen_type *response;
    bool is_idempotent;
    bool is_deprecated;
    struct gen_comment comment;
};

struct gen_service {
    const char *full_name;      /**< "files.Files" */
    const char *lower;          /**< "files__files", before "__service" and "__serve" */
    const char *camel;          /**< "Files__Files", before "__Handlers" */
    struct gen_method *methods; /**< [n_methods] */
    size_t n_methods;
    struct gen_comment comment;
};

struct gen_model {
    struct gen_file *files; /**< [n_files] in the request's order */
    size_t n_files;
};

/** Builds the model. On return it is complete only if no problem was added. */
struct gen_model gen_model_build(struct gen_arena *arena,
                                 const Google__Protobuf__Compiler__CodeGeneratorRequest *request,
                                 const struct gen_options *options, struct gen_problems *problems);

#endif
