/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_DEVICE_UDP_H
#define SNAPD_DEVICE_UDP_H

#include "snapd/device/device.h"

enum {
    SNAPD_UDP_PORTS_MAX = 16 /**< sockets of one device */
};

/**
 * UDP device: one socket per engine that peers know, IPv6 dual-stack where the host has it, and a few
 * at its side, of other ports, so that packets can take other paths.
 *
 * Shape    sends runs of equal packets to one peer as one segmented datagram (UDP_SEGMENT), several
 *          of those in one sendmmsg; receives into 64 KB buffers that the kernel filled with runs
 *          of packets (UDP_GRO), as many at once as came the time before. A kernel without either falls
 *          back to single datagrams, and says so.
 * Ports    a packet leaves from port src_port_hint % n_ports; 0 is the main one. Side sockets only send:
 *          peers answer to the main port, but for RESETs to what they do not know, and ICMP errors.
 *          Therefore one is read 10 ms after it sent, not each time: a deadline of the device
 * Busy     with is_connecting, the peer that most datagrams leave for has a socket of its own, bound to
 *          the main port and connected: that saves the kernel a look-up of the route and of our address,
 *          each way. UDP_CONN_VOTES datagrams more than to all others make it that peer, no sooner than
 *          UDP_CONN_PAUSE_NS after another one. Not connected: peers with link-local addresses, those
 *          that reach an address of ours that the kernel would not answer from. Others' packets are
 *          found within UDP_LOOK_FIRST_NS, or at once after one of the last UDP_WARM_NS
 * Port     these sockets are opened with the main one, as only then may they share its port
 *          (SO_REUSEPORT, cleared afterwards); without a peer they are connected to a port of this host
 *          that nothing comes from, since an unconnected one would take strangers' datagrams
 * Full     what the socket does not take at once is copied aside (64 packets at most); room() is
 *          0 until it is gone
 * Too big  a packet that exceeds the path's MTU is sent in fragments: slow, counted, but it arrives;
 *          one that is_whole is dropped instead, as it is there to show what the path carries. Either
 *          way the engine is told (next_too_long), and sends smaller ones
 */
struct snapd_udp_config {
    const char *listen;    /**< "*:4741", "10.0.0.1:4741", "[::1]:0" */
    uint16_t port_offset;  /**< added to a port that is not 0: the engine's number */
    bool has_segmentation; /**< try UDP_SEGMENT and UDP_GRO */
    bool is_connecting;    /**< give the busiest peer a socket of its own */
    uint32_t n_ports;      /**< source ports in all, at most SNAPD_UDP_PORTS_MAX; 0 is 1 */
    uint64_t buffer_bytes; /**< SO_SNDBUF, SO_RCVBUF */
    uint32_t mtu_bytes;    /**< of the engine's packets: room() is what one datagram takes; 0: not
                                known */
    const struct base_log *log;
};

/** Opens and binds. Errors  BASE_E_INVALID (form of `listen`), BASE_E_IN_USE, BASE_E_PERMISSION,
 *  ...; the note names address, cause and remedy. */
BASE_MUST_USE enum base_err snapd_udp_create(const struct snapd_udp_config *config,
                                             struct snapd_dev **dev);

/**
 * Largest UDP payload that the largest interface that is up carries in one piece, in
 * [PONY_MTU_MIN, PONY_MTU_MAX]; loopback counts only where it is alone.
 */
uint32_t snapd_udp_auto_mtu(void);

#endif
