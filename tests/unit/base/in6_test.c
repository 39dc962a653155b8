/* SPDX-License-Identifier: Apache-2.0 */
#include "base/in6.h"

#include "tests/support/cmocka_all.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>

static void what_is_parsed_is_written_the_same(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "::",
        "::1",
        "2001:db8::1",
        "1111:2222:3333:4444:5555:6666:7777:8888",
        "fe80::1%1",
        "fe80::1%4294967295",
        "febf:2222:3333:4444:5555:6666:7777:8888%4294967295",
        "fec0::1", /* first one above link-local */
        "fe7f::1", /* last one below */
        "ff02::1",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct base_in6 in6;
        char text[BASE_IN6_TEXT];
        assert_null(base_in6_parse(texts[i], &in6));
        base_in6_format(&in6, text);
        assert_string_equal(text, texts[i]);
        assert_int_equal(in6.scope != 0, base_in6_is_link_local(in6.ip));
    }
}

static void an_interface_may_be_named(void **state)
{
    (void)state;
    struct base_in6 in6;
    assert_null(base_in6_parse("fe80::7%lo", &in6));
    assert_int_equal(in6.scope, if_nametoindex("lo"));
    assert_int_equal(in6.ip[15], 7);
}

struct bad {
    const char *text;
    const char *remedy;
};

static void what_is_no_good_is_refused_with_a_remedy(void **state)
{
    (void)state;
    static const struct bad bad[] = {
        {"", "no IPv6 address"},
        {"1.2.3.4", "no IPv6 address"},
        {":::", "no IPv6 address"},
        {"%lo", "no IPv6 address"},
        {"::1 ", "no IPv6 address"},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc", "no IPv6 address"},
        {"fe80::1", "needs its interface, as in fe80::1%eth0"},
        {"febf::1", "needs its interface, as in fe80::1%eth0"},
        {"fe80::1%", "no such interface"},
        {"fe80::1%0", "no such interface"},
        {"fe80::1%4294967296", "no such interface"},
        {"fe80::1%99999999999999999999", "no such interface"},
        {"fe80::1%1x", "no such interface"},
        {"fe80::1%-1", "no such interface"},
        {"fe80::1%no-such-interface-here", "no such interface"},
        {"fe80::1%lo%lo", "no such interface"},
        {"::1%lo", "only a link-local address"},
        {"2001:db8::1%1", "only a link-local address"},
    };
    static const struct base_in6 none;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct base_in6 in6 = {.scope = 1};
        const char *wrong = base_in6_parse(bad[i].text, &in6);
        if (wrong == NULL) {
            fail_msg("\"%s\" was taken", bad[i].text);
        }
        assert_non_null(strstr(wrong, bad[i].remedy));
        assert_memory_equal(&in6, &none, sizeof(in6));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_parsed_is_written_the_same),
        cmocka_unit_test(an_interface_may_be_named),
        cmocka_unit_test(what_is_no_good_is_refused_with_a_remedy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
