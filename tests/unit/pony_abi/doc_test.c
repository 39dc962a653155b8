/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/cmocka_all.h"
#include "transport/pony/abi/capture.h"
#include "transport/pony/abi/shm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* docs/shm-abi.md against the compiler: every member with its offset and size, every constant. */

static char *document;

static int read_document(void **state)
{
    (void)state;
    FILE *f = fopen(SNAP_DOC_SHM_ABI, "r");
    if (f == NULL) {
        return -1;
    }
    document = calloc(1, 65536);
    size_t n = fread(document, 1, 65535, f);
    return fclose(f) != 0 || n == 0;
}

static int free_document(void **state)
{
    (void)state;
    free(document);
    return 0;
}

/* The text of the section that begins with "### `name`" up to the next heading. */
static char *section_of(const char *name)
{
    char heading[64];
    (void)snprintf(heading, sizeof(heading), "### `%s`", name);
    const char *at = strstr(document, heading);
    if (at == NULL) {
        fail_msg("%s: no section \"%s\"", SNAP_DOC_SHM_ABI, heading);
    }
    const char *end = strstr(at + 4, "\n#");
    return strndup(at, end != NULL ? (size_t)(end - at) : strlen(at));
}

static size_t count_rows(const char *section)
{
    size_t n = 0;
    for (const char *at = section; (at = strstr(at, "\n| `")) != NULL; at += 4) {
        n++;
    }
    return n;
}

struct member {
    const char *name;
    size_t off, size;
};

static void check_struct(const char *name, size_t size, const struct member *members, size_t n)
{
    char *section = section_of(name);
    char row[128];
    (void)snprintf(row, sizeof(row), "%zu bytes", size);
    if (strstr(section, row) == NULL) {
        fail_msg("%s: section of %s does not say \"%s\"", SNAP_DOC_SHM_ABI, name, row);
    }
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(row, sizeof(row), "| `%s` | %zu | %zu |", members[i].name, members[i].off,
                       members[i].size);
        if (strstr(section, row) == NULL) {
            fail_msg("%s: section of %s lacks the row \"%s\"", SNAP_DOC_SHM_ABI, name, row);
        }
    }
    assert_int_equal(count_rows(section), n);
    free(section);
}

#define M(type, member) \
    { \
#        member, offsetof(struct type, member), sizeof(((struct type *)0)->member) \
    }
#define CHECK(type, ...) \
    do { \
        static const struct member members[] = {__VA_ARGS__}; \
        check_struct(#type, sizeof(struct type), members, sizeof(members) / sizeof(members[0])); \
    } while (0)

static void the_areas_are_as_documented(void **state)
{
    (void)state;
    CHECK(shm_client_area, M(shm_client_area, cmd_tail), M(shm_client_area, waits),
          M(shm_client_area, cpl_head), M(shm_client_area, is_asleep));
    CHECK(shm_engine_area, M(shm_engine_area, magic), M(shm_engine_area, abi_version),
          M(shm_engine_area, cmd_slots), M(shm_engine_area, cpl_slots),
          M(shm_engine_area, tx_bytes), M(shm_engine_area, rx_bytes), M(shm_engine_area, cmd_head),
          M(shm_engine_area, cpl_tail), M(shm_engine_area, processor),
          M(shm_engine_area, is_asleep), M(shm_engine_area, closed));
}

static void commands_and_completions_are_as_documented(void **state)
{
    (void)state;
    CHECK(shm_addr, M(shm_addr, ip), M(shm_addr, udp_port), M(shm_addr, scope));
    CHECK(shm_command, M(shm_command, opcode), M(shm_command, flags), M(shm_command, conn),
          M(shm_command, tag), M(shm_command, u.open.to), M(shm_command, u.open.service),
          M(shm_command, u.open.instance), M(shm_command, u.open.traffic),
          M(shm_command, u.listen.service), M(shm_command, u.listen.traffic),
          M(shm_command, u.send.off), M(shm_command, u.send.len), M(shm_command, u.send.stream));
    CHECK(shm_completion, M(shm_completion, kind), M(shm_completion, flags),
          M(shm_completion, reason), M(shm_completion, n_more), M(shm_completion, conn),
          M(shm_completion, tag), M(shm_completion, u.sent.tags),
          M(shm_completion, u.listening.service), M(shm_completion, u.listening.instance),
          M(shm_completion, u.listening.udp_port), M(shm_completion, u.peer.addr),
          M(shm_completion, u.received.off), M(shm_completion, u.received.len),
          M(shm_completion, u.received.stream), M(shm_completion, u.received.seq));
}

static void captures_are_as_documented(void **state)
{
    (void)state;
    CHECK(shm_capture_head, M(shm_capture_head, magic), M(shm_capture_head, n_rings),
          M(shm_capture_head, slots), M(shm_capture_head, slot_bytes),
          M(shm_capture_head, snap_bytes));
    CHECK(shm_capture_ring, M(shm_capture_ring, tail), M(shm_capture_ring, is_over),
          M(shm_capture_ring, n_missed));
    CHECK(shm_capture_cursor, M(shm_capture_cursor, head));
    CHECK(shm_capture_packet, M(shm_capture_packet, time_ns), M(shm_capture_packet, peer_ip),
          M(shm_capture_packet, peer_port), M(shm_capture_packet, flags),
          M(shm_capture_packet, ttl), M(shm_capture_packet, ecn), M(shm_capture_packet, bytes),
          M(shm_capture_packet, kept_bytes));
    char text[64];
    (void)snprintf(text, sizeof(text), "| `magic` | 0 | 8 | `0x%llx` |",
                   (unsigned long long)SHM_CAPTURE_MAGIC);
    assert_non_null(strstr(document, text));
    (void)snprintf(text, sizeof(text), "rings at %d, slots at %d", SHM_CAPTURE_RINGS_OFF,
                   SHM_CAPTURE_SLOTS_OFF);
    assert_non_null(strstr(document, text));
}

static void constants_are_as_documented(void **state)
{
    (void)state;
#define K(name) \
    { \
#        name, (unsigned long)(name) \
    }

    static const struct {
        const char *name;
        unsigned long value;
    } constants[] = {
        /* A table, one row a line. */
        /* clang-format off */
        K(SHM_ABI_VERSION),
        K(SHM_SLOT_BYTES),
        K(SHM_SLOTS_OFF),
        K(SHM_SLOTS_MIN),
        K(SHM_SLOTS_MAX),
        K(SHM_SENT_MORE_MAX),
        K(SHM_N_FDS),
        K(SHM_ASLEEP_COMMANDS),
        K(SHM_ASLEEP_ROOM),
        K(SHM_CLIENT_AWAKE),
        K(SHM_CLIENT_ASLEEP_ALL),
        K(SHM_CLIENT_ASLEEP_NEWS),
        K(SHM_WAITS_NOT),
        K(SHM_WAITS_ASLEEP),
        K(SHM_OP_OPEN),
        K(SHM_OP_LISTEN),
        K(SHM_OP_UNLISTEN),
        K(SHM_OP_SEND),
        K(SHM_OP_CLOSE),
        K(SHM_LISTEN_LOCAL),
        K(SHM_CLOSE_ABORT),
        K(SHM_SEND_ORDERED),
        K(SHM_CONN_ACCEPTED),
        K(SHM_TRAFFIC_DEFAULT),
        K(SHM_TRAFFIC_NORMAL),
        K(SHM_TRAFFIC_LATENCY),
        K(SHM_TRAFFIC_BULK),
        K(SHM_CPL_LISTENING),
        K(SHM_CPL_OPENED),
        K(SHM_CPL_ACCEPTED),
        K(SHM_CPL_RECEIVED),
        K(SHM_CPL_SENT),
        K(SHM_CPL_CLOSED),
        K(SHM_CPL_LISTENER),
        K(SHM_CPL_NEVER_OPENED),
        K(SHM_CPL_UNSENT),
        K(SHM_REASON_NONE),
        K(SHM_REASON_CLOSED),
        K(SHM_REASON_ABORTED),
        K(SHM_REASON_APP_GONE),
        K(SHM_REASON_NO_SERVICE),
        K(SHM_REASON_NO_MEMORY),
        K(SHM_REASON_PEER_DEAD),
        K(SHM_REASON_PEER_RESTARTED),
        K(SHM_REASON_UNREACHABLE),
        K(SHM_REASON_VERSION),
        K(SHM_REASON_PROTOCOL),
        K(SHM_REASON_BAD_COMMAND),
        K(SHM_REASON_SHUTDOWN),
        K(SHM_REASON_REFUSED),
        K(SHM_REASON_SECURITY),
        /* clang-format on */
    };

    char *section = section_of("constants");
    char row[96];
    for (size_t i = 0; i < sizeof(constants) / sizeof(constants[0]); i++) {
        (void)snprintf(row, sizeof(row), "| `%s` | %lu |", constants[i].name, constants[i].value);
        if (strstr(section, row) == NULL) {
            fail_msg("%s lacks the row \"%s\"", SNAP_DOC_SHM_ABI, row);
        }
    }
    assert_int_equal(count_rows(section), sizeof(constants) / sizeof(constants[0]));
    free(section);
    (void)snprintf(row, sizeof(row), "`0x%llx`", (unsigned long long)SHM_MAGIC);
    assert_non_null(strstr(document, row));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_areas_are_as_documented),
        cmocka_unit_test(commands_and_completions_are_as_documented),
        cmocka_unit_test(captures_are_as_documented),
        cmocka_unit_test(constants_are_as_documented),
    };
    return cmocka_run_group_tests(tests, read_document, free_document);
}
