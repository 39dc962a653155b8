/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/plugin.h"

#include "codegen/arena.h"
#include "codegen/wire.h"
#include "google/protobuf/compiler/plugin.pb-c.h"
#include "tests/support/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

typedef Google__Protobuf__Compiler__CodeGeneratorRequest request_message;
typedef Google__Protobuf__Compiler__CodeGeneratorResponse response_message;

/* A request for one file with one service of one method, all of it changeable. */
struct fixture {
    request_message request;
    Google__Protobuf__FileDescriptorProto file;
    Google__Protobuf__DescriptorProto message;
    Google__Protobuf__ServiceDescriptorProto service;
    Google__Protobuf__MethodDescriptorProto method;
    Google__Protobuf__FileDescriptorProto *files[1];
    Google__Protobuf__DescriptorProto *messages[1];
    Google__Protobuf__ServiceDescriptorProto *services[1];
    Google__Protobuf__MethodDescriptorProto *methods[1];
    char *wanted[1];

    bool is_done;
    response_message *response; /* of the last run */
    struct gen_text why;
};

static struct gen_arena strings;

static char *string(const char *s)
{
    return gen_arena_copy(&strings, s, strlen(s));
}

static void init_method(struct fixture *f)
{
    google__protobuf__method_descriptor_proto__init(&f->method);
    f->method.name = string("Get");
    f->method.input_type = string(".p.M");
    f->method.output_type = string(".p.M");
    google__protobuf__service_descriptor_proto__init(&f->service);
    f->service.name = string("S");
    f->service.n_method = 1;
    f->service.method = f->methods;
    f->methods[0] = &f->method;
}

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){0};
    init_method(&f);
    google__protobuf__descriptor_proto__init(&f.message);
    f.message.name = string("M");
    google__protobuf__file_descriptor_proto__init(&f.file);
    f.file.name = string("a.proto");
    f.file.package = string("p");
    f.file.n_message_type = 1;
    f.file.message_type = f.messages;
    f.messages[0] = &f.message;
    f.file.n_service = 1;
    f.file.service = f.services;
    f.services[0] = &f.service;
    google__protobuf__compiler__code_generator_request__init(&f.request);
    f.request.n_proto_file = 1;
    f.request.proto_file = f.files;
    f.files[0] = &f.file;
    f.request.n_file_to_generate = 1;
    f.request.file_to_generate = f.wanted;
    f.wanted[0] = string("a.proto");
    *state = &f;
    return 0;
}

static void forget_run(struct fixture *f)
{
    google__protobuf__compiler__code_generator_response__free_unpacked(f->response, NULL);
    f->response = NULL;
    gen_text_fini(&f->why);
}

static int teardown(void **state)
{
    forget_run(*state);
    gen_arena_fini(&strings);
    return 0;
}

static bool no_messages(const char *program, const struct gen_text *request,
                        struct gen_text *response, struct gen_text *why)
{
    (void)program;
    (void)request;
    (void)response;
    (void)why;
    fail_msg("protobuf-c's generator was asked for");
    return false;
}

static void run_bytes(struct fixture *f, const uint8_t *bytes, size_t len,
                      gen_messages_fn *messages)
{
    forget_run(f);
    struct gen_text response = {0};
    f->is_done = gen_plugin_run(bytes, len, messages, &response, &f->why);
    if (f->is_done) {
        f->response = google__protobuf__compiler__code_generator_response__unpack(
            NULL, response.len, (const uint8_t *)gen_text_string(&response));
        assert_non_null(f->response);
    }
    gen_text_fini(&response);
}

static void run_with(struct fixture *f, gen_messages_fn *messages)
{
    uint8_t *bytes = malloc(
        google__protobuf__compiler__code_generator_request__get_packed_size(&f->request) + 1);
    assert_non_null(bytes);
    size_t len = google__protobuf__compiler__code_generator_request__pack(&f->request, bytes);
    run_bytes(f, bytes, len, messages);
    free(bytes);
}

static void assert_error(struct fixture *f, const char *expected)
{
    run_with(f, no_messages);
    assert_true(f->is_done);
    assert_non_null(f->response->error);
    assert_string_equal(f->response->error, expected);
    assert_int_equal(f->response->n_file, 0);
}

static void good_request_gives_two_files(void **state)
{
    struct fixture *f = *state;
    run_with(f, no_messages);
    assert_true(f->is_done);
    assert_null(f->response->error);
    assert_int_equal(f->response->n_file, 2);
    assert_string_equal(f->response->file[0]->name, "a.snap.h");
    assert_string_equal(f->response->file[1]->name, "a.snap.c");
    assert_non_null(strstr(f->response->file[0]->content, "p__s__get__call("));
    assert_true(f->response->supported_features & 1);
}

static void error_declares_the_features_too(void **state)
{
    struct fixture *f = *state;
    f->method.client_streaming = f->method.has_client_streaming = 1;
    assert_error(f, "a.proto: method p.S/Get is a client stream: streaming methods are not yet "
                    "supported");
    assert_true(f->response->supported_features & 1);
}

static void missing_names_are_refused(void **state)
{
    struct fixture *f = *state;
    f->method.name = NULL;
    assert_error(f, "a.proto: the request is malformed: a method whose name is no identifier");
    f->service.name = NULL;
    assert_error(f, "a.proto: the request is malformed: a service whose name is no identifier");
    f->service.n_method = 0;
    f->file.n_service = 0;
    f->message.name = NULL;
    assert_error(f, "a.proto: the request is malformed: a message whose name is no identifier");
    f->file.name = NULL;
    run_with(f, no_messages);
    assert_non_null(strstr(f->response->error, "a file's name is missing"));
}

static void names_that_would_be_code_are_refused(void **state)
{
    struct fixture *f = *state;
    f->method.name = string("x(void); int y");
    assert_error(f, "a.proto: the request is malformed: a method whose name is no identifier");
    f->method.name = string("Get");
    f->file.package = string("p; q");
    run_with(f, no_messages);
    assert_non_null(strstr(f->response->error, "the package is no dotted name"));
    f->file.name = string("a\"\n#error.proto");
    run_with(f, no_messages);
    assert_non_null(strstr(f->response->error, "a file's name"));
}

static void types_that_are_not_there_are_refused(void **state)
{
    static const char *const names[] = {".p.N", "p.M", "M", ".", "", ".p.M."};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        f->method.input_type = string(names[i]);
        assert_error(f, "a.proto: the request is malformed: method p.S/Get uses a message that it "
                        "does not describe");
    }
    f->method.input_type = NULL;
    assert_error(f, "a.proto: the request is malformed: method p.S/Get uses a message that it does "
                    "not describe");
}

static void wanted_file_must_be_described(void **state)
{
    struct fixture *f = *state;
    f->wanted[0] = string("b.proto");
    assert_error(f, "b.proto: the request is malformed: it asks for this file and does not "
                    "describe it");
}

static void message_that_is_there_twice_is_refused(void **state)
{
    struct fixture *f = *state;
    Google__Protobuf__DescriptorProto *twice[] = {&f->message, &f->message};
    f->file.message_type = twice;
    f->file.n_message_type = 2;
    assert_error(f, "a.proto: the request is malformed: message p.M is there twice");
}

static void method_name_is_bounded(void **state)
{
    struct fixture *f = *state;
    char name[1024];
    memset(name, 'x', sizeof(name));
    name[1023 - strlen("p.S/")] = '\0';
    f->method.name = string(name);
    run_with(f, no_messages);
    assert_null(f->response->error);
    name[1023 - strlen("p.S/")] = 'x';
    name[1024 - strlen("p.S/")] = '\0';
    f->method.name = string(name);
    run_with(f, no_messages);
    assert_non_null(strstr(f->response->error, "longer than 1023 bytes"));
}

static void request_that_is_none_is_refused(void **state)
{
    struct fixture *f = *state;
    run_bytes(f, (const uint8_t *)"hello", 5, no_messages);
    assert_false(f->is_done);
    assert_non_null(strstr(f->why.data, "no CodeGeneratorRequest"));
    run_bytes(f, (const uint8_t *)"", 0, no_messages);
    assert_false(f->is_done);
    assert_non_null(strstr(f->why.data, "asks for no file"));
}

static void request_cut_anywhere_never_passes_for_whole(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[512];
    size_t len = google__protobuf__compiler__code_generator_request__get_packed_size(&f->request);
    assert_true(len <= sizeof(bytes));
    (void)google__protobuf__compiler__code_generator_request__pack(&f->request, bytes);
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *exact = malloc(cut + 1); /* so that a sanitizer sees a read past the end */
        assert_non_null(exact);
        memcpy(exact, bytes, cut);
        run_bytes(f, exact, cut, no_messages);
        assert_true(!f->is_done || f->response->error != NULL);
        free(exact);
    }
}

static void deep_nesting_is_refused_before_it_is_unpacked(void **state)
{
    struct fixture *f = *state;

    enum {
        LEVELS = 1000000
    };

    /* Each level is a nested_type that says it reaches to the end: five bytes. */
    uint8_t *bytes = malloc((size_t)LEVELS * 6 + 16);
    assert_non_null(bytes);
    size_t len = 0;
    for (size_t i = LEVELS; i > 0; i--) {
        size_t inside = (i - 1) * 6;
        bytes[len++] = i == LEVELS ? 0x7a : i == LEVELS - 1 ? 0x22 : 0x1a;
        for (int shift = 0; shift < 28; shift += 7) {
            bytes[len++] = (uint8_t)((inside >> shift) & 0x7f) | 0x80;
        }
        bytes[len++] = 0;
    }
    run_bytes(f, bytes, len, no_messages);
    assert_false(f->is_done);
    assert_non_null(strstr(f->why.data, "nested"));
    free(bytes);
}

static bool answer_features_and_file(const char *program, const struct gen_text *request,
                                     struct gen_text *response, struct gen_text *why)
{
    (void)why;
    assert_string_equal(program, "PROGRAM");
    request_message *message = google__protobuf__compiler__code_generator_request__unpack(
        NULL, request->len, (const uint8_t *)request->data);
    assert_non_null(message);
    assert_int_equal(message->n_proto_file, 1);
    assert_int_equal(message->proto_file[0]->n_service, 0);
    assert_int_equal(message->proto_file[0]->n_message_type, 1);
    assert_null(message->parameter);
    google__protobuf__compiler__code_generator_request__free_unpacked(message, NULL);
    gen_text_put(response, "\x10\x00\x7a\x03\x0a\x01x", 7); /* no features, a file "x" */
    return true;
}

static void messages_come_from_a_generator_without_services(void **state)
{
    struct fixture *f = *state;
    f->request.parameter = string("messages=PROGRAM");
    run_with(f, answer_features_and_file);
    assert_true(f->is_done);
    assert_int_equal(f->response->n_file, 3);
    assert_string_equal(f->response->file[2]->name, "x");
    assert_true(f->response->supported_features & 1);
}

static bool answer_garbage(const char *program, const struct gen_text *request,
                           struct gen_text *response, struct gen_text *why)
{
    (void)program;
    (void)request;
    (void)why;
    gen_text_puts(response, "garbage");
    return true;
}

static void garbage_from_the_generator_is_refused(void **state)
{
    struct fixture *f = *state;
    f->request.parameter = string("messages=PROGRAM");
    run_with(f, answer_garbage);
    assert_false(f->is_done);
    assert_string_equal(f->why.data, "what PROGRAM answers is no CodeGeneratorResponse");
}

static void generator_that_cannot_run_is_named(void **state)
{
    struct fixture *f = *state;
    f->request.parameter = string("messages=/nonexistent/protoc-gen-c");
    run_with(f, gen_messages_run);
    assert_false(f->is_done);
    assert_non_null(strstr(f->why.data, "cannot run /nonexistent/protoc-gen-c: No such file"));
    f->request.parameter = string("messages=false");
    run_with(f, gen_messages_run);
    assert_false(f->is_done);
    assert_string_equal(f->why.data, "false failed");
}

static void child_gets_the_request_and_its_output_comes_back(void **state)
{
    (void)state;
    struct gen_text request = {0};
    struct gen_text response = {0};
    struct gen_text why = {0};
    for (size_t i = 0; i < 300000; i++) { /* more than a pipe holds */
        gen_text_printf(&request, "%zu\n", i);
    }
    assert_true(gen_messages_run("cat", &request, &response, &why));
    assert_int_equal(response.len, request.len);
    assert_memory_equal(response.data, request.data, request.len);
    gen_text_fini(&request);
    gen_text_fini(&response);
    gen_text_fini(&why);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(good_request_gives_two_files),
        CASE(error_declares_the_features_too),
        CASE(missing_names_are_refused),
        CASE(names_that_would_be_code_are_refused),
        CASE(types_that_are_not_there_are_refused),
        CASE(wanted_file_must_be_described),
        CASE(message_that_is_there_twice_is_refused),
        CASE(method_name_is_bounded),
        CASE(request_that_is_none_is_refused),
        CASE(request_cut_anywhere_never_passes_for_whole),
        CASE(deep_nesting_is_refused_before_it_is_unpacked),
        CASE(messages_come_from_a_generator_without_services),
        CASE(garbage_from_the_generator_is_refused),
        CASE(generator_that_cannot_run_is_named),
        CASE(child_gets_the_request_and_its_output_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
