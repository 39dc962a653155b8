/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Calls over Pony between two hosts while the wire between them carries smaller packets, and larger
 * ones again: every call ends OK, none runs twice, none leaves for TCP.
 */

#include "tests/support/cmocka_all.h"
#include "tests/system/status.h"
#include "tests/system/world.h"

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <string.h>
#include <unistd.h>

enum {
    WIDE = 9000,
    NARROW = 1500,
    LEAST = 1280,
    CLAIMED = 600,
    SNAPD_PORT = 4741,
    HEADERS = 28,   /* IPv4 and UDP */
    HEADERS_V6 = 48 /* what mtu = auto leaves room for */
};

static void set_mtu(const struct world *world, int host, int mtu)
{
    assert_true(hosts_set_mtu(&world->hosts, host, mtu));
}

struct expectation {
    const struct world *world;
    int host;
    uint32_t from, to; /* the flow's packets are of that size */
};

static bool has_size(void *arg)
{
    static struct status status;
    const struct expectation *want = arg;
    return status_read(want->world->socket[want->host], &status) && status.n_flows > 0 &&
           status.flow_mtu_bytes >= want->from && status.flow_mtu_bytes <= want->to;
}

/* Until the packets from that host are as large as a wire of `mtu` bytes carries, or nearly so. */
static void await_size(const struct world *world, int host, uint32_t mtu)
{
    struct expectation want = {world, host, mtu - HEADERS_V6 - 32, mtu - HEADERS};
    assert_true(world_until(has_size, &want, 2 * WORLD_TIMEOUT_MS));
}

static struct world_client *start(struct world *world, const char *more)
{
    for (int host = 0; host < 2; host++) {
        set_mtu(world, host, WIDE);
        (void)snprintf(world->settings[host], sizeof(world->settings[host]),
                       "[engine]\ndead = 60s\n%s", more);
        world_start_snapd(world, host);
    }
    world->transport = "pony";
    world_start_server(world);
    struct world_client *client =
        world_start_client(world, 0,
                           "--want pony --async 2 --blocking 2 --window 16 "
                           "--sizes mixed --timeout 120000");
    world_await_calls(client, world_calls(1000));
    await_size(world, 0, WIDE);
    await_size(world, 1, WIDE);
    return client;
}

static void finish(struct world *world, struct world_client *client)
{
    world_await_calls(client, world_calls(1000));
    assert_int_equal(world_finish_client(client), 0);
    assert_int_equal(client->stats->by_pony, client->stats->ok);
    assert_int_equal(client->stats->is_checked, 1);
    world->is_good = true;
}

/* The end of the wire that becomes narrow drops what comes from the other, and nobody is told. */
static void a_wire_that_swallows_large_packets_loses_no_call(void **state)
{
    struct world *world = *state;
    /* Segmented datagrams pass such a wire whole: each packet is to be one. */
    struct world_client *client = start(world, "segmentation = no\n");
    set_mtu(world, 0, NARROW);
    for (int host = 0; host < 2; host++) {
        await_size(world, host, NARROW);
        assert_int_equal(world_counter(world, host, "mtu_lowered"), 1);
    }
    assert_int_equal(world_counter(world, 1, "udp_fragmented_packets"), 0);
    assert_true(world_counter(world, 1, "tx_parts") > 0);
    world_await_calls(client, world_calls(1000));
    set_mtu(world, 0, WIDE);
    world_await_calls(client, world_calls(1000));
    /* That it is found to be wide again, a minute later, is the simulator's to show. */
    finish(world, client);
}

/* Both ends know: the kernel refuses large packets, and the engine does not go on trying. */
static void a_wire_whose_ends_become_narrow_carries_whole_packets(void **state)
{
    static const int mtus[] = {NARROW, WIDE, NARROW, WIDE, LEAST};
    struct world *world = *state;
    struct world_client *client = start(world, "");
    for (size_t i = 0; i < sizeof(mtus) / sizeof(mtus[0]); i++) {
        set_mtu(world, 0, mtus[i]);
        set_mtu(world, 1, mtus[i]);
        world_await_calls(client, world_calls(2000));
    }
    await_size(world, 0, LEAST);
    await_size(world, 1, LEAST);
    uint64_t fragments = world_counter(world, 1, "udp_fragmented_packets");
    world_await_calls(client, world_calls(2000));
    assert_true(world_counter(world, 1, "udp_fragmented_packets") == fragments);
    finish(world, client);
}

static const char *const addresses[] = {"10.213.0.1", "10.213.0.2"};

/* "Fragmentation needed", for what host 0 is said to have sent to the other's snapd. */
struct claim {
    struct icmphdr icmp;
    struct iphdr ip;
    struct udphdr udp;
};

static uint16_t checksum(const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    uint32_t sum = 0;
    for (size_t i = 0; i < len; i += 2) {
        sum += (uint32_t)at[i] << 8 | at[i + 1];
    }
    sum = (sum >> 16) + (sum & 0xffff);
    return htons((uint16_t) ~((sum >> 16) + sum));
}

static struct sockaddr_in address_of(int host)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(SNAPD_PORT)};
    assert_int_equal(inet_pton(AF_INET, addresses[host], &name.sin_addr), 1);
    return name;
}

/* Somebody at host 1, who has nothing to do with snapd, makes it up. */
static void claim_a_narrow_path(struct world *world)
{
    const struct sockaddr_in to = address_of(0);
    struct claim claim = {
        .icmp = {.type = ICMP_DEST_UNREACH,
                 .code = ICMP_FRAG_NEEDED,
                 .un.frag.mtu = htons(CLAIMED)},
        .ip = {.version = 4,
               .ihl = 5,
               .ttl = 64,
               .protocol = IPPROTO_UDP,
               .tot_len = htons(NARROW),
               .frag_off = htons(IP_DF),
               .saddr = to.sin_addr.s_addr,
               .daddr = address_of(1).sin_addr.s_addr},
        .udp = {.source = htons(SNAPD_PORT),
                .dest = htons(SNAPD_PORT),
                .len = htons(NARROW - sizeof(claim.ip))},
    };
    claim.ip.check = checksum(&claim.ip, sizeof(claim.ip));
    claim.icmp.checksum = checksum(&claim, sizeof(claim));
    assert_true(hosts_enter(&world->hosts, 1));
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    assert_true(fd >= 0);
    assert_int_equal(sendto(fd, &claim, sizeof(claim), 0, (const void *)&to, sizeof(to)),
                     sizeof(claim));
    assert_int_equal(close(fd), 0);
    assert_true(hosts_enter(&world->hosts, -1));
}

/* Does host 0's kernel believe it? */
static bool is_believed(void *arg)
{
    struct world *world = arg;
    const struct sockaddr_in to = address_of(1);
    int mtu = 0;
    socklen_t len = sizeof(mtu);
    assert_true(hosts_enter(&world->hosts, 0));
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_read = connect(fd, (const void *)&to, sizeof(to)) == 0 &&
                   getsockopt(fd, IPPROTO_IP, IP_MTU, &mtu, &len) == 0;
    assert_int_equal(close(fd), 0);
    assert_true(hosts_enter(&world->hosts, -1));
    return is_read && mtu == CLAIMED;
}

/* What passes is what PROBEs and acknowledgements show, not what an ICMP message says. */
static void a_claim_that_the_path_is_narrow_changes_nothing(void **state)
{
    struct world *world = *state;
    struct world_client *client = start(world, "");
    claim_a_narrow_path(world);
    assert_true(world_until(is_believed, world, WORLD_TIMEOUT_MS));
    world_await_calls(client, world_calls(2000));
    await_size(world, 0, WIDE);
    assert_int_equal(world_counter(world, 0, "mtu_lowered"), 0);
    assert_int_equal(world_counter(world, 0, "udp_fragmented_packets"), 0);
    finish(world, client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_wire_that_swallows_large_packets_loses_no_call,
                                        world_set_up, world_tear_down),
        cmocka_unit_test_setup_teardown(a_wire_whose_ends_become_narrow_carries_whole_packets,
                                        world_set_up, world_tear_down),
        cmocka_unit_test_setup_teardown(a_claim_that_the_path_is_narrow_changes_nothing,
                                        world_set_up, world_tear_down),
    };
    int skip = world_skip();
    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
