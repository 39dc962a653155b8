/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CODEGEN_EMIT_H
#define CODEGEN_EMIT_H

#include "codegen/model.h"
#include "codegen/text.h"

/**
 * Emit: from the model to the text of foo.snap.h and foo.snap.c.
 *
 * Depends on the model alone, so the same .proto gives the same bytes everywhere. A file without
 * services gives a pair without declarations, so that a build rule need not look inside a .proto.
 */
void gen_emit_header(struct gen_text *out, const struct gen_file *file);

void gen_emit_source(struct gen_text *out, const struct gen_file *file);

#endif
