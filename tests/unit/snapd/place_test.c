/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/engine/place.h"

#include "base/clock.h"
#include "base/fd.h"
#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PRIORITY = 3,
    OK = 0,
    FAULT = 1, /* standard error says which */
    SKIPPED = 2
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
        (void)snapd_place_weigh_session(place);
        (void)session_nice(&nice);
        (void)sched_yield();
    }
    return nice == expected;
}

/* A process that leads a session: OK, FAULT or SKIPPED. */
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
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x); \
            return FAULT; \
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
    CHECK(snapd_place_weigh_session(&a));
    CHECK(session_nice(&nice) && nice == -PRIORITY); /* the other is heavy */
    snapd_place_set_heavy(&b, false);
    CHECK(becomes(&a, 0)); /* whoever says so */
    snapd_place_set_heavy(&b, true);
    CHECK(becomes(&b, -PRIORITY));
    snapd_place_fini(&a);
    snapd_place_fini(&b);
    CHECK(atomic_load(&session.n_heavy) == 0);
    return OK;
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
    assert_int_equal(result, OK);
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
        (void)snapd_place_weigh_session(&place);
        snapd_place_fini(&place);
        _exit(0);
    }
    int status = 0;
    int nice;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(session_nice(&nice) && nice == before);
    return OK;
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
    assert_true(snapd_place_weigh_session(&place));
    assert_false(place.is_heavy);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
    struct snapd_waits waits;
    assert_false(snapd_place_waits(&place, &waits));
    snapd_place_fini(&place);
}

static void waits_only_grow(void **state)
{
    (void)state;
    struct snapd_place_session session;
    struct snapd_place place;
    snapd_place_session_init(&session);
    snapd_place_init(&place, PRIORITY, &session);
    struct snapd_waits last;
    if (!snapd_place_waits(&place, &last)) {
        snapd_place_fini(&place);
        skip(); /* a kernel that does not count */
    }
    for (int i = 0; i < 1000; i++) {
        (void)sched_yield();
        struct snapd_waits now;
        assert_true(snapd_place_waits(&place, &now));
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
    struct snapd_waits waits;
    assert_false(snapd_place_waits(&place, &waits));
    snapd_place_set_heavy(&place, true);
    assert_false(place.is_heavy);
}

/* Heavy by itself; false where that is not permitted. */
static bool become_heavy(struct snapd_place *place, struct snapd_place_session *session)
{
    snapd_place_session_init(session);
    snapd_place_init(place, PRIORITY, session);
    snapd_place_set_heavy(place, true);
    return place->is_heavy;
}

static void who_can_no_longer_say_what_it_waited_is_light_again(void **state)
{
    (void)state;
    int before = getpriority(PRIO_PROCESS, 0);
    struct snapd_place_session session;
    struct snapd_place place;
    if (!become_heavy(&place, &session)) {
        snapd_place_fini(&place);
        skip();
    }
    assert_int_equal(atomic_load(&session.n_heavy), 1);
    base_fd_close(&place.waits_fd);
    struct snapd_waits waits;
    assert_false(snapd_place_waits(&place, &waits));
    assert_int_equal(waits.n, 0);
    assert_int_equal(place.priority, 0);
    assert_false(place.is_heavy);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
    assert_int_equal(atomic_load(&session.n_heavy), 0);
    snapd_place_fini(&place);
    assert_int_equal(atomic_load(&session.n_heavy), 0);
}

static void who_ends_while_heavy_leaves_the_session(void **state)
{
    (void)state;
    int before = getpriority(PRIO_PROCESS, 0);
    struct snapd_place_session session;
    struct snapd_place place;
    bool is_heavy = become_heavy(&place, &session);
    snapd_place_fini(&place);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
    assert_int_equal(atomic_load(&session.n_heavy), 0);
    if (!is_heavy) {
        skip();
    }
}

/* Instead of the kernel: takes what it is told, or refuses, and meanwhile something happens. */
static struct {
    bool is_on;
    int nice;
    int refusals; /* to come */
    int n_told;
    struct snapd_place *lightened; /* while it is told; NULL: none */
} kernel;

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming):
 * the linker wants these names */
ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);

ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
    if (!kernel.is_on) {
        return __real_write(fd, bytes, len);
    }
    struct snapd_place *other = kernel.lightened;
    if (other != NULL) {
        kernel.lightened = NULL;
        (void)atomic_fetch_sub(&other->session->n_heavy, 1);
        (void)snapd_place_weigh_session(other);
    }
    kernel.n_told++;
    if (kernel.refusals > 0) {
        kernel.refusals--;
        errno = EAGAIN;
        return -1;
    }
    kernel.nice = (int)strtol(bytes, NULL, 10);
    return (ssize_t)len;
}

/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming) */

struct faked {
    struct snapd_place_session session;
    struct snapd_place a, b;
};

/* One engine is heavy, and the session is not told yet. False: no such file here. */
static bool make_faked(struct faked *f)
{
    int nice;
    snapd_place_session_init(&f->session);
    f->session.nice_normal = 0;
    atomic_store(&f->session.nice, 0);
    atomic_store(&f->session.is_ours, true);
    atomic_store(&f->session.n_heavy, 1);
    f->a = (struct snapd_place){.priority = PRIORITY, .waits_fd = -1, .session = &f->session};
    f->b = f->a;
    kernel.nice = 0;
    kernel.refusals = 0;
    kernel.n_told = 0;
    kernel.lightened = NULL;
    kernel.is_on = session_nice(&nice);
    return kernel.is_on;
}

static void what_changes_while_it_is_told_is_told_after(void **state)
{
    (void)state;
    struct faked f;
    if (!make_faked(&f)) {
        skip();
    }
    kernel.lightened = &f.b;
    bool is_done = snapd_place_weigh_session(&f.a);
    kernel.is_on = false;
    assert_true(is_done);
    assert_int_equal(kernel.n_told, 2);
    assert_int_equal(kernel.nice, 0);
    assert_int_equal(atomic_load(&f.session.nice), 0);
}

static void who_was_refused_knows_that_it_must_call_again(void **state)
{
    (void)state;
    struct faked f;
    if (!make_faked(&f)) {
        skip();
    }
    kernel.refusals = 1;
    bool was_done = snapd_place_weigh_session(&f.a);
    int n_told = kernel.n_told;
    bool is_done = snapd_place_weigh_session(&f.a);
    bool is_still_done = snapd_place_weigh_session(&f.b);
    kernel.is_on = false;
    assert_false(was_done);
    assert_int_equal(n_told, 1); /* no spinning */
    assert_true(is_done && is_still_done);
    assert_int_equal(kernel.n_told, 2);
    assert_int_equal(kernel.nice, -PRIORITY);
}

static void without_priority_a_session_is_only_made_light(void **state)
{
    (void)state;
    struct faked f;
    if (!make_faked(&f)) {
        skip();
    }
    f.b.priority = 0;
    bool is_done = snapd_place_weigh_session(&f.b);
    int n_told = kernel.n_told;
    is_done = is_done && snapd_place_weigh_session(&f.a) && snapd_place_weigh_session(&f.b);
    int nice = kernel.nice;
    atomic_store(&f.session.n_heavy, 0);
    is_done = is_done && snapd_place_weigh_session(&f.b);
    kernel.is_on = false;
    assert_true(is_done);
    assert_int_equal(n_told, 0);
    assert_int_equal(nice, -PRIORITY);
    assert_int_equal(kernel.nice, 0);
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
        cmocka_unit_test(who_can_no_longer_say_what_it_waited_is_light_again),
        cmocka_unit_test(who_ends_while_heavy_leaves_the_session),
        cmocka_unit_test(what_changes_while_it_is_told_is_told_after),
        cmocka_unit_test(who_was_refused_knows_that_it_must_call_again),
        cmocka_unit_test(without_priority_a_session_is_only_made_light),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
