/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/system/child.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    END_TIMEOUT_MS = 60000,
    EXEC_FAILED = 127
};

static void set_environment(const char *env)
{
    char *copy = strdup(env);
    for (char *at = strtok(copy, " "); at != NULL; at = strtok(NULL, " ")) {
        putenv(strdup(at));
    }
    free(copy);
}

/** In the child: all that must be as `how` says, before it becomes the program. */
static bool take_shape(const struct child_how *how, const int *in, const int *out)
{
    if (dup2(in[0], STDIN_FILENO) < 0 || dup2(out[1], STDOUT_FILENO) < 0) {
        return false;
    }
    if (how->log != NULL) {
        int fd = open(how->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (fd < 0 || dup2(fd, STDERR_FILENO) < 0) {
            return false;
        }
    }
    if (how->ns_fd >= 0 && setns(how->ns_fd, CLONE_NEWNET) != 0) {
        return false;
    }
    if (how->nofile > 0) {
        struct rlimit limit = {how->nofile, how->nofile};
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            return false;
        }
    }
    if (how->uid != 0 &&
        (setgroups(0, NULL) != 0 || setgid(how->uid) != 0 || setuid(how->uid) != 0)) {
        return false;
    }
    if (how->env != NULL) {
        set_environment(how->env);
    }
    return true;
}

static void become(const struct child_how *how, const char *const *argv, const int *in,
                   const int *out, pid_t parent)
{
    char *args[CHILD_ARGS_MAX + 1] = {NULL};
    for (size_t i = 0; argv[i] != NULL && i < CHILD_ARGS_MAX; i++) {
        args[i] = strdup(argv[i]);
    }
    if (take_shape(how, in, out)) {
        /* After a change of user, which clears it. */
        prctl(PR_SET_PDEATHSIG, how->death_signal != 0 ? how->death_signal : SIGKILL);
        if (getppid() == parent) {
            execvp(args[0], args);
        }
    }
    dprintf(STDERR_FILENO, "%s: %s\n", args[0], strerror(errno));
    _exit(EXEC_FAILED);
}

bool child_start(struct child *child, const struct child_how *how, const char *const *argv)
{
    int in[2];
    int out[2];
    *child = (struct child){.pid_fd = -1, .in_fd = -1, .out_fd = -1};
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) {
        return false;
    }
    pid_t parent = getpid();
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        become(how, argv, in, out, parent);
    }
    close(in[0]);
    close(out[1]);
    if (pid < 0) {
        close(in[1]);
        close(out[0]);
        return false;
    }
    child->pid = pid;
    child->in_fd = in[1];
    child->out_fd = out[0];
    child->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return child->pid_fd >= 0;
}

static int time_left_ms(uint64_t until_ns)
{
    uint64_t now_ns = base_clock_now_ns();
    return now_ns >= until_ns ? 0 : (int)((until_ns - now_ns) / 1000000) + 1;
}

static bool await(int fd, uint64_t until_ns)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int n = 0;
    do {
        n = poll(&wait, 1, time_left_ms(until_ns));
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

const char *child_read_line(struct child *child, uint64_t timeout_ms)
{
    uint64_t until_ns = base_clock_now_ns() + timeout_ms * 1000000;
    for (;;) {
        char *end = memchr(child->out, '\n', child->len);
        if (end != NULL) {
            size_t n = (size_t)(end - child->out);
            memcpy(child->line, child->out, n);
            child->line[n] = '\0';
            child->len -= n + 1;
            memmove(child->out, end + 1, child->len);
            return child->line;
        }
        if (child->len == sizeof(child->out) || !await(child->out_fd, until_ns)) {
            return NULL;
        }
        ssize_t got = read(child->out_fd, child->out + child->len, sizeof(child->out) - child->len);
        if (got <= 0) {
            return NULL;
        }
        child->len += (size_t)got;
    }
}

bool child_is_alive(const struct child *child)
{
    return child->pid > 0 && !await(child->pid_fd, 0);
}

static void close_all(struct child *child)
{
    child_close_input(child);
    close(child->out_fd);
    close(child->pid_fd);
    child->pid = 0;
}

int child_wait(struct child *child, uint64_t timeout_ms)
{
    int status = 0;
    if (!await(child->pid_fd, base_clock_now_ns() + timeout_ms * 1000000) ||
        waitpid(child->pid, &status, 0) != child->pid) {
        return -1;
    }
    close_all(child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void child_close_input(struct child *child)
{
    if (child->in_fd >= 0) {
        close(child->in_fd);
        child->in_fd = -1;
    }
}

void child_signal(const struct child *child, int signal)
{
    if (child->pid > 0) {
        (void)syscall(SYS_pidfd_send_signal, child->pid_fd, signal, NULL, 0);
    }
}

int child_end(struct child *child, int signal)
{
    if (child->pid <= 0) {
        return 0;
    }
    child_signal(child, signal);
    return child_wait(child, END_TIMEOUT_MS);
}

int child_run(const struct child_how *how, const char *const *argv)
{
    struct child child;
    if (!child_start(&child, how, argv)) {
        return -1;
    }
    child_close_input(&child);
    return child_wait(&child, END_TIMEOUT_MS);
}
