/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/abi/address.h"

#include "tests/support/cmocka_all.h"

#include <net/if.h>
#include <string.h>

static void good_addresses_survive_parse_and_format(void **state)
{
    (void)state;
    static const char *const good[] = {
        "pony:10.0.0.1:4741/0123456789abcdef/fedcba9876543210",
        "pony:[2001:db8::1]:1/ffffffffffffffff/0000000000000000",
        "pony:[fe80::1%2]:4741/0123456789abcdef/fedcba9876543210",
        ("pony:[febf:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535/ffffffffffffffff/"
         "ffffffffffffffff"),
        "pony:*:65535/0000000000000001/0000000000000001",
        "pony:[1111:2222:3333:4444:5555:6666:7777:8888]:65535/ffffffffffffffff/ffffffffffffffff",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct pony_address a;
        char out[PONY_ADDRESS_MAX];
        assert_int_equal(pony_address_parse(good[i], &a), BASE_OK);
        pony_address_format(&a, out);
        assert_string_equal(out, good[i]);
    }
}

static void the_parts_are_where_they_belong(void **state)
{
    (void)state;
    struct pony_address a;
    assert_int_equal(pony_address_parse("pony:1.2.3.4:4741/00000000000000FF/0000000000000010", &a),
                     BASE_OK);
    static const uint8_t ip[16] = {[10] = 0xff, 0xff, 1, 2, 3, 4};
    assert_memory_equal(a.to.ip, ip, 16);
    assert_int_equal(a.to.udp_port, 4741);
    assert_int_equal(a.service, 255);
    assert_int_equal(a.instance, 16);
    assert_false(a.is_any_host);
}

static void a_link_local_address_has_its_interface(void **state)
{
    (void)state;
    struct pony_address a;
    struct pony_address b;
    assert_int_equal(
        pony_address_parse("pony:[fe80::1%lo]:1/0000000000000001/0000000000000001", &a), BASE_OK);
    assert_int_equal(a.to.scope, if_nametoindex("lo"));
    assert_int_equal(
        pony_address_parse("pony:[fe80::1%77]:1/0000000000000001/0000000000000001", &b), BASE_OK);
    assert_int_equal(b.to.scope, 77);
    assert_memory_not_equal(&a.to, &b.to, sizeof(a.to)); /* hosts on two links */
    base_error_clear_note();
    assert_int_equal(pony_address_parse("pony:[fe80::1]:1/0000000000000001/0000000000000001", &a),
                     BASE_E_INVALID);
    assert_non_null(strstr(base_error_last_note(), "needs its interface, as in fe80::1%eth0"));
}

static void bad_addresses_are_refused_with_a_note(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "pony:",
        "tcp:1.2.3.4:1/0000000000000001/0000000000000001",
        "pony:1.2.3.4/0000000000000001/0000000000000001",
        "pony:1.2.3.4:0/0000000000000001/0000000000000001",
        "pony:1.2.3.4:65536/0000000000000001/0000000000000001",
        "pony:1.2.3.4:99999999/0000000000000001/0000000000000001",
        "pony:1.2.3.4:-1/0000000000000001/0000000000000001",
        "pony:1.2.3.4:01/0000000000000001/0000000000000001",
        "pony:1.2.3.4:/0000000000000001/0000000000000001",
        "pony::1/0000000000000001/0000000000000001",
        "pony:[]:1/0000000000000001/0000000000000001",
        "pony:[:1/0000000000000001/0000000000000001",
        "pony:[::1:1/0000000000000001/0000000000000001",
        "pony:::1:1/0000000000000001/0000000000000001",
        "pony:[fe80::1]:1/0000000000000001/0000000000000001",
        "pony:[fe80::1%]:1/0000000000000001/0000000000000001",
        "pony:[::1%1]:1/0000000000000001/0000000000000001",
        "pony:localhost:1/0000000000000001/0000000000000001",
        "pony:1.2.3:1/0000000000000001/0000000000000001",
        "pony:1.2.3.4:1/0000000000000000/0000000000000001",
        "pony:1.2.3.4:1/000000000000001/0000000000000001",
        "pony:1.2.3.4:1/00000000000000001/0000000000000001",
        "pony:1.2.3.4:1/000000000000000g/0000000000000001",
        "pony:1.2.3.4:1/0000000000000001",
        "pony:1.2.3.4:1/0000000000000001/",
        "pony:1.2.3.4:1/0000000000000001/00000000000001",
        "pony:1.2.3.4:1/0000000000000001/0000000000000001 ",
        ("pony:[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc]:1/0000000000000001/"
         "0000000000000001"),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct pony_address a;
        static const struct pony_address none;
        base_error_clear_note();
        assert_int_equal(pony_address_parse(bad[i], &a), BASE_E_INVALID);
        assert_memory_equal(&a, &none, sizeof(a));
        assert_non_null(strstr(base_error_last_note(), "bad Pony address"));
    }
}

static void a_peer_is_named_with_its_port_or_as_local(void **state)
{
    (void)state;
    char out[PONY_ADDRESS_MAX];
    struct shm_addr a = {.ip = {[10] = 0xff, 0xff, 10, 0, 0, 1}, .udp_port = 4741};
    pony_address_format_peer(&a, out);
    assert_string_equal(out, "pony:10.0.0.1:4741");
    a = (struct shm_addr){.ip = {[15] = 1}, .udp_port = 1};
    pony_address_format_peer(&a, out);
    assert_string_equal(out, "pony:[::1]:1");
    a = (struct shm_addr){.ip = {0xfe, 0x80, [15] = 1}, .udp_port = 1, .scope = 3};
    pony_address_format_peer(&a, out);
    assert_string_equal(out, "pony:[fe80::1%3]:1");
    a = (struct shm_addr){0};
    pony_address_format_peer(&a, out);
    assert_string_equal(out, "pony:local");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_addresses_survive_parse_and_format),
        cmocka_unit_test(the_parts_are_where_they_belong),
        cmocka_unit_test(a_link_local_address_has_its_interface),
        cmocka_unit_test(bad_addresses_are_refused_with_a_note),
        cmocka_unit_test(a_peer_is_named_with_its_port_or_as_local),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
