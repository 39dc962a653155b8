/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/compiler.h"
#include "base/hash.h"
#include "cli/capture.h"
#include "cli/pcapng.h"

#include <errno.h>
#include <poll.h>
#include <stdio_ext.h>
#include <string.h>

enum {
    NAP_MIN_MS = 1,
    NAP_MAX_MS = 16,
    PACKETS_PER_TURN = 4096
};

/* What the routes say is asked once per peer; a rare collision asks again. */
static const uint8_t *local_towards(struct cli_capture *c, const struct cli_ip_end *peer)
{
    uint64_t slot = base_hash64(0, peer->ip, sizeof(peer->ip)) % CLI_CAPTURE_LOCALS;
    struct cli_capture_local *l = &c->locals[slot];
    if (!l->is_known || memcmp(l->peer, peer->ip, sizeof(l->peer)) != 0) {
        memcpy(l->peer, peer->ip, sizeof(l->peer));
        l->is_known = true;
        if (c->knows_routes) {
            cli_ip_local_towards(peer, l->local);
        } else {
            memset(l->local, 0, sizeof(l->local));
            memcpy(l->local, peer->ip, cli_ip_is_v4(peer->ip) ? 12 : 0);
        }
    }
    return l->local;
}

static enum base_err write_packet(struct cli_capture *c, uint32_t ring_idx,
                                  const struct shm_capture_packet *p, const uint8_t *bytes)
{
    struct cli_capture_ring *ring = &c->rings[ring_idx];
    struct cli_ip_end peer = {.port = p->peer_port};
    struct cli_ip_end local = ring->local;
    memcpy(peer.ip, p->peer_ip, sizeof(peer.ip));
    if (!ring->is_bound) {
        memcpy(local.ip, local_towards(c, &peer), sizeof(local.ip));
    }
    bool is_out = (p->flags & SHM_CAPTURE_OUT) != 0;
    const struct cli_ip_packet ip = {
        .from = is_out ? local : peer,
        .to = is_out ? peer : local,
        .ttl = p->ttl,
        .ecn = p->ecn,
        .payload = bytes,
        .payload_bytes = p->bytes,
        .kept_bytes = p->kept_bytes,
    };
    uint8_t head[CLI_IP_HEAD_MAX];
    uint32_t head_bytes = cli_ip_head(&ip, head);
    const struct cli_pcapng_packet packet = {
        .interface = ring_idx,
        .is_out = is_out,
        .time_ns = p->time_ns + c->to_epoch_ns,
        .head = head,
        .head_bytes = head_bytes,
        .data = bytes,
        .data_bytes = p->kept_bytes,
        .original_bytes = head_bytes + p->bytes,
    };
    return cli_pcapng_packet(c->out, &packet);
}

static bool is_full(const struct cli_capture *c)
{
    return c->options.count != 0 && c->n_written >= c->options.count;
}

/* Writes what one ring has, at most `max`. */
static enum base_err drain(struct cli_capture *c, uint32_t i, uint32_t max, uint32_t *n)
{
    *n = 0;
    struct cli_capture_ring *ring = &c->rings[i];
    struct shm_capture_packet packet;
    const uint8_t *bytes;
    while (*n < max && !is_full(c)) {
        enum base_err err = shm_capture_peek(&ring->reader, &packet, &bytes);
        if (err == BASE_AGAIN) {
            break;
        }
        if (err != BASE_OK) {
            base_error_note("snapd's capture memory makes no sense");
            return err;
        }
        err = write_packet(c, i, &packet, bytes);
        if (err != BASE_OK) {
            base_error_note("cannot write %s: %m", c->options.output);
            return err;
        }
        shm_capture_consume(&ring->reader);
        ring->n_written++;
        c->n_written++;
        (*n)++;
    }
    return BASE_OK;
}

static enum base_err drain_all(struct cli_capture *c, uint32_t max, uint32_t *n)
{
    *n = 0;
    for (uint32_t i = 0; i < c->n_rings; i++) {
        uint32_t of_ring = 0;
        BASE_TRY(drain(c, i, max, &of_ring));
        *n += of_ring;
    }
    if (*n > 0 && fflush(c->out) != 0) {
        base_error_note("cannot write %s: %m", c->options.output);
        return BASE_E_IO;
    }
    return BASE_OK;
}

static bool is_time_over(const struct cli_capture *c)
{
    return c->options.time_ns != 0 && base_clock_now_ns() - c->start_ns >= c->options.time_ns;
}

/* Sleeps a little. True: the capture is to end. */
static bool nap(struct cli_capture *c, int ms, bool *is_gone)
{
    struct pollfd fds[2] = {{.fd = c->signal_fd, .events = POLLIN},
                            {.fd = c->control_fd, .events = POLLIN}};
    if (poll(fds, 2, ms) <= 0) {
        return false;
    }
    /* snapd says nothing more on this socket: what is to be read is its end. */
    *is_gone = fds[1].revents != 0;
    return *is_gone || fds[0].revents != 0;
}

static enum base_err write_end(struct cli_capture *c)
{
    uint64_t now_ns = base_clock_now_ns();
    for (uint32_t i = 0; i < c->n_rings; i++) {
        const struct cli_capture_ring *ring = &c->rings[i];
        uint64_t n_missed = shm_capture_missed(&ring->reader);
        c->n_missed += n_missed;
        const struct cli_pcapng_stats stats = {
            .interface = i,
            .start_ns = c->start_ns + c->to_epoch_ns,
            .end_ns = now_ns + c->to_epoch_ns,
            .n_received = ring->n_written + n_missed,
            .n_dropped = n_missed,
            .n_written = ring->n_written,
        };
        if (cli_pcapng_stats(c->out, &stats) != BASE_OK) {
            base_error_note("cannot write %s: %m", c->options.output);
            return BASE_E_IO;
        }
    }
    if (fflush(c->out) != 0) {
        base_error_note("cannot write %s: %m", c->options.output);
        return BASE_E_IO;
    }
    return BASE_OK;
}

static enum base_err loop(struct cli_capture *c, bool *is_gone)
{
    int ms = NAP_MIN_MS;
    while (!is_full(c) && !is_time_over(c)) {
        uint32_t n;
        BASE_TRY(drain_all(c, PACKETS_PER_TURN, &n));
        ms = n > 0 ? NAP_MIN_MS : (int)base_min_u32((uint32_t)ms * 2, NAP_MAX_MS);
        if (nap(c, n < PACKETS_PER_TURN ? ms : 0, is_gone)) {
            break;
        }
    }
    /* What came before the end, but not what comes while we read: at most each ring once. */
    uint32_t n;
    return drain_all(c, c->sizes.slots, &n);
}

enum base_err cli_capture_run(struct cli_capture *c)
{
    bool is_gone = false;
    errno = 0;
    enum base_err err = loop(c, &is_gone);
    if (err == BASE_OK) {
        err = write_end(c);
    }
    if (err == BASE_E_IO && errno == EPIPE) {
        __fpurge(c->out);
        return BASE_OK; /* who read our output has seen enough */
    }
    if (err == BASE_OK && is_gone) {
        base_error_note("snapd ended; what came before is written");
        return BASE_E_CLOSED;
    }
    return err;
}
