/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/pbc_options.h"

#include "codegen/wire.h"

enum {
    PB_C_FILE = 1019,
    PB_C_FILE_NO_GENERATE = 1,
    PB_C_FILE_C_PACKAGE = 6,
};

static void read_fields(struct gen_arena *arena, struct gen_wire_span rest,
                        struct gen_pbc_options *options)
{
    struct gen_wire_field field;
    while (gen_wire_next(&rest, &field)) {
        if (field.number == PB_C_FILE_NO_GENERATE && field.type == GEN_WIRE_VARINT) {
            options->no_generate = field.value != 0;
        } else if (field.number == PB_C_FILE_C_PACKAGE && field.type == GEN_WIRE_LEN) {
            options->c_package =
                gen_arena_copy(arena, (const char *)field.payload.start, field.payload.len);
        }
    }
}

struct gen_pbc_options gen_pbc_options_read(struct gen_arena *arena,
                                            const Google__Protobuf__FileOptions *file_options)
{
    struct gen_pbc_options options = {0};
    if (file_options == NULL) {
        return options;
    }
    for (unsigned i = 0; i < file_options->base.n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *unknown = &file_options->base.unknown_fields[i];
        struct gen_wire_span rest = {unknown->data, unknown->len};
        uint64_t len = 0;
        /* protobuf-c keeps the length in front of the bytes. */
        if (unknown->tag == PB_C_FILE &&
            unknown->wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED &&
            gen_wire_varint(&rest, &len) && len == rest.len) {
            read_fields(arena, rest, &options);
        }
    }
    return options;
}
