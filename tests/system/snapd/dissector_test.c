/* SPDX-License-Identifier: Apache-2.0 */

/**
 * packaging/wireshark/snaprpc.lua under tshark: packets of every kind, made by the code that sends
 * them; then damaged ones, at which no line of Lua may fail.
 */

#include "base/endian.h"
#include "base/rng.h"
#include "cli/ip.h"
#include "cli/pcapng.h"
#include "rpc/frame.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/proc.h"
#include "transport/pony/abi/shm.h"
#include "transport/pony/protocol/frames.h"
#include "transport/pony/protocol/parts.h"
#include "transport/pony/protocol/wire_sealed.h"
#include "transport/tcp/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PORT = 4741,
    OTHER_PORT = 20001, /* no preference names it: the heuristic must */
    PACKET_MAX = 4096,
    INFOS_MAX = 64,
    N_DAMAGED = 3000,
    TCP_BYTES = 20
};

struct capture {
    FILE *out;
    char path[TEST_PATH_MAX];
    uint64_t n;
    const char *infos[INFOS_MAX]; /**< what the info column should say, by packet */
    uint32_t tcp_seq;
};

static struct capture capture;

static void open_capture(const char *name)
{
    memset(&capture, 0, sizeof(capture));
    (void)snprintf(capture.path, sizeof(capture.path), "%s", test_path(name));
    capture.out = fopen(capture.path, "wbe");
    assert_non_null(capture.out);
    assert_int_equal(cli_pcapng_begin(capture.out, "test"), BASE_OK);
    assert_int_equal(cli_pcapng_interface(capture.out, "t", "t", PACKET_MAX), BASE_OK);
}

static void close_capture(void)
{
    assert_int_equal(fclose(capture.out), 0);
}

static struct cli_ip_end end(uint8_t last, uint16_t port)
{
    return (struct cli_ip_end){.ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last},
                               .port = port};
}

static void write_packet(const uint8_t *head, uint32_t head_len, const uint8_t *data, uint32_t len,
                         const char *info)
{
    const struct cli_pcapng_packet packet = {
        .is_out = true,
        .time_ns = UINT64_C(1700000000000000000) + capture.n * 1000,
        .head = head,
        .head_bytes = head_len,
        .data = data,
        .data_bytes = len,
        .original_bytes = head_len + len,
    };
    if (capture.n < INFOS_MAX) {
        capture.infos[capture.n] = info;
    }
    capture.n++;
    assert_int_equal(cli_pcapng_packet(capture.out, &packet), BASE_OK);
}

static void write_udp(uint16_t port, const uint8_t *data, uint32_t len, const char *info)
{
    const struct cli_ip_packet ip = {.from = end(1, port),
                                     .to = end(2, port),
                                     .payload = data,
                                     .payload_bytes = len,
                                     .kept_bytes = len};
    uint8_t head[CLI_IP_HEAD_MAX];
    uint32_t head_len = cli_ip_head(&ip, head);
    write_packet(head, head_len, data, len, info);
}

static struct pony_wire_hdr header(uint8_t type, uint8_t flags)
{
    return (struct pony_wire_hdr){
        .version = 1,
        .type = type,
        .flags = flags,
        .token = UINT64_C(0x1122334455667788),
        .dst_flow = 65537,
        .seq = 4294967295u,
        .ack = 2147483648u,
        .tx_ts = 101,
        .echo_ts = 102,
        .echo_delay_ns = 103,
        .hops = 4,
        .n_dup = 5,
        .n_ce = 600,
    };
}

/* A packet with this header and body, which is in `at` behind the SACK words already. */
static uint32_t seal(struct pony_wire_hdr *hdr, uint8_t *at, uint32_t body_len, uint32_t covered)
{
    hdr->body_len = (uint16_t)body_len;
    hdr->covered_len = (uint16_t)covered;
    pony_wire_encode(hdr, at);
    return pony_wire_hdr_len(hdr->n_sack) + body_len;
}

static void write_handshake(void)
{
    uint8_t at[PACKET_MAX] = {0};
    const struct pony_wire_hello hello = {.version_min = 1,
                                          .version_max = 2,
                                          .mtu_bytes = 1200,
                                          .flow = 7,
                                          .token = 8,
                                          .instance = 9};
    pony_wire_encode_hello(&hello, at + PONY_WIRE_HDR_BYTES);
    struct pony_wire_hdr hdr = header(PONY_WIRE_HELLO, 0);
    uint32_t len = seal(&hdr, at, 1200 - PONY_WIRE_HDR_BYTES, PONY_WIRE_HELLO_BYTES);
    write_udp(PORT, at, len, "HELLO flow 7, versions 1 to 2, 1200 bytes");
    hdr = header(PONY_WIRE_HELLO_OK, PONY_WIRE_FLAG_ECHO);
    len = seal(&hdr, at, 1200 - PONY_WIRE_HDR_BYTES, PONY_WIRE_HELLO_BYTES);
    write_udp(OTHER_PORT, at, len, "HELLO_OK flow 7, versions 1 to 2, 1200 bytes");
    const struct pony_wire_end last = {
        .reason = SHM_REASON_VERSION, .version_min = 3, .version_max = 4, .instance = 5};
    pony_wire_encode_end(&last, at + PONY_WIRE_HDR_BYTES);
    hdr = header(PONY_WIRE_REFUSE, 0);
    write_udp(PORT, at, seal(&hdr, at, 16, 16), "REFUSE VERSION");
    const struct pony_wire_end stranger = {.reason = SHM_REASON_SECURITY, .mode = 1, .instance = 5};
    pony_wire_encode_end(&stranger, at + PONY_WIRE_HDR_BYTES);
    hdr = header(PONY_WIRE_REFUSE, 0);
    write_udp(PORT, at, seal(&hdr, at, 16, 16), "REFUSE SECURITY, sender's mode psk");
    uint8_t *body = at + PONY_WIRE_HDR_BYTES; /* certificates: a cookie, then the HELLO with it */
    body[3] = 2;
    body[4] = 1;
    memset(body + 16, 0xab, 16);
    hdr = header(PONY_WIRE_REFUSE, 0);
    write_udp(PORT, at, seal(&hdr, at, 32, 32),
              "REFUSE SECURITY, sender's mode certificates, COOKIE");
    pony_wire_encode_hello(&hello, body);
    memset(body + PONY_WIRE_HELLO_BYTES, 0, 1152 - PONY_WIRE_HELLO_BYTES);
    body[24] = 2;
    body[31] = 5;
    memset(body + 72, 0xab, 16);
    base_store_u16(body + 88, 700);
    body[90] = 64;
    hdr = header(PONY_WIRE_HELLO, 0);
    write_udp(PORT, at, seal(&hdr, at, 1152, 1152),
              "HELLO flow 7, versions 1 to 2, 1200 bytes, certificates, one of 700 bytes");
    pony_wire_encode_end(&last, body);
    hdr = header(PONY_WIRE_RESET, PONY_WIRE_FLAG_UNKNOWN);
    write_udp(PORT, at, seal(&hdr, at, 16, 16), "RESET VERSION");
    hdr = header(PONY_WIRE_PROBE, 0);
    write_udp(PORT, at, seal(&hdr, at, 0, 0), "PROBE");
    memset(at + PONY_WIRE_HDR_BYTES, 0, 1300);
    base_store_u32(at + PONY_WIRE_HDR_BYTES, 12);
    hdr = header(PONY_WIRE_PROBE, 0);
    write_udp(PORT, at, seal(&hdr, at, 1300, 4), "PROBE number 12, padded");
    hdr = header(PONY_WIRE_ACK, 0);
    write_udp(OTHER_PORT, at, seal(&hdr, at, 4, 4), "ACK 2147483648 of PROBE 12");
    hdr = header(PONY_WIRE_ACK, PONY_WIRE_FLAG_ECHO);
    hdr.n_sack = 2;
    hdr.sack[1] = 0xabc;
    write_udp(PORT, at, seal(&hdr, at, 0, 0), "ACK 2147483648");
    const struct pony_sealed_outer outer = {
        .generation = 3, .version = 1, .token = 4, .dst_flow = 5, .number = 66};
    pony_sealed_encode_outer(&outer, at);
    write_udp(PORT, at, PONY_SEALED_MIN_BYTES + 10, "SEALED 66, 10 bytes, key generation 3");
}

static void write_frames(const struct pony_frame *frames, uint32_t n, const char *info)
{
    uint8_t at[PACKET_MAX] = {0};
    uint32_t used = 0;
    for (uint32_t i = 0; i < n; i++) {
        used += pony_frame_put(at + PONY_WIRE_HDR_BYTES + used, &frames[i]);
        if (frames[i].data_len > 0) {
            memcpy(at + PONY_WIRE_HDR_BYTES + used, frames[i].data, frames[i].data_len);
            used += frames[i].data_len;
        }
    }
    struct pony_wire_hdr hdr = header(PONY_WIRE_DATA, 0);
    write_udp(PORT, at, seal(&hdr, at, used, used), info);
}

static void write_operations(void)
{
    static const struct {
        struct pony_frame frame;
        const char *info;
    } cases[] = {
        {{.type = PONY_FRAME_OPEN, .service = 77}, "DATA 4294967295 [OPEN]"},
        {{.type = PONY_FRAME_OPEN_OK, .own_conn = 3}, "DATA 4294967295 [OPEN_OK]"},
        {{.type = PONY_FRAME_REFUSE, .reason = SHM_REASON_NO_SERVICE},
         "DATA 4294967295 [REFUSE NO_SERVICE]"},
        {{.type = PONY_FRAME_SMALL, .flags = PONY_FRAME_ORDERED}, "DATA 4294967295 [SMALL]"},
        {{.type = PONY_FRAME_RTS, .total_bytes = 5}, "DATA 4294967295 [RTS]"},
        {{.type = PONY_FRAME_GRANT, .msg_no = 5}, "DATA 4294967295 [GRANT]"},
        {{.type = PONY_FRAME_CREDIT, .limit_bytes = 4096}, "DATA 4294967295 [CREDIT]"},
        {{.type = PONY_FRAME_CLOSE, .msg_no = 6}, "DATA 4294967295 [CLOSE]"},
        {{.type = PONY_FRAME_CLOSE_OK}, "DATA 4294967295 [CLOSE_OK]"},
        {{.type = PONY_FRAME_RESET, .reason = SHM_REASON_APP_GONE},
         "DATA 4294967295 [RESET APP_GONE]"},
        {{.type = PONY_FRAME_PAD, .data = (const uint8_t *)"zzz", .data_len = 3},
         "DATA 4294967295 [PAD]"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_frames(&cases[i].frame, 1, cases[i].info);
    }
    const struct pony_frame two[] = {cases[6].frame, cases[8].frame};
    write_frames(two, 2, "DATA 4294967295 [CREDIT] [CLOSE_OK]");
}

static const struct {
    struct snapi_frame frame;
    const char *info;
} rpc_cases[] = {
    {{.type = SNAPI_HELLO,
      .version_min = 1,
      .version_max = 1,
      .text = "pony:*:1/2",
      .text_len = 10},
     "RPC-HELLO pony:*:1/2"},
    {{.type = SNAPI_REQUEST,
      .id = 12,
      .text = "files.Files/Get",
      .text_len = 15,
      .body = (const uint8_t *)"0123456789",
      .body_len = 10},
     "REQUEST 12 files.Files/Get"},
    {{.type = SNAPI_RESPONSE, .id = 12, .code = 5, .text = "gone", .text_len = 4},
     "RESPONSE 12 NOT_FOUND"},
    {{.type = SNAPI_CANCEL, .id = 13}, "CANCEL"},
    {{.type = SNAPI_GOAWAY, .code = 14, .text = "bye", .text_len = 3}, "GOAWAY UNAVAILABLE"},
    {{.type = SNAPI_PING, .id = 14}, "PING"},
    {{.type = SNAPI_PONG, .id = 14}, "PONG"},
};

enum {
    N_RPC = sizeof(rpc_cases) / sizeof(rpc_cases[0])
};

static char rpc_infos[N_RPC][2][96];

/* Encodes; returns the size. */
static uint32_t put_rpc(uint32_t i, uint8_t *at)
{
    struct snapi_frame frame = rpc_cases[i].frame;
    size_t len = snapi_frame_size(&frame);
    assert_true(len <= PACKET_MAX / 2);
    uint8_t *body = snapi_frame_put(&frame, at);
    if (frame.body_len > 0) {
        memcpy(body, frame.body, frame.body_len);
    }
    return (uint32_t)len;
}

static void write_rpc_over_pony(void)
{
    uint8_t bytes[PACKET_MAX];
    for (uint32_t i = 0; i < N_RPC; i++) {
        struct pony_frame small = {.type = PONY_FRAME_SMALL, .data = bytes};
        small.data_len = put_rpc(i, bytes);
        (void)snprintf(rpc_infos[i][0], sizeof(rpc_infos[i][0]), "DATA 4294967295 [SMALL %s]",
                       rpc_cases[i].info);
        write_frames(&small, 1, rpc_infos[i][0]);
    }
    struct pony_frame piece = {.type = PONY_FRAME_FRAG, .data = bytes};
    piece.total_bytes = put_rpc(1, bytes);
    piece.data_len = piece.total_bytes;
    write_frames(&piece, 1, "DATA 4294967295 [FRAG REQUEST 12 files.Files/Get]");
    piece.data_len -= 5;
    write_frames(&piece, 1, "DATA 4294967295 [FRAG REQUEST 12 files.Files/Get (begins)]");
    piece.off = piece.data_len;
    piece.data += piece.data_len;
    piece.data_len = 5;
    write_frames(&piece, 1, "DATA 4294967295 [FRAG last piece of REQUEST 12 files.Files/Get]");
    piece.msg_no++;
    write_frames(&piece, 1, "DATA 4294967295 [FRAG piece]");
}

/* One packet in pieces, the last one first: a REQUEST with a body of zeros. */
static void write_parts(void)
{
    uint8_t whole[PACKET_MAX] = {0};
    uint8_t at[PACKET_MAX];
    struct pony_frame small = {.type = PONY_FRAME_SMALL, .data_len = 2000};
    uint32_t used = pony_frame_put(whole, &small);
    (void)put_rpc(1, whole + used);
    used += small.data_len;
    static const char *const infos[] = {
        "PART of DATA 4294967295, piece 1 of 2 [SMALL REQUEST 12 files.Files/Get]",
        "PART of DATA 4294967295, piece 2 of 2",
    };
    for (uint32_t i = 2; i-- > 0;) {
        uint32_t off = i * PONY_PART_BYTES;
        uint32_t len = i == 0 ? (uint32_t)PONY_PART_BYTES : used - off;
        const struct pony_part part = {.idx = (uint8_t)i, .count = 2, .whole_len = (uint16_t)used};
        uint8_t *body = at + PONY_WIRE_HDR_BYTES;
        pony_part_encode(&part, body);
        memcpy(body + PONY_PART_HDR_BYTES, whole + off, len);
        struct pony_wire_hdr hdr = header(PONY_WIRE_PART, 0);
        len += PONY_PART_HDR_BYTES;
        write_udp(PORT, at, seal(&hdr, at, len, len), infos[i]);
    }
}

static void write_tcp(const uint8_t *data, uint32_t len, const char *info)
{
    uint8_t head[CLI_IP_HEAD_MAX + TCP_BYTES] = {0};
    const struct cli_ip_packet ip = {.from = end(1, 40000), .to = end(2, 40001)};
    uint32_t ip_len = cli_ip_head(&ip, head) - 8;
    uint8_t *tcp = head + ip_len;
    memset(tcp + 4, 0, TCP_BYTES - 4); /* the ports are where UDP has them */
    uint32_t total = ip_len + TCP_BYTES + len;
    head[2] = (uint8_t)(total >> 8);
    head[3] = (uint8_t)total;
    head[9] = 6;
    for (int i = 0; i < 4; i++) {
        tcp[4 + i] = (uint8_t)(capture.tcp_seq >> (24 - 8 * i));
    }
    tcp[12] = 0x50;
    tcp[13] = 0x10; /* ACK */
    tcp[14] = 0xff;
    capture.tcp_seq += len;
    write_packet(head, ip_len + TCP_BYTES, data, len, info);
}

static uint32_t put_tcp_frame(uint8_t *at, const struct ktcp_header *header, const uint8_t *data)
{
    size_t len = ktcp_header_put(at, header);
    memset(at + len, 0, ktcp_body_bytes(header->length));
    memcpy(at + len, data, header->length);
    return (uint32_t)(len + ktcp_body_bytes(header->length));
}

static void write_rpc_over_tcp(void)
{
    uint8_t rpc[PACKET_MAX];
    uint8_t at[PACKET_MAX];
    write_tcp((const uint8_t *)"SNAPTCP\1", 8, " [preface]");
    for (uint32_t i = 0; i < N_RPC; i++) {
        struct ktcp_header whole = {.flags = KTCP_FIRST | KTCP_LAST};
        whole.length = put_rpc(i, rpc);
        uint32_t len = put_tcp_frame(at, &whole, rpc);
        (void)snprintf(rpc_infos[i][1], sizeof(rpc_infos[i][1]), " [%s]", rpc_cases[i].info);
        if (i == 1) { /* in two segments */
            write_tcp(at, 11, NULL);
            write_tcp(at + 11, len - 11, rpc_infos[i][1]);
        } else {
            write_tcp(at, len, rpc_infos[i][1]);
        }
    }
    uint32_t all = put_rpc(1, rpc);
    const struct ktcp_header first = {.length = 40, .flags = KTCP_FIRST, .stream = 3, .total = all};
    const struct ktcp_header last = {.length = all - 40, .flags = KTCP_LAST, .stream = 3};
    const struct ktcp_header bye = {.flags = KTCP_END, .stream = KTCP_REASON_DONE};
    uint32_t len = put_tcp_frame(at, &first, rpc);
    write_tcp(at, len, " [REQUEST 12 files.Files/Get (begins)]");
    len = put_tcp_frame(at, &last, rpc + 40);
    len += put_tcp_frame(at + len, &bye, rpc);
    write_tcp(at, len, " [last piece] [end, in order]");
}

static const char *run_tshark(const char *const *options)
{
    const char *argv[TEST_ARGS_MAX] = {TSHARK, "-n", "-X", DISSECTOR, "-r", capture.path};
    size_t n = 6;
    for (; options[n - 6] != NULL; n++) {
        argv[n] = options[n - 6];
    }
    static struct test_proc tshark;
    test_proc_start(&tshark, &(struct test_spawn){.argv = argv});
    assert_int_equal(test_proc_wait(&tshark), 0);
    return test_proc_output(&tshark);
}

static void assert_lacks(const char *text, const char *part)
{
    const char *at = strstr(text, part);
    if (at != NULL) {
        fail_msg("tshark says: %.300s", at);
    }
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("\"%s\" lacks \"%s\"", text, part);
    }
}

static uint64_t n_udp;

static int write_all(void **state)
{
    (void)state;
    open_capture("good.pcapng");
    write_handshake();
    write_operations();
    write_rpc_over_pony();
    write_parts();
    n_udp = capture.n;
    write_rpc_over_tcp();
    close_capture();
    assert_true(capture.n <= INFOS_MAX);
    return 0;
}

static void packets_of_every_kind_are_summed_up(void **state)
{
    (void)state;
    static const char *const options[] = {
        "-T", "fields", "-e", "frame.number", "-e", "_ws.col.Info", "-E", "separator=|", NULL};
    const char *output = run_tshark(options);
    assert_lacks(output, "Lua");
    for (uint32_t i = 0; i < capture.n; i++) {
        char line[256];
        if (capture.infos[i] == NULL) {
            continue;
        }
        (void)snprintf(line, sizeof(line), "\n%u|%s\n", i + 1, capture.infos[i]);
        /* Columns of TCP begin with what TCP says; ours is appended. */
        if (capture.infos[i][0] == ' ') {
            (void)snprintf(line, sizeof(line), "%s\n", capture.infos[i]);
        }
        if (i == 0) {
            memmove(line, line + 1, strlen(line));
        }
        assert_has(output, line);
    }
}

static void nothing_good_is_called_malformed(void **state)
{
    (void)state;
    static const char *const options[] = {
        "-Y", "_ws.malformed || _ws.expert.severity == error || _ws.lua.error",
        "-T", "fields",
        "-e", "frame.protocols",
        NULL};
    const char *output = run_tshark(options);
    assert_lacks(output, "raw:ip");
    static const char *const good[] = {"-Y", "pony.crc.good == 1", "-T", "fields",
                                       "-e", "frame.number",       NULL};
    output = run_tshark(good);
    char line[32];
    (void)snprintf(line, sizeof(line), "\n%llu\n", (unsigned long long)n_udp);
    assert_has(output, line); /* the last one over UDP */
    (void)snprintf(line, sizeof(line), "\n%llu\n", (unsigned long long)n_udp + 1);
    assert_lacks(output, line);
}

static void fields_have_their_values(void **state)
{
    (void)state;
    static const char *const filters[] = {
        "pony.type == 5 && pony.ack == 2147483648 && pony.seq == 4294967295 && "
        "pony.token == 0x1122334455667788 && pony.flow == 65537 && pony.tx_ts == 101 && "
        "pony.echo_ts == 102 && pony.echo_delay_ns == 103 && pony.hops == 4 && "
        "pony.duplicates == 5 && pony.ce == 600 && pony.sack == 0xabc && pony.flags.echo == 1",
        "pony.type == 1 && pony.version_min == 1 && pony.version_max == 2 && "
        "pony.hello.mtu == 1200 && pony.hello.flow == 7 && pony.hello.token == 8 && "
        "pony.instance == 9 && pony.hello.features == 0",
        "pony.type == 7 && pony.flags.unknown == 1 && pony.reason == 9 && pony.version_min == 3",
        "pony.type == 8 && pony.sealed.generation == 3 && pony.token == 4 && pony.flow == 5 && "
        "pony.sealed.number == 66",
        "pony.type == 3 && pony.reason == 14 && pony.mode == 1",
        "pony.type == 3 && pony.mode == 2 && pony.why == 1 && pony.cookie[0] == ab",
        "pony.type == 1 && pony.hello.slot == 5 && pony.hello.features == 2 && pony.cookie && "
        "pony.hello.certificates == 1 && pony.hello.certificate_len == 700 && "
        "pony.hello.signature && pony.hello.psk == 0",
        "pony.type == 6 && pony.probe.number == 12",
        "pony.type == 5 && pony.probe.number == 12",
        "pony.part.index == 1 && pony.part.count == 2 && pony.part.whole_len == 2016 && "
        "pony.whole_in",
        "pony.part.index == 0 && pony.piece_in && snaprpc.call == 12 && pony.frame.type == 4",
        "pony.frame.type == 5 && pony.piece_in && snaprpc.body_len == 10",
        "pony.frame.type == 1 && pony.frame.service == 77",
        "pony.frame.type == 2 && pony.frame.own_conn == 3",
        "pony.frame.type == 11 && pony.frame.reason == 3",
        "pony.frame.type == 6 && pony.frame.total_len == 5 && pony.frame.ordered == 0",
        "pony.frame.type == 9 && pony.frame.n_messages == 6",
        "pony && snaprpc.type == 2 && snaprpc.code == 5 && snaprpc.message == \"gone\"",
        "snaptcp && snaprpc.call == 12 && snaprpc.method == \"files.Files/Get\" && "
        "snaprpc.body_len == 10 && snaptcp.last == 1",
        "snaptcp.first == 1 && snaptcp.last == 0 && snaptcp.stream == 3 && snaptcp.total > 40",
        "snaptcp.end == 1 && snaptcp.reason == 0",
        "snaptcp.magic == \"SNAPTCP\" && snaptcp.version == 1",
    };
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
        const char *options[] = {"-2",     "-Y", filters[i],        "-T",
                                 "fields", "-e", "frame.protocols", NULL};
        const char *output = run_tshark(options);
        if (strstr(output, "raw:ip:") == NULL) {
            fail_msg("no packet has %s: %s", filters[i], output);
        }
    }
}

/* Bytes at random places of good packets change, or the end is missing; half get a right CRC. */
static void damaged_packets_do_not_trip_it(void **state)
{
    (void)state;
    struct base_rng rng;
    base_rng_init(&rng, 7);
    open_capture("damaged.pcapng");
    for (uint32_t i = 0; i < N_DAMAGED; i++) {
        uint8_t at[PACKET_MAX] = {0};
        uint8_t *body = at + PONY_WIRE_HDR_BYTES;
        struct pony_wire_hdr hdr = header((uint8_t)base_rng_range(&rng, 1, 9), 0);
        struct pony_frame frame = {.type = (uint8_t)base_rng_range(&rng, 1, 11), .data = at + 2048};
        bool has_data = frame.type == PONY_FRAME_SMALL || frame.type == PONY_FRAME_FRAG;
        frame.data_len = has_data ? put_rpc(i % N_RPC, at + 2048) : 0;
        uint32_t len = pony_frame_put(body, &frame);
        memmove(body + len, at + 2048, frame.data_len);
        len += frame.data_len;
        for (uint32_t k = 0; k < 3; k++) {
            body[base_rng_below(&rng, len)] = (uint8_t)base_rng_u64(&rng);
        }
        len -= (uint32_t)base_rng_below(&rng, len) * (i % 2);
        uint32_t all = seal(&hdr, at, len, len);
        if (i % 4 == 0) {
            at[base_rng_below(&rng, all)] ^= 0x11;
            all -= (uint32_t)base_rng_below(&rng, all);
        }
        write_udp(PORT, at, all, NULL);
    }
    close_capture();
    static const char *const options[] = {"-Y", "_ws.lua.error",   "-T", "fields",
                                          "-e", "frame.protocols", NULL};
    assert_lacks(run_tshark(options), "raw:ip");
    static const char *const bad[] = {"-Y", "pony.frame.bad || pony.crc.bad", "-c", "3000", NULL};
    assert_has(run_tshark(bad), "Pony");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_of_every_kind_are_summed_up),
        cmocka_unit_test(nothing_good_is_called_malformed),
        cmocka_unit_test(fields_have_their_values),
        cmocka_unit_test(damaged_packets_do_not_trip_it),
    };
    if (access(TSHARK, X_OK) != 0) {
        (void)printf("skipped: tshark is not installed\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, write_all, NULL);
}
