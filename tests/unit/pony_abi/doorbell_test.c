/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/cmocka_all.h"
#include "transport/pony/abi/ring.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Two threads, one port, both sleeping whenever they have nothing to do: every command is answered
 * by a completion. A lost wake-up shows as a poll() that runs into its deadline. Also the test that
 * thread sanitizer judges the ring's orderings by. */
enum {
    SLOTS = 64,
    ROUNDS = 100000,
    LOST_MS = 20000
};

struct port {
    struct shm_client_area *client_area;
    struct shm_engine_area *engine_area;
    int doorbell, notification;
    uint32_t engine_sleeps; /* the engine thread's, read after join */
    bool is_lost;
    bool is_broken;
};

/* True: signalled, false: nobody came. */
static bool sleep_on(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, LOST_MS) != 1) {
        return false;
    }
    uint64_t count;
    return read(fd, &count, sizeof(count)) == sizeof(count);
}

static void signal_fd(int fd)
{
    uint64_t one = 1;
    if (write(fd, &one, sizeof(one)) != sizeof(one)) {
        abort();
    }
}

static void spin(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    for (uint32_t i = *seed >> 26; i > 0; i--) {
        base_cpu_relax();
    }
}

static void *engine_thread(void *arg)
{
    struct port *port = arg;
    struct shm_engine_end end;
    shm_engine_end_init(&end, port->client_area, port->engine_area, SLOTS, SLOTS);
    struct shm_command cmds[SLOTS];
    uint32_t done = 0, seed = 1;
    while (done < ROUNDS) {
        uint32_t n, ignored;
        if (shm_engine_consumed(&end, &ignored) != BASE_OK ||
            shm_engine_take(&end, cmds, shm_engine_room(&end), &n) != BASE_OK) {
            port->is_broken = true;
            break;
        }
        for (uint32_t i = 0; i < n; i++) {
            port->is_broken |= cmds[i].tag != done;
            struct shm_completion c = {.kind = SHM_CPL_SENT, .tag = done++};
            (void)shm_engine_put(&end, &c);
        }
        if (shm_engine_publish(&end, true)) {
            signal_fd(port->notification);
        }
        spin(&seed);
        end.wants_room = shm_engine_room(&end) == 0;
        if (n == 0 && !shm_engine_set_asleep(&end, true)) {
            port->engine_sleeps++;
            if (!sleep_on(port->doorbell)) {
                port->is_lost = true;
                break;
            }
        }
        (void)shm_engine_set_asleep(&end, false);
    }
    return NULL;
}

static uint32_t run_client(struct port *port)
{
    struct shm_client_end end;
    shm_client_end_init(&end, port->client_area, port->engine_area, SLOTS, SLOTS);
    uint32_t sent = 0, got = 0, seed = 2, sleeps = 0;
    while (got < ROUNDS) {
        /* One to some in flight: lock step makes the most races at the edge of sleep. */
        uint32_t want = 1 + (seed >> 30);
        while (sent < ROUNDS && sent - got < want) {
            struct shm_command c = {.opcode = SHM_OP_SEND, .tag = sent};
            assert_int_equal(shm_client_put(&end, &c), BASE_OK);
            sent++;
        }
        if (shm_client_publish(&end)) {
            signal_fd(port->doorbell);
        }
        struct shm_completion cpls[SLOTS];
        uint32_t n;
        assert_int_equal(shm_client_peek(&end, cpls, SLOTS, &n), BASE_OK);
        for (uint32_t i = 0; i < n; i++) {
            assert_int_equal(cpls[i].tag, got++);
        }
        if (shm_client_consume(&end, n)) {
            signal_fd(port->doorbell);
        }
        spin(&seed);
        if (n == 0 && !shm_client_set_asleep(&end, SHM_CLIENT_ASLEEP_ALL)) {
            sleeps++;
            assert_true(sleep_on(port->notification));
        }
        (void)shm_client_set_asleep(&end, SHM_CLIENT_AWAKE);
    }
    return sleeps;
}

static void no_wake_up_is_lost_between_two_threads_that_sleep(void **state)
{
    (void)state;
    size_t size = SHM_SLOTS_OFF + SLOTS * SHM_SLOT_BYTES;
    struct port port = {.client_area = aligned_alloc(4096, 2 * size),
                        .engine_area = aligned_alloc(4096, 2 * size),
                        .doorbell = eventfd(0, EFD_CLOEXEC),
                        .notification = eventfd(0, EFD_CLOEXEC)};
    memset(port.client_area, 0, size);
    memset(port.engine_area, 0, size);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, engine_thread, &port), 0);
    uint32_t sleeps = run_client(&port);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(port.is_lost);
    assert_false(port.is_broken);
    assert_true(sleeps > 0 && port.engine_sleeps > 0);
    assert_int_equal(close(port.doorbell), 0);
    assert_int_equal(close(port.notification), 0);
    free(port.client_area);
    free(port.engine_area);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_wake_up_is_lost_between_two_threads_that_sleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
