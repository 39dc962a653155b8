/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/snapd/device_rig.h"

#include "base/clock.h"
#include "tests/support/cmocka_all.h"

#include <poll.h>
#include <string.h>

enum {
    DEADLINE_MS = 5000
};

struct snapd_dev *device_open(const struct snapd_udp_config *config)
{
    struct snapd_dev *dev = NULL;
    if (snapd_udp_create(config, &dev) != BASE_OK) {
        fail_msg("%s", base_error_last_note());
    }
    return dev;
}

struct pony_addr device_address(const struct snapd_dev *dev)
{
    return (struct pony_addr){.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1},
                              .udp_port = dev->ops->udp_port(dev)};
}

uint64_t device_counter(const struct snapd_dev *dev, const char *name)
{
    uint64_t value = 0;
    const char *got;
    for (uint32_t i = 0; (got = dev->ops->counter(dev, i, &value)) != NULL; i++) {
        if (strcmp(got, name) == 0) {
            return value;
        }
    }
    fail_msg("no counter %s", name);
    return 0;
}

uint32_t device_receive(struct snapd_dev *dev, struct pony_packet_in *in, uint32_t max)
{
    for (;;) {
        uint32_t n = dev->ops->receive(dev, in, max, base_clock_now_ns());
        if (n > 0) {
            return n;
        }
        struct pollfd p = {.fd = dev->ops->fd(dev), .events = POLLIN};
        assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
    }
}
