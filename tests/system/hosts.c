/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/system/hosts.h"

#include "tests/system/child.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/** An ordinary user is root in a user namespace of its own. */
static bool become_root(void)
{
    char users[64];
    char groups[64];
    (void)snprintf(users, sizeof(users), "0 %u 1", geteuid());
    (void)snprintf(groups, sizeof(groups), "0 %u 1", getegid());
    return unshare(CLONE_NEWUSER) == 0 && write_file("/proc/self/uid_map", users) &&
           write_file("/proc/self/setgroups", "deny") && write_file("/proc/self/gid_map", groups);
}

/** A new namespace; this process stays in its own. */
static int new_namespace(void)
{
    int ours = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (ours < 0) {
        return -1;
    }
    int fd = -1;
    if (unshare(CLONE_NEWNET) == 0) {
        fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        if (setns(ours, CLONE_NEWNET) != 0 && fd >= 0) {
            close(fd);
            fd = -1;
        }
    }
    close(ours);
    return fd;
}

bool hosts_are_possible(void)
{
    const char *const ip[] = {"ip", "-V", NULL};
    const struct child_how here = {.ns_fd = -1, .log = "/dev/null"};
    if (child_run(&here, ip) != 0) {
        printf("skipped: there is no program \"ip\" (package iproute2)\n");
        return false;
    }
    if (geteuid() != 0 && !become_root()) {
        printf("skipped: not root, and user namespaces are not allowed: %s\n", strerror(errno));
        return false;
    }
    int fd = new_namespace();
    if (fd < 0) {
        printf("skipped: network namespaces may not be made here: %s\n", strerror(errno));
        return false;
    }
    close(fd);
    return true;
}

static bool ip(int ns_fd, const char *command)
{
    char text[256];
    const char *argv[CHILD_ARGS_MAX] = {"ip"};
    int n = 1;
    (void)snprintf(text, sizeof(text), "%s", command);
    for (char *at = strtok(text, " "); at != NULL; at = strtok(NULL, " ")) {
        argv[n++] = at;
    }
    const struct child_how how = {.ns_fd = ns_fd};
    return child_run(&how, argv) == 0;
}

bool hosts_make(struct hosts *hosts)
{
    char add[256];
    hosts->ns_fd[0] = new_namespace();
    hosts->ns_fd[1] = new_namespace();
    (void)snprintf(add, sizeof(add), "link add wire type veth peer name wire netns /proc/%d/fd/%d",
                   (int)getpid(), hosts->ns_fd[1]);
    const int a = hosts->ns_fd[0];
    const int b = hosts->ns_fd[1];
    return a >= 0 && b >= 0 && ip(a, add) && ip(a, "addr add 10.213.0.1/24 dev wire") &&
           ip(b, "addr add 10.213.0.2/24 dev wire") && ip(a, "link set lo up") &&
           ip(b, "link set lo up") && ip(a, "link set wire up") && ip(b, "link set wire up");
}

bool hosts_set_link(const struct hosts *hosts, bool is_up)
{
    /* One end down takes the carrier from the other, which keeps its route. Addresses stay. */
    return ip(hosts->ns_fd[1], is_up ? "link set wire up" : "link set wire down");
}

bool hosts_set_mtu(const struct hosts *hosts, int host, int mtu)
{
    char command[64];
    (void)snprintf(command, sizeof(command), "link set wire mtu %d", mtu);
    return ip(hosts->ns_fd[host], command);
}

bool hosts_add_address(const struct hosts *hosts, int host, const char *address)
{
    char command[128];
    (void)snprintf(command, sizeof(command), "addr add %s dev wire", address);
    return ip(hosts->ns_fd[host], command);
}

bool hosts_add_interface(const struct hosts *hosts, int host, const char *name, const char *address)
{
    char commands[3][128];
    (void)snprintf(commands[0], sizeof(commands[0]), "link add %s type veth", name);
    (void)snprintf(commands[1], sizeof(commands[1]), "addr add %s dev %s", address, name);
    (void)snprintf(commands[2], sizeof(commands[2]), "link set %s up", name);
    for (int i = 0; i < 3; i++) {
        if (!ip(hosts->ns_fd[host], commands[i])) {
            return false;
        }
    }
    return true;
}

bool hosts_swallow_port(const struct hosts *hosts, int host, int udp_port)
{
    /* By a rule of the other host, which must come before that for its own addresses. */
    int other = hosts->ns_fd[1 - host];
    char rule[128];
    (void)snprintf(rule, sizeof(rule),
                   "rule add pref 10 from 10.213.0.%d iif wire ipproto udp sport %d blackhole",
                   host + 1, udp_port);
    return ip(other, "rule add pref 100 lookup local") && ip(other, "rule del pref 0") &&
           ip(other, rule);
}

bool hosts_enter(struct hosts *hosts, int host)
{
    if (hosts->home_fd < 0) {
        hosts->home_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    }
    bool ok = setns(host < 0 ? hosts->home_fd : hosts->ns_fd[host], CLONE_NEWNET) == 0;
    if (host < 0) {
        close(hosts->home_fd);
        hosts->home_fd = -1;
    }
    return ok;
}

void hosts_drop(struct hosts *hosts)
{
    if (hosts->home_fd >= 0) {
        (void)hosts_enter(hosts, -1);
    }
    for (int i = 0; i < 2; i++) {
        if (hosts->ns_fd[i] >= 0) {
            close(hosts->ns_fd[i]);
        }
        hosts->ns_fd[i] = -1;
    }
}
