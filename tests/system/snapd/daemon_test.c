/* SPDX-License-Identifier: Apache-2.0 */
#include "base/compiler.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/control_client.h"
#include "tests/support/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    N_KILLS = 60,
    REGION = 1 << 20,
    NOBODY = 65534
};

static struct test_proc snapd;
static char socket_path[TEST_PATH_MAX];

static void start_with(const char *config)
{
    (void)snprintf(socket_path, sizeof(socket_path), "%s", test_path("snapd.sock"));
    const char *argv[] = {SNAPD_PROGRAM, "--socket",    socket_path,
                          "--listen",    "127.0.0.1:0", config != NULL ? "--config" : NULL,
                          config,        NULL};
    test_proc_start(&snapd, &(struct test_spawn){.argv = argv});
    (void)test_proc_wait_line(&snapd, "ready at");
}

static int start(void **state)
{
    (void)state;
    start_with(NULL);
    return 0;
}

static int end(void **state)
{
    (void)state;
    test_proc_end(&snapd);
    return 0;
}

static const char *write_config(const char *text)
{
    const char *path = test_path("snapd.conf");
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

static bool has_no_ports(void *arg)
{
    (void)arg;
    struct test_status status;
    return test_control_status(socket_path, &status) && status.n_ports == 0;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("\"%s\" lacks \"%s\"", text, part);
    }
}

static void an_application_gets_six_descriptors_that_are_sealed(void **state)
{
    (void)state;
    struct test_port port;
    assert_int_equal(test_port_attach(&port, socket_path, REGION), BASE_OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(fcntl(port.fds[i], F_GET_SEALS) &
                             (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
                         F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
        assert_int_equal(ftruncate(port.fds[i], 0), -1);
    }
    assert_int_equal(port.info.tx_bytes, REGION);
    assert_int_equal(port.info.rx_bytes, REGION);
    assert_true(port.engine->magic == SHM_MAGIC);
    assert_int_equal(port.engine->abi_version, SHM_ABI_VERSION);
    assert_int_equal(port.engine->tx_bytes, REGION);
    test_port_detach(&port);
}

static void what_snapd_writes_cannot_be_mapped_for_writing(void **state)
{
    (void)state;
    struct test_port port;
    assert_int_equal(test_port_attach(&port, socket_path, REGION), BASE_OK);
    static const int read_only[] = {1, 3};
    for (size_t i = 0; i < BASE_ARRAY_LEN(read_only); i++) {
        void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, port.fds[read_only[i]], 0);
        assert_true(at == MAP_FAILED);
        assert_int_equal(errno, EACCES);
    }
    test_port_detach(&port);
}

static void a_detached_port_is_gone_from_the_status(void **state)
{
    (void)state;
    struct test_port ports[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(test_port_attach(&ports[i], socket_path, REGION), BASE_OK);
    }
    struct test_status status;
    assert_true(test_control_status(socket_path, &status));
    assert_int_equal(status.n_ports, 3);
    assert_int_equal(status.pid, snapd.pid);
    for (int i = 0; i < 3; i++) {
        test_port_detach(&ports[i]);
    }
    test_until(has_no_ports, NULL, "no port is left");
}

/* Attaches and posts commands until it is killed. */
__attribute__((noreturn)) static void client_child(unsigned int seed)
{
    struct test_port port;
    if (test_port_attach(&port, socket_path, REGION) != BASE_OK) {
        _exit(1);
    }
    struct shm_command listen = {.opcode = SHM_OP_LISTEN, .conn = seed + 1};
    for (uint32_t i = 1;; i++) {
        listen.conn = i;
        if (shm_client_put(&port.end, &listen) == BASE_OK && shm_client_publish(&port.end)) {
            const uint64_t one = 1;
            (void)!write(port.fds[4], &one, sizeof(one));
        }
    }
}

static void clients_killed_at_any_moment_leave_nothing(void **state)
{
    (void)state;
    struct test_port witness;
    assert_int_equal(test_port_attach(&witness, socket_path, REGION), BASE_OK);
    for (unsigned int i = 0; i < N_KILLS; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            client_child(i);
        }
        /* From before it connected to long after it attached: a growing number of turns. */
        for (unsigned int turn = 0; turn < i * i / 4; turn++) {
            (void)sched_yield();
        }
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
    assert_true(shm_client_closed(&witness.end) == SHM_REASON_NONE);
    test_port_detach(&witness);
    test_until(has_no_ports, NULL, "no port is left");
    assert_true(test_control_counter(socket_path, "ports_attached") > 1);
    assert_true(test_proc_is_alive(&snapd));
}

static void a_second_snapd_is_refused_and_the_first_goes_on(void **state)
{
    (void)state;
    struct test_proc second;
    test_proc_run(&second, SNAPD_PROGRAM, "--socket", socket_path, "--listen", "127.0.0.1:0", NULL);
    assert_int_equal(test_proc_wait(&second), 1);
    assert_has(test_proc_output(&second), "another snapd");
    assert_has(test_proc_output(&second), "--socket");
    struct test_status status;
    assert_true(test_control_status(socket_path, &status));
    assert_int_equal(status.pid, snapd.pid);
}

static void a_stale_socket_is_replaced(void **state)
{
    (void)state;
    struct test_status before;
    assert_true(test_control_status(socket_path, &before));
    test_proc_end(&snapd);
    struct stat st;
    assert_int_equal(stat(socket_path, &st), 0);
    start_with(NULL);
    struct test_status after;
    assert_true(test_control_status(socket_path, &after));
    assert_int_equal(after.pid, snapd.pid);
    assert_true(after.instance != before.instance);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
    (void)state;
    const char *path = write_config("precious\n");
    struct test_proc other;
    test_proc_run(&other, SNAPD_PROGRAM, "--socket", path, "--listen", "127.0.0.1:0", NULL);
    assert_int_equal(test_proc_wait(&other), 1);
    assert_has(test_proc_output(&other), "is no socket");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 9);
}

static void sigterm_tells_applications_and_removes_the_socket(void **state)
{
    (void)state;
    struct test_port port;
    assert_int_equal(test_port_attach(&port, socket_path, REGION), BASE_OK);
    test_proc_signal(&snapd, SIGTERM);
    assert_int_equal(test_proc_wait(&snapd), 0);
    assert_int_equal(shm_client_closed(&port.end), SHM_REASON_SHUTDOWN);
    struct pollfd notification = {.fd = port.fds[5], .events = POLLIN};
    assert_int_equal(poll(&notification, 1, TEST_DEADLINE_MS), 1);
    struct stat st;
    assert_int_equal(stat(socket_path, &st), -1);
    test_port_detach(&port);
}

static void an_unknown_key_is_refused_with_its_line(void **state)
{
    (void)state;
    const char *path = write_config("[snapd]\nengines = 1\nlogg_level = info\n");
    struct test_proc bad;
    test_proc_run(&bad, SNAPD_PROGRAM, "--config", path, "--check-config", NULL);
    assert_int_equal(test_proc_wait(&bad), 2);
    assert_has(test_proc_output(&bad), "snapd.conf:3: unknown key \"logg_level\"");
    assert_has(test_proc_output(&bad), "did you mean \"log_level\"");
}

static void limits_refuse_with_the_key_to_raise(void **state)
{
    (void)state;
    test_proc_end(&snapd);
    start_with(write_config("[limits]\nports_per_user = 1\n"));
    struct test_port first;
    struct test_port second;
    assert_int_equal(test_port_attach(&first, socket_path, REGION), BASE_OK);
    assert_int_equal(test_port_attach(&second, socket_path, REGION), BASE_E_LIMIT);
    assert_has(base_error_last_note(), "ports_per_user");
    test_port_detach(&first);
    test_until(has_no_ports, NULL, "no port is left");
    assert_int_equal(test_port_attach(&second, socket_path, REGION), BASE_OK);
    test_port_detach(&second);
}

static void several_engines_share_the_ports(void **state)
{
    (void)state;
    test_proc_end(&snapd);
    start_with(write_config("[snapd]\nengines = 2\n"));
    struct test_port ports[4];
    uint32_t at_first = 0;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(test_port_attach(&ports[i], socket_path, REGION), BASE_OK);
        at_first += ports[i].info.engine == 0;
    }
    assert_int_equal(at_first, 2);
    struct test_status status;
    assert_true(test_control_status(socket_path, &status));
    assert_int_equal(status.n_engines, 2);
    assert_int_equal(status.n_ports, 4);
    for (int i = 0; i < 4; i++) {
        test_port_detach(&ports[i]);
    }
}

static void an_ordinary_user_runs_it_under_xdg_runtime_dir(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    char dir[TEST_PATH_MAX];
    char env[TEST_PATH_MAX + 32];
    (void)snprintf(dir, sizeof(dir), "%s", test_path("xdg"));
    (void)snprintf(env, sizeof(env), "XDG_RUNTIME_DIR=%s", dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(chown(dir, NOBODY, NOBODY), 0);
    const char *argv[] = {SNAPD_PROGRAM, "--listen", "127.0.0.1:0", NULL};
    const char *vars[] = {"SNAPD_SOCKET", env, NULL};
    struct test_proc user;
    test_proc_start(&user, &(struct test_spawn){.argv = argv, .env = vars, .uid = NOBODY});
    const char *line = test_proc_wait_line(&user, "ready at");
    assert_has(line, "xdg/snaprpc/snapd.sock");
    struct test_port port;
    assert_int_equal(test_port_attach(&port, test_path("xdg/snaprpc/snapd.sock"), REGION), BASE_OK);
    test_port_detach(&port);
    test_proc_signal(&user, SIGTERM);
    assert_int_equal(test_proc_wait(&user), 0);
}

static void the_command_prints_status_and_says_why_it_cannot(void **state)
{
    (void)state;
    struct test_proc cli;
    test_proc_run(&cli, SNAPRPC_PROGRAM, "status", "--json", "--socket", socket_path, NULL);
    assert_int_equal(test_proc_wait(&cli), 0);
    assert_has(test_proc_output(&cli), "\"schema_version\": 1");
    test_proc_run(&cli, SNAPRPC_PROGRAM, "status", "--socket", socket_path, NULL);
    assert_int_equal(test_proc_wait(&cli), 0);
    assert_has(test_proc_output(&cli), "Engines");
    test_proc_run(&cli, SNAPRPC_PROGRAM, "status", "--socket", "/nonexistent", NULL);
    assert_int_equal(test_proc_wait(&cli), 1);
    assert_has(test_proc_output(&cli), "no snapd is running there");
    test_proc_run(&cli, SNAPRPC_PROGRAM, "stratus", NULL);
    assert_int_equal(test_proc_wait(&cli), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
        T(an_application_gets_six_descriptors_that_are_sealed),
        T(what_snapd_writes_cannot_be_mapped_for_writing),
        T(a_detached_port_is_gone_from_the_status),
        T(clients_killed_at_any_moment_leave_nothing),
        T(a_second_snapd_is_refused_and_the_first_goes_on),
        T(a_stale_socket_is_replaced),
        T(a_file_that_is_no_socket_is_left_alone),
        T(sigterm_tells_applications_and_removes_the_socket),
        T(an_unknown_key_is_refused_with_its_line),
        T(limits_refuse_with_the_key_to_raise),
        T(several_engines_share_the_ports),
        T(an_ordinary_user_runs_it_under_xdg_runtime_dir),
        T(the_command_prints_status_and_says_why_it_cannot),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
