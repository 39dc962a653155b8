/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/netns.h"

#include "tests/support/proc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    COMMAND_MAX = 256
};

/* Runs a command; true when it did what it should. Its words are ours alone. */
__attribute__((format(printf, 1, 2))) static bool run(const char *fmt, ...)
{
    char command[COMMAND_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(command, sizeof(command), fmt, args);
    va_end(args);
    /* NOLINTNEXTLINE(cert-env33-c,concurrency-mt-unsafe): a test, with fixed words */
    return system(command) == 0;
}

void test_hosts_drop(struct test_hosts *hosts)
{
    for (int i = 0; i < 2; i++) {
        if (hosts->host[i].name[0] != '\0') {
            (void)run("ip netns del %s 2>/dev/null", hosts->host[i].name);
            hosts->host[i].name[0] = '\0';
        }
    }
}

static void drop_at_end(void *arg)
{
    test_hosts_drop(arg);
}

static bool set_up(const struct test_host *host)
{
    return run("ip -n %s link set lo up", host->name) &&
           run("ip -n %s addr add %s/24 dev wire", host->name, host->address) &&
           run("ip -n %s link set wire up", host->name);
}

bool test_hosts_make(struct test_hosts *hosts, uint32_t mtu)
{
    struct test_host *a = &hosts->host[0];
    struct test_host *b = &hosts->host[1];
    for (int i = 0; i < 2; i++) {
        (void)snprintf(hosts->host[i].name, sizeof(hosts->host[i].name), "snaptest-%d-%c",
                       (int)getpid(), 'a' + i);
        (void)snprintf(hosts->host[i].address, sizeof(hosts->host[i].address), "10.213.0.%d",
                       i + 1);
    }
    test_at_end(drop_at_end, hosts);
    if (geteuid() == 0 && run("ip netns add %s 2>/dev/null", a->name) &&
        run("ip netns add %s", b->name) &&
        run("ip -n %s link add wire mtu %u type veth peer name wire mtu %u netns %s", a->name, mtu,
            mtu, b->name) &&
        set_up(a) && set_up(b)) {
        return true;
    }
    (void)fprintf(stderr, "skipped: network namespaces may not be made here (that takes root and "
                          "iproute2)\n");
    test_hosts_drop(hosts);
    return false;
}
