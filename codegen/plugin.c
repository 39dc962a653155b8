/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/plugin.h"

#include "codegen/emit.h"
#include "codegen/model.h"
#include "codegen/options.h"
#include "codegen/wire.h"

typedef Google__Protobuf__Compiler__CodeGeneratorRequest request_message;
typedef Google__Protobuf__Compiler__CodeGeneratorResponse response_message;
typedef Google__Protobuf__Compiler__CodeGeneratorResponse__File response_file;

/* What one run carries. */
struct run {
    struct gen_arena arena;
    struct gen_problems problems;
    struct gen_text request; /* without services, for protobuf-c's generator */
    struct gen_text generated;
    struct gen_text *why;
};

static void pack_response(const response_message *message, struct gen_text *out)
{
    size_t len = google__protobuf__compiler__code_generator_response__get_packed_size(message);
    struct gen_arena arena = {0};
    uint8_t *bytes = gen_arena_array(&arena, len, 1);
    (void)google__protobuf__compiler__code_generator_response__pack(message, bytes);
    gen_text_put(out, bytes, len);
    gen_arena_fini(&arena);
}

static void init_response(response_message *message)
{
    google__protobuf__compiler__code_generator_response__init(message);
    message->has_supported_features = 1;
    message->supported_features =
        GOOGLE__PROTOBUF__COMPILER__CODE_GENERATOR_RESPONSE__FEATURE__FEATURE_PROTO3_OPTIONAL;
}

static void respond_error(struct run *run, struct gen_text *response)
{
    response_message message;
    init_response(&message);
    message.error = run->problems.text.data;
    pack_response(&message, response);
}

typedef void emit_fn(struct gen_text *out, const struct gen_file *file);

/* Files of a response follow each other in its encoding, so each is packed as it is made. */
static void respond_file(struct run *run, const struct gen_file *file, const char *suffix,
                         emit_fn *emit, struct gen_text *response)
{
    struct gen_text content = {0};
    emit(&content, file);
    response_file made;
    google__protobuf__compiler__code_generator_response__file__init(&made);
    made.name = gen_arena_printf(&run->arena, "%s%s", file->base, suffix);
    made.content = content.data;
    response_file *files[] = {&made};
    response_message message;
    google__protobuf__compiler__code_generator_response__init(&message);
    message.n_file = 1;
    message.file = files;
    if (content.is_cut) {
        gen_problem(&run->problems, (struct gen_place){.file = file->name},
                    "the generated code is too large");
    } else {
        pack_response(&message, response);
    }
    gen_text_fini(&content);
}

static void respond_files(struct run *run, const struct gen_model *model, struct gen_text *response)
{
    response_message features;
    init_response(&features);
    pack_response(&features, response);
    for (size_t i = 0; i < model->n_files; i++) {
        const struct gen_file *file = &model->files[i];
        if (file->is_wanted) {
            respond_file(run, file, ".snap.h", gen_emit_header, response);
            respond_file(run, file, ".snap.c", gen_emit_source, response);
        }
    }
    /* Two encoded messages in a row are one with the fields of both. */
    gen_text_put(response, run->generated.data, run->generated.len);
    if (response->is_cut && run->problems.n == 0) {
        gen_problem(&run->problems, (struct gen_place){0}, "the generated code is too large");
    }
}

enum {
    RESPONSE_SUPPORTED_FEATURES = 2 /* field number in plugin.proto */
};

/* Has protobuf-c's generator make its files. Its word on features is dropped: protobuf-c 1.4 and
 * 1.5 do generate proto3 optional fields (as oneofs of one field) but do not tell protoc so. */
static bool generate_messages(struct run *run, const char *program, gen_messages_fn *messages)
{
    struct gen_text answer = {0};
    bool is_done = messages(program, &run->request, &answer, run->why);
    struct gen_wire_span span = {(const uint8_t *)gen_text_string(&answer), answer.len};
    if (is_done &&
        (!gen_wire_is_safe(&google__protobuf__compiler__code_generator_response__descriptor,
                           span.start, span.len) ||
         !gen_wire_drop_field(span, RESPONSE_SUPPORTED_FEATURES, &run->generated))) {
        gen_text_printf(run->why, "what %s answers is no CodeGeneratorResponse", program);
        is_done = false;
    }
    gen_text_fini(&answer);
    return is_done;
}

static bool generate(struct run *run, const request_message *request, gen_messages_fn *messages,
                     struct gen_text *response)
{
    struct gen_options options = gen_options_parse(&run->arena, request->parameter, &run->problems);
    struct gen_model model = gen_model_build(&run->arena, request, &options, &run->problems);
    if (run->problems.n == 0 && options.with_messages &&
        !generate_messages(run, options.protoc_gen_c, messages)) {
        return false;
    }
    if (run->problems.n == 0) {
        respond_files(run, &model, response);
    }
    if (run->problems.n > 0) {
        gen_text_fini(response);
        respond_error(run, response);
    }
    return true;
}

bool gen_plugin_run(const uint8_t *bytes, size_t len, gen_messages_fn *messages,
                    struct gen_text *response, struct gen_text *why)
{
    struct run run = {.why = why};
    bool is_done = false;
    request_message *request = NULL;
    if (gen_wire_is_safe(&google__protobuf__compiler__code_generator_request__descriptor, bytes,
                         len) &&
        gen_wire_drop_services(bytes, len, &run.request)) {
        request = google__protobuf__compiler__code_generator_request__unpack(NULL, len, bytes);
    }
    if (request == NULL) {
        gen_text_puts(why, "this is no CodeGeneratorRequest, or it is cut short, or it is nested "
                           "too deeply; this program is run by protoc, see --help");
    } else if (request->n_file_to_generate == 0) {
        gen_text_puts(why, "the request asks for no file; this program is run by protoc, see "
                           "--help");
    } else {
        is_done = generate(&run, request, messages, response);
    }
    google__protobuf__compiler__code_generator_request__free_unpacked(request, NULL);
    gen_text_fini(&run.request);
    gen_text_fini(&run.generated);
    gen_problems_fini(&run.problems);
    gen_arena_fini(&run.arena);
    return is_done;
}
