/* SPDX-License-Identifier: Apache-2.0 */

/**
 * snaprpc capture: real calls between two snapds, and what the file says of them, to us and to tshark.
 */

#include "transport/pony/abi/capture.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "base/endian.h"
#include "tests/support/cmocka_all.h"
#include "tests/support/control_client.h"
#include "tests/support/pcapng_read.h"
#include "tests/support/proc.h"
#include "transport/pony/protocol/seal.h"
#include "transport/pony/protocol/wire_sealed.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    NOBODY = 65534,
    IP_UDP = 28, /* bytes before the packet, over IPv4 */
    PINGS = 30
};

/** Two snapds, a server at the second one. */
struct pair {
    struct test_proc snapd[2];
    char socket[2][TEST_PATH_MAX];
    struct test_proc server;
    char target[64];
    struct test_proc capture;
    char path[TEST_PATH_MAX];
};

static struct pair pair;
static struct pcapng_file file;

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

/* A configuration for both snapds, in mode plain or psk. */
static const char *write_config(bool is_secured)
{
    static char path[TEST_PATH_MAX];
    char text[TEST_PATH_MAX + 64] = "";
    if (is_secured) {
        const char *keys = test_path("cluster.keys");
        char key[80];
        (void)snprintf(key, sizeof(key), "77 %064d\n", 1234567);
        write_text(keys, key);
        (void)snprintf(text, sizeof(text), "[security]\nmode = psk\nkey_file = %s\n", keys);
    }
    (void)snprintf(path, sizeof(path), "%s", test_path("snapd.conf"));
    write_text(path, text);
    return path;
}

static int start_pair(bool is_secured)
{
    memset(&pair, 0, sizeof(pair));
    for (int i = 0; i < 2; i++) {
        (void)snprintf(pair.socket[i], TEST_PATH_MAX, "%s",
                       test_path(i == 0 ? "a.sock" : "b.sock"));
        test_proc_run(&pair.snapd[i], SNAPD_PROGRAM, "--config", write_config(is_secured),
                      "--socket", pair.socket[i], "--listen", "127.0.0.1:0", NULL);
        (void)test_proc_wait_line(&pair.snapd[i], "ready at");
    }
    char env[TEST_PATH_MAX + 32];
    (void)snprintf(env, sizeof(env), "SNAPD_SOCKET=%s", pair.socket[1]);
    const char *argv[] = {LEDGER_SERVER, "0.0.0.0:0", NULL};
    const char *vars[] = {env, NULL};
    test_proc_start(&pair.server, &(struct test_spawn){.argv = argv, .env = vars});
    const char *line = strstr(test_proc_wait_line(&pair.server, "port "), "port ");
    assert_non_null(line);
    (void)snprintf(pair.target, sizeof(pair.target), "127.0.0.1:%lu", strtoul(line + 5, NULL, 10));
    (void)snprintf(pair.path, TEST_PATH_MAX, "%s", test_path("packets.pcapng"));
    return 0;
}

static int start(void **state)
{
    (void)state;
    return start_pair(false);
}

static int start_secured(void **state)
{
    (void)state;
    return start_pair(pony_seal_psk.is_built);
}

static int end(void **state)
{
    (void)state;
    test_proc_end(&pair.capture);
    test_proc_end(&pair.server);
    test_proc_end(&pair.snapd[0]);
    test_proc_end(&pair.snapd[1]);
    (void)unlink(pair.path);
    return 0;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("\"%s\" lacks \"%s\"", text, part);
    }
}

/* Round trips over Pony from the first snapd. */
static void ping(const char *count)
{
    char env[TEST_PATH_MAX + 32];
    (void)snprintf(env, sizeof(env), "SNAPD_SOCKET=%s", pair.socket[0]);
    const char *argv[] = {SNAPRPC_PROGRAM, "ping", pair.target, "-c", count, "-i", "0", "-t",
                          "20000",         NULL};
    const char *vars[] = {env, "SNAP_TRANSPORT=pony", NULL};
    struct test_proc cli;
    test_proc_start(&cli, &(struct test_spawn){.argv = argv, .env = vars});
    if (test_proc_wait(&cli) != 0) {
        fail_msg("ping: %s", test_proc_output(&cli));
    }
}

/* Starts a capture at the first snapd; options end with NULL. */
static void start_capture(const char *option, const char *value)
{
    test_proc_run(&pair.capture, SNAPRPC_PROGRAM, "capture", "--socket", pair.socket[0], "--output",
                  pair.path, option, value, NULL);
    (void)test_proc_wait_line(&pair.capture, "capturing at engine 0");
}

static void read_file(void)
{
    static uint8_t bytes[8 << 20];
    FILE *in = fopen(pair.path, "rbe");
    assert_non_null(in);
    size_t len = fread(bytes, 1, sizeof(bytes), in);
    assert_int_equal(fclose(in), 0);
    assert_true(len < sizeof(bytes));
    pcapng_read(bytes, len, &file);
}

/* The Pony packet in packet `i`, checked from IP down to the CRC; returns its type. */
static uint8_t check_packet(uint32_t i, uint64_t earliest_ns)
{
    const struct pcapng_packet *p = &file.packets[i];
    struct pony_wire_hdr hdr;
    const uint8_t *body = NULL;
    assert_int_equal(p->captured, p->original);
    assert_true(p->captured > IP_UDP);
    assert_int_equal(p->bytes[0], 0x45);
    assert_int_equal(p->bytes[9], 17);
    assert_int_equal((uint32_t)p->bytes[2] << 8 | p->bytes[3], p->captured);
    assert_memory_equal(p->bytes + 12, "\x7f\0\0\1\x7f\0\0\1", 8);
    assert_true(p->time_ns >= earliest_ns);
    enum pony_wire_verdict verdict =
        pony_wire_decode(p->bytes + IP_UDP, p->captured - IP_UDP, &hdr, &body);
    assert_int_equal(verdict, PONY_WIRE_OK);
    return hdr.type;
}

static void the_file_has_every_packet_of_the_calls(void **state)
{
    (void)state;
    uint64_t before_ns = base_clock_read_ns(CLOCK_REALTIME);
    start_capture(NULL, NULL);
    ping("30");
    test_proc_signal(&pair.capture, SIGINT);
    assert_int_equal(test_proc_wait(&pair.capture), 0);
    assert_has(test_proc_output(&pair.capture), " missed");
    read_file();
    assert_int_equal(file.n_interfaces, 1);
    assert_int_equal(file.interfaces[0].linktype, 101);
    assert_int_equal(file.interfaces[0].resolution, 9);
    assert_string_equal(file.interfaces[0].name, "engine0");
    assert_int_equal(file.interfaces[0].n_stats, 1);
    assert_int_equal(file.interfaces[0].n_dropped, 0);
    assert_int_equal(file.interfaces[0].n_received, file.n_packets);
    assert_int_equal(file.interfaces[0].n_delivered, file.n_packets);
    uint32_t n_of[2][PONY_WIRE_TYPE_MAX] = {{0}};
    for (uint32_t i = 0; i < file.n_packets; i++) {
        uint32_t flags = file.packets[i].flags;
        assert_true(flags == 1 || flags == 2);
        n_of[flags == 2][check_packet(i, before_ns)]++;
    }
    assert_true(n_of[1][PONY_WIRE_HELLO] >= 1);
    assert_int_equal(n_of[0][PONY_WIRE_HELLO], 0);
    assert_true(n_of[0][PONY_WIRE_HELLO_OK] >= 1);
    assert_true(n_of[0][PONY_WIRE_DATA] >= PINGS);
    assert_true(n_of[1][PONY_WIRE_DATA] >= PINGS);
    struct stat st;
    assert_int_equal(stat(pair.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* What tshark has to print of packet `i`, by our own decoder. */
static void expect_fields(uint32_t i, char *line, size_t size)
{
    static const struct pony_wire_versions all = {1, 255};
    const uint8_t *data = file.packets[i].bytes + IP_UDP;
    uint32_t len = file.packets[i].captured - IP_UDP;
    struct pony_sealed_outer outer;
    if (pony_wire_is_sealed(data, len)) {
        assert_int_equal(pony_sealed_decode_outer(&all, data, len, &outer), PONY_WIRE_OK);
        (void)snprintf(line, size, "\n%u|8|%u||||%llu|%u|\n", i + 1, outer.dst_flow,
                       (unsigned long long)outer.number, outer.generation);
        return;
    }
    struct pony_wire_hdr hdr;
    const uint8_t *body = NULL;
    assert_int_equal(pony_wire_decode(data, len, &hdr, &body), PONY_WIRE_OK);
    bool is_hello = hdr.type == PONY_WIRE_HELLO || hdr.type == PONY_WIRE_HELLO_OK;
    bool is_psk = is_hello && (body[24] & PONY_WIRE_FEATURE_PSK) != 0;
    (void)snprintf(line, size, "\n%u|%u|%u|%u|%u|%u|||%s\n", i + 1, hdr.type, hdr.dst_flow, hdr.seq,
                   hdr.ack, hdr.body_len, is_psk ? "77" : "");
}

/* The capture of real calls, read by tshark with the dissector: every field as we decode it. */
static void expect_that_tshark_agrees(bool is_secured)
{
    if (access(TSHARK, X_OK) != 0) {
        print_message("skipped: tshark is not installed\n");
        skip();
    }
    start_capture(NULL, NULL);
    ping("30");
    test_proc_signal(&pair.capture, SIGINT);
    assert_int_equal(test_proc_wait(&pair.capture), 0);
    read_file();
    static struct test_proc tshark;
    static char output[1 << 20] = "\n";
    test_proc_run(&tshark, TSHARK, "-n", "-X", DISSECTOR, "-r", pair.path, "-d",
                  "udp.port==1-65535,pony", "-T", "fields", "-E", "separator=|", "-e",
                  "frame.number", "-e", "pony.type", "-e", "pony.flow", "-e", "pony.seq", "-e",
                  "pony.ack", "-e", "pony.body_len", "-e", "pony.sealed.number", "-e",
                  "pony.sealed.generation", "-e", "pony.hello.psk.cluster_key", NULL);
    assert_int_equal(test_proc_wait(&tshark), 0);
    (void)snprintf(output, sizeof(output), "\n%s", test_proc_output(&tshark));
    uint32_t n_sealed = 0;
    for (uint32_t i = 0; i < file.n_packets; i++) {
        char line[128];
        expect_fields(i, line, sizeof(line));
        assert_has(output, line);
        n_sealed +=
            pony_wire_is_sealed(file.packets[i].bytes + IP_UDP, file.packets[i].captured - IP_UDP);
    }
    assert_true(is_secured ? n_sealed >= 2 * PINGS : n_sealed == 0);
    test_proc_run(&tshark, TSHARK, "-n", "-X", DISSECTOR, "-r", pair.path, "-d",
                  "udp.port==1-65535,pony", "-T", "fields", "-e", "frame.protocols", "-Y",
                  "_ws.malformed || _ws.expert.severity == error || _ws.lua.error || !pony", NULL);
    assert_int_equal(test_proc_wait(&tshark), 0);
    if (strstr(test_proc_output(&tshark), "raw:ip") != NULL) {
        fail_msg("malformed, says tshark: %s", test_proc_output(&tshark));
    }
}

static void tshark_reads_what_is_readable_as_we_do(void **state)
{
    (void)state;
    expect_that_tshark_agrees(false);
}

static void tshark_reads_what_is_sealed_as_we_do(void **state)
{
    (void)state;
    expect_that_tshark_agrees(pony_seal_psk.is_built);
}

static void a_count_ends_the_capture(void **state)
{
    (void)state;
    start_capture("--count", "5");
    ping("30");
    assert_int_equal(test_proc_wait(&pair.capture), 0);
    assert_has(test_proc_output(&pair.capture), "5 packets captured");
    read_file();
    assert_int_equal(file.n_packets, 5);
    assert_int_equal(file.interfaces[0].n_delivered, 5);
    assert_int_equal(file.interfaces[0].n_stats, 1);
}

static void a_snap_length_cuts_packets(void **state)
{
    (void)state;
    start_capture("--snaplen", "50");
    ping("30");
    test_proc_signal(&pair.capture, SIGTERM);
    assert_int_equal(test_proc_wait(&pair.capture), 0);
    read_file();
    uint32_t n_cut = 0;
    for (uint32_t i = 0; i < file.n_packets; i++) {
        const struct pcapng_packet *p = &file.packets[i];
        assert_true(p->captured <= IP_UDP + 50);
        n_cut += p->captured < p->original;
    }
    assert_true(n_cut > 0);
}

static void filters_take_a_flow_or_a_port(void **state)
{
    (void)state;
    ping("2");
    start_capture("--filter", "flow=0");
    ping("30");
    test_proc_signal(&pair.capture, SIGINT);
    assert_int_equal(test_proc_wait(&pair.capture), 0);
    read_file();
    assert_true(file.n_packets >= 2 * PINGS);
    start_capture("--filter", "port=9");
    ping("30");
    test_proc_signal(&pair.capture, SIGINT);
    assert_int_equal(test_proc_wait(&pair.capture), 0);
    read_file();
    assert_int_equal(file.n_packets, 0);
}

static void what_cannot_be_captured_is_refused(void **state)
{
    (void)state;

    static const struct {
        const char *value;
        int code;
        const char *text;
    } cases[] = {
        {"flow=77", 1, "no engine has a flow 77"},
        {"flow=x", 2, "a filter is"},
        {"port=65536", 2, "a filter is"},
        {"port=1,port=2", 2, "a filter is"},
        {"", 2, "a filter is"},
    };

    for (size_t i = 0; i < BASE_ARRAY_LEN(cases); i++) {
        struct test_proc cli;
        test_proc_run(&cli, SNAPRPC_PROGRAM, "capture", "--socket", pair.socket[0], "--output",
                      pair.path, "--filter", cases[i].value, NULL);
        assert_int_equal(test_proc_wait(&cli), cases[i].code);
        assert_has(test_proc_output(&cli), cases[i].text);
    }
    assert_int_equal(access(pair.path, F_OK), -1);
}

static void there_is_one_capture_at_a_time(void **state)
{
    (void)state;
    start_capture(NULL, NULL);
    struct test_proc second;
    test_proc_run(&second, SNAPRPC_PROGRAM, "capture", "--socket", pair.socket[0], "--output",
                  test_path("second.pcapng"), NULL);
    assert_int_equal(test_proc_wait(&second), 1);
    assert_has(test_proc_output(&second), "is capturing at this snapd");
    /* Killed: snapd takes the tap away, and the next one may. */
    test_proc_end(&pair.capture);
    start_capture("--count", "1");
    ping("3");
    assert_int_equal(test_proc_wait(&pair.capture), 0);
}

static bool may_enter(void)
{
    /* Whether another user gets as far as the socket. */
    return geteuid() == 0 && chmod(pair.socket[0], 0666) == 0 && chmod(test_folder(), 0755) == 0;
}

static void another_user_may_not_look_on(void **state)
{
    (void)state;
    if (!may_enter()) {
        skip();
    }
    const char *argv[] = {SNAPRPC_PROGRAM, "capture", "--socket", pair.socket[0], NULL};
    struct test_proc cli;
    test_proc_start(&cli, &(struct test_spawn){.argv = argv, .uid = NOBODY});
    assert_int_equal(test_proc_wait(&cli), 1);
    assert_has(test_proc_output(&cli), "only root and the user that runs snapd");
}

static void the_file_is_whole_when_snapd_ends_first(void **state)
{
    (void)state;
    start_capture(NULL, NULL);
    ping("30");
    test_proc_signal(&pair.snapd[0], SIGTERM);
    assert_int_equal(test_proc_wait(&pair.snapd[0]), 0);
    assert_int_equal(test_proc_wait(&pair.capture), 1);
    assert_has(test_proc_output(&pair.capture), "snapd ended; what came before is written");
    read_file();
    assert_true(file.n_packets >= 2 * PINGS);
    assert_int_equal(file.interfaces[0].n_stats, 1);
    assert_int_equal(check_packet(file.n_packets - 1, 0), PONY_WIRE_RESET);
}

static Pony__Control__Reply *begin_capture(struct test_control *control, int *fds)
{
    static uint8_t bytes[PONY_CONTROL_MAX_BYTES];
    Pony__Control__Capture capture = PONY__CONTROL__CAPTURE__INIT;
    Pony__Control__Request request = PONY__CONTROL__REQUEST__INIT;
    Pony__Control__Reply *reply = NULL;
    size_t len = 0;
    uint32_t n_fds = 0;
    request.abi_version = SHM_ABI_VERSION;
    request.what_case = PONY__CONTROL__REQUEST__WHAT_CAPTURE;
    request.capture = &capture;
    test_control_open(control, pair.socket[0]);
    assert_int_equal(pony_control_pack_request(&request, bytes, &len), BASE_OK);
    assert_true(test_control_send(control, bytes, len));
    assert_true(test_control_receive(control, &reply, fds, SHM_CAPTURE_N_FDS, &n_fds));
    assert_int_equal(reply->what_case, PONY__CONTROL__REPLY__WHAT_CAPTURING);
    assert_int_equal(n_fds, SHM_CAPTURE_N_FDS);
    return reply;
}

/* Nobody reads: the ring fills, calls go on, and each packet that did not fit is counted. */
static void a_reader_that_sleeps_or_lies_disturbs_nobody(void **state)
{
    (void)state;
    struct test_control control;
    int fds[SHM_CAPTURE_N_FDS] = {-1, -1};
    Pony__Control__Reply *reply = begin_capture(&control, fds);
    const Pony__Control__Capturing *what = reply->capturing;
    const struct shm_capture_sizes sizes = {.n_rings = (uint32_t)what->n_rings,
                                            .slots = what->slots,
                                            .slot_bytes = what->slot_bytes,
                                            .snap_bytes = what->snap_bytes};
    assert_true(shm_capture_sizes_are_good(&sizes));
    assert_true(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0) == MAP_FAILED);
    assert_int_equal(ftruncate(fds[1], 0), -1);
    uint8_t *records =
        mmap(NULL, shm_capture_records_bytes(&sizes), PROT_READ, MAP_SHARED, fds[0], 0);
    uint64_t *cursors = mmap(NULL, shm_capture_cursors_bytes(&sizes), PROT_READ | PROT_WRITE,
                             MAP_SHARED, fds[1], 0);
    assert_true((void *)records != MAP_FAILED && (void *)cursors != MAP_FAILED);
    struct shm_capture_reader reader;
    assert_int_equal(shm_capture_reader_init(&reader, &sizes, 0, records, cursors), BASE_OK);
    for (uint64_t i = 0; shm_capture_missed(&reader) == 0; i++) {
        cursors[0] = i % 2 == 0 ? 0 : UINT64_MAX - i;
        ping("2000");
    }
    test_control_close(&control);
    ping("30");
    (void)munmap(records, shm_capture_records_bytes(&sizes));
    (void)munmap(cursors, shm_capture_cursors_bytes(&sizes));
    (void)close(fds[0]);
    (void)close(fds[1]);
    pony__control__reply__free_unpacked(reply, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
        T(the_file_has_every_packet_of_the_calls),
        T(tshark_reads_what_is_readable_as_we_do),
        cmocka_unit_test_setup_teardown(tshark_reads_what_is_sealed_as_we_do, start_secured, end),
        T(a_count_ends_the_capture),
        T(a_snap_length_cuts_packets),
        T(filters_take_a_flow_or_a_port),
        T(what_cannot_be_captured_is_refused),
        T(there_is_one_capture_at_a_time),
        T(another_user_may_not_look_on),
        T(the_file_is_whole_when_snapd_ends_first),
        T(a_reader_that_sleeps_or_lies_disturbs_nobody),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
