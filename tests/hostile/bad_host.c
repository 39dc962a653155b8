/* SPDX-License-Identifier: Apache-2.0 */

/**
 * bad-host noise|forge SECONDS SEED OWN_IP PEER_IP: sends what it should not to the snapd at PEER_IP,
 * in the name of the one at OWN_IP, whose traffic it listens to on the interface "wire".
 *
 * noise  random bytes; packets that were really sent, again, later, cut, with bits flipped; and with
 *        good checksums but tokens that were guessed
 * forge  all that, and packets with good checksums and the tokens that were overheard: who can do that
 *        can break connections, but must break nothing else
 */

#include "base/clock.h"
#include "base/rng.h"
#include "tests/system/child.h"
#include "transport/pony/protocol/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PONY_PORT = 4741,
    PACKET_MAX = 1500,
    HEARD_MAX = 2048,
    BURST = 16
};

struct packet {
    uint32_t len;
    uint8_t bytes[PACKET_MAX];
};

struct bad_host {
    struct base_rng rng;
    bool may_forge;
    in_addr_t own, peer;
    int raw_fd, tap_fd;
    struct packet heard[HEARD_MAX]; /**< the newest that went to the peer */
    uint64_t n_heard, n_sent;
};

static uint32_t below(struct bad_host *h, uint32_t n)
{
    return (uint32_t)base_rng_below(&h->rng, n);
}

static bool open_sockets(struct bad_host *h)
{
    struct sockaddr_ll wire = {.sll_family = AF_PACKET,
                               .sll_protocol = htons(ETH_P_IP),
                               .sll_ifindex = (int)if_nametoindex("wire")};
    h->raw_fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    h->tap_fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
    wire.sll_protocol = htons(ETH_P_ALL); /* of what goes out, only this one hears */
    return h->raw_fd >= 0 && h->tap_fd >= 0 &&
           bind(h->tap_fd, (const struct sockaddr *)&wire, sizeof(wire)) == 0;
}

static void listen_to_wire(struct bad_host *h)
{
    uint8_t bytes[2048];
    struct iphdr ip;
    struct udphdr udp;
    for (int i = 0; i < 64; i++) {
        ssize_t len = recv(h->tap_fd, bytes, sizeof(bytes), MSG_TRUNC);
        if (len < 0) {
            return;
        }
        size_t head = sizeof(ip) + sizeof(udp);
        if ((size_t)len < head || (size_t)len > head + PACKET_MAX) {
            continue;
        }
        memcpy(&ip, bytes, sizeof(ip));
        memcpy(&udp, bytes + sizeof(ip), sizeof(udp));
        if (ip.version == 4 && ip.ihl == 5 && ip.protocol == IPPROTO_UDP && ip.daddr == h->peer &&
            ntohs(udp.dest) == PONY_PORT) {
            struct packet *p = &h->heard[h->n_heard++ % HEARD_MAX];
            p->len = (uint32_t)((size_t)len - head);
            memcpy(p->bytes, bytes + head, p->len);
        }
    }
}

static void send_packet(struct bad_host *h, const struct packet *p, uint16_t from_port)
{
    uint8_t bytes[sizeof(struct iphdr) + sizeof(struct udphdr) + PACKET_MAX];
    size_t len = sizeof(struct iphdr) + sizeof(struct udphdr) + p->len;
    struct iphdr ip = {.ihl = 5,
                       .version = 4,
                       .ttl = 64,
                       .protocol = IPPROTO_UDP,
                       .tot_len = htons((uint16_t)len),
                       .saddr = h->own,
                       .daddr = h->peer};
    /* A UDP checksum of 0 is none: only Pony's own protects. */
    struct udphdr udp = {.source = htons(from_port),
                         .dest = htons(PONY_PORT),
                         .len = htons((uint16_t)(sizeof(struct udphdr) + p->len))};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = h->peer};
    memcpy(bytes, &ip, sizeof(ip));
    memcpy(bytes + sizeof(ip), &udp, sizeof(udp));
    memcpy(bytes + sizeof(ip) + sizeof(udp), p->bytes, p->len);
    h->n_sent +=
        sendto(h->raw_fd, bytes, len, 0, (const struct sockaddr *)&to, sizeof(to)) == (ssize_t)len;
}

static void fill_random(struct bad_host *h, struct packet *p)
{
    p->len = below(h, 4) == 0 ? below(h, 100) : below(h, 1472);
    for (uint32_t i = 0; i < p->len; i++) {
        p->bytes[i] = (uint8_t)base_rng_u64(&h->rng);
    }
}

static void flip_bits(struct bad_host *h, struct packet *p)
{
    uint32_t n = 1 + below(h, 8);
    for (uint32_t i = 0; p->len > 0 && i < n; i++) {
        /* Every other time in the header. */
        uint32_t limit = below(h, 2) == 0 && p->len > 64 ? 64 : p->len;
        p->bytes[below(h, limit)] ^= (uint8_t)(1u << below(h, 8));
    }
}

/** Changes fields and makes the checksum good again. */
static void forge(struct bad_host *h, struct packet *p, bool has_token)
{
    struct pony_wire_hdr hdr;
    const uint8_t *body = NULL;
    if (pony_wire_decode(p->bytes, p->len, &hdr, &body) != PONY_WIRE_OK) {
        return;
    }
    if (!has_token) {
        hdr.token = base_rng_u64(&h->rng);
    }
    switch (below(h, 8)) {
    case 0:
        hdr.seq += below(h, 3000);
        break;
    case 1:
        hdr.ack += below(h, 3000);
        break;
    case 2:
        hdr.type = (uint8_t)below(h, PONY_WIRE_TYPE_MAX + 1);
        break;
    case 3:
        hdr.dst_flow = below(h, 8);
        break;
    case 4:
        hdr.echo_delay_ns = (uint32_t)base_rng_u64(&h->rng);
        hdr.echo_ts = (uint32_t)base_rng_u64(&h->rng);
        break;
    case 5:
        for (uint32_t i = 0; i < hdr.n_sack; i++) {
            hdr.sack[i] = base_rng_u64(&h->rng);
        }
        break;
    case 6:
        hdr.version = (uint8_t)below(h, 4);
        hdr.flags = (uint8_t)below(h, 8);
        break;
    default:
        if (hdr.covered_len > 0) {
            p->bytes[pony_wire_hdr_len(hdr.n_sack) + below(h, hdr.covered_len)] =
                (uint8_t)below(h, 256);
        }
        break;
    }
    pony_wire_encode(&hdr, p->bytes);
}

static void send_something(struct bad_host *h)
{
    struct packet p;
    uint64_t n = h->n_heard < HEARD_MAX ? h->n_heard : HEARD_MAX;
    if (n == 0 || below(h, 8) == 0) {
        fill_random(h, &p);
        send_packet(h, &p, below(h, 2) == 0 ? PONY_PORT : (uint16_t)(1 + below(h, 65535)));
        return;
    }
    p = h->heard[base_rng_below(&h->rng, n)];
    switch (below(h, 5)) {
    case 0:
        break;
    case 1:
        p.len = below(h, p.len + 1);
        break;
    case 2:
        flip_bits(h, &p);
        break;
    case 3:
        forge(h, &p, false);
        break;
    default:
        forge(h, &p, h->may_forge);
        break;
    }
    send_packet(h, &p, PONY_PORT);
}

int main(int argc, char **argv)
{
    static struct bad_host h;
    if (argc != 6) {
        fprintf(stderr, "usage: bad-host noise|forge SECONDS SEED OWN_IP PEER_IP\n");
        return 2;
    }
    h.may_forge = strcmp(argv[1], "forge") == 0;
    h.own = inet_addr(argv[4]);
    h.peer = inet_addr(argv[5]);
    base_rng_init(&h.rng, strtoull(argv[3], NULL, 0));
    if (!open_sockets(&h)) {
        fprintf(stderr, "bad-host: %s\n", strerror(errno));
        return 1;
    }
    uint64_t until_ns = base_clock_now_ns() + strtoull(argv[2], NULL, 0) * 1000000000;
    while (base_clock_now_ns() < until_ns) {
        listen_to_wire(&h);
        for (int i = 0; i < BURST; i++) {
            send_something(&h);
        }
        (void)sched_yield();
    }
    printf("heard %llu sent %llu\n", (unsigned long long)h.n_heard, (unsigned long long)h.n_sent);
    return 0;
}
