/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as a CodeGeneratorRequest: the plugin must answer or refuse, and what it answers must
 * be a response whose code no comment got out of and which names no strange file. */
#include "codegen/plugin.h"
#include "google/protobuf/compiler/plugin.pb-c.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool no_messages(const char *program, const struct gen_text *request,
                        struct gen_text *response, struct gen_text *why)
{
    (void)program;
    (void)request;
    (void)response;
    gen_text_puts(why, "not here");
    return false;
}

/* No line of code can begin with "#error" unless a name or comment got out. */
static void check_file(const Google__Protobuf__Compiler__CodeGeneratorResponse__File *file)
{
    if (file->name == NULL || file->content == NULL || strchr(file->name, '\n') != NULL ||
        strstr(file->content, "\n#error") != NULL) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gen_text response = {0};
    struct gen_text why = {0};
    if (gen_plugin_run(data, size, no_messages, &response, &why)) {
        Google__Protobuf__Compiler__CodeGeneratorResponse *message =
            google__protobuf__compiler__code_generator_response__unpack(
                NULL, response.len, (const uint8_t *)gen_text_string(&response));
        if (message == NULL || (message->error != NULL && message->n_file > 0)) {
            abort();
        }
        for (size_t i = 0; i < message->n_file; i++) {
            check_file(message->file[i]);
        }
        google__protobuf__compiler__code_generator_response__free_unpacked(message, NULL);
    } else if (why.len == 0) {
        abort();
    }
    gen_text_fini(&response);
    gen_text_fini(&why);
    return 0;
}
