/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/proc.h"

#include "base/clock.h"
#include "tests/support/cmocka_all.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    PAUSE_NS = 2 * BASE_NS_PER_MS,
    OUTPUT_MAX = 65536,
    PATHS = 8,
    CANNOT_RUN = 126
};

static char folder[TEST_PATH_MAX];
static pid_t owner; /* the process that made the folder: its children leave it alone */
static unsigned int n_started;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

/* NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c): see on_interrupt() */
static void clean_up(void)
{
    if (getpid() != owner) {
        return;
    }
    if (folder[0] != '\0') {
        /* NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c): see on_interrupt() */
        (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        folder[0] = '\0';
    }
}

/* Not async-signal-safe in the letter; the alternative is to leave folders behind. */
static void on_interrupt(int sig)
{
    clean_up(); /* NOLINT(bugprone-signal-handler,cert-sig30-c): see above */
    (void)signal(sig, SIG_DFL);
    (void)raise(sig);
}

static void set_up(void)
{
    if (owner == getpid()) {
        return;
    }
    owner = getpid();
    (void)atexit(clean_up);
    (void)signal(SIGINT, on_interrupt);
    (void)signal(SIGTERM, on_interrupt);
    (void)signal(SIGHUP, on_interrupt);
}

const char *test_folder(void)
{
    set_up();
    if (folder[0] == '\0') {
        const char *tmp = getenv("TMPDIR");
        (void)snprintf(folder, sizeof(folder), "%s/snaprpc-test.XXXXXX",
                       tmp != NULL && strlen(tmp) < 64 ? tmp : "/tmp");
        if (mkdtemp(folder) == NULL) {
            fail_msg("cannot make %s: %s", folder, strerror(errno));
        }
        /* Programs that run as another user must get at sockets in here. */
        (void)chmod(folder, 0755);
    }
    return folder;
}

const char *test_path(const char *name)
{
    static char paths[PATHS][TEST_PATH_MAX + 64];
    static size_t next;
    char *path = paths[next++ % PATHS];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", test_folder(), name);
    return path;
}

static void pause_a_little(void)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    (void)nanosleep(&pause, NULL);
}

void test_until(bool (*holds)(void *arg), void *arg, const char *what)
{
    uint64_t end_ns = base_clock_now_ns() + (uint64_t)TEST_DEADLINE_MS * BASE_NS_PER_MS;
    while (!holds(arg)) {
        if (base_clock_now_ns() > end_ns) {
            fail_msg("not within %d s: %s", TEST_DEADLINE_MS / 1000, what);
        }
        pause_a_little();
    }
}

static void set_env(const char *const *env)
{
    for (; env != NULL && *env != NULL; env++) {
        const char *equals = strchr(*env, '=');
        if (equals == NULL) {
            (void)unsetenv(*env);
            continue;
        }
        char name[64];
        (void)snprintf(name, sizeof(name), "%.*s", (int)(equals - *env), *env);
        (void)setenv(name, equals + 1, 1);
    }
}

__attribute__((noreturn)) static void run_child(const struct test_proc *proc,
                                                const struct test_spawn *spawn, pid_t parent)
{
    int log = open(proc->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
    int null = open("/dev/null", O_RDONLY);
    if (log < 0 || null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0) {
        _exit(CANNOT_RUN);
    }
    if (spawn->max_files != 0) {
        const struct rlimit limit = {.rlim_cur = spawn->max_files, .rlim_max = spawn->max_files};
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (spawn->uid != 0 && (setgid((gid_t)spawn->uid) != 0 || setuid((uid_t)spawn->uid) != 0)) {
        _exit(CANNOT_RUN);
    }
    set_env(spawn->env);
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    /* After the last change of identity, which would clear it. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(CANNOT_RUN);
    }
    /* execv takes the words without const, and does not change them. */
    (void)execv(spawn->argv[0], (char *const *)(uintptr_t)spawn->argv);
    (void)fprintf(stderr, "cannot run %s: %s\n", spawn->argv[0], strerror(errno));
    _exit(CANNOT_RUN);
}

void test_proc_start(struct test_proc *proc, const struct test_spawn *spawn)
{
    const char *slash = strrchr(spawn->argv[0], '/');
    *proc = (struct test_proc){.pid = 0};
    (void)snprintf(proc->name, sizeof(proc->name), "%.31s",
                   slash != NULL ? slash + 1 : spawn->argv[0]);
    char file[64];
    (void)snprintf(file, sizeof(file), "%.31s-%u.log", proc->name, ++n_started);
    (void)snprintf(proc->log_path, sizeof(proc->log_path), "%.190s/%s", test_folder(), file);
    pid_t parent = getpid();
    proc->pid = fork();
    if (proc->pid == 0) {
        run_child(proc, spawn, parent);
    }
    assert_true(proc->pid > 0);
}

void test_proc_run(struct test_proc *proc, const char *path, ...)
{
    const char *argv[TEST_ARGS_MAX + 1] = {path};
    size_t n = 1;
    va_list args;
    va_start(args, path);
    const char *arg;
    while ((arg = va_arg(args, const char *)) != NULL && n < TEST_ARGS_MAX) {
        argv[n++] = arg;
    }
    va_end(args);
    test_proc_start(proc, &(struct test_spawn){.argv = argv});
}

/* Output from byte `from` on; static storage. */
static char *read_output(const struct test_proc *proc, size_t from)
{
    static char text[OUTPUT_MAX];
    text[0] = '\0';
    FILE *file = fopen(proc->log_path, "re");
    if (file != NULL) {
        if (fseek(file, (long)from, SEEK_SET) == 0) {
            text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
        }
        (void)fclose(file);
    }
    return text;
}

const char *test_proc_output(const struct test_proc *proc)
{
    return read_output(proc, 0);
}

bool test_proc_is_alive(struct test_proc *proc)
{
    if (proc->pid > 0 && waitpid(proc->pid, &proc->status, WNOHANG) == proc->pid) {
        proc->pid = 0;
    }
    return proc->pid > 0;
}

/* A whole line with `text` in it, past what was seen before; NULL: none yet. */
static const char *find_line(struct test_proc *proc, const char *text)
{
    char *at = read_output(proc, proc->n_seen);
    for (char *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        *end = '\0';
        proc->n_seen += (size_t)(end - at) + 1;
        if (strstr(at, text) != NULL) {
            return at;
        }
    }
    return NULL;
}

const char *test_proc_wait_line(struct test_proc *proc, const char *text)
{
    uint64_t end_ns = base_clock_now_ns() + (uint64_t)TEST_DEADLINE_MS * BASE_NS_PER_MS;
    for (;;) {
        /* In this order: what it wrote before it ended is still looked at. */
        bool is_alive = test_proc_is_alive(proc);
        const char *line = find_line(proc, text);
        if (line != NULL) {
            return line;
        }
        if (!is_alive || base_clock_now_ns() > end_ns) {
            fail_msg("%s %s without a line \"%s\":\n%s", proc->name, is_alive ? "stays" : "ended",
                     text, test_proc_output(proc));
        }
        pause_a_little();
    }
}

int test_proc_wait(struct test_proc *proc)
{
    uint64_t end_ns = base_clock_now_ns() + (uint64_t)TEST_DEADLINE_MS * BASE_NS_PER_MS;
    while (test_proc_is_alive(proc)) {
        if (base_clock_now_ns() > end_ns) {
            fail_msg("%s does not end:\n%s", proc->name, test_proc_output(proc));
        }
        pause_a_little();
    }
    return WIFEXITED(proc->status) ? WEXITSTATUS(proc->status) : 128 + WTERMSIG(proc->status);
}

void test_proc_signal(const struct test_proc *proc, int sig)
{
    assert_true(proc->pid > 0);
    assert_int_equal(kill(proc->pid, sig), 0);
}

void test_proc_end(struct test_proc *proc)
{
    if (proc->pid > 0) {
        (void)kill(proc->pid, SIGKILL);
        (void)waitpid(proc->pid, &proc->status, 0);
        proc->pid = 0;
    }
}
