/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CODEGEN_PLUGIN_H
#define CODEGEN_PLUGIN_H

#include "codegen/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Plugin: from an encoded CodeGeneratorRequest to an encoded CodeGeneratorResponse.
 *
 * What is wrong with a .proto or an option stands in the response, as protoc wants it. What is
 * wrong with the request itself is a failure of the plugin.
 */

/**
 * Runs protobuf-c's generator over a request and gives its encoded CodeGeneratorResponse.
 *
 * @param program  path, or a name to look for in PATH
 * @param why      on failure: what went wrong
 */
typedef bool gen_messages_fn(const char *program, const struct gen_text *request,
                             struct gen_text *response, struct gen_text *why);

/** The one that starts a process. */
gen_messages_fn gen_messages_run;

/**
 * Generates.
 *
 * @param messages  carries out the option "messages"
 * @param response  written on success
 * @param why       on failure: what is wrong with the request, without the program's name
 *
 * Blocks   as `messages` does
 */
bool gen_plugin_run(const uint8_t *request, size_t len, gen_messages_fn *messages,
                    struct gen_text *response, struct gen_text *why);

#endif
