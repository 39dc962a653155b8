/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/engine/tap.h"

#include "base/endian.h"
#include "transport/pony/protocol/wire.h"

#include <string.h>

static bool is_for_flow(const struct pony_packet_in *p, uint32_t flow)
{
    return p->len >= PONY_WIRE_HDR_BYTES && base_load_u32(p->data + PONY_WIRE_DST_FLOW_OFF) == flow;
}

static bool is_wanted_peer(const struct snapd_tap_filter *f, const struct pony_addr *peer)
{
    return (!f->has_peer || pony_addr_equal(&f->peer, peer)) &&
           (f->peer_port == 0 || f->peer_port == peer->udp_port);
}

/* A peer that sends from another port than it listens at is known by the flow's number. */
static bool is_wanted_in(const struct snapd_tap_filter *f, const struct pony_packet_in *p)
{
    return is_wanted_peer(f, &p->from) ||
           (f->has_peer && f->peer_port == 0 && is_for_flow(p, f->flow));
}

static struct shm_capture_packet about(const struct pony_addr *peer, uint64_t time_ns)
{
    struct shm_capture_packet packet = {.time_ns = time_ns, .peer_port = peer->udp_port};
    memcpy(packet.peer_ip, peer->ip, sizeof(packet.peer_ip));
    return packet;
}

void snapd_tap_in(struct snapd_tap *tap, const struct pony_packet_in *packets, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct pony_packet_in *p = &packets[i];
        if (!is_wanted_in(&tap->filter, p)) {
            continue;
        }
        struct shm_capture_packet packet = about(&p->from, p->rx_ns);
        packet.ttl = p->ttl;
        packet.ecn = p->ecn;
        const struct shm_capture_bytes bytes = {.head = p->data, .head_len = p->len};
        shm_capture_put(&tap->writer, &packet, &bytes);
    }
    shm_capture_publish(&tap->writer);
}

void snapd_tap_out(struct snapd_tap *tap, const struct pony_packet_out *packets, uint32_t n,
                   uint64_t now_ns)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct pony_packet_out *p = &packets[i];
        if (!is_wanted_peer(&tap->filter, &p->to)) {
            continue;
        }
        struct shm_capture_packet packet = about(&p->to, now_ns);
        packet.flags = SHM_CAPTURE_OUT;
        const struct shm_capture_bytes bytes = {.head = p->head,
                                                .payload = p->payload,
                                                .head_len = p->head_len,
                                                .payload_len = p->payload_len};
        shm_capture_put(&tap->writer, &packet, &bytes);
    }
    shm_capture_publish(&tap->writer);
}
