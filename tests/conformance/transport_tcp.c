/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/conformance/transport.h"
#include "transport/tcp/tcp.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char folder[64];
static char unix_address[128];
static char unix_refused[128];

static int setup_unix(const struct transport_fixture *fixture)
{
    (void)fixture;
    (void)snprintf(folder, sizeof(folder), "/tmp/snaprpc-conformance-XXXXXX");
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    (void)snprintf(unix_address, sizeof(unix_address), "unix:%s/s", folder);
    (void)snprintf(unix_refused, sizeof(unix_refused), "unix:%s/nobody", folder);
    return 0;
}

static void teardown_unix(const struct transport_fixture *fixture)
{
    (void)fixture;
    (void)rmdir(folder);
}

static int setup_inet(const struct transport_fixture *fixture)
{
    (void)fixture;
    return 0;
}

static int setup_inet6(const struct transport_fixture *fixture)
{
    (void)fixture;
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&in6, sizeof(in6));
    if (fd >= 0) {
        (void)close(fd);
    }
    return rc;
}

static void teardown_none(const struct transport_fixture *fixture)
{
    (void)fixture;
}

static const char *listen_inet(void)
{
    return "127.0.0.1:0";
}

static const char *listen_inet6(void)
{
    return "[::1]:0";
}

static const char *listen_unix(void)
{
    return unix_address;
}

/* A port that nobody listens at: bound for as long as the process lives, never listened on. */
static const char *refused_at(int family, const char *host)
{
    static char text[2][64];
    char *out = text[family == AF_INET6];
    if (out[0] == '\0') {
        struct sockaddr_in6 any = {.sin6_family = (sa_family_t)family};
        socklen_t len =
            family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&any, len), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &len), 0);
        (void)snprintf(out, sizeof(text[0]), "%s:%u", host, ntohs(any.sin6_port));
    }
    return out;
}

static const char *refused_inet(void)
{
    return refused_at(AF_INET, "127.0.0.1");
}

static const char *refused_inet6(void)
{
    return refused_at(AF_INET6, "[::1]");
}

static const char *refused_unix(void)
{
    return unix_refused;
}

static void same_address(const char *listener_address, char *out)
{
    (void)snprintf(out, 256, "%s", listener_address);
}

const struct transport_fixture tcp_inet_fixture = {.name = "tcp-inet",
                                                   .ops = &ktcp_transport_ops,
                                                   .setup = setup_inet,
                                                   .teardown = teardown_none,
                                                   .listen_address = listen_inet,
                                                   .connect_address = same_address,
                                                   .refused_address = refused_inet,
                                                   .is_listen_exclusive = true,
                                                   .obeys_given_time = true};

const struct transport_fixture tcp_inet6_fixture = {.name = "tcp-inet6",
                                                    .ops = &ktcp_transport_ops,
                                                    .setup = setup_inet6,
                                                    .teardown = teardown_none,
                                                    .listen_address = listen_inet6,
                                                    .connect_address = same_address,
                                                    .refused_address = refused_inet6,
                                                    .is_listen_exclusive = true,
                                                    .obeys_given_time = true};

const struct transport_fixture tcp_unix_fixture = {.name = "tcp-unix",
                                                   .ops = &ktcp_transport_ops,
                                                   .setup = setup_unix,
                                                   .teardown = teardown_unix,
                                                   .listen_address = listen_unix,
                                                   .connect_address = same_address,
                                                   .refused_address = refused_unix,
                                                   .is_listen_exclusive = true,
                                                   .obeys_given_time = true};
