/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/comments.h"

#include "tests/support/cmocka_all.h"

#include <limits.h>
#include <string.h>

static void assert_put(const char *comment, const char *expected)
{
    struct gen_text out = {0};
    gen_comment_put(&out, " *", comment);
    assert_string_equal(gen_text_string(&out), expected);
    gen_text_fini(&out);
}

static void lines_get_the_prefix(void **state)
{
    (void)state;
    assert_put(" One.\n Two.\n", " * One.\n * Two.\n");
    assert_put("One.", " * One.\n");
    assert_put(" One.\r\n Two.\rThree.", " * One.\n * Two.\n * Three.\n");
}

static void indentation_is_kept(void **state)
{
    (void)state;
    assert_put(" a:\n   b\n", " * a:\n *   b\n");
}

static void empty_lines_stay_inside_only(void **state)
{
    (void)state;
    assert_put("\n \n a\n\n \t\n b\n\n", " * a\n *\n *\n * b\n");
    assert_put("\n\n", "");
    assert_put("", "");
}

static void frames_of_asterisks_are_empty_lines(void **state)
{
    (void)state;
    assert_put("*\n a\n ***\n b\n**", " * a\n *\n * b\n");
    assert_true(gen_comment_is_blank(" **\n\t*"));
    assert_false(gen_comment_is_blank(" * a"));
}

static void comment_ends_cannot_get_out(void **state)
{
    (void)state;
    static const char *const attacks[] = {
        "*/",   "**/", "*/*/",   "/*/",      "*//*",   "/",       "*",  " *\n/", "*\\\n/",
        "*\r/", "* /", "*\x01/", "*?\?/\n/", "\xff*/", "*\xe2*/", "/*", "//*",   "a*/b/*c",
    };
    for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
        struct gen_text out = {0};
        gen_comment_put(&out, " *", attacks[i]);
        assert_null(strstr(gen_text_string(&out), "*/"));
        assert_null(strstr(gen_text_string(&out), "/*"));
        gen_text_fini(&out);
    }
}

static void comment_ends_stay_readable(void **state)
{
    (void)state;
    assert_put(" a */ b /* c", " * a * / b / * c\n");
}

static void trigraph_of_backslash_is_broken(void **state)
{
    (void)state;
    assert_put(" a?\?/", " * a?? /\n");
}

static void control_characters_become_blanks(void **state)
{
    (void)state;
    assert_put(" a\x1b[31mb\x7f"
               "c\td",
               " * a [31mb c d\n");
}

static void utf8_is_kept(void **state)
{
    (void)state;
    assert_put(" \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
               " * \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n");
}

static void bytes_that_are_no_utf8_become_question_marks(void **state)
{
    (void)state;
    assert_put(" \xff \xc3 \x80", " * ? ? ?\n");
    assert_put(" \xc0\xaf", " * ??\n");           /* overlong */
    assert_put(" \xe0\x80\xaf", " * ???\n");      /* overlong */
    assert_put(" \xed\xa0\x80", " * ???\n");      /* surrogate */
    assert_put(" \xf4\x90\x80\x80", " * ????\n"); /* past U+10FFFF */
    assert_put(" \xe2\x82", " * ??\n");           /* cut */
    assert_put(" \xf5\x80\x80\x80", " * ????\n");
}

/* Bytes, not strings: such a string would mislead whoever reads this file. */
static void assert_put_bytes(const unsigned char *bytes, const char *expected)
{
    assert_put((const char *)bytes, expected);
}

static void bidirectional_controls_become_question_marks(void **state)
{
    (void)state;
    static const unsigned char embeddings[] = {0xe2, 0x80, 0xaa, 0xe2, 0x80, 0xae, 0};
    static const unsigned char isolates[] = {0xe2, 0x81, 0xa6, 0xe2, 0x81, 0xa9, 0};
    static const unsigned char marks[] = {0xe2, 0x80, 0x8e, 0xe2, 0x80, 0x8f, 0xd8, 0x9c, 0};
    static const unsigned char in_comment_end[] = {'*', 0xe2, 0x80, 0xae, '/', 0};
    assert_put_bytes(embeddings, " * ??\n");
    assert_put_bytes(isolates, " * ??\n");
    assert_put_bytes(marks, " * ???\n");
    assert_put_bytes(in_comment_end, " * *?/\n");
}

static void neighbours_of_bidirectional_controls_are_kept(void **state)
{
    (void)state;
    assert_put(" \xe2\x80\xa9\xe2\x80\xaf\xe2\x81\xa5\xe2\x81\xaa",
               " * \xe2\x80\xa9\xe2\x80\xaf\xe2\x81\xa5\xe2\x81\xaa\n");
}

/* A file with one location, for the searches. */
struct fixture {
    Google__Protobuf__FileDescriptorProto file;
    Google__Protobuf__SourceCodeInfo info;
    Google__Protobuf__SourceCodeInfo__Location location;
    Google__Protobuf__SourceCodeInfo__Location *locations[1];
    int32_t path[2];
    int32_t span[4];
};

static void init_fixture(struct fixture *f)
{
    google__protobuf__file_descriptor_proto__init(&f->file);
    google__protobuf__source_code_info__init(&f->info);
    google__protobuf__source_code_info__location__init(&f->location);
    static char name[] = "a.proto";
    f->file.name = name;
    f->file.source_code_info = &f->info;
    f->info.n_location = 1;
    f->info.location = f->locations;
    f->locations[0] = &f->location;
    f->path[0] = 6;
    f->path[1] = 1;
    f->location.path = f->path;
    f->location.n_path = 2;
    f->span[0] = 4;
    f->span[1] = 2;
    f->span[2] = 9;
    f->location.span = f->span;
    f->location.n_span = 3;
}

static void find_gives_place_and_comments(void **state)
{
    (void)state;
    struct fixture f;
    init_fixture(&f);
    static char leading[] = "L";
    static char trailing[] = "T";
    f.location.leading_comments = leading;
    f.location.trailing_comments = trailing;
    int32_t steps[] = {6, 1};
    struct gen_comment comment = gen_comment_find(&f.file, (struct gen_path){steps, 2});
    assert_string_equal(comment.place.file, "a.proto");
    assert_int_equal(comment.place.line, 5);
    assert_int_equal(comment.place.column, 3);
    assert_string_equal(comment.leading, "L");
    assert_string_equal(comment.trailing, "T");
}

static void find_without_a_match_knows_the_file_only(void **state)
{
    (void)state;
    struct fixture f;
    init_fixture(&f);
    int32_t steps[] = {6, 2};
    struct gen_comment comment = gen_comment_find(&f.file, (struct gen_path){steps, 2});
    assert_string_equal(comment.place.file, "a.proto");
    assert_int_equal(comment.place.line, 0);
    assert_string_equal(comment.leading, "");
    assert_string_equal(comment.trailing, "");
    assert_int_equal(comment.n_detached, 0);
    steps[1] = 1;
    comment = gen_comment_find(&f.file, (struct gen_path){steps, 1});
    assert_int_equal(comment.place.line, 0);
    f.file.source_code_info = NULL;
    comment = gen_comment_find(&f.file, (struct gen_path){steps, 2});
    assert_int_equal(comment.place.line, 0);
}

static void find_distrusts_spans(void **state)
{
    (void)state;
    struct fixture f;
    init_fixture(&f);
    int32_t steps[] = {6, 1};
    struct gen_path path = {steps, 2};
    f.location.n_span = 2;
    assert_int_equal(gen_comment_find(&f.file, path).place.line, 0);
    f.location.n_span = 3;
    f.span[0] = -1;
    assert_int_equal(gen_comment_find(&f.file, path).place.line, 0);
    f.span[0] = INT_MAX;
    assert_int_equal(gen_comment_find(&f.file, path).place.line, 0);
    f.span[0] = INT_MAX - 1;
    assert_int_equal(gen_comment_find(&f.file, path).place.line, INT_MAX);
    f.span[1] = INT_MAX;
    assert_int_equal(gen_comment_find(&f.file, path).place.line, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_get_the_prefix),
        cmocka_unit_test(indentation_is_kept),
        cmocka_unit_test(empty_lines_stay_inside_only),
        cmocka_unit_test(frames_of_asterisks_are_empty_lines),
        cmocka_unit_test(comment_ends_cannot_get_out),
        cmocka_unit_test(comment_ends_stay_readable),
        cmocka_unit_test(trigraph_of_backslash_is_broken),
        cmocka_unit_test(control_characters_become_blanks),
        cmocka_unit_test(utf8_is_kept),
        cmocka_unit_test(bytes_that_are_no_utf8_become_question_marks),
        cmocka_unit_test(bidirectional_controls_become_question_marks),
        cmocka_unit_test(neighbours_of_bidirectional_controls_are_kept),
        cmocka_unit_test(find_gives_place_and_comments),
        cmocka_unit_test(find_without_a_match_knows_the_file_only),
        cmocka_unit_test(find_distrusts_spans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
