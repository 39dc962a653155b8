/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pcapng.h"

#include "base/endian.h"

#include <string.h>

enum {
    BLOCK_SECTION = 0x0a0d0d0a,
    BLOCK_INTERFACE = 1,
    BLOCK_STATISTICS = 5,
    BLOCK_PACKET = 6,
    BYTE_ORDER_MAGIC = 0x1a2b3c4d,

    OPT_END = 0,
    SHB_USERAPPL = 4,
    IDB_NAME = 2,
    IDB_DESCRIPTION = 3,
    IDB_TSRESOL = 9,
    EPB_FLAGS = 2,
    ISB_STARTTIME = 2,
    ISB_ENDTIME = 3,
    ISB_IFRECV = 4,
    ISB_IFDROP = 5,
    ISB_USRDELIV = 8,

    TSRESOL_NS = 9,
    FLAG_INBOUND = 1,
    FLAG_OUTBOUND = 2,

    EPB_FIXED_BYTES = 28,      /* block type to captured data */
    EPB_OPTIONS_BYTES = 8 + 4, /* flags, end */
    SMALL_BLOCK_MAX = 1024
};

/* A block of which all but the data of a packet fits here. */
struct block {
    uint8_t bytes[SMALL_BLOCK_MAX];
    uint32_t len;
};

static void put_u16(struct block *b, uint16_t v)
{
    base_store_u16(b->bytes + b->len, v);
    b->len += 2;
}

static void put_u32(struct block *b, uint32_t v)
{
    base_store_u32(b->bytes + b->len, v);
    b->len += 4;
}

/* 64-bit numbers outside the fixed fields: high half first. */
static void put_time(struct block *b, uint64_t v)
{
    put_u32(b, (uint32_t)(v >> 32));
    put_u32(b, (uint32_t)v);
}

static void put_padding(struct block *b)
{
    while (b->len % 4 != 0) {
        b->bytes[b->len++] = 0;
    }
}

static void put_option(struct block *b, uint16_t code, const void *value, size_t len)
{
    put_u16(b, code);
    put_u16(b, (uint16_t)len);
    if (len > 0) {
        memcpy(b->bytes + b->len, value, len);
        b->len += (uint32_t)len;
    }
    put_padding(b);
}

static void put_text(struct block *b, uint16_t code, const char *text)
{
    put_option(b, code, text, strnlen(text, CLI_PCAPNG_TEXT_MAX));
}

static void begin(struct block *b, uint32_t type)
{
    b->len = 0;
    put_u32(b, type);
    put_u32(b, 0); /* its length, known at the end */
}

static enum base_err write_bytes(FILE *out, const void *bytes, size_t len)
{
    return len == 0 || fwrite(bytes, 1, len, out) == len ? BASE_OK : BASE_E_IO;
}

static enum base_err finish(FILE *out, struct block *b)
{
    put_option(b, OPT_END, NULL, 0);
    put_u32(b, b->len + 4);
    base_store_u32(b->bytes + 4, b->len);
    return write_bytes(out, b->bytes, b->len);
}

enum base_err cli_pcapng_begin(FILE *out, const char *program)
{
    struct block b;
    begin(&b, BLOCK_SECTION);
    put_u32(&b, BYTE_ORDER_MAGIC);
    put_u16(&b, 1);
    put_u16(&b, 0);
    put_u32(&b, UINT32_MAX); /* length of the section: not known */
    put_u32(&b, UINT32_MAX);
    put_text(&b, SHB_USERAPPL, program);
    return finish(out, &b);
}

enum base_err cli_pcapng_interface(FILE *out, const char *name, const char *about,
                                   uint32_t snap_bytes)
{
    static const uint8_t resolution = TSRESOL_NS;
    struct block b;
    begin(&b, BLOCK_INTERFACE);
    put_u16(&b, CLI_PCAPNG_LINKTYPE_RAW);
    put_u16(&b, 0);
    put_u32(&b, snap_bytes);
    put_text(&b, IDB_NAME, name);
    put_text(&b, IDB_DESCRIPTION, about);
    put_option(&b, IDB_TSRESOL, &resolution, 1);
    return finish(out, &b);
}

enum base_err cli_pcapng_packet(FILE *out, const struct cli_pcapng_packet *p)
{
    uint32_t captured = p->head_bytes + p->data_bytes;
    uint32_t padding = (4 - captured % 4) % 4;
    uint32_t total = EPB_FIXED_BYTES + captured + padding + EPB_OPTIONS_BYTES + 4;
    struct block b;
    begin(&b, BLOCK_PACKET);
    put_u32(&b, p->interface);
    put_time(&b, p->time_ns);
    put_u32(&b, captured);
    put_u32(&b, p->original_bytes);
    base_store_u32(b.bytes + 4, total);
    BASE_TRY(write_bytes(out, b.bytes, b.len));
    BASE_TRY(write_bytes(out, p->head, p->head_bytes));
    BASE_TRY(write_bytes(out, p->data, p->data_bytes));

    struct block end = {.len = padding};
    memset(end.bytes, 0, padding);
    put_u16(&end, EPB_FLAGS);
    put_u16(&end, 4);
    put_u32(&end, p->is_out ? FLAG_OUTBOUND : FLAG_INBOUND);
    put_u32(&end, OPT_END);
    put_u32(&end, total);
    return write_bytes(out, end.bytes, end.len);
}

static void put_number(struct block *b, uint16_t code, uint64_t v)
{
    uint8_t bytes[8];
    base_store_u64(bytes, v);
    put_option(b, code, bytes, sizeof(bytes));
}

static void put_time_option(struct block *b, uint16_t code, uint64_t ns)
{
    put_u16(b, code);
    put_u16(b, 8);
    put_time(b, ns);
}

enum base_err cli_pcapng_stats(FILE *out, const struct cli_pcapng_stats *s)
{
    struct block b;
    begin(&b, BLOCK_STATISTICS);
    put_u32(&b, s->interface);
    put_time(&b, s->end_ns);
    put_time_option(&b, ISB_STARTTIME, s->start_ns);
    put_time_option(&b, ISB_ENDTIME, s->end_ns);
    put_number(&b, ISB_IFRECV, s->n_received);
    put_number(&b, ISB_IFDROP, s->n_dropped);
    put_number(&b, ISB_USRDELIV, s->n_written);
    return finish(out, &b);
}
