/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/frame.h"

#include "base/rng.h"
#include "tests/support/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

static uint8_t out[4096] __attribute__((aligned(8)));

static size_t put(const struct snapi_frame *frame)
{
    memset(out, 0xee, sizeof(out));
    size_t size = snapi_frame_size(frame);
    assert_in_range(size, 1, sizeof(out));
    uint8_t *body = snapi_frame_put(frame, out);
    if (frame->body_len > 0) {
        memcpy(body, frame->body, frame->body_len);
    }
    assert_ptr_equal(body + frame->body_len, out + size);
    return size;
}

static void assert_same(const struct snapi_frame *a, const struct snapi_frame *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->code, b->code);
    assert_int_equal(a->version_min, b->version_min);
    assert_int_equal(a->version_max, b->version_max);
    assert_true(a->max_body == b->max_body);
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->timeout_us, b->timeout_us);
    assert_int_equal(a->text_len, b->text_len);
    assert_int_equal(a->meta_len, b->meta_len);
    assert_int_equal(a->body_len, b->body_len);
    assert_memory_equal(a->text, b->text, a->text_len);
    assert_memory_equal(a->meta, b->meta, a->meta_len);
    assert_memory_equal(a->body, b->body, a->body_len);
}

static const struct snapi_frame samples[] = {
    {.type = SNAPI_REQUEST,
     .flags = 1,
     .id = 7,
     .timeout_us = 99,
     .text = "a.B/C",
     .text_len = 5,
     .body = (const uint8_t *)"body",
     .body_len = 4},
    {.type = SNAPI_REQUEST,
     .id = UINT64_MAX,
     .timeout_us = UINT64_MAX,
     .text = "x",
     .text_len = 1,
     .meta = (const uint8_t *)"key=value",
     .meta_len = 9},
    {.type = SNAPI_RESPONSE, .id = 1, .body = (const uint8_t *)"12345678", .body_len = 8},
    {.type = SNAPI_RESPONSE,
     .flags = 1,
     .code = 12,
     .id = 1,
     .text = "no",
     .text_len = 2,
     .meta = (const uint8_t *)"m",
     .meta_len = 1,
     .body = (const uint8_t *)"d",
     .body_len = 1},
    {.type = SNAPI_CANCEL, .id = 3},
    {.type = SNAPI_HELLO, .version_min = 1, .version_max = 4, .text = "pony:*:1/2", .text_len = 10},
    {.type = SNAPI_HELLO, .version_min = 1, .version_max = 1, .max_body = UINT64_MAX},
    {.type = SNAPI_GOAWAY, .code = 14, .text = "bye", .text_len = 3},
    {.type = SNAPI_PING, .id = 0},
    {.type = SNAPI_PONG, .id = 0x0102030405060708},
};

enum {
    N_SAMPLES = sizeof(samples) / sizeof(samples[0])
};

static void what_is_put_is_parsed_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SAMPLES; i++) {
        size_t size = put(&samples[i]);
        struct snapi_frame got;
        assert_int_equal(snapi_frame_parse(out, size, &got), BASE_OK);
        assert_same(&samples[i], &got);
    }
}

static void the_head_of_an_ok_answer_is_what_put_writes(void **state)
{
    (void)state;
    const uint64_t ids[] = {1, UINT64_C(0x0102030405060708), UINT64_MAX};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        const struct snapi_frame frame = {.type = SNAPI_RESPONSE, .id = ids[i]};
        uint8_t head[SNAPI_FRAME_HEAD_MAX];
        memset(head, 0xff, sizeof(head));
        assert_ptr_equal(snapi_frame_put_ok(head, ids[i]), head + sizeof(head));
        assert_int_equal(put(&frame), sizeof(head));
        assert_memory_equal(out, head, sizeof(head));
    }
}

static void a_body_is_aligned_in_its_frame(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SAMPLES; i++) {
        size_t size = put(&samples[i]);
        struct snapi_frame got;
        assert_int_equal(snapi_frame_parse(out, size, &got), BASE_OK);
        if (samples[i].type == SNAPI_REQUEST || samples[i].type == SNAPI_RESPONSE) {
            assert_int_equal((size_t)(got.body - out) % 8, 0);
        }
    }
}

/* PR-1 */
static void a_frame_cut_before_its_body_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SAMPLES; i++) {
        size_t size = put(&samples[i]) - samples[i].body_len;
        for (size_t len = 0; len < size; len++) {
            uint8_t *exact = malloc(len + 1); /* so that a sanitizer sees a read past the end */
            memcpy(exact, out, len);
            exact = realloc(exact, len == 0 ? 1 : len);
            struct snapi_frame got;
            assert_int_equal(snapi_frame_parse(exact, len, &got), BASE_E_MALFORMED);
            assert_int_equal(got.type, 0);
            free(exact);
        }
    }
}

static void expect_refused(const void *data, size_t len)
{
    struct snapi_frame got;
    assert_int_equal(snapi_frame_parse(data, len, &got), BASE_E_MALFORMED);
    assert_true(base_error_last_note()[0] != '\0');
}

/* PR-1 */
static void unknown_types_are_refused(void **state)
{
    (void)state;
    (void)put(&samples[0]);
    const uint8_t types[] = {0, 8, 127, 255};
    for (size_t i = 0; i < sizeof(types); i++) {
        out[0] = types[i];
        expect_refused(out, 64);
    }
}

/* PR-10 */
static void call_0_is_refused(void **state)
{
    (void)state;
    struct snapi_frame frame = samples[0];
    frame.id = 0;
    expect_refused(out, put(&frame));
    frame = samples[2];
    frame.id = 0;
    expect_refused(out, put(&frame));
    frame = samples[4];
    frame.id = 0;
    expect_refused(out, put(&frame));
}

/* PR-2 */
static void text_is_bounded_at_1023(void **state)
{
    (void)state;
    char name[SNAPI_FRAME_TEXT_MAX + 1];
    memset(name, 'n', sizeof(name));
    struct snapi_frame frame = {.type = SNAPI_REQUEST, .id = 1, .text = name};
    struct snapi_frame got;
    frame.text_len = SNAPI_FRAME_TEXT_MAX;
    size_t size = put(&frame);
    assert_int_equal(snapi_frame_parse(out, size, &got), BASE_OK);
    frame.text_len = SNAPI_FRAME_TEXT_MAX + 1;
    expect_refused(out, put(&frame));
    frame.text_len = 0;
    expect_refused(out, put(&frame));
}

/* PR-2, PR-6 */
static void metadata_is_bounded_and_skipped(void **state)
{
    (void)state;
    size_t room = SNAPI_FRAME_META_MAX + 64;
    uint8_t *big = calloc(1, room);
    struct snapi_frame frame = {.type = SNAPI_REQUEST, .id = 1, .text = "n", .text_len = 1};
    (void)snapi_frame_put(&frame, big);
    struct snapi_frame got;
    big[4] = 0;
    big[6] = 1; /* 65536, little endian */
    assert_int_equal(snapi_frame_parse(big, room, &got), BASE_OK);
    assert_int_equal(got.meta_len, SNAPI_FRAME_META_MAX);
    assert_int_equal(got.body_len, room - 24 - 8 - SNAPI_FRAME_META_MAX);
    big[4] = 1;
    expect_refused(big, room);
    big[7] = 0xff;
    expect_refused(big, room);
    free(big);
}

/* PR-3 */
static void padding_must_be_zero(void **state)
{
    (void)state;
    size_t size = put(&samples[0]); /* 24 + 5, padded to 32 */
    out[31] = 1;
    expect_refused(out, size);
}

/* PR-4 */
static void control_characters_in_names_are_refused(void **state)
{
    (void)state;
    struct snapi_frame frame = samples[0];
    frame.text = "a\nB/C";
    expect_refused(out, put(&frame));
    frame = samples[5];
    frame.text = "pony:\0:1/2";
    expect_refused(out, put(&frame));
}

/* PR-4: each byte at each place, between bytes that are allowed and next to the ones that are not. */
static void every_control_character_is_found_wherever_it_stands(void **state)
{
    (void)state;
    static const char others[] = {' ', '~', '\x80', '\xff', '\xa0'};
    char text[20];
    struct snapi_frame frame = samples[0];
    struct snapi_frame got;
    frame.text = text;
    for (frame.text_len = 1; frame.text_len <= sizeof(text); frame.text_len++) {
        for (size_t at = 0; at < frame.text_len; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                memset(text, others[(at + byte) % sizeof(others)], sizeof(text));
                text[at] = (char)byte;
                bool is_control = byte < 0x20 || byte == 0x7f;
                enum base_err want = is_control ? BASE_E_MALFORMED : BASE_OK;
                assert_int_equal(snapi_frame_parse(out, put(&frame), &got), want);
            }
        }
    }
}

/* PR-13 */
static void a_known_name_is_the_known_one_and_others_are_looked_through(void **state)
{
    (void)state;
    const struct snapi_known known = {"snaptest.Test/Echo", 18};

    const struct {
        const char *text;
        enum base_err want;
        bool is_known;
    } cases[] = {
        {"snaptest.Test/Echo", BASE_OK, true},
        {"snaptest.Test/Ech", BASE_OK, false},
        {"snaptest.Test/Echo2", BASE_OK, false},
        {"snaptest.Test/EchO", BASE_OK, false},
        {"snaptest.Test/Ech\n", BASE_E_MALFORMED, false},
        {"snaptest.Test/Echo\x7f", BASE_E_MALFORMED, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct snapi_frame frame = {.type = SNAPI_REQUEST,
                                          .id = 1,
                                          .text = cases[i].text,
                                          .text_len = strlen(cases[i].text)};
        struct snapi_frame got;
        assert_int_equal(snapi_frame_parse_known(out, put(&frame), &known, &got), cases[i].want);
        assert_true((got.text == known.text) == cases[i].is_known);
        if (cases[i].want == BASE_OK) {
            assert_int_equal(got.text_len, frame.text_len);
            assert_memory_equal(got.text, frame.text, frame.text_len);
        }
    }
}

static void a_later_versions_code_is_unknown(void **state)
{
    (void)state;
    struct snapi_frame frame = samples[3];
    struct snapi_frame got;
    frame.code = 16;
    assert_int_equal(snapi_frame_parse(out, put(&frame), &got), BASE_OK);
    assert_int_equal(got.code, 16);
    frame.code = 17;
    assert_int_equal(snapi_frame_parse(out, put(&frame), &got), BASE_OK);
    assert_int_equal(got.code, 2);
    frame.code = UINT16_MAX;
    assert_int_equal(snapi_frame_parse(out, put(&frame), &got), BASE_OK);
    assert_int_equal(got.code, 2);
}

/* PR-21 */
static void an_empty_range_of_versions_is_refused(void **state)
{
    (void)state;
    struct snapi_frame frame = samples[5];
    frame.version_min = 5;
    expect_refused(out, put(&frame));
    frame.version_min = 0;
    expect_refused(out, put(&frame));
}

/* PR-5 */
static void what_a_later_version_puts_into_reserved_places_is_ignored(void **state)
{
    (void)state;

    static const struct {
        uint8_t type, from, to; /* reserved bytes; from == to: none */
        bool may_be_longer;
    } cases[] = {
        {SNAPI_RESPONSE, 18, 24, false}, {SNAPI_CANCEL, 2, 8, true}, {SNAPI_HELLO, 0, 0, true},
        {SNAPI_GOAWAY, 6, 8, true},      {SNAPI_PING, 2, 8, true},   {SNAPI_PONG, 2, 8, true},
        {SNAPI_REQUEST, 0, 0, false},
    };

    for (size_t i = 0; i < N_SAMPLES; i++) {
        size_t size = put(&samples[i]);
        for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
            if (cases[k].type != samples[i].type) {
                continue;
            }
            uint8_t bytes[sizeof(out)];
            memcpy(bytes, out, size);
            memset(bytes + cases[k].from, 0xee, (size_t)(cases[k].to - cases[k].from));
            memset(bytes + size, 0xee, 16);
            bytes[1] |= 0xf0; /* flags that nobody has defined */
            struct snapi_frame got;
            assert_int_equal(
                snapi_frame_parse(bytes, size + (cases[k].may_be_longer ? 16u : 0u), &got),
                BASE_OK);
            got.flags &= 0x0f;
            assert_same(&samples[i], &got);
        }
    }
}

static void random_bytes_never_reach_past_the_frame(void **state)
{
    (void)state;
    struct base_rng rng;
    base_rng_init(&rng, 20);
    for (int i = 0; i < 50000; i++) {
        size_t len = base_rng_below(&rng, 80);
        uint8_t *data = malloc(len == 0 ? 1 : len);
        for (size_t k = 0; k < len; k++) {
            data[k] = (uint8_t)base_rng_below(&rng, base_rng_below(&rng, 4) == 0 ? 256 : 9);
        }
        struct snapi_frame got;
        if (snapi_frame_parse(data, len, &got) == BASE_OK && got.body_len > 0) {
            assert_ptr_equal(got.body + got.body_len, data + len);
        }
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_parsed_back),
        cmocka_unit_test(the_head_of_an_ok_answer_is_what_put_writes),
        cmocka_unit_test(a_body_is_aligned_in_its_frame),
        cmocka_unit_test(a_frame_cut_before_its_body_is_refused),
        cmocka_unit_test(unknown_types_are_refused),
        cmocka_unit_test(call_0_is_refused),
        cmocka_unit_test(text_is_bounded_at_1023),
        cmocka_unit_test(metadata_is_bounded_and_skipped),
        cmocka_unit_test(padding_must_be_zero),
        cmocka_unit_test(control_characters_in_names_are_refused),
        cmocka_unit_test(every_control_character_is_found_wherever_it_stands),
        cmocka_unit_test(a_known_name_is_the_known_one_and_others_are_looked_through),
        cmocka_unit_test(a_later_versions_code_is_unknown),
        cmocka_unit_test(an_empty_range_of_versions_is_refused),
        cmocka_unit_test(what_a_later_version_puts_into_reserved_places_is_ignored),
        cmocka_unit_test(random_bytes_never_reach_past_the_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
