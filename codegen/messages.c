/* SPDX-License-Identifier: Apache-2.0 */
#include "codegen/plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        }
    }
    return true;
}

static bool read_all(int fd, struct gen_text *out)
{
    char buffer[65536];
    for (;;) {
        ssize_t n = read(fd, buffer, sizeof(buffer));
        if (n == 0) {
            return !out->is_cut;
        }
        if (n < 0 && errno != EINTR) {
            return false;
        }
        if (n > 0) {
            gen_text_put(out, buffer, (size_t)n);
        }
    }
}

/* The request goes through a file in memory, not a pipe: so nothing has to be written while the
 * child's output is read, and neither can wait for the other. */
static int request_file(const struct gen_text *request)
{
    int fd = memfd_create("protoc-gen-snaprpc", MFD_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    if (!write_all(fd, gen_text_string(request), request->len) || lseek(fd, 0, SEEK_SET) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int spawn_with(const char *program, int in, int out, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    int err = posix_spawn_file_actions_init(&actions);
    if (err != 0) {
        return err;
    }
    /* posix_spawnp does not write to the arguments; its type only lacks the const. */
    char *argv[] = {(char *)program, NULL};
    err = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    if (err == 0) {
        err = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    }
    if (err == 0) {
        err = posix_spawnp(pid, program, &actions, NULL, argv, environ);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return err;
}

static bool wait_for(pid_t pid, int *status)
{
    pid_t ended = 0;
    do {
        ended = waitpid(pid, status, 0);
    } while (ended < 0 && errno == EINTR);
    return ended == pid;
}

static bool run_child(const char *program, int in, struct gen_text *response, struct gen_text *why)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        gen_text_printf(why, "cannot make a pipe: %s", strerror(errno));
        return false;
    }
    pid_t pid = 0;
    int err = spawn_with(program, in, ends[1], &pid);
    close(ends[1]);
    if (err != 0) {
        gen_text_printf(why,
                        "cannot run %s: %s; it is protobuf-c's generator (Debian package "
                        "protobuf-c-compiler), name it with --snaprpc_opt=messages=PROGRAM",
                        program, strerror(err));
        close(ends[0]);
        return false;
    }
    bool is_read = read_all(ends[0], response);
    close(ends[0]);
    int status = 0;
    if (!wait_for(pid, &status) || !is_read || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        gen_text_printf(why, "%s failed", program);
        return false;
    }
    return true;
}

bool gen_messages_run(const char *program, const struct gen_text *request,
                      struct gen_text *response, struct gen_text *why)
{
    int in = request_file(request);
    if (in < 0) {
        gen_text_printf(why, "cannot hand the request to %s: %s", program, strerror(errno));
        return false;
    }
    bool is_done = run_child(program, in, response, why);
    close(in);
    return is_done;
}
