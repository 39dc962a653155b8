/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/pcapng_read.h"

#include "base/endian.h"
#include "tests/support/cmocka_all.h"

#include <string.h>

struct option {
    uint16_t code, len;
    const uint8_t *value;
};

/* The next option of [*at, *at + *left). False: the end. */
static int next_option(const uint8_t **at, size_t *left, struct option *option)
{
    if (*left == 0) {
        return 0;
    }
    assert_true(*left >= 4);
    option->code = base_load_u16(*at);
    option->len = base_load_u16(*at + 2);
    option->value = *at + 4;
    size_t all = 4 + ((size_t)option->len + 3) / 4 * 4;
    assert_true(all <= *left);
    *at += all;
    *left -= all;
    if (option->code == 0) {
        assert_int_equal(option->len, 0);
        assert_int_equal(*left, 0);
        return 0;
    }
    return 1;
}

static uint64_t load_time(const uint8_t *at)
{
    return (uint64_t)base_load_u32(at) << 32 | base_load_u32(at + 4);
}

static void read_interface(struct pcapng_file *file, const uint8_t *body, size_t len)
{
    assert_true(len >= 8 && file->n_interfaces < PCAPNG_INTERFACES_MAX);
    struct pcapng_interface *i = &file->interfaces[file->n_interfaces++];
    *i = (struct pcapng_interface){
        .linktype = base_load_u16(body), .snap_bytes = base_load_u32(body + 4), .resolution = 6};
    struct option o;
    const uint8_t *at = body + 8;
    size_t left = len - 8;
    while (next_option(&at, &left, &o)) {
        if (o.code == 2) {
            assert_true(o.len < sizeof(i->name));
            memcpy(i->name, o.value, o.len);
        } else if (o.code == 9) {
            assert_int_equal(o.len, 1);
            i->resolution = o.value[0];
        }
    }
}

static void read_packet(struct pcapng_file *file, const uint8_t *body, size_t len)
{
    assert_true(len >= 20 && file->n_packets < PCAPNG_PACKETS_MAX);
    struct pcapng_packet *p = &file->packets[file->n_packets++];
    *p = (struct pcapng_packet){.interface = base_load_u32(body),
                                .time_ns = load_time(body + 4),
                                .captured = base_load_u32(body + 12),
                                .original = base_load_u32(body + 16),
                                .bytes = body + 20};
    assert_true(p->interface < file->n_interfaces);
    assert_true(p->captured <= p->original);
    assert_true(p->captured <= file->interfaces[p->interface].snap_bytes);
    size_t padded = ((size_t)p->captured + 3) / 4 * 4;
    assert_true(20 + padded <= len);
    struct option o;
    const uint8_t *at = body + 20 + padded;
    size_t left = len - 20 - padded;
    while (next_option(&at, &left, &o)) {
        if (o.code == 2) {
            assert_int_equal(o.len, 4);
            p->flags = base_load_u32(o.value);
        }
    }
}

static void read_stats(struct pcapng_file *file, const uint8_t *body, size_t len)
{
    assert_true(len >= 12);
    uint32_t interface = base_load_u32(body);
    assert_true(interface < file->n_interfaces);
    struct pcapng_interface *i = &file->interfaces[interface];
    i->n_stats++;
    struct option o;
    const uint8_t *at = body + 12;
    size_t left = len - 12;
    while (next_option(&at, &left, &o)) {
        assert_int_equal(o.len, 8);
        if (o.code == 4) {
            i->n_received = base_load_u64(o.value);
        } else if (o.code == 5) {
            i->n_dropped = base_load_u64(o.value);
        } else if (o.code == 8) {
            i->n_delivered = base_load_u64(o.value);
        }
    }
}

void pcapng_read(const uint8_t *bytes, size_t len, struct pcapng_file *file)
{
    file->n_interfaces = 0;
    file->n_packets = 0;
    assert_true(len >= 28);
    assert_int_equal(base_load_u32(bytes), 0x0a0d0d0a);
    assert_int_equal(base_load_u32(bytes + 8), 0x1a2b3c4d);
    assert_int_equal(base_load_u16(bytes + 12), 1);
    for (size_t at = 0; at < len;) {
        assert_true(len - at >= 12);
        uint32_t all = base_load_u32(bytes + at + 4);
        assert_true(all >= 12 && all % 4 == 0 && all <= len - at);
        assert_int_equal(base_load_u32(bytes + at + all - 4), all);
        const uint8_t *body = bytes + at + 8;
        uint32_t type = base_load_u32(bytes + at);
        if (type == 1) {
            read_interface(file, body, all - 12);
        } else if (type == 6) {
            read_packet(file, body, all - 12);
        } else if (type == 5) {
            read_stats(file, body, all - 12);
        } else if (at != 0) {
            fail_msg("a block of type %u", type);
        }
        at += all;
    }
}
