/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/compiler.h"
#include "base/endian.h"
#include "base/rng.h"
#include "tests/conformance/transport.h"
#include "transport/tcp/addr.h"
#include "transport/tcp/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* A peer that is a bare socket and lies. It must not hurt anybody but itself: after each lie a good
 * connection still works. */

enum {
    N_MUTATED = 400,
    N_RANDOM = 100,
    N_TRUNCATED = 120
};

static int setup(void **state)
{
    struct rig *rig = malloc(sizeof(*rig));
    assert_non_null(rig);
    rig_open(rig, &tcp_inet_fixture);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    rig_close(*state);
    free(*state);
    return 0;
}

/* ---- a bare socket ---- */

static int raw_connect(struct rig *rig)
{
    struct ktcp_addr addr;
    assert_int_equal(ktcp_addr_parse(rig->address, &addr), BASE_OK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_true(connect(fd, &addr.sa.any, addr.len) == 0 || errno == EINPROGRESS);
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    assert_int_equal(poll(&p, 1, 10000), 1);
    return fd;
}

/* Sends all, driving the rig meanwhile; stops when the peer is gone. */
static void raw_send(struct rig *rig, int fd, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    uint64_t deadline = rig_deadline();
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN) {
            return;
        }
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
        rig_turn(rig);
        rig_check_deadline(deadline, "the peer takes bytes", __FILE__, __LINE__);
    }
}

/* Reads until the other side ends it. Returns how many bytes came, the last 8 in `last`. */
static size_t raw_read_to_end(struct rig *rig, int fd, uint8_t last[8])
{
    size_t got = 0;
    uint8_t bytes[4096];
    uint64_t deadline = rig_deadline();
    while (true) {
        ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            return got;
        }
        if (n >= 8) {
            memcpy(last, bytes + n - 8, 8);
        }
        got += n > 0 ? (size_t)n : 0;
        rig_turn(rig);
        rig_check_deadline(deadline, "the connection is ended", __FILE__, __LINE__);
    }
}

static void raw_close(int fd)
{
    assert_int_equal(close(fd), 0);
}

static void a_good_connection_still_works(struct rig *rig)
{
    struct rig_end *b;
    struct rig_end *a = rig_pair(rig, &b);
    rig_must_send(a, 1, 100000);
    rig_must_send(b, 2, 64);
    rig_wait(rig, a->n_messages == 1 && b->n_messages == 1);
    assert_int_equal(a->n_bad + b->n_bad, 0);
    rig_close_conn(a, SNAPI_CLOSE_FLUSH);
    rig_wait(rig, a->n_closed == 1 && b->n_closed == 1);
}

/* Sends bytes and expects to be told a reason and closed. */
static void expect_reason(struct rig *rig, const void *bytes, size_t len, uint8_t reason)
{
    uint8_t last[8] = {0};
    int fd = raw_connect(rig);
    raw_send(rig, fd, bytes, len);
    assert_int_equal(raw_read_to_end(rig, fd, last), KTCP_PREFACE_BYTES + KTCP_HEADER_BYTES);
    assert_int_equal(last[4], KTCP_END);
    assert_int_equal(last[5], reason);
    raw_close(fd);
    a_good_connection_still_works(rig);
}

/* ---- what it says ---- */

static void another_protocol_is_told_and_closed(void **state)
{
    expect_reason(*state, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, KTCP_REASON_MALFORMED);
}

static void another_version_is_told_and_closed(void **state)
{
    expect_reason(*state, "SNAPTCP\002", 8, KTCP_REASON_VERSION);
    assert_int_equal(((struct rig *)*state)->ends[0]->n_bad, 0);
}

static void too_long_a_message_is_told_and_closed(void **state)
{
    uint8_t bytes[8 + 16 + 8] = "SNAPTCP\001";
    struct ktcp_header h = {.length = 8, .flags = KTCP_FIRST, .total = RIG_MAX_MESSAGE_BYTES + 1};
    (void)ktcp_header_put(bytes + 8, &h);
    expect_reason(*state, bytes, sizeof(bytes), KTCP_REASON_LIMIT);
    struct rig *rig = *state;
    assert_int_equal(rig->ends[0]->why.err, BASE_E_LIMIT);
    assert_int_equal(rig->ends[0]->n_messages, 0);
}

static void a_flood_of_empty_pieces_is_told_and_closed(void **state)
{
    uint8_t bytes[8 + 16 + 8 + 8000] = "SNAPTCP\001";
    struct ktcp_header h = {.length = 8, .flags = KTCP_FIRST, .total = 100};
    (void)ktcp_header_put(bytes + 8, &h);
    expect_reason(*state, bytes, sizeof(bytes), KTCP_REASON_MALFORMED);
}

static void a_preface_alone_and_then_nothing_is_an_idle_peer(void **state)
{
    struct rig *rig = *state;
    int fd = raw_connect(rig);
    raw_send(rig, fd, "SNAPTCP\001", 8);
    rig_wait(rig, rig->n_ends == 1);
    raw_close(fd);
    rig_wait(rig, rig->ends[0]->n_closed == 1);
    assert_int_equal(rig->ends[0]->why.err, BASE_E_RESET); /* it did not say goodbye */
}

/* KT-3 */
static void a_slow_preface_runs_out_of_time(void **state)
{
    struct rig *rig = *state;
    uint8_t last[8];
    int fd = raw_connect(rig);
    for (int i = 0; i < 7; i++) {
        raw_send(rig, fd, &"SNAPTCP"[i], 1);
        rig->skew_ns += UINT64_C(2) * BASE_NS_PER_S; /* a byte every two seconds */
        rig_turn(rig);
    }
    assert_int_equal(raw_read_to_end(rig, fd, last), KTCP_PREFACE_BYTES);
    raw_close(fd);
    assert_int_equal(rig->n_ends, 0); /* the application never heard of it */
    a_good_connection_still_works(rig);
}

static void many_who_never_speak_cost_little_and_go(void **state)
{
    enum {
        N = 200
    };
    struct rig *rig = *state;
    int fds[N];
    for (int i = 0; i < N; i++) {
        fds[i] = raw_connect(rig);
        rig_turn(rig);
    }
    a_good_connection_still_works(rig);
    rig->skew_ns += UINT64_C(60) * BASE_NS_PER_S;
    for (int i = 0; i < N; i++) {
        uint8_t last[8];
        assert_int_equal(raw_read_to_end(rig, fds[i], last), KTCP_PREFACE_BYTES);
        raw_close(fds[i]);
    }
    a_good_connection_still_works(rig);
}

/* A good stream of all kinds of frames. */
static size_t good_stream(uint8_t *out)
{
    static const struct ktcp_header frames[] = {
        {.length = 0, .flags = KTCP_FIRST | KTCP_LAST},
        {.length = 100, .flags = KTCP_FIRST | KTCP_LAST},
        {.length = 4096, .flags = KTCP_FIRST, .stream = 0, .total = 9000},
        {.length = 8, .flags = KTCP_FIRST, .stream = 7, .total = 17},
        {.length = 33, .flags = KTCP_FIRST | KTCP_LAST},
        {.length = 4096, .flags = 0, .stream = 0},
        {.length = 9, .flags = KTCP_LAST, .stream = 7},
        {.length = 808, .flags = KTCP_LAST, .stream = 0},
        {.length = 3, .flags = KTCP_FIRST | KTCP_LAST},
        {.flags = KTCP_END},
    };
    size_t at = KTCP_PREFACE_BYTES;
    memcpy(out, "SNAPTCP\001", at);
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        at += ktcp_header_put(out + at, &frames[i]);
        memset(out + at, 0, ktcp_body_bytes(frames[i].length));
        at += ktcp_body_bytes(frames[i].length);
    }
    return at;
}

/* Says bytes, then ends its side; whatever they were, both sides are done afterwards. */
static void say_and_leave(struct rig *rig, const uint8_t *bytes, size_t len)
{
    uint32_t first = rig->n_ends;
    uint8_t last[8];
    int fd = raw_connect(rig);
    raw_send(rig, fd, bytes, len);
    (void)shutdown(fd, SHUT_WR);
    (void)raw_read_to_end(rig, fd, last);
    raw_close(fd);
    for (uint32_t i = first; i < rig->n_ends; i++) {
        rig_wait(rig, rig->ends[i]->n_closed == 1);
    }
}

static void a_stream_cut_anywhere_is_no_close_in_order(void **state)
{
    struct rig *rig = *state;
    struct base_rng rng;
    base_rng_init(&rng, 5);
    static uint8_t stream[16384];
    size_t len = good_stream(stream);
    say_and_leave(rig, stream, len);
    assert_int_equal(rig->n_ends, 1);
    assert_int_equal(rig->ends[0]->why.err, BASE_E_CLOSED);
    assert_int_equal(rig->ends[0]->n_messages, 6);
    for (int i = 0; i < N_TRUNCATED; i++) {
        size_t cut = i < 60 ? (size_t)i : 60 + (size_t)base_rng_below(&rng, len - 60);
        uint32_t n = rig->n_ends;
        say_and_leave(rig, stream, cut);
        assert_int_equal(rig->n_ends, n + (cut >= KTCP_PREFACE_BYTES));
        if (rig->n_ends > n) {
            assert_int_equal(rig->ends[n]->why.err, BASE_E_RESET);
        }
    }
    a_good_connection_still_works(rig);
}

static void mutated_streams_hurt_nobody(void **state)
{
    struct rig *rig = *state;
    struct base_rng rng;
    base_rng_init(&rng, 2024);
    static uint8_t good[16384], bad[16384];
    size_t len = good_stream(good);
    for (int i = 0; i < N_MUTATED; i++) {
        memcpy(bad, good, len);
        int n_flips = 1 + (int)base_rng_below(&rng, 4);
        for (int k = 0; k < n_flips; k++) {
            size_t at = (size_t)base_rng_below(&rng, base_rng_chance(&rng, 500000) ? 200 : len);
            bad[at] ^= (uint8_t)(1u << base_rng_below(&rng, 8));
        }
        say_and_leave(rig, bad, len);
    }
    a_good_connection_still_works(rig);
}

static void put_preface(uint8_t *out)
{
    static const uint8_t preface[KTCP_PREFACE_BYTES] = {'S', 'N', 'A', 'P', 'T', 'C', 'P', 1};
    memcpy(out, preface, sizeof(preface));
}

static void random_bytes_hurt_nobody(void **state)
{
    struct rig *rig = *state;
    struct base_rng rng;
    base_rng_init(&rng, 4711);
    static uint8_t bytes[4096];
    for (int i = 0; i < N_RANDOM; i++) {
        for (size_t k = 0; k < sizeof(bytes); k++) {
            bytes[k] = (uint8_t)base_rng_below(&rng, base_rng_chance(&rng, 500000) ? 4 : 256);
        }
        if (i % 4 != 0) {
            put_preface(bytes);
        }
        say_and_leave(rig, bytes, 8 + (size_t)base_rng_below(&rng, sizeof(bytes) - 8));
    }
    a_good_connection_still_works(rig);
}

static void answer_at_length(struct rig_end *end)
{
    rig_must_send(end, 1, 8 << 20);
}

static void a_peer_that_asks_and_does_not_read_holds_only_its_own(void **state)
{
    struct rig *rig = *state;
    rig->on_accepted_message = answer_at_length;
    uint8_t bytes[8 + 8] = "SNAPTCP\001";
    struct ktcp_header h = {.flags = KTCP_FIRST | KTCP_LAST};
    (void)ktcp_header_put(bytes + 8, &h);
    int fd = raw_connect(rig);
    raw_send(rig, fd, bytes, sizeof(bytes));
    rig_wait(rig, rig->n_ends == 1 && rig->ends[0]->n_messages == 1);
    rig->on_accepted_message = NULL;
    a_good_connection_still_works(rig);
    raw_close(fd);
    rig_wait(rig, rig->ends[0]->n_closed == 1);
    assert_int_equal(rig->ends[0]->n_unsent, 1);
    assert_int_equal(rig->ends[0]->n_bad, 0);
}

/* ---- who it pretends to be ---- */

/* Listens as a bare socket; its address is in `text`. */
static int raw_listen(char text[KTCP_ADDR_TEXT])
{
    struct ktcp_addr addr;
    assert_int_equal(ktcp_addr_parse("127.0.0.1:0", &addr), BASE_OK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &addr.sa.any, addr.len), 0);
    assert_int_equal(listen(fd, 10), 0);
    ktcp_addr_of_socket(fd, &addr);
    ktcp_addr_format(&addr, text);
    return fd;
}

/* Connects to a bare listener, which says `bytes` and ends its side, if it says anything. */
static struct rig_end *connect_to_liar(struct rig *rig, const void *bytes, size_t len)
{
    char text[KTCP_ADDR_TEXT];
    int listener = raw_listen(text);
    struct rig_end *a = rig_connect(rig, text);
    rig_must_send(a, 1, 1000);
    int fd = -1;
    rig_wait(rig, (fd = accept(listener, NULL, NULL)) >= 0);
    if (len > 0) {
        raw_send(rig, fd, bytes, len);
        (void)shutdown(fd, SHUT_WR);
    } else {
        rig_turn(rig);
        rig->skew_ns += UINT64_C(60) * BASE_NS_PER_S;
    }
    rig_wait(rig, a->n_closed == 1);
    raw_close(fd);
    raw_close(listener);
    assert_int_equal(a->n_opened, len >= 8 && memcmp(bytes, "SNAPTCP\001", 8) == 0);
    return a;
}

static void a_server_of_another_kind_is_named_so(void **state)
{
    struct rig_end *a = connect_to_liar(*state, "220 mail.example.org ESMTP\r\n", 28);
    assert_int_equal(a->why.err, BASE_E_MALFORMED);
    assert_non_null(strstr(a->why.message, "not the protocol"));
}

static void a_server_that_accepts_and_closes_is_told(void **state)
{
    struct rig_end *a = connect_to_liar(*state, "S", 1);
    assert_int_equal(a->why.err, BASE_E_RESET);
}

static void a_server_that_never_speaks_times_out(void **state)
{
    struct rig_end *a = connect_to_liar(*state, "", 0);
    assert_int_equal(a->why.err, BASE_E_TIMEOUT);
    assert_non_null(strstr(a->why.message, "does not speak"));
}

static void a_server_of_another_version_is_named_so(void **state)
{
    struct rig_end *a = connect_to_liar(*state, "SNAPTCP\003", 8);
    assert_int_equal(a->why.err, BASE_E_VERSION);
}

static void reasons_of_a_server_are_told(void **state)
{
    static const struct {
        uint8_t reason;
        enum base_err err;
    } rows[] = {
        {KTCP_REASON_DONE, BASE_E_CLOSED},
        {KTCP_REASON_LIMIT, BASE_E_LIMIT},
        {KTCP_REASON_MALFORMED, BASE_E_PEER},
        {KTCP_REASON_VERSION, BASE_E_VERSION},
        {KTCP_REASON_REFUSED, BASE_E_REFUSED},
        {KTCP_REASON_PEER, BASE_E_PEER},
        {255, BASE_E_PEER},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t bytes[16] = "SNAPTCP\001";
        struct ktcp_header h = {.flags = KTCP_END, .stream = rows[i].reason};
        (void)ktcp_header_put(bytes + 8, &h);
        struct rig_end *a = connect_to_liar(*state, bytes, sizeof(bytes));
        assert_int_equal(a->why.err, rows[i].err);
    }
}

/* ---- out of descriptors ---- */

static void out_of_descriptors_refuses_and_recovers(void **state)
{
    enum {
        HELD = 4000
    };
    struct rig *rig = *state;
    static int held[HELD];
    int n_held = 0;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int fd = raw_connect(rig);
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(late >= 0);
    rig_turn(rig);
    struct rlimit low = {.rlim_cur = base_min_u64(before.rlim_cur, 256),
                         .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (n_held < HELD && (held[n_held] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) {
        n_held++;
    }
    struct ktcp_addr addr;
    assert_int_equal(ktcp_addr_parse(rig->address, &addr), BASE_OK);
    assert_true(connect(late, &addr.sa.any, addr.len) == 0 || errno == EINPROGRESS);
    uint8_t last[8];
    assert_int_equal(raw_read_to_end(rig, late, last), 0); /* refused at once, not left hanging */
    while (n_held > 0) {
        raw_close(held[--n_held]);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    raw_close(late);
    raw_close(fd);
    a_good_connection_still_works(rig);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(another_protocol_is_told_and_closed),
        CASE(another_version_is_told_and_closed),
        CASE(too_long_a_message_is_told_and_closed),
        CASE(a_flood_of_empty_pieces_is_told_and_closed),
        CASE(a_preface_alone_and_then_nothing_is_an_idle_peer),
        CASE(a_slow_preface_runs_out_of_time),
        CASE(many_who_never_speak_cost_little_and_go),
        CASE(a_stream_cut_anywhere_is_no_close_in_order),
        CASE(mutated_streams_hurt_nobody),
        CASE(random_bytes_hurt_nobody),
        CASE(a_peer_that_asks_and_does_not_read_holds_only_its_own),
        CASE(a_server_of_another_kind_is_named_so),
        CASE(a_server_that_accepts_and_closes_is_told),
        CASE(a_server_that_never_speaks_times_out),
        CASE(a_server_of_another_version_is_named_so),
        CASE(reasons_of_a_server_are_told),
        CASE(out_of_descriptors_refuses_and_recovers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
