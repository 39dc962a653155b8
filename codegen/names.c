/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/names.h"

#include "codegen/text.h"

#include <string.h>

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char to_upper(char c)
{
    return is_lower(c) ? (char)(c - 'a' + 'A') : c;
}

static char to_lower(char c)
{
    return is_upper(c) ? (char)(c - 'A' + 'a') : c;
}

/* Each writes `len` bytes of `name`, changed, at `out`, which has room for twice as many, and
 * returns the end of what it wrote. */
typedef char *convert_fn(char *out, const char *name, size_t len);

/* An underscore before each capital that does not follow a capital. */
static char *split_words(char *out, const char *name, size_t len, char (*change)(char))
{
    bool was_upper = true;
    for (size_t i = 0; i < len; i++) {
        if (is_upper(name[i]) && !was_upper) {
            *out++ = '_';
        }
        *out++ = change(name[i]);
        was_upper = is_upper(name[i]);
    }
    return out;
}

static char *convert_lower(char *out, const char *name, size_t len)
{
    return split_words(out, name, len, to_lower);
}

static char *convert_upper(char *out, const char *name, size_t len)
{
    return split_words(out, name, len, to_upper);
}

static char *convert_camel(char *out, const char *name, size_t len)
{
    bool is_next_upper = true;
    for (size_t i = 0; i < len; i++) {
        if (name[i] == '_') {
            is_next_upper = true;
        } else {
            *out++ = is_next_upper ? to_upper(name[i]) : name[i];
            is_next_upper = false;
        }
    }
    return out;
}

static char *convert_name(struct gen_arena *arena, const char *name, convert_fn *convert)
{
    size_t len = strlen(name);
    char *result = gen_arena_array(arena, len + 1, 2);
    convert(result, name, len);
    return result;
}

char *gen_name_lower(struct gen_arena *arena, const char *name)
{
    return convert_name(arena, name, convert_lower);
}

char *gen_name_camel(struct gen_arena *arena, const char *name)
{
    return convert_name(arena, name, convert_camel);
}

/* The full name with the package that C code shall see. */
static const char *override_package(struct gen_arena *arena, struct gen_full_name full)
{
    if (full.c_package == NULL) {
        return full.name;
    }
    const char *rest = full.name + strnlen(full.name, strlen(full.package));
    return gen_arena_printf(arena, "%s%s%s", full.c_package, full.package[0] == '\0' ? "." : "",
                            rest);
}

static char *convert_full_name(struct gen_arena *arena, struct gen_full_name full,
                               convert_fn *convert)
{
    const char *name = override_package(arena, full);
    char *result = gen_arena_array(arena, strlen(name) + 1, 4);
    char *out = result;
    while (*name != '\0') {
        size_t len = strcspn(name, ".");
        if (len > 0) {
            if (out != result) {
                *out++ = '_';
                *out++ = '_';
            }
            out = convert(out, name, len);
        }
        name += len + (name[len] == '.' ? 1 : 0);
    }
    return result;
}

char *gen_full_name_lower(struct gen_arena *arena, struct gen_full_name full)
{
    return convert_full_name(arena, full, convert_lower);
}

char *gen_full_name_upper(struct gen_arena *arena, struct gen_full_name full)
{
    return convert_full_name(arena, full, convert_upper);
}

char *gen_full_name_camel(struct gen_arena *arena, struct gen_full_name full)
{
    return convert_full_name(arena, full, convert_camel);
}

char *gen_name_file_base(struct gen_arena *arena, const char *file)
{
    static const char *const suffixes[] = {".protodevel", ".proto"};
    size_t len = strlen(file);
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        size_t suffix_len = strlen(suffixes[i]);
        if (len >= suffix_len && strcmp(file + len - suffix_len, suffixes[i]) == 0) {
            return gen_arena_copy(arena, file, len - suffix_len);
        }
    }
    return gen_arena_copy(arena, file, len);
}

char *gen_name_guard(struct gen_arena *arena, const char *file)
{
    static const char hex[] = "0123456789abcdef";
    char *result = gen_arena_array(arena, strlen(file) + 1, 3);
    char *out = result;
    for (; *file != '\0'; file++) {
        if (is_lower(*file) || is_upper(*file) || is_digit(*file)) {
            *out++ = *file;
        } else {
            *out++ = '_';
            *out++ = hex[(unsigned char)*file >> 4];
            *out++ = hex[(unsigned char)*file & 15];
        }
    }
    return result;
}

char *gen_name_member(struct gen_arena *arena, const char *lower)
{
    return gen_arena_printf(arena, "%s%s", lower, gen_name_is_reserved(lower) ? "_" : "");
}

static size_t identifier_len(const char *name)
{
    size_t len = 0;
    while (name[len] == '_' || is_lower(name[len]) || is_upper(name[len]) ||
           (len > 0 && is_digit(name[len]))) {
        len++;
    }
    return len;
}

bool gen_name_is_identifier(const char *name)
{
    return name[0] != '\0' && name[identifier_len(name)] == '\0';
}

bool gen_name_is_dotted(const char *name)
{
    for (;;) {
        size_t len = identifier_len(name);
        if (len == 0) {
            return false;
        }
        if (name[len] == '\0') {
            return true;
        }
        if (name[len] != '.') {
            return false;
        }
        name += len + 1;
    }
}

bool gen_name_is_file(const char *name)
{
    for (const char *c = name; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f || *c == '"' || *c == '\\') {
            return false;
        }
    }
    return name[0] != '\0';
}
