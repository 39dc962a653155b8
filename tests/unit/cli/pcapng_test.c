/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pcapng.h"

#include "tests/support/cmocka_all.h"
#include "tests/support/pcapng_read.h"

#include <stdlib.h>
#include <string.h>

enum {
    FILE_MAX = 1 << 18
};

static uint8_t bytes[FILE_MAX];
static struct pcapng_file file;

static FILE *open_file(void)
{
    memset(bytes, 0xee, sizeof(bytes));
    FILE *out = fmemopen(bytes, sizeof(bytes), "w");
    assert_non_null(out);
    return out;
}

static size_t close_file(FILE *out)
{
    assert_int_equal(fflush(out), 0);
    long len = ftell(out);
    assert_true(len > 0);
    assert_int_equal(fclose(out), 0);
    return (size_t)len;
}

static void an_empty_file_is_the_bytes_that_the_draft_says(void **state)
{
    (void)state;
    static const uint8_t expected[] = {
        0x0a, 0x0d, 0x0d, 0x0a, 40,   0,    0,    0,    0x4d, 0x3c, 0x2b, 0x1a, 1, 0,
        0,    0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 4,    0,    4, 0,
        't',  'e',  's',  't',  0,    0,    0,    0,    40,   0,    0,    0,
    };
    FILE *out = open_file();
    assert_int_equal(cli_pcapng_begin(out, "test"), BASE_OK);
    assert_int_equal(close_file(out), sizeof(expected));
    assert_memory_equal(bytes, expected, sizeof(expected));
}

static void a_packet_is_the_bytes_that_the_draft_says(void **state)
{
    (void)state;
    static const uint8_t expected[] = {
        6,    0,    0, 0, 52, 0, 0, 0, 3, 0, 0,   0,   0x44, 0x33, 0x22, 0x11, 0x88, 0x77,
        0x66, 0x55, 5, 0, 0,  0, 9, 0, 0, 0, 'h', 'd', 'a',  'b',  'c',  0,    0,    0,
        2,    0,    4, 0, 1,  0, 0, 0, 0, 0, 0,   0,   52,   0,    0,    0,
    };
    const struct cli_pcapng_packet packet = {
        .interface = 3,
        .time_ns = UINT64_C(0x1122334455667788),
        .head = (const uint8_t *)"hd",
        .head_bytes = 2,
        .data = (const uint8_t *)"abc",
        .data_bytes = 3,
        .original_bytes = 9,
    };
    FILE *out = open_file();
    assert_int_equal(cli_pcapng_packet(out, &packet), BASE_OK);
    assert_int_equal(close_file(out), sizeof(expected));
    assert_memory_equal(bytes, expected, sizeof(expected));
}

static void write_lengths(FILE *out, uint32_t max)
{
    static uint8_t data[256];
    for (uint32_t n = 0; n <= max; n++) {
        memset(data, (int)n, sizeof(data));
        const struct cli_pcapng_packet packet = {
            .interface = n % 2,
            .is_out = n % 3 == 0,
            .time_ns = UINT64_MAX - n,
            .head = data,
            .head_bytes = n / 2,
            .data = data,
            .data_bytes = n - n / 2,
            .original_bytes = n * 2,
        };
        assert_int_equal(cli_pcapng_packet(out, &packet), BASE_OK);
    }
}

static void packets_of_every_length_come_back_as_they_were(void **state)
{
    (void)state;
    FILE *out = open_file();
    assert_int_equal(cli_pcapng_begin(out, "test"), BASE_OK);
    assert_int_equal(cli_pcapng_interface(out, "a", "the first", 1000), BASE_OK);
    assert_int_equal(cli_pcapng_interface(out, "bcde", "", 2000), BASE_OK);
    write_lengths(out, 200);
    pcapng_read(bytes, close_file(out), &file);
    assert_int_equal(file.n_interfaces, 2);
    assert_int_equal(file.interfaces[0].linktype, 101);
    assert_int_equal(file.interfaces[0].resolution, 9);
    assert_string_equal(file.interfaces[0].name, "a");
    assert_string_equal(file.interfaces[1].name, "bcde");
    assert_int_equal(file.interfaces[1].snap_bytes, 2000);
    assert_int_equal(file.n_packets, 201);
    for (uint32_t n = 0; n <= 200; n++) {
        const struct pcapng_packet *p = &file.packets[n];
        assert_int_equal(p->interface, n % 2);
        assert_int_equal(p->captured, n);
        assert_int_equal(p->original, n * 2);
        assert_int_equal(p->flags, n % 3 == 0 ? 2 : 1);
        assert_true(p->time_ns == UINT64_MAX - n);
        for (uint32_t i = 0; i < n; i++) {
            assert_int_equal(p->bytes[i], (uint8_t)n);
        }
    }
}

static void statistics_say_what_was_missed(void **state)
{
    (void)state;
    FILE *out = open_file();
    assert_int_equal(cli_pcapng_begin(out, "test"), BASE_OK);
    assert_int_equal(cli_pcapng_interface(out, "a", "b", 64), BASE_OK);
    const struct cli_pcapng_stats stats = {.interface = 0,
                                           .start_ns = 1,
                                           .end_ns = 2,
                                           .n_received = UINT64_MAX,
                                           .n_dropped = 7,
                                           .n_written = UINT64_MAX - 7};
    assert_int_equal(cli_pcapng_stats(out, &stats), BASE_OK);
    pcapng_read(bytes, close_file(out), &file);
    assert_int_equal(file.interfaces[0].n_stats, 1);
    assert_true(file.interfaces[0].n_received == UINT64_MAX);
    assert_true(file.interfaces[0].n_dropped == 7);
    assert_true(file.interfaces[0].n_delivered == UINT64_MAX - 7);
}

static void texts_that_are_too_long_are_cut(void **state)
{
    (void)state;
    char longer[2000];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    FILE *out = open_file();
    assert_int_equal(cli_pcapng_begin(out, longer), BASE_OK);
    assert_int_equal(cli_pcapng_interface(out, "a", longer, 64), BASE_OK);
    pcapng_read(bytes, close_file(out), &file);
    assert_int_equal(file.n_interfaces, 1);
}

static void a_stream_that_refuses_is_told(void **state)
{
    (void)state;
    FILE *out = fopen("/dev/full", "we");
    assert_non_null(out);
    (void)setvbuf(out, NULL, _IONBF, 0);
    assert_int_equal(cli_pcapng_begin(out, "test"), BASE_E_IO);
    const struct cli_pcapng_packet packet = {.interface = 0};
    assert_int_equal(cli_pcapng_packet(out, &packet), BASE_E_IO);
    (void)fclose(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_file_is_the_bytes_that_the_draft_says),
        cmocka_unit_test(a_packet_is_the_bytes_that_the_draft_says),
        cmocka_unit_test(packets_of_every_length_come_back_as_they_were),
        cmocka_unit_test(statistics_say_what_was_missed),
        cmocka_unit_test(texts_that_are_too_long_are_cut),
        cmocka_unit_test(a_stream_that_refuses_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
