/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/emit.h"

/* The core calls trampolines, of a type it knows; only they call the application's functions, whose
 * type they know. So no function is called through a pointer of another type. */
static void put_trampolines(struct gen_text *out, const struct gen_method *method)
{
    gen_text_printf(out,
                    "\n"
                    "static void %s__finish(\n"
                    "    snap_any_fn *typed,\n"
                    "    void *arg,\n"
                    "    const struct snap_result *result,\n"
                    "    ProtobufCMessage *response)\n"
                    "{\n"
                    "    %sDone *done = (%sDone *)typed;\n"
                    "    if (done != NULL) {\n"
                    "        done(arg, result, (%s *)response);\n"
                    "    }\n"
                    "}\n",
                    method->lower, method->camel, method->camel, method->response->camel);
    gen_text_printf(out,
                    "\n"
                    "typedef void %s__handler(\n"
                    "    struct snap_server_call *call,\n"
                    "    const %s *request,\n"
                    "    void *arg);\n"
                    "\n"
                    "static void %s__dispatch(\n"
                    "    snap_any_fn *typed,\n"
                    "    struct snap_server_call *call,\n"
                    "    const ProtobufCMessage *request,\n"
                    "    void *arg)\n"
                    "{\n"
                    "    %s__handler *handler = (%s__handler *)typed;\n"
                    "    handler(call, (const %s *)request, arg);\n"
                    "}\n",
                    method->lower, method->request->camel, method->lower, method->lower,
                    method->lower, method->request->camel);
}

static void put_method_constant(struct gen_text *out, const struct gen_method *method)
{
    gen_text_printf(out,
                    "\n"
                    "const struct snap_method %s__method = {\n"
                    "    .name = \"%s\",\n"
                    "    .request = &%s__descriptor,\n"
                    "    .response = &%s__descriptor,\n"
                    "    .done = %s__finish,\n"
                    "    .dispatch = %s__dispatch,\n"
                    "    .kind = SNAP_UNARY,\n"
                    "    .flags = %s,\n"
                    "};\n",
                    method->lower, method->full_name, method->request->lower,
                    method->response->lower, method->lower, method->lower,
                    method->is_idempotent ? "SNAP_METHOD_IDEMPOTENT" : "0");
}

static void put_call(struct gen_text *out, const struct gen_method *method)
{
    gen_text_printf(out,
                    "\n"
                    "struct snap_status %s__call(\n"
                    "    struct snap_channel *channel,\n"
                    "    const %s *request,\n"
                    "    const struct snap_call_options *options,\n"
                    "    %s **response)\n"
                    "{\n"
                    "    ProtobufCMessage *message = NULL;\n"
                    "    struct snap_status status = snap_channel_call(\n"
                    "        channel, &%s__method,\n"
                    "        (const ProtobufCMessage *)request, options, &message);\n"
                    "    if (response != NULL) {\n"
                    "        *response = (%s *)message;\n"
                    "    } else {\n"
                    "        snap_message_free(message);\n"
                    "    }\n"
                    "    return status;\n"
                    "}\n",
                    method->lower, method->request->camel, method->response->camel, method->lower,
                    method->response->camel);
}

static void put_rest(struct gen_text *out, const struct gen_method *method)
{
    gen_text_printf(
        out,
        "\n"
        "struct snap_call_id %s__start(\n"
        "    struct snap_channel *channel,\n"
        "    const %s *request,\n"
        "    const struct snap_call_options *options,\n"
        "    %sDone *done,\n"
        "    void *arg)\n"
        "{\n"
        "    return snap_channel_start(\n"
        "        channel, &%s__method,\n"
        "        (const ProtobufCMessage *)request, options, (snap_any_fn *)done, arg);\n"
        "}\n",
        method->lower, method->request->camel, method->camel, method->lower);
    gen_text_printf(out,
                    "\n"
                    "void %s__free(%s *response)\n"
                    "{\n"
                    "    snap_message_free((ProtobufCMessage *)response);\n"
                    "}\n"
                    "\n"
                    "void %s__reply(\n"
                    "    struct snap_server_call *call,\n"
                    "    const %s *response)\n"
                    "{\n"
                    "    snap_server_reply(call, (const ProtobufCMessage *)response);\n"
                    "}\n",
                    method->lower, method->response->camel, method->lower, method->response->camel);
}

static void put_service_constant(struct gen_text *out, const struct gen_service *service)
{
    if (service->n_methods > 0) {
        gen_text_printf(out, "\nstatic const struct snap_method *const %s__methods[] = {\n",
                        service->lower);
        for (size_t i = 0; i < service->n_methods; i++) {
            gen_text_printf(out, "    &%s__method,\n", service->methods[i].lower);
        }
        gen_text_puts(out, "};\n");
    }
    gen_text_printf(out,
                    "\n"
                    "const struct snap_service %s__service = {\n"
                    "    .name = \"%s\",\n"
                    "    .methods = %s%s,\n"
                    "    .n_methods = %zu,\n"
                    "};\n",
                    service->lower, service->full_name,
                    service->n_methods > 0 ? service->lower : "NULL",
                    service->n_methods > 0 ? "__methods" : "", service->n_methods);
}

static void put_serve(struct gen_text *out, const struct gen_service *service)
{
    gen_text_printf(out,
                    "\n"
                    "struct snap_status %s__serve(\n"
                    "    struct snap_server *server,\n"
                    "    const %s__Handlers *handlers,\n"
                    "    void *arg)\n"
                    "{\n",
                    service->lower, service->camel);
    if (service->n_methods > 0) {
        gen_text_puts(out, "    snap_any_fn *const typed[] = {\n");
        for (size_t i = 0; i < service->n_methods; i++) {
            gen_text_printf(out, "        (snap_any_fn *)handlers->%s,\n",
                            service->methods[i].member);
        }
        gen_text_puts(out, "    };\n");
    } else {
        gen_text_puts(out, "    (void)handlers;\n");
    }
    gen_text_printf(out,
                    "    return snap_server_add(server, &%s__service, %s, arg);\n"
                    "}\n",
                    service->lower, service->n_methods > 0 ? "typed" : "NULL");
}

void gen_emit_source(struct gen_text *out, const struct gen_file *file)
{
    gen_text_puts(out, "/*\n");
    gen_comment_put(out, " *", "Generated by protoc-gen-snaprpc; changes will be lost. From:");
    gen_comment_put(out, " *", file->name);
    gen_text_printf(out,
                    " */\n"
                    "#include \"%s.snap.h\"\n",
                    file->base);
    for (size_t i = 0; i < file->n_services; i++) {
        const struct gen_service *service = &file->services[i];
        gen_text_printf(out, "\n/* ---- %s ---- */\n", service->full_name);
        for (size_t j = 0; j < service->n_methods; j++) {
            put_trampolines(out, &service->methods[j]);
            put_method_constant(out, &service->methods[j]);
            put_call(out, &service->methods[j]);
            put_rest(out, &service->methods[j]);
        }
        put_service_constant(out, service);
        put_serve(out, service);
    }
}
