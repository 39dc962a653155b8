/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/model.h"

#include "codegen/names.h"
#include "codegen/names_taken.h"
#include "codegen/pbc_options.h"
#include "codegen/services.h"
#include "codegen/types.h"

#include <string.h>

/* Every name is checked before it gets into C code: a plugin's input is not always protoc's. */
static bool fill_file(struct gen_arena *arena, struct gen_file *file,
                      const Google__Protobuf__FileDescriptorProto *proto,
                      struct gen_problems *problems)
{
    if (proto->name == NULL || !gen_name_is_file(proto->name)) {
        gen_problem(problems, (struct gen_place){0},
                    "a file's name is missing or has characters that cannot stand in an #include");
        return false;
    }
    file->proto = proto;
    file->name = proto->name;
    file->base = gen_name_file_base(arena, proto->name);
    file->package = proto->package == NULL ? "" : proto->package;
    struct gen_place place = {.file = file->name};
    if (file->package[0] != '\0' && !gen_name_is_dotted(file->package)) {
        gen_problem(problems, place, "the request is malformed: the package is no dotted name");
        return false;
    }
    struct gen_pbc_options options = gen_pbc_options_read(arena, proto->options);
    file->has_no_c = options.no_generate;
    file->c_package = options.c_package;
    if (file->c_package != NULL && file->c_package[0] != '\0' &&
        !gen_name_is_dotted(file->c_package)) {
        gen_problem(problems, place, "(pb_c_file).c_package is no dotted name");
        return false;
    }
    return true;
}

static struct gen_file *find_file(const struct gen_model *model, const char *name)
{
    for (size_t i = 0; i < model->n_files; i++) {
        if (strcmp(model->files[i].name, name) == 0) {
            return &model->files[i];
        }
    }
    return NULL;
}

static void mark_wanted(struct gen_model *model,
                        const Google__Protobuf__Compiler__CodeGeneratorRequest *request,
                        struct gen_problems *problems)
{
    for (size_t i = 0; i < request->n_file_to_generate; i++) {
        struct gen_file *file = find_file(model, request->file_to_generate[i]);
        if (file == NULL) {
            gen_problem(problems, (struct gen_place){.file = request->file_to_generate[i]},
                        "the request is malformed: it asks for this file and does not describe it");
        } else {
            file->is_wanted = true;
        }
    }
}

struct gen_model gen_model_build(struct gen_arena *arena,
                                 const Google__Protobuf__Compiler__CodeGeneratorRequest *request,
                                 const struct gen_options *options, struct gen_problems *problems)
{
    struct gen_model model = {
        .files = gen_arena_array(arena, request->n_proto_file, sizeof(struct gen_file))};
    for (size_t i = 0; i < request->n_proto_file; i++) {
        if (fill_file(arena, &model.files[model.n_files], request->proto_file[i], problems)) {
            model.n_files++;
        }
    }
    mark_wanted(&model, request, problems);
    struct gen_types types;
    struct gen_names_taken taken;
    gen_types_init(&types, arena);
    gen_names_taken_init(&taken, arena);
    for (size_t i = 0; i < model.n_files; i++) {
        gen_types_add_file(&types, &model.files[i], &taken, problems);
    }
    struct gen_services_context context = {arena, &types, &taken, problems,
                                           !options->with_messages};
    for (size_t i = 0; i < model.n_files; i++) {
        if (model.files[i].is_wanted) {
            gen_services_fill(&context, &model.files[i]);
        }
    }
    gen_names_taken_fini(&taken);
    gen_types_fini(&types);
    return model;
}
