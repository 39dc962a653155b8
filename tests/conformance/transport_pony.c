/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/conformance/transport.h"
#include "tests/support/proc.h"
#include "transport/pony/abi/address.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Pony Express through the real snapd. "pony-local": both ends at one snapd, without a packet;
 * "pony-udp": each at one of its own, over the loopback interface. */
extern const struct snapi_transport_ops pony_transport_ops;

enum {
    SOCKET_PATH_MAX = 108
};

static struct test_proc snapds[2];
static char sockets[2][SOCKET_PATH_MAX];
static uint16_t udp_port; /* of the server's engine */

static void start_snapd(int i)
{
    int n = snprintf(sockets[i], sizeof(sockets[i]), "%s%d", test_path("snapd.sock"), i);
    assert_true(n > 0 && (size_t)n < sizeof(sockets[i]));
    test_proc_run(&snapds[i], SNAPD_PROGRAM, "--socket", sockets[i], "--listen", "127.0.0.1:0",
                  (char *)NULL);
    (void)test_proc_wait_line(&snapds[i], "ready at");
}

static int setup_local(const struct transport_fixture *fixture)
{
    (void)fixture;
    start_snapd(0);
    return 0;
}

static int setup_udp(const struct transport_fixture *fixture)
{
    (void)fixture;
    start_snapd(0);
    start_snapd(1);
    return 0;
}

/* It must have lived through it all, and end in order. */
static void stop_snapd(struct test_proc *snapd)
{
    assert_true(test_proc_is_alive(snapd));
    test_proc_signal(snapd, SIGTERM);
    assert_int_equal(test_proc_wait(snapd), 0);
}

static void teardown_local(const struct transport_fixture *fixture)
{
    (void)fixture;
    stop_snapd(&snapds[0]);
}

static void teardown_udp(const struct transport_fixture *fixture)
{
    (void)fixture;
    stop_snapd(&snapds[0]);
    stop_snapd(&snapds[1]);
}

static const char *anywhere(void)
{
    return "";
}

static void connect_here(const char *listener_address, char *out)
{
    struct pony_address address;
    out[0] = '\0';
    if (listener_address[0] == '\0') {
        return; /* not known yet */
    }
    assert_int_equal(pony_address_parse(listener_address, &address), BASE_OK);
    udp_port = address.to.udp_port;
    address.is_any_host = false;
    memcpy(address.to.ip, (uint8_t[16]){[10] = 0xff, 0xff, 127, 0, 0, 1}, 16);
    pony_address_format(&address, out);
}

/* The server's engine, a service that nobody has. */
static const char *no_service(void)
{
    static char out[PONY_ADDRESS_MAX];
    (void)snprintf(out, sizeof(out), "pony:127.0.0.1:%u/00000000deadbeef/0000000000000000",
                   udp_port);
    return out;
}

const struct transport_fixture pony_local_fixture = {.name = "pony-local",
                                                     .ops = &pony_transport_ops,
                                                     .setup = setup_local,
                                                     .teardown = teardown_local,
                                                     .listen_address = anywhere,
                                                     .connect_address = connect_here,
                                                     .refused_address = no_service,
                                                     .snapd_socket = sockets[0]};

const struct transport_fixture pony_udp_fixture = {.name = "pony-udp",
                                                   .ops = &pony_transport_ops,
                                                   .setup = setup_udp,
                                                   .teardown = teardown_udp,
                                                   .listen_address = anywhere,
                                                   .connect_address = connect_here,
                                                   .refused_address = no_service,
                                                   .snapd_socket = sockets[0],
                                                   .server_snapd_socket = sockets[1]};
