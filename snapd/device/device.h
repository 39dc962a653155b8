/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_DEVICE_DEVICE_H
#define SNAPD_DEVICE_DEVICE_H

#include "base/error.h"
#include "base/in6.h"
#include "base/log.h"
#include "transport/pony/protocol/packet.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * Packet device: where an engine's packets leave and arrive.
 *
 * Shape    a vtable; devices embed struct snapd_dev first. Devices that wrap others (fault, route)
 *          own them: destroying the outer one destroys all.
 * Threads  made by control code before the engine's thread starts, destroyed after it ended; in
 *          between only the engine's thread calls in
 * Blocking no op ever blocks or allocates
 */
struct snapd_dev {
    const struct snapd_dev_ops *ops;
};

enum {
    SNAPD_DEV_RX_MAX = 256, /**< packets one receive() may be asked for */
    SNAPD_LOCAL_ADDRS_MAX = 64,
    SNAPD_DEV_ADDRESS_MAX = BASE_IN6_TEXT + 8
};

/** Addresses of this host; a list that is not complete costs speed, not packets. */
struct snapd_local_addrs {
    uint32_t n;
    struct pony_addr addrs[SNAPD_LOCAL_ADDRS_MAX]; /**< port 0 */
};

/** The host's addresses now. Control thread. */
void snapd_local_addrs_read(struct snapd_local_addrs *addrs);

struct snapd_dev_ops {
    const char *name; /**< "udp", "loop", "fault", "udp+loop" */

    void (*destroy)(struct snapd_dev *dev);

    /** Readable when packets (or errors) wait; -1: the device wakes its engine by another way. */
    int (*fd)(const struct snapd_dev *dev);

    /** UDP port that peers reach this device at; 0: none. */
    uint16_t (*udp_port)(const struct snapd_dev *dev);

    /** Where it is bound, "0.0.0.0:4741"; valid as long as the device. */
    const char *(*address)(const struct snapd_dev *dev);

    /**
     * Fills up to `max` packets (at most SNAPD_DEV_RX_MAX). Their bytes are valid until the next
     * receive(). Fewer than `max` does not mean that no more wait; 0 does, for now.
     */
    uint32_t (*receive)(struct snapd_dev *dev, struct pony_packet_in *packets, uint32_t max,
                        uint64_t now_ns);

    /** How many packets send() would take now, at most PONY_TX_BATCH_MAX. 0: ask again when fd() is writable or time passed. */
    uint32_t (*room)(struct snapd_dev *dev, uint64_t now_ns);

    /**
     * Sends `n` packets, at most what room() said; takes all. The bytes are not looked at after it
     * returns. What the network does with them is its own affair: packets may be lost here.
     */
    void (*send)(struct snapd_dev *dev, const struct pony_packet_out *packets, uint32_t n,
                 uint64_t now_ns);

    /** A hint that nothing listens at `to`, each told once. False: no more. */
    bool (*next_unreachable)(struct snapd_dev *dev, struct pony_addr *to);

    /** A hint that a packet of *bytes to `to` was too long for this host's own interface or for what
     *  the kernel knows of the path, each told once. False: no more. */
    bool (*next_too_long)(struct snapd_dev *dev, struct pony_addr *to, uint32_t *bytes);

    /** Called with true before the engine sleeps and with false after. True: do not sleep, there
     *  is something to receive. What wants a writable fd says so in *wants_write. */
    bool (*set_asleep)(struct snapd_dev *dev, bool is_asleep, bool *wants_write);

    /** When receive() or room() must be called again at the latest; UINT64_MAX: no timer. */
    uint64_t (*next_deadline_ns)(const struct snapd_dev *dev);

    /** These are the host's own addresses now; copied. */
    void (*set_local)(struct snapd_dev *dev, const struct snapd_local_addrs *addrs);

    /** Counter `idx`: its name and value; NULL past the last. */
    const char *(*counter)(const struct snapd_dev *dev, uint32_t idx, uint64_t *value);
};

/* For the slots that a device has no use for. */
bool snapd_dev_no_unreachable(struct snapd_dev *dev, struct pony_addr *to);
bool snapd_dev_no_too_long(struct snapd_dev *dev, struct pony_addr *to, uint32_t *bytes);
uint64_t snapd_dev_no_deadline(const struct snapd_dev *dev);
int snapd_dev_no_fd(const struct snapd_dev *dev);
void snapd_dev_no_local(struct snapd_dev *dev, const struct snapd_local_addrs *addrs);

#endif
