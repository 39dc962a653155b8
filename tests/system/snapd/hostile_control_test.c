/* SPDX-License-Identifier: Apache-2.0 */
#include "base/compiler.h"
#include "base/rng.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/control_client.h"
#include "tests/support/proc.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    REGION = 1 << 20,
    N_GARBAGE = 300,
    N_FLOOD = 20000,
    FEW_FILES = 40,
    MANY_SESSIONS = 60
};

static struct test_proc snapd;
static char socket_path[TEST_PATH_MAX];

static void start_with_files(unsigned int max_files)
{
    (void)snprintf(socket_path, sizeof(socket_path), "%s", test_path("snapd.sock"));
    const char *argv[] = {SNAPD_PROGRAM, "--socket", socket_path, "--listen", "127.0.0.1:0", NULL};
    test_proc_start(&snapd, &(struct test_spawn){.argv = argv, .max_files = max_files});
    (void)test_proc_wait_line(&snapd, "ready at");
}

static int start(void **state)
{
    (void)state;
    start_with_files(0);
    return 0;
}

/* Whatever a case did: snapd is there, serves others, and ends in order. */
static int end_well(void **state)
{
    (void)state;
    struct test_port port;
    assert_int_equal(test_port_attach(&port, socket_path, REGION), BASE_OK);
    test_port_detach(&port);
    test_proc_signal(&snapd, SIGTERM);
    assert_int_equal(test_proc_wait(&snapd), 0);
    return 0;
}

static bool is_closed_by_snapd(struct test_control *control)
{
    Pony__Control__Reply *reply = NULL;
    bool is_open = test_control_receive(control, &reply, NULL, 0, NULL);
    if (is_open) {
        pony__control__reply__free_unpacked(reply, NULL);
    }
    return !is_open;
}

static void garbage_ends_that_session_only(void **state)
{
    (void)state;
    struct test_port witness;
    assert_int_equal(test_port_attach(&witness, socket_path, REGION), BASE_OK);
    struct base_rng rng;
    base_rng_init(&rng, 20);
    for (int i = 0; i < N_GARBAGE; i++) {
        struct test_control control;
        test_control_open(&control, socket_path);
        uint8_t bytes[512];
        size_t len = (size_t)base_rng_range(&rng, 1, sizeof(bytes));
        for (size_t k = 0; k < len; k++) {
            bytes[k] = (uint8_t)base_rng_u64(&rng);
        }
        /* A group end that nothing began: no message of protobuf's starts with it. */
        bytes[0] = 0x04;
        (void)test_control_send(&control, bytes, len);
        assert_true(is_closed_by_snapd(&control));
        test_control_close(&control);
    }
    assert_true(test_control_counter(socket_path, "sessions_malformed") >= N_GARBAGE);
    assert_true(shm_client_closed(&witness.end) == SHM_REASON_NONE);
    test_port_detach(&witness);
}

static void a_message_that_is_too_long_ends_the_session(void **state)
{
    (void)state;
    struct test_control control;
    test_control_open(&control, socket_path);
    static uint8_t bytes[PONY_CONTROL_MAX_BYTES + 1];
    assert_true(test_control_send(&control, bytes, sizeof(bytes)));
    assert_true(is_closed_by_snapd(&control));
    test_control_close(&control);
}

static void descriptors_from_an_application_end_the_session(void **state)
{
    (void)state;
    struct test_control control;
    test_control_open(&control, socket_path);
    const int fds[] = {control.fd, control.fd};
    struct iovec iov = {.iov_base = (char[1]){0}, .iov_len = 1};
    _Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(fds))] = {0};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(fds));
    memcpy(CMSG_DATA(c), fds, sizeof(fds));
    assert_int_equal(sendmsg(control.fd, &msg, MSG_NOSIGNAL), 1);
    assert_true(is_closed_by_snapd(&control));
    test_control_close(&control);
}

static void another_abi_version_is_told_both_versions(void **state)
{
    (void)state;
    struct test_control control;
    test_control_open(&control, socket_path);
    Pony__Control__StatusRequest what = PONY__CONTROL__STATUS_REQUEST__INIT;
    Pony__Control__Request request = PONY__CONTROL__REQUEST__INIT;
    request.abi_version = 4711;
    request.what_case = PONY__CONTROL__REQUEST__WHAT_STATUS;
    request.status = &what;
    Pony__Control__Reply *reply = test_control_ask(&control, &request);
    assert_int_equal(reply->what_case, PONY__CONTROL__REPLY__WHAT_ERROR);
    assert_int_equal(pony_control_err_from_wire(reply->error->code), BASE_E_VERSION);
    assert_non_null(strstr(reply->error->message, "version 1"));
    assert_non_null(strstr(reply->error->message, "version 4711"));
    assert_int_equal(reply->abi_version, SHM_ABI_VERSION);
    pony__control__reply__free_unpacked(reply, NULL);
    test_control_close(&control);
}

static void replies_that_nobody_reads_hold_up_nobody_else(void **state)
{
    (void)state;
    struct test_control flood;
    test_control_open(&flood, socket_path);
    int flags = fcntl(flood.fd, F_GETFL);
    assert_int_equal(fcntl(flood.fd, F_SETFL, flags | O_NONBLOCK), 0);
    uint8_t bytes[256];
    size_t len = 0;
    Pony__Control__StatusRequest what = PONY__CONTROL__STATUS_REQUEST__INIT;
    Pony__Control__Request request = PONY__CONTROL__REQUEST__INIT;
    request.id = 1;
    request.abi_version = SHM_ABI_VERSION;
    request.what_case = PONY__CONTROL__REQUEST__WHAT_STATUS;
    request.status = &what;
    assert_int_equal(pony_control_pack_request(&request, bytes, &len), BASE_OK);
    uint32_t n_sent = 0;
    for (int i = 0; i < N_FLOOD; i++) {
        n_sent += send(flood.fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
        if (i % 1000 == 0) {
            struct test_status status;
            assert_true(test_control_status(socket_path, &status));
        }
    }
    /* snapd stopped reading, so the socket filled up. */
    assert_in_range(n_sent, 1, N_FLOOD - 1);
    test_control_close(&flood);
}

static void a_cursor_that_lies_ends_that_port_only(void **state)
{
    (void)state;
    struct test_port liar;
    struct test_port witness;
    assert_int_equal(test_port_attach(&witness, socket_path, REGION), BASE_OK);
    assert_int_equal(test_port_attach(&liar, socket_path, REGION), BASE_OK);
    atomic_store(&liar.client->cmd_tail, liar.info.cmd_slots + 1);
    const uint64_t one = 1;
    assert_int_equal(write(liar.fds[4], &one, sizeof(one)), sizeof(one));
    assert_true(is_closed_by_snapd(&liar.control));
    assert_int_equal(shm_client_closed(&liar.end), SHM_REASON_BAD_COMMAND);
    (void)test_proc_wait_line(&snapd, "broke the ABI");
    assert_int_equal(test_control_counter(socket_path, "ports_faulty"), 1);
    assert_true(shm_client_closed(&witness.end) == SHM_REASON_NONE);
    test_port_detach(&liar);
    test_port_detach(&witness);
}

/* An eventfd that both hold would block the engine here; a read of the doorbell, too. */
static void bells_cannot_block_the_engine(void **state)
{
    (void)state;
    struct test_port port;
    struct test_port witness;
    assert_int_equal(test_port_attach(&port, socket_path, REGION), BASE_OK);
    assert_int_equal(test_port_attach(&witness, socket_path, REGION), BASE_OK);
    for (int i = 4; i < 6; i++) {
        int flags = fcntl(port.fds[i], F_GETFL);
        assert_int_equal(fcntl(port.fds[i], F_SETFL, flags & ~O_NONBLOCK), 0);
    }
    const uint64_t nearly_full = UINT64_MAX - 1;
    assert_int_equal(write(port.fds[4], &nearly_full, sizeof(nearly_full)), sizeof(nearly_full));
    struct shm_command listen = {.opcode = SHM_OP_LISTEN};
    for (uint32_t i = 1; i < 200; i++) {
        listen.conn = i;
        (void)shm_client_set_asleep(&port.end, SHM_CLIENT_ASLEEP_ALL);
        assert_int_equal(shm_client_put(&port.end, &listen), BASE_OK);
        (void)shm_client_publish(&port.end);
        struct test_status status;
        assert_true(test_control_status(socket_path, &status));
    }
    test_port_detach(&port);
    test_port_detach(&witness);
}

static void addresses_are_remembered_and_nonsense_is_refused(void **state)
{
    (void)state;
    struct test_control control;
    test_control_open(&control, socket_path);
    static char target[] = "example:7000";
    static char good[] = "pony:10.0.0.1:4741/0123456789abcdef/0000000000000007";
    static char bad[] = "tcp:10.0.0.1:80";
    Pony__Control__Remember remember = PONY__CONTROL__REMEMBER__INIT;
    remember.target = target;
    Pony__Control__Lookup lookup = PONY__CONTROL__LOOKUP__INIT;
    lookup.target = target;

    static const struct {
        char *address;
        const char *found;
        bool is_good;
    } steps[] = {{good, good, true}, {bad, good, false}, {(char *)"", "", true}};

    for (size_t i = 0; i < BASE_ARRAY_LEN(steps); i++) {
        Pony__Control__Request request = PONY__CONTROL__REQUEST__INIT;
        remember.address = steps[i].address;
        request.what_case = PONY__CONTROL__REQUEST__WHAT_REMEMBER;
        request.remember = &remember;
        Pony__Control__Reply *reply = test_control_ask(&control, &request);
        assert_int_equal(reply->what_case == PONY__CONTROL__REPLY__WHAT_DONE, steps[i].is_good);
        pony__control__reply__free_unpacked(reply, NULL);
        request.what_case = PONY__CONTROL__REQUEST__WHAT_LOOKUP;
        request.lookup = &lookup;
        reply = test_control_ask(&control, &request);
        assert_int_equal(reply->what_case, PONY__CONTROL__REPLY__WHAT_FOUND);
        assert_string_equal(reply->found->address, steps[i].found);
        pony__control__reply__free_unpacked(reply, NULL);
    }
    test_control_close(&control);
}

static bool answers(void *arg)
{
    (void)arg;
    struct test_status status;
    return test_control_status(socket_path, &status);
}

static int start_with_few_files(void **state)
{
    (void)state;
    start_with_files(FEW_FILES);
    return 0;
}

static void out_of_descriptors_it_waits_and_goes_on(void **state)
{
    (void)state;
    static struct test_control sessions[MANY_SESSIONS];
    for (int i = 0; i < MANY_SESSIONS; i++) {
        test_control_open(&sessions[i], socket_path);
    }
    (void)test_proc_wait_line(&snapd, "cannot accept a connection");
    for (int i = 0; i < MANY_SESSIONS; i++) {
        test_control_close(&sessions[i]);
    }
    test_until(answers, NULL, "snapd answers again");
    /* One per second, not one per turn of the loop. */
    assert_in_range(test_control_counter(socket_path, "accept_pauses"), 1, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, start, end_well)
        T(garbage_ends_that_session_only),
        T(a_message_that_is_too_long_ends_the_session),
        T(descriptors_from_an_application_end_the_session),
        T(another_abi_version_is_told_both_versions),
        T(replies_that_nobody_reads_hold_up_nobody_else),
        T(a_cursor_that_lies_ends_that_port_only),
        T(bells_cannot_block_the_engine),
        T(addresses_are_remembered_and_nonsense_is_refused),
        cmocka_unit_test_setup_teardown(out_of_descriptors_it_waits_and_goes_on,
                                        start_with_few_files, end_well),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
