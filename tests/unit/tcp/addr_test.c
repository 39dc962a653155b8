/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/addr.h"

#include "tests/support/cmocka_all.h"

#include <stdio.h>
#include <string.h>

static void what_is_parsed_is_written_the_same(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "127.0.0.1:0",    "10.0.0.1:65535",     "[::1]:7000",      "[2001:db8::1]:1",
        "[fe80::1%lo]:9", "unix:/run/x/y.sock", "unix:relative/z",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct ktcp_addr addr;
        char text[KTCP_ADDR_TEXT];
        assert_int_equal(ktcp_addr_parse(texts[i], &addr), BASE_OK);
        ktcp_addr_format(&addr, text);
        assert_string_equal(text, texts[i]);
    }
}

static void ipv4_within_ipv6_is_written_as_ipv4(void **state)
{
    (void)state;
    struct ktcp_addr addr;
    char text[KTCP_ADDR_TEXT];
    assert_int_equal(ktcp_addr_parse("[::ffff:10.0.0.1]:80", &addr), BASE_OK);
    ktcp_addr_format(&addr, text);
    assert_string_equal(text, "10.0.0.1:80");
}

static void other_forms_are_invalid_with_a_remedy(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        ":",
        ":80",
        "localhost:80",
        "10.0.0.1",
        "10.0.0.1:",
        "1.2.3:80",
        "1.2.3.4:-1",
        "1.2.3.4:+1",
        "1.2.3.4:65536",
        "1.2.3.4:99999999999",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[::1:80",
        "[]:80",
        "[x]:80",
        "[::1%nosuchif]:80",
        "[::1%]:1",
        "[::1%lo]:1",
        "[fe80::1]:1",
        "[fe80::1%nosuchif]:1",
        "unix:",
        "1.2.3.4:80 ",
        " 1.2.3.4:80",
        "1.2.3.4:8 0",
        "]:1",
        "[]:",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct ktcp_addr addr;
        base_error_clear_note();
        if (ktcp_addr_parse(texts[i], &addr) != BASE_E_INVALID) {
            fail_msg("\"%s\" was taken", texts[i]);
        }
        assert_int_equal(addr.len, 0);
        assert_non_null(strstr(base_error_last_note(), texts[i]));
    }
}

static void a_unix_path_of_107_bytes_is_the_longest(void **state)
{
    (void)state;
    char text[256] = "unix:/";
    struct ktcp_addr addr;
    memset(text + 6, 'x', 106);
    assert_int_equal(ktcp_addr_parse(text, &addr), BASE_OK);
    char out[KTCP_ADDR_TEXT];
    ktcp_addr_format(&addr, out);
    assert_string_equal(out, text);
    text[6 + 106] = 'x';
    assert_int_equal(ktcp_addr_parse(text, &addr), BASE_E_INVALID);
}

static void a_very_long_text_is_invalid(void **state)
{
    (void)state;
    char text[5000];
    memset(text, '1', sizeof(text) - 4);
    memcpy(text + sizeof(text) - 4, ":80", 4);
    struct ktcp_addr addr;
    assert_int_equal(ktcp_addr_parse(text, &addr), BASE_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_parsed_is_written_the_same),
        cmocka_unit_test(ipv4_within_ipv6_is_written_as_ipv4),
        cmocka_unit_test(other_forms_are_invalid_with_a_remedy),
        cmocka_unit_test(a_unix_path_of_107_bytes_is_the_longest),
        cmocka_unit_test(a_very_long_text_is_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
