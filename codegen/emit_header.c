/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/emit.h"
#include "codegen/names.h"

/* Writes the comment of an element as paragraphs of a comment that is open already. */
static void put_comment(struct gen_text *out, const char *prefix, const struct gen_comment *comment)
{
    gen_comment_put(out, prefix, comment->leading);
    if (!gen_comment_is_blank(comment->leading) && !gen_comment_is_blank(comment->trailing)) {
        gen_text_printf(out, "%s\n", prefix);
    }
    gen_comment_put(out, prefix, comment->trailing);
    if (!gen_comment_is_blank(comment->leading) || !gen_comment_is_blank(comment->trailing)) {
        gen_text_printf(out, "%s\n", prefix);
    }
}

static void put_detached(struct gen_text *out, const struct gen_comment *comment)
{
    for (size_t i = 0; i < comment->n_detached; i++) {
        if (!gen_comment_is_blank(comment->detached[i])) {
            gen_text_puts(out, "\n/*\n");
            gen_comment_put(out, " *", comment->detached[i]);
            gen_text_puts(out, " */\n");
        }
    }
}

/* What the author wrote above `syntax` and `package`: licence, purpose of the file. */
static void put_file_comments(struct gen_text *out, const struct gen_file *file)
{
    static const int32_t statements[] = {12, 2}; /* syntax, package in FileDescriptorProto */
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        struct gen_comment comment =
            gen_comment_find(file->proto, (struct gen_path){&statements[i], 1});
        put_detached(out, &comment);
        if (!gen_comment_is_blank(comment.leading) || !gen_comment_is_blank(comment.trailing)) {
            gen_text_puts(out, "\n/*\n");
            gen_comment_put(out, " *", comment.leading);
            gen_comment_put(out, " *", comment.trailing);
            gen_text_puts(out, " */\n");
        }
    }
}

static const char *deprecated(const struct gen_method *method)
{
    return method->is_deprecated ? " PROTOBUF_C__DEPRECATED" : "";
}

static void put_method_constant(struct gen_text *out, const struct gen_method *method)
{
    gen_text_printf(out,
                    "\n"
                    "/* ---- %s ---- */\n",
                    method->full_name);
    put_detached(out, &method->comment);
    gen_text_printf(out,
                    "\n"
                    "/** Method %s%s: its name, types and flags. A constant. */\n"
                    "extern const struct snap_method %s__method;\n",
                    method->full_name, method->is_idempotent ? " (idempotent)" : "", method->lower);
}

static void put_call(struct gen_text *out, const struct gen_method *method)
{
    gen_text_puts(out, "\n/**\n");
    put_comment(out, " *", &method->comment);
    gen_text_printf(out,
                    " * Calls %s and waits for its end.\n"
                    " *\n"
                    " * @param options   NULL for the defaults\n"
                    " * @param response  NULL unless OK; free it with %s__free();\n"
                    " *                  the parameter may be NULL if the response is not wanted\n"
                    " *\n"
                    " * Threads  any\n"
                    " * Blocks   until the reply, the deadline, or the channel's end\n"
                    " * Errors   any code; see struct snap_status\n"
                    " */\n"
                    "SNAP_MUST_USE struct snap_status %s__call(\n"
                    "    struct snap_channel *channel,\n"
                    "    const %s *request,\n"
                    "    const struct snap_call_options *options,\n"
                    "    %s **response)%s;\n",
                    method->full_name, method->lower, method->lower, method->request->camel,
                    method->response->camel, deprecated(method));
}

static void put_start(struct gen_text *out, const struct gen_method *method)
{
    gen_text_printf(
        out,
        "\n"
        "/**\n"
        " * How a call of %s ended.\n"
        " *\n"
        " * @param response  NULL unless result->status is OK; gone when this returns,\n"
        " *                  unless kept with snap_message_keep()\n"
        " *\n"
        " * Threads  the one that drives the channel's loop\n"
        " */\n"
        "typedef void %sDone(\n"
        "    void *arg,\n"
        "    const struct snap_result *result,\n"
        "    %s *response);\n",
        method->full_name, method->camel, method->response->camel);
    gen_text_printf(out,
                    "\n"
                    "/**\n"
                    " * Starts a call of %s and returns; `done` is called once, when the call\n"
                    " * ends, never from within this function.\n"
                    " *\n"
                    " * @param request  may be changed or freed as soon as this returns\n"
                    " * @param options  NULL for the defaults\n"
                    " * @param done     NULL: nobody waits for the end\n"
                    " *\n"
                    " * Threads  any\n"
                    " * Blocks   never\n"
                    " */\n"
                    "struct snap_call_id %s__start(\n"
                    "    struct snap_channel *channel,\n"
                    "    const %s *request,\n"
                    "    const struct snap_call_options *options,\n"
                    "    %sDone *done,\n"
                    "    void *arg)%s;\n",
                    method->full_name, method->lower, method->request->camel, method->camel,
                    deprecated(method));
}

static void put_rest(struct gen_text *out, const struct gen_method *method)
{
    gen_text_printf(out,
                    "\n"
                    "/** Frees a response of %s. Any thread; NULL is fine. */\n"
                    "void %s__free(%s *response);\n",
                    method->full_name, method->lower, method->response->camel);
    gen_text_printf(out,
                    "\n"
                    "/**\n"
                    " * Answers a call of %s, in its handler or later, from any thread.\n"
                    " *\n"
                    " * @param response  may be changed or freed as soon as this returns\n"
                    " */\n"
                    "void %s__reply(\n"
                    "    struct snap_server_call *call,\n"
                    "    const %s *response);\n",
                    method->full_name, method->lower, method->response->camel);
}

static void put_handler(struct gen_text *out, const struct gen_method *method)
{
    gen_text_puts(out, "    /**\n");
    put_comment(out, "     *", &method->comment);
    gen_text_printf(out,
                    "     * Serves %s; answers with %s__reply()\n"
                    "     * or snap_server_fail(). NULL: UNIMPLEMENTED.\n"
                    "     */\n"
                    "    void (*%s)(\n"
                    "        struct snap_server_call *call,\n"
                    "        const %s *request,\n"
                    "        void *arg);\n",
                    method->full_name, method->lower, method->member, method->request->camel);
}

static void put_server(struct gen_text *out, const struct gen_service *service)
{
    gen_text_printf(out,
                    "\n"
                    "/**\n"
                    " * Handlers of service %s. Each is called on the thread that drives the\n"
                    " * server's loop; the request is gone once the call is answered.\n"
                    " */\n"
                    "typedef struct %s__Handlers {\n",
                    service->full_name, service->camel);
    for (size_t i = 0; i < service->n_methods; i++) {
        put_handler(out, &service->methods[i]);
    }
    if (service->n_methods == 0) {
        gen_text_puts(out, "    char has_no_methods; /**< C has no empty structs */\n");
    }
    gen_text_printf(out,
                    "} %s__Handlers;\n"
                    "\n"
                    "/**\n"
                    " * Adds service %s to a server.\n"
                    " *\n"
                    " * @param handlers  copied\n"
                    " * @param arg       handed to each handler; not owned\n"
                    " *\n"
                    " * Errors  those of snap_server_add()\n"
                    " */\n"
                    "SNAP_MUST_USE struct snap_status %s__serve(\n"
                    "    struct snap_server *server,\n"
                    "    const %s__Handlers *handlers,\n"
                    "    void *arg);\n",
                    service->camel, service->full_name, service->lower, service->camel);
}

static void put_service(struct gen_text *out, const struct gen_service *service)
{
    put_detached(out, &service->comment);
    gen_text_puts(out, "\n/**\n");
    put_comment(out, " *", &service->comment);
    gen_text_printf(out,
                    " * Service %s: its name and methods, in the order of the .proto. A constant.\n"
                    " */\n"
                    "extern const struct snap_service %s__service;\n",
                    service->full_name, service->lower);
    for (size_t i = 0; i < service->n_methods; i++) {
        const struct gen_method *method = &service->methods[i];
        put_method_constant(out, method);
        put_call(out, method);
        put_start(out, method);
        put_rest(out, method);
    }
    gen_text_printf(out, "\n/* ---- serving %s ---- */\n", service->full_name);
    put_server(out, service);
}

void gen_emit_header(struct gen_text *out, const struct gen_file *file)
{
    struct gen_arena arena = {0};
    const char *guard = gen_name_guard(&arena, file->name);
    gen_text_puts(out, "/*\n");
    gen_comment_put(out, " *", "Generated by protoc-gen-snaprpc; changes will be lost. From:");
    gen_comment_put(out, " *", file->name);
    gen_text_puts(out, " */\n");
    put_file_comments(out, file);
    gen_text_printf(out,
                    "\n"
                    "#ifndef SNAPRPC_GENERATED_%s\n"
                    "#define SNAPRPC_GENERATED_%s\n"
                    "\n",
                    guard, guard);
    if (!file->has_no_c) {
        gen_text_printf(out, "#include \"%s.pb-c.h\"\n", file->base);
    }
    for (size_t i = 0; i < file->n_includes; i++) {
        gen_text_printf(out, "#include \"%s.pb-c.h\"\n", file->includes[i]->base);
    }
    gen_text_puts(out, "\n"
                       "#include <snaprpc/channel.h>\n"
                       "#include <snaprpc/server.h>\n"
                       "\n"
                       "#ifdef __cplusplus\n"
                       "extern \"C\" {\n"
                       "#endif\n");
    for (size_t i = 0; i < file->n_services; i++) {
        put_service(out, &file->services[i]);
    }
    gen_text_puts(out, "\n"
                       "#ifdef __cplusplus\n"
                       "}\n"
                       "#endif\n"
                       "\n"
                       "#endif\n");
    gen_arena_fini(&arena);
}
