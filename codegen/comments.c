/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/comments.h"

#include <limits.h>
#include <string.h>

static bool is_at(const Google__Protobuf__SourceCodeInfo__Location *location, struct gen_path path)
{
    return location->n_path == path.n &&
           memcmp(location->path, path.steps, path.n * sizeof(path.steps[0])) == 0;
}

struct gen_comment gen_comment_find(const Google__Protobuf__FileDescriptorProto *file,
                                    struct gen_path path)
{
    struct gen_comment comment = {.place.file = file->name, .leading = "", .trailing = ""};
    const Google__Protobuf__SourceCodeInfo *info = file->source_code_info;
    if (info == NULL) {
        return comment;
    }
    for (size_t i = 0; i < info->n_location; i++) {
        const Google__Protobuf__SourceCodeInfo__Location *location = info->location[i];
        if (!is_at(location, path)) {
            continue;
        }
        if (location->n_span >= 3 && location->span[0] >= 0 && location->span[0] < INT_MAX &&
            location->span[1] >= 0 && location->span[1] < INT_MAX) {
            comment.place.line = location->span[0] + 1;
            comment.place.column = location->span[1] + 1;
        }
        if (location->leading_comments != NULL) {
            comment.leading = location->leading_comments;
        }
        if (location->trailing_comments != NULL) {
            comment.trailing = location->trailing_comments;
        }
        comment.detached = location->leading_detached_comments;
        comment.n_detached = location->n_leading_detached_comments;
        break;
    }
    return comment;
}

static bool is_blank_char(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool gen_comment_is_blank(const char *comment)
{
    while (is_blank_char(*comment) || *comment == '*') {
        comment++;
    }
    return *comment == '\0';
}

/* Length of the well-formed UTF-8 sequence of two bytes or more at `s`; 0: there is none. */
static size_t utf8_len(const unsigned char *s, size_t len)
{
    size_t n = s[0] >= 0xf0 && s[0] <= 0xf4   ? 4
               : s[0] >= 0xe0 && s[0] <= 0xef ? 3
               : s[0] >= 0xc2 && s[0] <= 0xdf ? 2
                                              : 0;
    if (n == 0 || n > len) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool is_overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool is_surrogate = s[0] == 0xed && s[1] > 0x9f;
    bool is_past_end = s[0] == 0xf4 && s[1] > 0x8f;
    return is_overlong || is_surrogate || is_past_end ? 0 : n;
}

/* U+200E, U+200F, U+202A..U+202E, U+2066..U+2069, U+061C: they reorder what is displayed. */
static bool is_bidi_control(const unsigned char *s, size_t n)
{
    if (n == 2) {
        return s[0] == 0xd8 && s[1] == 0x9c;
    }
    if (n != 3 || s[0] != 0xe2) {
        return false;
    }
    return (s[1] == 0x80 && (s[2] == 0x8e || s[2] == 0x8f || (s[2] >= 0xaa && s[2] <= 0xae))) ||
           (s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9);
}

/* Writes one character at `s` (of `len` bytes left, 1 or more); returns how many it took. */
static size_t put_char(struct gen_text *out, const char *s, size_t len)
{
    const unsigned char *bytes = (const unsigned char *)s;
    /* The ends of a comment, and what may be a trigraph (a backslash). */
    if (len >= 2 && ((s[0] == '*' && s[1] == '/') || (s[0] == '/' && s[1] == '*') ||
                     (s[0] == '?' && s[1] == '/'))) {
        gen_text_put(out, s, 1);
        gen_text_puts(out, " ");
        return 1;
    }
    if (bytes[0] < 0x80) {
        bool is_control = bytes[0] < ' ' || bytes[0] == 0x7f;
        gen_text_put(out, is_control ? " " : s, 1);
        return 1;
    }
    size_t n = utf8_len(bytes, len);
    if (n == 0 || is_bidi_control(bytes, n)) {
        gen_text_puts(out, "?");
        return n == 0 ? 1 : n;
    }
    gen_text_put(out, s, n);
    return n;
}

static void put_line(struct gen_text *out, const char *prefix, const char *line, size_t len)
{
    while (len > 0 && is_blank_char(line[len - 1])) {
        len--;
    }
    gen_text_puts(out, prefix);
    if (len > 0 && line[0] != ' ') {
        gen_text_puts(out, " ");
    }
    for (size_t i = 0; i < len;) {
        i += put_char(out, line + i, len - i);
    }
    gen_text_puts(out, "\n");
}

/* Nothing to read: white space, or what remains of a frame of asterisks. */
static bool is_empty_line(const char *line, size_t len)
{
    size_t n = strspn(line, " \t\v\f");
    n += strspn(line + n, "*");
    n += strspn(line + n, " \t\v\f");
    return n >= len;
}

void gen_comment_put(struct gen_text *out, const char *prefix, const char *comment)
{
    size_t n_empty = 0;
    bool is_started = false;
    while (*comment != '\0') {
        size_t len = strcspn(comment, "\r\n");
        if (is_empty_line(comment, len)) {
            n_empty++;
        } else {
            for (; is_started && n_empty > 0; n_empty--) {
                put_line(out, prefix, "", 0);
            }
            n_empty = 0;
            is_started = true;
            put_line(out, prefix, comment, len);
        }
        comment += len;
        comment += comment[0] == '\r' && comment[1] == '\n' ? 2 : comment[0] != '\0' ? 1 : 0;
    }
}
