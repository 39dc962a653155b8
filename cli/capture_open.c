/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/fd.h"
#include "base/in6.h"
#include "cli/capture.h"
#include "cli/pcapng.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    OUTPUT_BUFFER_BYTES = 1 << 20
};

/* "10.0.0.1:4741", "[::1]:4741": where the engine is bound, if that is one address. */
static void learn_local(struct cli_capture_ring *ring, const Pony__Control__CaptureRing *what)
{
    char host[64];
    struct in_addr v4;
    struct base_in6 v6;
    ring->local = (struct cli_ip_end){.port = (uint16_t)what->udp_port};
    const char *colon = strrchr(what->address, ':');
    size_t len = colon != NULL ? (size_t)(colon - what->address) : 0;
    if (len == 0 || len >= sizeof(host)) {
        return;
    }
    memcpy(host, what->address, len);
    host[len] = '\0';
    if (inet_pton(AF_INET, host, &v4) == 1 && v4.s_addr != INADDR_ANY) {
        ring->local.ip[10] = 0xff;
        ring->local.ip[11] = 0xff;
        memcpy(ring->local.ip + 12, &v4, 4);
        ring->is_bound = true;
    } else if (host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        static const uint8_t any[16];
        if (base_in6_parse(host + 1, &v6) == NULL && memcmp(v6.ip, any, sizeof(any)) != 0) {
            memcpy(ring->local.ip, v6.ip, sizeof(v6.ip));
            ring->is_bound = true;
        }
    }
}

static enum base_err map(int fd, uint64_t bytes, int prot, void **at)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_size < 0 || (uint64_t)st.st_size < bytes) {
        base_error_note("snapd's capture memory is smaller than it says");
        return BASE_E_PEER;
    }
    void *map = mmap(NULL, bytes, prot, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        base_error_note("cannot map snapd's capture memory: %m");
        return base_err_from_errno(errno);
    }
    *at = map;
    return BASE_OK;
}

static enum base_err map_rings(struct cli_capture *c, const Pony__Control__Capturing *what,
                               const int *fds)
{
    const struct shm_capture_sizes sizes = {.n_rings = (uint32_t)what->n_rings,
                                            .slots = what->slots,
                                            .slot_bytes = what->slot_bytes,
                                            .snap_bytes = what->snap_bytes};
    if (!shm_capture_sizes_are_good(&sizes)) {
        base_error_note("snapd's capture has impossible sizes");
        return BASE_E_PEER;
    }
    c->sizes = sizes;
    BASE_TRY(map(fds[0], shm_capture_records_bytes(&sizes), PROT_READ, &c->records));
    BASE_TRY(map(fds[1], shm_capture_cursors_bytes(&sizes), PROT_READ | PROT_WRITE, &c->cursors));
    for (uint32_t i = 0; i < sizes.n_rings; i++) {
        enum base_err err =
            shm_capture_reader_init(&c->rings[i].reader, &sizes, i, c->records, c->cursors);
        if (err != BASE_OK) {
            base_error_note("snapd's capture memory is not as it says");
            return err;
        }
        learn_local(&c->rings[i], what->rings[i]);
    }
    c->n_rings = sizes.n_rings;
    return BASE_OK;
}

static enum base_err open_output(struct cli_capture *c)
{
    const char *name = c->options.output;
    if (strcmp(name, "-") == 0) {
        c->out = stdout;
    } else {
        /* Packets hold what applications say to each other: for the owner only. */
        int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        c->out = fd >= 0 ? fdopen(fd, "wb") : NULL;
        if (c->out == NULL) {
            base_error_note("cannot write %s: %m", name);
            base_fd_close(&fd);
            return BASE_E_IO;
        }
    }
    (void)setvbuf(c->out, NULL, _IOFBF, OUTPUT_BUFFER_BYTES);
    return BASE_OK;
}

static enum base_err write_head(struct cli_capture *c, const Pony__Control__Capturing *what)
{
    enum base_err err = cli_pcapng_begin(c->out, "snaprpc " SNAPRPC_VERSION);
    for (uint32_t i = 0; err == BASE_OK && i < c->n_rings; i++) {
        const Pony__Control__CaptureRing *ring = what->rings[i];
        char name[32];
        char about[CLI_PCAPNG_TEXT_MAX];
        (void)snprintf(name, sizeof(name), "engine%u", ring->engine);
        (void)snprintf(about, sizeof(about), "snapd engine %u, %s at %s", ring->engine,
                       ring->device, ring->address);
        err = cli_pcapng_interface(c->out, name, about, c->sizes.snap_bytes + CLI_IP_HEAD_MAX);
        (void)fprintf(stderr, "snaprpc: capturing at engine %u (%s at %s)\n", ring->engine,
                      ring->device, ring->address);
    }
    if (err != BASE_OK || fflush(c->out) != 0) {
        base_error_note("cannot write %s: %m", c->options.output);
        return BASE_E_IO;
    }
    return BASE_OK;
}

static bool same_network(int control_fd)
{
    struct ucred snapd;
    socklen_t len = sizeof(snapd);
    char path[64];
    char theirs[64] = "";
    char ours[64] = "";
    if (getsockopt(control_fd, SOL_SOCKET, SO_PEERCRED, &snapd, &len) != 0) {
        return true;
    }
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)snapd.pid);
    return readlink(path, theirs, sizeof(theirs) - 1) < 0 ||
           readlink("/proc/self/ns/net", ours, sizeof(ours) - 1) < 0 || strcmp(theirs, ours) == 0;
}

/* From here on Ctrl-C and kill end the capture in order. A reader that goes away does, too. */
static enum base_err take_signals(struct cli_capture *c)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    c->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (c->signal_fd < 0) {
        base_error_note("signals: %m");
        return BASE_E_IO;
    }
    return BASE_OK;
}

static enum base_err ask(struct cli_capture *c, Pony__Control__Reply **reply, int *fds)
{
    Pony__Control__Capture what = PONY__CONTROL__CAPTURE__INIT;
    what.snap_bytes = c->options.snap_bytes;
    what.by_flow = c->options.by_flow;
    what.flow = c->options.flow;
    what.udp_port = c->options.udp_port;
    Pony__Control__Request request = PONY__CONTROL__REQUEST__INIT;
    request.what_case = PONY__CONTROL__REQUEST__WHAT_CAPTURE;
    request.capture = &what;
    BASE_TRY(cli_control_open(c->options.socket, &c->control_fd));
    BASE_TRY(cli_control_send(c->control_fd, &request));
    enum base_err err = cli_control_receive(c->control_fd, PONY__CONTROL__REPLY__WHAT_CAPTURING,
                                            fds, SHM_CAPTURE_N_FDS, reply);
    if (err == BASE_E_CLOSED || err == BASE_E_RESET) {
        base_error_note("snapd closed the connection: it does not know captures; use one of this "
                        "release");
    }
    return err;
}

enum base_err cli_capture_open(struct cli_capture *c, const struct cli_capture_options *options)
{
    *c = (struct cli_capture){.options = *options, .control_fd = -1, .signal_fd = -1};
    int fds[SHM_CAPTURE_N_FDS] = {-1, -1};
    Pony__Control__Reply *reply = NULL;
    c->start_ns = base_clock_now_ns();
    c->to_epoch_ns = base_clock_read_ns(CLOCK_REALTIME) - c->start_ns;
    BASE_TRY(take_signals(c));
    enum base_err err = ask(c, &reply, fds);
    if (err == BASE_OK) {
        err = map_rings(c, reply->capturing, fds);
    }
    base_fd_close(&fds[0]);
    base_fd_close(&fds[1]);
    if (err == BASE_OK) {
        c->knows_routes = same_network(c->control_fd);
        err = open_output(c);
    }
    if (err == BASE_OK) {
        err = write_head(c, reply->capturing);
    }
    if (reply != NULL) {
        pony__control__reply__free_unpacked(reply, NULL);
    }
    return err;
}

void cli_capture_fini(struct cli_capture *c)
{
    if (c->records != NULL) {
        (void)munmap(c->records, shm_capture_records_bytes(&c->sizes));
    }
    if (c->cursors != NULL) {
        (void)munmap(c->cursors, shm_capture_cursors_bytes(&c->sizes));
    }
    base_fd_close(&c->control_fd);
    base_fd_close(&c->signal_fd);
    if (c->out != NULL && c->out != stdout) {
        (void)fclose(c->out);
    }
    c->records = NULL;
    c->cursors = NULL;
    c->out = NULL;
}
