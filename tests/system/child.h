/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SYSTEM_CHILD_H
#define TESTS_SYSTEM_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/**
 * Child: a process of a system test.
 *
 * Dies with the test (PR_SET_PDEATHSIG), however that ends. Its standard output comes to the test
 * line by line; its standard error goes to a file.
 * Threads  the test's main thread only
 */
enum {
    CHILD_ARGS_MAX = 40
};

struct child {
    pid_t pid;  /**< 0: none */
    int pid_fd; /**< readable once it ended */
    int in_fd;  /**< its standard input; -1: closed */
    int out_fd;
    size_t len;
    char out[4096]; /**< what it wrote and nobody read */
    char line[4096];
};

struct child_how {
    int ns_fd;        /**< network namespace to run in; -1: ours */
    uid_t uid;        /**< user to run as; 0: ours */
    uint64_t nofile;  /**< limit of descriptors; 0: ours */
    int death_signal; /**< gets it when the test dies; 0: SIGKILL */
    const char *log;  /**< file for standard error, appended to; NULL: ours */
    const char *env;  /**< "NAME=value NAME=value ..." over ours; NULL */
};

/** Starts argv[0] (a path, or looked for in PATH). False: it could not be. */
bool child_start(struct child *child, const struct child_how *how, const char *const *argv);

/** The next line that it writes, without its end; NULL: it closed its output, or time is over. */
const char *child_read_line(struct child *child, uint64_t timeout_ms);

/** Whether it still runs. */
bool child_is_alive(const struct child *child);

/** Waits for its end, and frees. Its exit code; 128 + signal; -1: still running at the time. */
int child_wait(struct child *child, uint64_t timeout_ms);

/** Closes its input. */
void child_close_input(struct child *child);

void child_signal(const struct child *child, int signal);

/** Sends a signal and waits for the end, as child_wait(). Nothing to do: 0. */
int child_end(struct child *child, int signal);

/** Runs a program to its end; its exit code, as child_wait(). */
int child_run(const struct child_how *how, const char *const *argv);

#endif
