/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_PROC_H
#define TESTS_SUPPORT_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/**
 * Processes and folders of system tests: started here, ended here, also when the test is interrupted.
 *
 * Shape    a process' stdout and stderr go to one file each test can read; waiting is on conditions
 *          with a deadline. What cannot be done fails the cmocka test with the process' output.
 * Cleanup  a process that is still there dies with the test (PR_SET_PDEATHSIG); the folder is
 *          removed at exit and on SIGINT, SIGTERM, SIGHUP
 * Threads  the test's main thread
 */
enum {
    TEST_DEADLINE_MS = 30000, /**< far longer than anything here takes */
    TEST_PATH_MAX = 256,
    TEST_ARGS_MAX = 32
};

struct test_proc {
    pid_t pid;     /**< 0: none, or reaped */
    int status;    /**< of waitpid, once reaped */
    size_t n_seen; /**< bytes of output that wait_line() went past */
    char name[32];
    char log_path[TEST_PATH_MAX];
};

/** A folder of the test's own; removed with all that is in it at the end. The same each time. */
const char *test_folder(void);
/** "<folder>/<name>"; static storage, eight of them in turn. */
const char *test_path(const char *name);

struct test_spawn {
    const char *const *argv; /**< ends with NULL; argv[0] is the path */
    const char *const *env;  /**< "NAME=value" or "NAME" (unset) over the environment; ends with
                                  NULL; or NULL */
    unsigned int uid;        /**< 0: ours */
    unsigned int max_files;  /**< RLIMIT_NOFILE; 0: ours */
};

void test_proc_start(struct test_proc *proc, const struct test_spawn *spawn);
/** Short form: argv as arguments, the last one NULL. */
void test_proc_run(struct test_proc *proc, const char *path, ...) __attribute__((sentinel));

/** Waits for a new line that contains `text`; fails when the process ends first. The line is static
 *  storage. */
const char *test_proc_wait_line(struct test_proc *proc, const char *text);
/** The output until now; static storage, cut at 64 KB. */
const char *test_proc_output(const struct test_proc *proc);

/** Waits for the end; returns the exit code, or 128 + signal. */
int test_proc_wait(struct test_proc *proc);
bool test_proc_is_alive(struct test_proc *proc);
void test_proc_signal(const struct test_proc *proc, int signal);
/** Ends it with SIGKILL if it is there still, and reaps it. Accepts a zeroed one. */
void test_proc_end(struct test_proc *proc);

/** Calls `holds` every few ms until it is true; fails with `what` at the deadline. */
void test_until(bool (*holds)(void *arg), void *arg, const char *what);

#endif
