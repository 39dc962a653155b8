/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/control_client.h"

#include "base/fd.h"
#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    TIMEOUT_S = 10
};

bool test_control_connect(struct test_control *control, const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    *control = (struct test_control){.next_id = 1};
    control->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(control->fd >= 0);
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    assert_int_equal(setsockopt(control->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)),
                     0);
    if (connect(control->fd, (const struct sockaddr *)&name, sizeof(name)) != 0) {
        base_fd_close(&control->fd);
        return false;
    }
    return true;
}

void test_control_open(struct test_control *control, const char *path)
{
    if (!test_control_connect(control, path)) {
        fail_msg("cannot connect to %s: %s", path, strerror(errno));
    }
}

void test_control_close(struct test_control *control)
{
    base_fd_close(&control->fd);
}

bool test_control_send(struct test_control *control, const void *bytes, size_t len)
{
    enum base_err err = base_fd_send_msg(control->fd, bytes, len, NULL, 0);
    assert_true(err == BASE_OK || err == BASE_E_CLOSED || err == BASE_E_RESET);
    return err == BASE_OK;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): filled through msg */
bool test_control_receive(struct test_control *control, Pony__Control__Reply **reply, int *fds,
                          uint32_t max_fds, uint32_t *n_fds)
{
    static uint8_t bytes[PONY_CONTROL_MAX_BYTES];
    struct base_fd_msg msg = {
        .data = bytes, .capacity = sizeof(bytes), .fds = fds, .max_fds = max_fds};
    enum base_err err = base_fd_recv_msg(control->fd, &msg);
    if (err == BASE_E_CLOSED || err == BASE_E_RESET || err == BASE_E_IO) {
        return false;
    }
    assert_int_equal(err, BASE_OK);
    assert_int_equal(pony_control_unpack_reply(bytes, msg.len, reply), BASE_OK);
    if (n_fds != NULL) {
        *n_fds = msg.n_fds;
    }
    return true;
}

static void send_request(struct test_control *control, Pony__Control__Request *request)
{
    static uint8_t bytes[PONY_CONTROL_MAX_BYTES];
    size_t len = 0;
    request->id = control->next_id++;
    if (request->abi_version == 0) {
        request->abi_version = SHM_ABI_VERSION;
    }
    assert_int_equal(pony_control_pack_request(request, bytes, &len), BASE_OK);
    assert_true(test_control_send(control, bytes, len));
}

Pony__Control__Reply *test_control_ask(struct test_control *control,
                                       Pony__Control__Request *request)
{
    Pony__Control__Reply *reply = NULL;
    send_request(control, request);
    assert_true(test_control_receive(control, &reply, NULL, 0, NULL));
    assert_true(reply->id == request->id);
    return reply;
}

static void *map(int fd, size_t bytes, int prot)
{
    void *at = mmap(NULL, bytes, prot, MAP_SHARED, fd, 0);
    assert_true(at != MAP_FAILED);
    return at;
}

static size_t area_bytes(uint32_t slots)
{
    return SHM_SLOTS_OFF + (size_t)slots * SHM_SLOT_BYTES;
}

enum base_err test_port_attach(struct test_port *port, const char *path, uint64_t region_bytes)
{
    *port = (struct test_port){.fds = {-1, -1, -1, -1, -1, -1}};
    test_control_open(&port->control, path);
    Pony__Control__Attach attach = PONY__CONTROL__ATTACH__INIT;
    char program[] = "test";
    attach.program = program;
    attach.tx_bytes = region_bytes;
    attach.rx_bytes = region_bytes;
    Pony__Control__Request request = PONY__CONTROL__REQUEST__INIT;
    request.what_case = PONY__CONTROL__REQUEST__WHAT_ATTACH;
    request.attach = &attach;
    send_request(&port->control, &request);
    Pony__Control__Reply *reply = NULL;
    uint32_t n_fds = 0;
    assert_true(test_control_receive(&port->control, &reply, port->fds, SHM_N_FDS, &n_fds));
    enum base_err err = BASE_OK;
    if (reply->what_case == PONY__CONTROL__REPLY__WHAT_ERROR) {
        err = pony_control_err_from_wire(reply->error->code);
        base_error_note("%s", reply->error->message);
        test_control_close(&port->control);
    } else {
        assert_int_equal(reply->what_case, PONY__CONTROL__REPLY__WHAT_ATTACHED);
        assert_int_equal(n_fds, SHM_N_FDS);
        port->info = *reply->attached;
        port->client = map(port->fds[0], area_bytes(port->info.cmd_slots), PROT_READ | PROT_WRITE);
        port->engine = map(port->fds[1], area_bytes(port->info.cpl_slots), PROT_READ);
        port->tx = map(port->fds[2], port->info.tx_bytes, PROT_READ | PROT_WRITE);
        port->rx = map(port->fds[3], port->info.rx_bytes, PROT_READ);
        shm_client_end_init(&port->end, port->client, port->engine, port->info.cmd_slots,
                            port->info.cpl_slots);
    }
    pony__control__reply__free_unpacked(reply, NULL);
    return err;
}

void test_port_detach(struct test_port *port)
{
    if (port->client != NULL) {
        (void)munmap(port->client, area_bytes(port->info.cmd_slots));
        (void)munmap((void *)(uintptr_t)port->engine, area_bytes(port->info.cpl_slots));
        (void)munmap(port->tx, port->info.tx_bytes);
        (void)munmap((void *)(uintptr_t)port->rx, port->info.rx_bytes);
        port->client = NULL;
    }
    for (int i = 0; i < SHM_N_FDS; i++) {
        base_fd_close(&port->fds[i]);
    }
    test_control_close(&port->control);
}

typedef void on_piece_fn(void *arg, const Pony__Control__StatusReply *piece);

static bool walk_status(const char *path, on_piece_fn *on_piece, void *arg)
{
    struct test_control control;
    if (!test_control_connect(&control, path)) {
        return false;
    }
    Pony__Control__StatusRequest what = PONY__CONTROL__STATUS_REQUEST__INIT;
    Pony__Control__Request request = PONY__CONTROL__REQUEST__INIT;
    request.what_case = PONY__CONTROL__REQUEST__WHAT_STATUS;
    request.status = &what;
    send_request(&control, &request);
    bool has_more = true;
    while (has_more) {
        Pony__Control__Reply *reply = NULL;
        if (!test_control_receive(&control, &reply, NULL, 0, NULL)) {
            test_control_close(&control);
            return false;
        }
        assert_int_equal(reply->what_case, PONY__CONTROL__REPLY__WHAT_STATUS);
        on_piece(arg, reply->status);
        has_more = reply->more;
        pony__control__reply__free_unpacked(reply, NULL);
    }
    test_control_close(&control);
    return true;
}

static void sum_piece(void *arg, const Pony__Control__StatusReply *piece)
{
    struct test_status *status = arg;
    status->n_pieces++;
    status->n_engines += (uint32_t)piece->n_engines;
    status->n_ports += (uint32_t)piece->n_ports;
    status->n_flows += (uint32_t)piece->n_flows;
    status->n_connections += (uint32_t)piece->n_connections;
    if (piece->daemon != NULL) {
        status->pid = piece->daemon->pid;
        status->instance = piece->daemon->instance;
    }
}

bool test_control_status(const char *path, struct test_status *status)
{
    *status = (struct test_status){.n_pieces = 0};
    return walk_status(path, sum_piece, status);
}

struct search {
    const char *name;
    uint64_t value;
    bool is_found;
};

static void search_list(struct search *search, Pony__Control__Counter *const *list, size_t n)
{
    for (size_t i = 0; i < n && !search->is_found; i++) {
        if (strcmp(list[i]->name, search->name) == 0) {
            search->value = list[i]->value;
            search->is_found = true;
        }
    }
}

static void search_piece(void *arg, const Pony__Control__StatusReply *piece)
{
    if (piece->daemon != NULL) {
        search_list(arg, piece->daemon->counters, piece->daemon->n_counters);
    }
    if (piece->n_engines > 0) {
        search_list(arg, piece->engines[0]->counters, piece->engines[0]->n_counters);
    }
}

uint64_t test_control_counter(const char *path, const char *name)
{
    struct search search = {.name = name};
    if (!walk_status(path, search_piece, &search) || !search.is_found) {
        fail_msg("no counter %s at %s", name, path);
    }
    return search.value;
}
