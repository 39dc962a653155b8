/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/options.h"

#include <string.h>

static void parse_word(const char *word, struct gen_options *options, struct gen_problems *problems)
{
    static const char messages[] = "messages";
    size_t len = strlen(messages);
    const struct gen_place nowhere = {0};
    if (strncmp(word, messages, len) == 0 && (word[len] == '\0' || word[len] == '=')) {
        options->with_messages = true;
        if (word[len] == '=') {
            options->protoc_gen_c = word + len + 1;
        }
        if (options->protoc_gen_c[0] == '\0') {
            gen_problem(problems, nowhere, "--snaprpc_opt=messages=PROGRAM: PROGRAM is empty");
        }
        return;
    }
    gen_problem(problems, nowhere,
                "unknown option \"%s\" in --snaprpc_opt; known are: messages, messages=PROGRAM",
                word);
}

struct gen_options gen_options_parse(struct gen_arena *arena, const char *parameter,
                                     struct gen_problems *problems)
{
    struct gen_options options = {.protoc_gen_c = "protoc-gen-c"};
    while (parameter != NULL && *parameter != '\0') {
        size_t len = strcspn(parameter, ",");
        if (len > 0) {
            parse_word(gen_arena_copy(arena, parameter, len), &options, problems);
        }
        parameter += len + (parameter[len] == ',' ? 1 : 0);
    }
    return options;
}
