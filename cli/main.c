/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "usage: snaprpc COMMAND [options]\n"
    "\n"
    "  status [--json] [--socket PATH]\n"
    "      what this host's snapd does: engines, ports, flows, connections, counters\n"
    "  ping TARGET [-c N] [-i MS] [-t MS] [--json]\n"
    "      round trips to a server (\"host:port\", \"unix:/path\", \"pony:HOST:PORT/SERVICE\"):\n"
    "      which transport carries them, why, and how long they take\n"
    "  capture [--output FILE] [--count N] [--seconds S] [--filter flow=N|port=N] ...\n"
    "      the packets of this host's snapd as pcapng, for Wireshark; - or a pipe: standard output\n"
    "\n"
    "  --version   print the version\n"
    "  --help      print this\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 wrong command line. Environment: SNAPD_SOCKET,\n"
    "SNAP_TRANSPORT. Manual: snaprpc(1).\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"status", cli_status},
    {"ping", cli_ping},
    {"capture", cli_capture},
};

__attribute__((format(printf, 1, 0))) static void print_error(const char *fmt, va_list args)
{
    (void)fflush(stdout);
    (void)fputs("snaprpc: ", stderr);
    (void)vfprintf(stderr, fmt, args);
    (void)fputc('\n', stderr);
}

int cli_usage(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    print_error(fmt, args);
    va_end(args);
    (void)fputs("See snaprpc --help.\n", stderr);
    return CLI_USAGE;
}

int cli_fail(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    print_error(fmt, args);
    va_end(args);
    return CLI_FAILED;
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        return cli_usage("what is to be done?");
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        (void)fputs(help, stdout);
        return CLI_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("snaprpc %s\n", SNAPRPC_VERSION);
        return CLI_OK;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    return cli_usage("there is no command \"%s\"", argv[1]);
}

int main(int argc, char **argv)
{
    int code = run(argc, argv);
    /* A full disk or a closed pipe must not look like success. */
    if (fflush(stdout) != 0 && code == CLI_OK) {
        code = cli_fail("cannot write to standard output: %m");
    }
    return code;
}
