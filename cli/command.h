/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

/**
 * The subcommands of `snaprpc`. Each takes its own arguments, argv[0] being its name, and returns
 * the exit code: 0 done; 1 it could not be done (the message on stderr names the remedy); 2 the
 * command line is wrong.
 */
enum {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2
};

int cli_status(int argc, char **argv);
int cli_ping(int argc, char **argv);
int cli_capture(int argc, char **argv);

/** Prints "snaprpc: message" and "see snaprpc --help", returns CLI_USAGE. */
int cli_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** Prints "snaprpc: message", returns CLI_FAILED. */
int cli_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
