/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/services.h"

#include "codegen/names.h"

#include <snaprpc/method.h>

#include <string.h>

/* Field numbers in descriptor.proto: they make up the paths of SourceCodeInfo. */
enum {
    FILE_SERVICE = 6,
    SERVICE_METHOD = 2,
};

static struct gen_comment find_comment(const struct gen_file *file, int32_t service,
                                       const int32_t *method)
{
    int32_t steps[] = {FILE_SERVICE, service, SERVICE_METHOD, method == NULL ? 0 : *method};
    return gen_comment_find(file->proto, (struct gen_path){steps, method == NULL ? 2 : 4});
}

/* Finds the type of a request or response; what is wrong with it is reported. */
static const struct gen_type *find_type(const struct gen_services_context *context,
                                        const struct gen_method *method, const char *name)
{
    const struct gen_type *type = name == NULL ? NULL : gen_types_find(context->types, name);
    if (type == NULL) {
        gen_problem(context->problems, method->comment.place,
                    "the request is malformed: method %s uses a message that it does not describe",
                    method->full_name);
    } else if (type->file->has_no_c) {
        gen_problem(context->problems, method->comment.place,
                    "method %s uses message %s of %s, which has (pb_c_file).no_generate: there is "
                    "no C type for it",
                    method->full_name, name + 1, type->file->name);
    }
    return type;
}

static void refuse_stream(const struct gen_services_context *context,
                          const struct gen_method *method,
                          const Google__Protobuf__MethodDescriptorProto *proto)
{
    const char *kind = proto->client_streaming && proto->server_streaming ? "bidirectional"
                       : proto->client_streaming                          ? "client"
                       : proto->server_streaming                          ? "server"
                                                                          : NULL;
    if (kind != NULL) {
        gen_problem(context->problems, method->comment.place,
                    "method %s is a %s stream: streaming methods are not yet supported",
                    method->full_name, kind);
    }
}

static void claim(const struct gen_services_context *context, const char *name, const char *what,
                  struct gen_place place)
{
    gen_names_claim(context->taken, name, (struct gen_owner){.what = what, .place = place},
                    context->problems);
}

/* Every name that the emitters make of a method. False: one of them is another's. */
static bool claim_method(const struct gen_services_context *context,
                         const struct gen_service *service, const struct gen_method *method)
{
    static const char *const suffixes[] = {"method", "call",   "start",    "free",
                                           "reply",  "finish", "dispatch", "handler"};
    struct gen_arena *arena = context->arena;
    struct gen_place place = method->comment.place;
    const char *what = gen_arena_printf(arena, "method %s", method->full_name);
    size_t n_before = context->problems->n;
    claim(context, gen_arena_printf(arena, "%sDone", method->camel), what, place);
    /* One report for each pair is enough: the names differ in their suffixes only. */
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        if (context->problems->n == n_before) {
            claim(context, gen_arena_printf(arena, "%s__%s", method->lower, suffixes[i]), what,
                  place);
        }
    }
    /* A member of a struct, so the struct's name goes in front: no C name has a space. */
    if (context->problems->n == n_before) {
        claim(context, gen_arena_printf(arena, "%s__Handlers %s", service->camel, method->member),
              what, place);
    }
    return context->problems->n == n_before;
}

/* protobuf-c makes code of its own for services, and escapes no keywords there. */
static void claim_generic_method(const struct gen_services_context *context,
                                 const struct gen_method *method, const char *lower)
{
    struct gen_owner owner = {
        gen_arena_printf(context->arena, "protobuf-c's code for method %s", method->full_name),
        method->comment.place, true};
    gen_names_claim(context->taken, method->lower, owner, context->problems);
    if (gen_name_is_c_keyword(lower)) {
        gen_problem(context->problems, method->comment.place,
                    "method %s: protobuf-c's code for services cannot name a method \"%s\"; rename "
                    "it, or use --snaprpc_opt=messages instead of protoc-c",
                    method->full_name, lower);
    }
}

static bool fill_method(const struct gen_services_context *context,
                        const struct gen_service *service, struct gen_method *method,
                        const Google__Protobuf__MethodDescriptorProto *proto)
{
    struct gen_arena *arena = context->arena;
    if (proto->name == NULL || !gen_name_is_identifier(proto->name)) {
        gen_problem(context->problems, method->comment.place,
                    "the request is malformed: a method whose name is no identifier");
        return false;
    }
    method->full_name = gen_arena_printf(arena, "%s/%s", service->full_name, proto->name);
    if (strlen(method->full_name) > SNAP_METHOD_NAME_MAX) {
        gen_problem(context->problems, method->comment.place,
                    "method %.60s...: the full name is longer than %d bytes", method->full_name,
                    SNAP_METHOD_NAME_MAX);
        return false;
    }
    const char *lower = gen_name_lower(arena, proto->name);
    method->lower = gen_arena_printf(arena, "%s__%s", service->lower, lower);
    method->camel =
        gen_arena_printf(arena, "%s__%s", service->camel, gen_name_camel(arena, proto->name));
    method->member = gen_name_member(arena, lower);
    method->request = find_type(context, method, proto->input_type);
    method->response = find_type(context, method, proto->output_type);
    refuse_stream(context, method, proto);
    if (proto->options != NULL) {
        method->is_deprecated = proto->options->deprecated;
        method->is_idempotent =
            proto->options->idempotency_level !=
            GOOGLE__PROTOBUF__METHOD_OPTIONS__IDEMPOTENCY_LEVEL__IDEMPOTENCY_UNKNOWN;
    }
    if (claim_method(context, service, method) && context->has_generic_services) {
        claim_generic_method(context, method, lower);
    }
    return true;
}

static void claim_service(const struct gen_services_context *context,
                          const struct gen_service *service)
{
    struct gen_arena *arena = context->arena;
    struct gen_place place = service->comment.place;
    const char *what = gen_arena_printf(arena, "service %s", service->full_name);
    size_t n_before = context->problems->n;
    claim(context, gen_arena_printf(arena, "%s__Handlers", service->camel), what, place);
    static const char *const suffixes[] = {"service", "serve", "methods"};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        if (context->problems->n == n_before) {
            claim(context, gen_arena_printf(arena, "%s__%s", service->lower, suffixes[i]), what,
                  place);
        }
    }
    static const char *const generic[] = {"init", "descriptor"};
    for (size_t i = 0; i < sizeof(generic) / sizeof(generic[0]); i++) {
        if (!context->has_generic_services || context->problems->n > n_before) {
            break;
        }
        struct gen_owner owner = {gen_arena_printf(arena, "protobuf-c's code for %s", what), place,
                                  true};
        gen_names_claim(context->taken,
                        gen_arena_printf(arena, "%s__%s", service->lower, generic[i]), owner,
                        context->problems);
    }
}

static bool fill_service(const struct gen_services_context *context, const struct gen_file *file,
                         size_t idx, struct gen_service *service)
{
    struct gen_arena *arena = context->arena;
    const Google__Protobuf__ServiceDescriptorProto *proto = file->proto->service[idx];
    service->comment = find_comment(file, (int32_t)idx, NULL);
    if (proto->name == NULL || !gen_name_is_identifier(proto->name)) {
        gen_problem(context->problems, service->comment.place,
                    "the request is malformed: a service whose name is no identifier");
        return false;
    }
    service->full_name = gen_arena_printf(arena, "%s%s%s", file->package,
                                          file->package[0] == '\0' ? "" : ".", proto->name);
    if (strlen(service->full_name) > SNAP_METHOD_NAME_MAX) {
        gen_problem(context->problems, service->comment.place,
                    "service %.60s...: the full name is longer than %d bytes", service->full_name,
                    SNAP_METHOD_NAME_MAX);
        return false;
    }
    struct gen_full_name full = {service->full_name, file->package, file->c_package};
    service->lower = gen_full_name_lower(arena, full);
    service->camel = gen_full_name_camel(arena, full);
    claim_service(context, service);
    service->methods = gen_arena_array(arena, proto->n_method, sizeof(struct gen_method));
    for (size_t i = 0; i < proto->n_method; i++) {
        struct gen_method *method = &service->methods[service->n_methods];
        int32_t method_idx = (int32_t)i;
        method->comment = find_comment(file, (int32_t)idx, &method_idx);
        if (fill_method(context, service, method, proto->method[i])) {
            method->is_deprecated |= proto->options != NULL && proto->options->deprecated;
            service->n_methods++;
        }
    }
    return true;
}

static void include_file_of(struct gen_file *file, const struct gen_type *type)
{
    if (type == NULL || type->file == file) {
        return;
    }
    for (size_t i = 0; i < file->n_includes; i++) {
        if (file->includes[i] == type->file) {
            return;
        }
    }
    file->includes[file->n_includes++] = type->file;
}

void gen_services_fill(const struct gen_services_context *context, struct gen_file *file)
{
    size_t n = file->proto->n_service;
    size_t n_types = 0;
    file->services = gen_arena_array(context->arena, n, sizeof(struct gen_service));
    for (size_t i = 0; i < n; i++) {
        if (fill_service(context, file, i, &file->services[file->n_services])) {
            n_types += 2 * file->services[file->n_services].n_methods;
            file->n_services++;
        }
    }
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers is meant */
    file->includes = gen_arena_array(context->arena, n_types, sizeof(file->includes[0]));
    for (size_t i = 0; i < file->n_services; i++) {
        for (size_t j = 0; j < file->services[i].n_methods; j++) {
            include_file_of(file, file->services[i].methods[j].request);
            include_file_of(file, file->services[i].methods[j].response);
        }
    }
}
