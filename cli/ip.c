/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ip.h"

#include "base/fd.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum {
    IP4_BYTES = 20,
    IP6_BYTES = 40,
    UDP_BYTES = 8,
    TTL_DEFAULT = 64,
    DONT_FRAGMENT = 0x4000
};

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool cli_ip_is_v4(const uint8_t ip[16])
{
    return memcmp(ip, v4_prefix, sizeof(v4_prefix)) == 0;
}

static void put_be16(uint8_t *at, uint32_t v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

/* Ones' complement sum of 16-bit words, not folded: 64 KB do not overflow it. */
static uint32_t sum16(uint32_t sum, const uint8_t *bytes, uint32_t len)
{
    for (uint32_t i = 0; i + 1 < len; i += 2) {
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    }
    return len % 2 != 0 ? sum + ((uint32_t)bytes[len - 1] << 8) : sum;
}

static uint32_t fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

static void put_ip4(const struct cli_ip_packet *p, uint8_t *at)
{
    memset(at, 0, IP4_BYTES);
    at[0] = 0x45;
    at[1] = p->ecn & 3;
    put_be16(at + 2, IP4_BYTES + UDP_BYTES + p->payload_bytes);
    put_be16(at + 6, DONT_FRAGMENT);
    at[8] = p->ttl != 0 ? p->ttl : TTL_DEFAULT;
    at[9] = IPPROTO_UDP;
    memcpy(at + 12, p->from.ip + 12, 4);
    memcpy(at + 16, p->to.ip + 12, 4);
    put_be16(at + 10, fold(sum16(0, at, IP4_BYTES)));
}

static void put_ip6(const struct cli_ip_packet *p, uint8_t *at)
{
    memset(at, 0, IP6_BYTES);
    at[0] = 0x60;
    at[1] = (uint8_t)((p->ecn & 3) << 4);
    put_be16(at + 4, UDP_BYTES + p->payload_bytes);
    at[6] = IPPROTO_UDP;
    at[7] = p->ttl != 0 ? p->ttl : TTL_DEFAULT;
    memcpy(at + 8, p->from.ip, 16);
    memcpy(at + 24, p->to.ip, 16);
}

static void put_udp(const struct cli_ip_packet *p, uint8_t *at)
{
    put_be16(at, p->from.port);
    put_be16(at + 2, p->to.port);
    put_be16(at + 4, UDP_BYTES + p->payload_bytes);
    put_be16(at + 6, 0);
}

static uint32_t udp6_checksum(const struct cli_ip_packet *p, const uint8_t *udp)
{
    uint32_t sum = sum16(0, p->from.ip, 16);
    sum = sum16(sum, p->to.ip, 16);
    sum += UDP_BYTES + p->payload_bytes + IPPROTO_UDP;
    sum = sum16(sum, udp, UDP_BYTES);
    uint32_t folded = fold(sum16(sum, p->payload, p->kept_bytes));
    return folded != 0 ? folded : 0xffff; /* 0 means none */
}

uint32_t cli_ip_head(const struct cli_ip_packet *p, uint8_t head[CLI_IP_HEAD_MAX])
{
    if (cli_ip_is_v4(p->from.ip) && cli_ip_is_v4(p->to.ip)) {
        put_ip4(p, head);
        put_udp(p, head + IP4_BYTES);
        return IP4_BYTES + UDP_BYTES;
    }
    put_ip6(p, head);
    put_udp(p, head + IP6_BYTES);
    put_be16(head + IP6_BYTES + 6, udp6_checksum(p, head + IP6_BYTES));
    return IP6_BYTES + UDP_BYTES;
}

/* Connecting a UDP socket asks the routes and sends nothing. */
static bool ask_routes(int family, const void *to, socklen_t to_len, void *local, socklen_t len)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    bool is_good = connect(fd, to, to_len) == 0 && getsockname(fd, local, &len) == 0;
    base_fd_close(&fd);
    return is_good;
}

void cli_ip_local_towards(const struct cli_ip_end *to, uint8_t local[16])
{
    memset(local, 0, 16);
    if (cli_ip_is_v4(to->ip)) {
        struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(to->port)};
        struct sockaddr_in ours = {.sin_family = AF_INET};
        memcpy(&name.sin_addr, to->ip + 12, 4);
        memcpy(local, v4_prefix, sizeof(v4_prefix));
        if (ask_routes(AF_INET, &name, sizeof(name), &ours, sizeof(ours))) {
            memcpy(local + 12, &ours.sin_addr, 4);
        }
        return;
    }
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(to->port)};
    struct sockaddr_in6 ours = {.sin6_family = AF_INET6};
    memcpy(&name.sin6_addr, to->ip, 16);
    if (ask_routes(AF_INET6, &name, sizeof(name), &ours, sizeof(ours))) {
        memcpy(local, &ours.sin6_addr, 16);
    }
}
