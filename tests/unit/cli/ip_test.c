/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ip.h"

#include "tests/support/cmocka_all.h"

#include <string.h>

static const struct cli_ip_end v4_a = {
    .ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1}, .port = 4741};
static const struct cli_ip_end v4_b = {
    .ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2}, .port = 0x1234};
static const struct cli_ip_end v6_a = {.ip = {0xfd, [15] = 1}, .port = 4741};
static const struct cli_ip_end v6_b = {.ip = {0xfd, [15] = 2}, .port = 0x1234};

/* Ones' complement sum over big-endian words: 0xffff when a checksum in it is right. */
static uint32_t sum(const uint8_t *bytes, uint32_t len, uint32_t from)
{
    uint32_t s = from;
    for (uint32_t i = 0; i < len; i++) {
        s += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
    }
    while (s > 0xffff) {
        s = (s & 0xffff) + (s >> 16);
    }
    return s;
}

static void ipv4_headers_are_right(void **state)
{
    (void)state;
    const struct cli_ip_packet packet = {
        .from = v4_a, .to = v4_b, .ttl = 7, .ecn = 3, .payload_bytes = 1000};
    uint8_t head[CLI_IP_HEAD_MAX];
    assert_int_equal(cli_ip_head(&packet, head), 28);
    static const uint8_t expected[] = {0x45, 3, 1028 >> 8, 1028 & 0xff, 0, 0, 0x40, 0, 7, 17};
    assert_memory_equal(head, expected, sizeof(expected));
    assert_int_equal(sum(head, 20, 0), 0xffff);
    static const uint8_t rest[] = {10,   0,    0,    1,    10,        0,           0, 2,
                                   0x12, 0x85, 0x12, 0x34, 1008 >> 8, 1008 & 0xff, 0, 0};
    assert_memory_equal(head + 12, rest, sizeof(rest));
}

static void ipv6_headers_have_the_checksum_that_udp_demands(void **state)
{
    (void)state;
    uint8_t payload[101];
    for (uint32_t len = 0; len <= sizeof(payload); len++) {
        memset(payload, 0xa5, sizeof(payload));
        const struct cli_ip_packet packet = {
            .from = v6_a, .to = v6_b, .payload = payload, .payload_bytes = len, .kept_bytes = len};
        uint8_t head[CLI_IP_HEAD_MAX];
        assert_int_equal(cli_ip_head(&packet, head), 48);
        assert_int_equal(head[0], 0x60);
        assert_int_equal(head[7], 64);
        assert_int_equal(head[4] << 8 | head[5], 8 + (int)len);
        /* Addresses, length and protocol again as the pseudo-header; then header and payload. */
        uint32_t s = sum(head + 8, 32, 8 + len + 17);
        s = sum(head + 40, 8, s);
        assert_int_equal(sum(payload, len, s), 0xffff);
    }
}

static void a_family_is_ipv4_only_if_both_ends_are(void **state)
{
    (void)state;
    uint8_t head[CLI_IP_HEAD_MAX];
    const struct cli_ip_packet packet = {.from = v4_a, .to = v6_b};
    assert_int_equal(cli_ip_head(&packet, head), 48);
    assert_true(cli_ip_is_v4(v4_a.ip));
    assert_false(cli_ip_is_v4(v6_a.ip));
}

static void the_way_to_loopback_begins_at_loopback(void **state)
{
    (void)state;
    const struct cli_ip_end to = {.ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1},
                                  .port = 4741};
    uint8_t local[16];
    cli_ip_local_towards(&to, local);
    assert_memory_equal(local, to.ip, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_headers_are_right),
        cmocka_unit_test(ipv6_headers_have_the_checksum_that_udp_demands),
        cmocka_unit_test(a_family_is_ipv4_only_if_both_ends_are),
        cmocka_unit_test(the_way_to_loopback_begins_at_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
