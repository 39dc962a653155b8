/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/engine/place.h"

#include "base/clock.h"
#include "tests/support/cmocka_all.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PRIORITY = 3,
    SKIPPED = 77
};

#define PATIENCE_NS (UINT64_C(10) * BASE_NS_PER_S)

/* Of this process's session; false where the kernel does not weigh them. */
static bool session_nice(int *nice)
{
    char text[64] = {0};
    int fd = open("/proc/self/autogroup", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    const char *at = n > 0 ? strstr(text, " nice ") : NULL;
    *nice = at != NULL ? (int)strtol(at + strlen(" nice "), NULL, 10) : 0;
    return at != NULL;
}

/* Weighs again and again, as an engine does, until the session has that nice. */
static bool becomes(struct snapd_place *place, int expected)
{
    uint64_t end_ns = base_clock_now_ns() + PATIENCE_NS;
    int nice = expected - 1;
    while (nice != expected && base_clock_now_ns() < end_ns) {
        snapd_place_weigh_session(place);
        (void)session_nice(&nice);
        (void)sched_yield();
    }
    return nice == expected;
}

/* A process that leads a session: the line that found a fault, or 0, or SKIPPED. */
static int in_own_session(int (*run)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)setsid();
        _exit(run());
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define CHECK(x) \
    do { \
        if (!(x)) { \
            return __LINE__; \
        } \
    } while (0)

static int two_engines(void)
{
    int nice;
    if (!session_nice(&nice)) {
        return SKIPPED;
    }
    CHECK(nice == 0);
    int normal = getpriority(PRIO_PROCESS, 0);
    struct snapd_place_session session;
    struct snapd_place a;
    struct snapd_place b;
    snapd_place_session_init(&session);
    snapd_place_init(&a, PRIORITY, &session);
    snapd_place_init(&b, PRIORITY, &session);
    snapd_place_set_heavy(&a, true);
    if (!a.is_heavy) {
        return SKIPPED; /* not permitted */
    }
    CHECK(getpriority(PRIO_PROCESS, 0) == normal - PRIORITY);
    CHECK(becomes(&a, -PRIORITY));
    snapd_place_set_heavy(&b, true);
    snapd_place_set_heavy(&a, false);
    CHECK(getpriority(PRIO_PROCESS, 0) == normal);
    snapd_place_weigh_session(&a);
    CHECK(session_nice(&nice) && nice == -PRIORITY); /* the other is heavy */
    snapd_place_set_heavy(&b, false);
    CHECK(becomes(&a, 0)); /* whoever says so */
    snapd_place_set_heavy(&b, true);
    CHECK(becomes(&b, -PRIORITY));
    snapd_place_fini(&a);
    snapd_place_fini(&b);
    return 0;
}

static bool drop_sys_admin(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &head, data) != 0) {
        return false;
    }
    data[0].effective &= ~(1u << CAP_SYS_ADMIN);
    return syscall(SYS_capset, &head, data) == 0;
}

/* The kernel takes the weight of a session once in 100 ms only from who is not an administrator. */
static int two_engines_refused(void)
{
    return drop_sys_admin() ? two_engines() : SKIPPED;
}

static void check_result(int result)
{
    if (result == SKIPPED) {
        skip();
    }
    assert_int_equal(result, 0);
}

static void a_session_is_heavy_while_any_engine_is(void **state)
{
    (void)state;
    check_result(in_own_session(two_engines));
}

static void a_weight_that_was_refused_is_told_again(void **state)
{
    (void)state;
    check_result(in_own_session(two_engines_refused));
}

static int member(void)
{
    int before;
    if (!session_nice(&before)) {
        return SKIPPED;
    }
    pid_t pid = fork(); /* leads no session */
    if (pid == 0) {
        struct snapd_place_session session;
        struct snapd_place place;
        snapd_place_session_init(&session);
        snapd_place_init(&place, PRIORITY, &session);
        snapd_place_set_heavy(&place, true);
        snapd_place_weigh_session(&place);
        snapd_place_fini(&place);
        _exit(0);
    }
    int status = 0;
    int nice;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(session_nice(&nice) && nice == before);
    return 0;
}

static void the_session_of_others_is_left_alone(void **state)
{
    (void)state;
    check_result(in_own_session(member));
}

static void without_priority_nothing_happens(void **state)
{
    (void)state;
    struct snapd_place_session session;
    struct snapd_place place;
    snapd_place_session_init(&session);
    snapd_place_init(&place, 0, &session);
    int before = getpriority(PRIO_PROCESS, 0);
    snapd_place_set_heavy(&place, true);
    snapd_place_weigh_session(&place);
    assert_false(place.is_heavy);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
    assert_int_equal(snapd_place_waits(&place).n, 0);
    snapd_place_fini(&place);
}

static void waits_only_grow(void **state)
{
    (void)state;
    struct snapd_place_session session;
    struct snapd_place place;
    snapd_place_session_init(&session);
    snapd_place_init(&place, PRIORITY, &session);
    struct snapd_waits last = snapd_place_waits(&place);
    if (place.priority == 0) {
        snapd_place_fini(&place);
        skip(); /* a kernel that does not count */
    }
    for (int i = 0; i < 1000; i++) {
        (void)sched_yield();
        struct snapd_waits now = snapd_place_waits(&place);
        assert_true(now.ns >= last.ns && now.n >= last.n && now.n > 0);
        last = now;
    }
    snapd_place_fini(&place);
}

static void who_cannot_say_what_it_waited_is_never_heavy(void **state)
{
    (void)state;
    struct snapd_place_session session;
    struct snapd_place place;
    snapd_place_session_init(&session);
    snapd_place_init(&place, PRIORITY, &session);
    snapd_place_fini(&place);
    assert_int_equal(snapd_place_waits(&place).n, 0);
    snapd_place_set_heavy(&place, true);
    assert_false(place.is_heavy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_is_heavy_while_any_engine_is),
        cmocka_unit_test(a_weight_that_was_refused_is_told_again),
        cmocka_unit_test(the_session_of_others_is_left_alone),
        cmocka_unit_test(without_priority_nothing_happens),
        cmocka_unit_test(waits_only_grow),
        cmocka_unit_test(who_cannot_say_what_it_waited_is_never_heavy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
