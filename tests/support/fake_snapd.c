/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/fake_snapd.h"

#include "base/event.h"
#include "base/fd.h"
#include "tests/support/cmocka_all.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void fake_snapd_init(struct fake_snapd *snapd)
{
    *snapd = (struct fake_snapd){
        .listener = -1, .sock = -1, .doorbell = -1, .notification = -1, .instance = 1000};
    (void)snprintf(snapd->folder, sizeof(snapd->folder), "/tmp/snaprpc-fake-XXXXXX");
    assert_non_null(mkdtemp(snapd->folder));
    (void)snprintf(snapd->path, sizeof(snapd->path), "%s/snapd.sock", snapd->folder);
}

void fake_snapd_start(struct fake_snapd *snapd)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path, snapd->path, strlen(snapd->path));
    (void)unlink(snapd->path);
    snapd->instance++;
    snapd->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(snapd->listener >= 0);
    assert_int_equal(bind(snapd->listener, (const struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(snapd->listener, 4), 0);
}

static void unmap(struct fake_snapd *snapd)
{
    void *const maps[4] = {snapd->client, snapd->engine, snapd->tx, snapd->rx};
    for (int i = 0; i < 4; i++) {
        if (maps[i] != NULL) {
            (void)munmap(maps[i], snapd->bytes[i]);
        }
    }
    base_fd_close(&snapd->doorbell);
    base_fd_close(&snapd->notification);
    snapd->client = NULL;
    snapd->engine = NULL;
    snapd->tx = snapd->rx = NULL;
    snapd->is_attached = false;
}

void fake_snapd_hang_up(struct fake_snapd *snapd)
{
    base_fd_close(&snapd->sock);
}

void fake_snapd_kill(struct fake_snapd *snapd)
{
    base_fd_close(&snapd->listener);
    fake_snapd_hang_up(snapd);
}

void fake_snapd_fini(struct fake_snapd *snapd)
{
    fake_snapd_kill(snapd);
    unmap(snapd);
    (void)unlink(snapd->path);
    (void)rmdir(snapd->folder);
}

static void *make_memory(const char *name, size_t bytes, bool is_sealed, int *fd)
{
    *fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(*fd >= 0);
    assert_int_equal(ftruncate(*fd, (off_t)bytes), 0);
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    assert_true(at != MAP_FAILED);
    if (is_sealed) {
        assert_int_equal(fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
    }
    return at;
}

/* The same file, for reading only: what snapd passes for what it alone writes. */
static void make_read_only(int *fd)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", *fd);
    int ro = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(ro >= 0);
    base_fd_close(fd);
    *fd = ro;
}

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static void fill_attached(const struct fake_snapd *snapd, Pony__Control__Attached *a)
{
    const struct fake_plan *p = &snapd->plan;
    a->port = 1;
    a->instance = snapd->instance;
    a->udp_port = 4741;
    a->cmd_slots = (uint32_t)or_default(p->cmd_slots, FAKE_SLOTS);
    a->cpl_slots = (uint32_t)or_default(p->cpl_slots, FAKE_SLOTS);
    a->tx_bytes = or_default(p->tx_bytes, FAKE_REGION_BYTES);
    a->rx_bytes = or_default(p->rx_bytes, FAKE_REGION_BYTES);
    a->max_message_bytes = or_default(p->max_message_bytes, FAKE_REGION_BYTES);
    a->max_conns = 100;
}

static void make_port(struct fake_snapd *snapd, const Pony__Control__Attached *a, int *fds)
{
    const struct fake_plan *p = &snapd->plan;
    unmap(snapd);
    size_t cut = p->is_short ? 64 : 0;
    bool is_sealed = !p->is_unsealed;
    snapd->bytes[0] = SHM_SLOTS_OFF + (size_t)a->cmd_slots * 64 - cut;
    snapd->bytes[1] = SHM_SLOTS_OFF + (size_t)a->cpl_slots * 64 - cut;
    snapd->bytes[2] = a->tx_bytes;
    snapd->bytes[3] = a->rx_bytes;
    snapd->client = make_memory("client", snapd->bytes[0], is_sealed, &fds[0]);
    snapd->engine = make_memory("engine", snapd->bytes[1], is_sealed, &fds[1]);
    snapd->tx = make_memory("tx", snapd->bytes[2], is_sealed, &fds[2]);
    snapd->rx = make_memory("rx", snapd->bytes[3], is_sealed, &fds[3]);
    make_read_only(&fds[1]);
    make_read_only(&fds[3]);
    assert_int_equal(base_eventfd_create(&snapd->doorbell), BASE_OK);
    assert_int_equal(base_eventfd_create(&snapd->notification), BASE_OK);
    fds[4] = snapd->doorbell;
    fds[5] = snapd->notification;
    snapd->engine->magic = p->has_wrong_magic ? 1 : SHM_MAGIC;
    snapd->engine->abi_version = (uint32_t)or_default(p->area_version, SHM_ABI_VERSION);
    snapd->engine->cmd_slots = a->cmd_slots;
    snapd->engine->cpl_slots = a->cpl_slots;
    snapd->engine->tx_bytes = a->tx_bytes;
    snapd->engine->rx_bytes = a->rx_bytes + (p->lies_about_sizes ? 4096 : 0);
    shm_engine_end_init(&snapd->end, snapd->client, snapd->engine, a->cmd_slots, a->cpl_slots);
    snapd->n_commands = 0;
    snapd->is_attached = true;
    snapd->n_attached++;
}

static void reply(struct fake_snapd *snapd, Pony__Control__Reply *r, const int *fds, uint32_t n_fds)
{
    static uint8_t packet[PONY_CONTROL_MAX_BYTES];
    size_t len;
    r->abi_version = (uint32_t)or_default(snapd->plan.abi_version, SHM_ABI_VERSION);
    assert_int_equal(pony_control_pack_reply(r, packet, &len), BASE_OK);
    if (snapd->plan.is_garbage) {
        memset(packet, 0xff, len);
    }
    (void)!base_fd_send_msg(snapd->sock, packet, len, fds, n_fds);
}

static void on_attach(struct fake_snapd *snapd, Pony__Control__Reply *r)
{
    Pony__Control__Attached attached = PONY__CONTROL__ATTACHED__INIT;
    Pony__Control__Error error = PONY__CONTROL__ERROR__INIT;
    const struct fake_plan *p = &snapd->plan;
    if (p->is_silent) {
        return;
    }
    if (p->has_wrong_id) {
        r->id += 1;
    }
    if (p->error != BASE_OK) {
        error.code = pony_control_err_to_wire(p->error);
        error.message = (char *)(uintptr_t)(p->error_text != NULL ? p->error_text : "");
        r->what_case = PONY__CONTROL__REPLY__WHAT_ERROR;
        r->error = &error;
        reply(snapd, r, NULL, 0);
        return;
    }
    int fds[SHM_N_FDS];
    fill_attached(snapd, &attached);
    make_port(snapd, &attached, fds);
    r->what_case = PONY__CONTROL__REPLY__WHAT_ATTACHED;
    r->attached = &attached;
    reply(snapd, r, fds, p->sends_fewer_fds ? SHM_N_FDS - 1 : SHM_N_FDS);
    for (int i = 0; i < 4; i++) {
        base_fd_close(&fds[i]);
    }
}

static void on_request(struct fake_snapd *snapd, const Pony__Control__Request *request)
{
    Pony__Control__Reply r = PONY__CONTROL__REPLY__INIT;
    Pony__Control__Found found = PONY__CONTROL__FOUND__INIT;
    Pony__Control__Done done = PONY__CONTROL__DONE__INIT;
    r.id = request->id;
    if (request->what_case == PONY__CONTROL__REQUEST__WHAT_ATTACH) {
        snapd->joins_sent = request->attach->joins_sent;
        on_attach(snapd, &r);
    } else if (request->what_case == PONY__CONTROL__REQUEST__WHAT_LOOKUP) {
        snapd->n_lookups++;
        bool is_known = strcmp(request->lookup->target, snapd->target) == 0;
        found.address = is_known ? snapd->address : (char[]){""};
        r.what_case = PONY__CONTROL__REPLY__WHAT_FOUND;
        r.found = &found;
        reply(snapd, &r, NULL, 0);
    } else {
        snapd->n_remembered++;
        (void)snprintf(snapd->target, sizeof(snapd->target), "%s", request->remember->target);
        (void)snprintf(snapd->address, sizeof(snapd->address), "%s", request->remember->address);
        r.what_case = PONY__CONTROL__REPLY__WHAT_DONE;
        r.done = &done;
        reply(snapd, &r, NULL, 0);
    }
}

static void read_control(struct fake_snapd *snapd)
{
    static uint8_t packet[PONY_CONTROL_MAX_BYTES];
    for (;;) {
        ssize_t n = recv(snapd->sock, packet, sizeof(packet), MSG_DONTWAIT);
        if (n < 0) {
            return;
        }
        if (n == 0) {
            fake_snapd_hang_up(snapd);
            return;
        }
        Pony__Control__Request *request;
        assert_int_equal(pony_control_unpack_request(packet, (size_t)n, &request), BASE_OK);
        on_request(snapd, request);
        pony__control__request__free_unpacked(request, NULL);
    }
}

void fake_snapd_turn(struct fake_snapd *snapd)
{
    if (snapd->listener >= 0) {
        int sock = accept4(snapd->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (sock >= 0) {
            base_fd_close(&snapd->sock);
            snapd->sock = sock;
        }
    }
    if (snapd->sock >= 0) {
        read_control(snapd);
    }
    if (!snapd->is_attached || snapd->sock < 0 || snapd->plan.stops_taking ||
        snapd->n_commands == FAKE_COMMANDS_MAX) {
        return;
    }
    uint32_t n;
    assert_int_equal(shm_engine_take(&snapd->end, &snapd->commands[snapd->n_commands],
                                     FAKE_COMMANDS_MAX - snapd->n_commands, &n),
                     BASE_OK);
    snapd->n_commands += n;
}

void fake_snapd_say(struct fake_snapd *snapd, const struct shm_completion *completion)
{
    uint32_t consumed;
    assert_int_equal(shm_engine_consumed(&snapd->end, &consumed), BASE_OK);
    assert_true(shm_engine_room(&snapd->end) > 0);
    (void)shm_engine_put(&snapd->end, completion);
    if (shm_engine_publish(&snapd->end, true)) {
        base_eventfd_signal(snapd->notification);
    }
}

const struct shm_command *fake_snapd_command(const struct fake_snapd *snapd, uint32_t n)
{
    assert_true(n < snapd->n_commands);
    return &snapd->commands[snapd->n_commands - 1 - n];
}
