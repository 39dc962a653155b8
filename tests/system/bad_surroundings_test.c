/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What stands in the way of a program that does everything right: a snapd that it may not use, that
 * speaks another version, that hangs, or is something else; an address in use. Calls go over TCP, and
 * the log says what is wrong and what to do.
 */

#include "ledger.snap.h"
#include "tests/support/cmocka_all.h"
#include "tests/system/caller.h"
#include "transport/pony/abi/control.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    NOBODY = 65534,
    OTHER_ABI = 99
};

static struct world world;
static struct caller caller;
static pid_t fake_pid;

static int set_up(void **state)
{
    (void)state;
    caller = (struct caller){.loop = NULL};
    fake_pid = 0;
    world_init(&world, false);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    caller_close(&caller);
    if (fake_pid > 0) {
        (void)kill(fake_pid, SIGKILL);
        (void)waitpid(fake_pid, NULL, 0);
    }
    world_fini(&world);
    return 0;
}

static void start(void)
{
    const struct caller_how how = {.transport = SNAP_TRANSPORT_AUTO};
    caller_open(&caller, &world, &how);
}

static void expect_tcp_because(const char *text)
{
    assert_true(caller_reaches(&caller, SNAP_TRANSPORT_TCP, SNAP_WHY_NO_SNAPD));
    if (!caller_logged(&caller, text) || !caller_logged(&caller, world.socket[0])) {
        fail_msg("no line with \"%s\" and \"%s\" in:\n%s", text, world.socket[0], caller.log);
    }
}

static void a_socket_that_may_not_be_opened_is_named_with_the_remedy(void **state)
{
    (void)state;
    (void)snprintf(world.settings[0], sizeof(world.settings[0]), "[snapd]\nsocket_mode = 0600\n");
    world_start_snapd(&world, 0);
    world_start_server(&world);
    if (seteuid(NOBODY) != 0) {
        world.is_good = true;
        print_message("not root: cannot become somebody else\n");
        skip();
    }
    start();
    expect_tcp_because("not permitted to use snapd");
    caller_close(&caller);
    assert_int_equal(seteuid(0), 0);
    world.is_good = true;
}

static int listen_as_snapd(int type)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s", world.socket[0]);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

/** Answers every request as a snapd of another version would. */
static void be_another_snapd(int listener)
{
    static uint8_t bytes[PONY_CONTROL_MAX_BYTES];
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        size_t len = 0;
        char message[] = "only version 99 here";
        Pony__Control__Error error = PONY__CONTROL__ERROR__INIT;
        Pony__Control__Reply reply = PONY__CONTROL__REPLY__INIT;
        reply.id = 1;
        reply.abi_version = OTHER_ABI;
        reply.what_case = PONY__CONTROL__REPLY__WHAT_ERROR;
        reply.error = &error;
        error.code = pony_control_err_to_wire(BASE_E_VERSION);
        error.message = message;
        if (recv(fd, bytes, sizeof(bytes), 0) > 0 &&
            pony_control_pack_reply(&reply, bytes, &len) == BASE_OK) {
            (void)send(fd, bytes, len, MSG_NOSIGNAL);
        }
        close(fd);
    }
}

static void a_snapd_of_another_version_is_told_with_both_versions(void **state)
{
    (void)state;
    world_start_server(&world);
    int listener = listen_as_snapd(SOCK_SEQPACKET);
    (void)fflush(NULL);
    fake_pid = fork();
    assert_true(fake_pid >= 0);
    if (fake_pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        be_another_snapd(listener);
    }
    close(listener);
    start();
    expect_tcp_because("speaks ABI version 99, this program version 1");
    world.is_good = true;
}

static void a_socket_of_something_else_is_told_as_such(void **state)
{
    (void)state;
    world_start_server(&world);
    int listener = listen_as_snapd(SOCK_STREAM);
    start();
    expect_tcp_because("is not snapd's socket: check SNAPD_SOCKET");
    close(listener);
    world.is_good = true;
}

static void a_snapd_that_does_not_answer_holds_nothing_up(void **state)
{
    (void)state;
    world_start_snapd(&world, 0);
    world_start_server(&world);
    child_signal(&world.snapd[0], SIGSTOP);
    start();
    caller_expect_ok(&caller, 2);
    assert_int_equal(caller.info.transport, SNAP_TRANSPORT_TCP);
    assert_int_equal(caller.info.why, SNAP_WHY_PONY_CONNECTING);
    expect_tcp_because("does not answer: is it stuck?");
    child_signal(&world.snapd[0], SIGCONT);
    assert_true(caller_reaches(&caller, SNAP_TRANSPORT_PONY, SNAP_WHY_PONY_UP));
    world.is_good = true;
}

static void an_address_in_use_is_named(void **state)
{
    const Ledger__Ledger__Handlers handlers = {.hold = NULL};
    struct snap_server *server = NULL;
    (void)state;
    world_start_server(&world);
    start();
    struct snap_status status = snap_server_create(caller.loop, NULL, &server);
    assert_string_equal(status.message, "");
    status = ledger__ledger__serve(server, &handlers, NULL);
    assert_string_equal(status.message, "");
    status = snap_server_listen(server, world.target);
    expect_status(&status, SNAP_ALREADY_EXISTS, world.target);
    status = snap_server_listen(server, "127.0.0.1:0");
    assert_string_equal(status.message, "");
    snap_server_stop(server, 0);
    caller_expect_ok(&caller, 1);
    world.is_good = true;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_socket_that_may_not_be_opened_is_named_with_the_remedy),
        CASE(a_snapd_of_another_version_is_told_with_both_versions),
        CASE(a_socket_of_something_else_is_told_as_such),
        CASE(a_snapd_that_does_not_answer_holds_nothing_up),
        CASE(an_address_in_use_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
