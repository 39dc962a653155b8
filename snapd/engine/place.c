/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/engine/place.h"

#include "base/compiler.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    NICE_MIN = -20,
    SCHEDSTAT_BYTES = 80,
    AUTOGROUP_BYTES = 64
};

#define AUTOGROUP "/proc/self/autogroup"
#define NICE      " nice "

/* False where the kernel does not weigh sessions. */
static bool read_session_nice(int *nice)
{
    char text[AUTOGROUP_BYTES] = {0};
    int fd = open(AUTOGROUP, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    (void)!read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    const char *at = strstr(text, NICE);
    *nice = at != NULL ? (int)strtol(at + strlen(NICE), NULL, 10) : 0;
    return at != NULL;
}

void snapd_place_session_init(struct snapd_place_session *session)
{
    int nice = 0;
    bool is_ours = getsid(0) == getpid() && read_session_nice(&nice);
    atomic_init(&session->is_ours, is_ours);
    session->nice_normal = nice;
    atomic_init(&session->nice, nice);
    atomic_init(&session->n_heavy, 0);
    atomic_flag_clear(&session->is_being_told);
}

void snapd_place_init(struct snapd_place *place, uint32_t priority,
                      struct snapd_place_session *session)
{
    *place = (struct snapd_place){.priority = priority,
                                  .nice_normal = getpriority(PRIO_PROCESS, 0),
                                  .waits_fd = -1,
                                  .session = session};
    if (priority > 0) {
        place->waits_fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    }
}

enum base_err snapd_place_check(uint32_t cpu)
{
    cpu_set_t set;
    if (cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof(set), &set) != 0 ||
        !CPU_ISSET(cpu, &set)) {
        base_error_note(
            "[engine] cpus: snapd may not run on processor %u; 'taskset -cp $$' says on "
            "which, in the shell that starts it",
            cpu);
        return BASE_E_INVALID;
    }
    return BASE_OK;
}

void snapd_place_on(uint32_t cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)sched_setaffinity(0, sizeof(set), &set);
}

static int heavier(int nice, uint32_t priority)
{
    return nice - (int)priority < NICE_MIN ? NICE_MIN : nice - (int)priority;
}

void snapd_place_set_heavy(struct snapd_place *place, bool is_heavy)
{
    if (is_heavy == place->is_heavy || (is_heavy && place->priority == 0)) {
        return;
    }
    int nice = is_heavy ? heavier(place->nice_normal, place->priority) : place->nice_normal;
    if (setpriority(PRIO_PROCESS, 0, nice) != 0) {
        place->priority = 0;
        if (is_heavy) {
            return;
        }
    }
    place->is_heavy = is_heavy;
    if (is_heavy) {
        (void)atomic_fetch_add(&place->session->n_heavy, 1);
    } else {
        (void)atomic_fetch_sub(&place->session->n_heavy, 1);
    }
}

/* Where each session is a group of its own, weight counts among groups. False: errno says why. */
static bool tell_session(int nice)
{
    int fd = open(AUTOGROUP, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    char text[8];
    int len = snprintf(text, sizeof(text), "%d", nice);
    bool is_told = write(fd, text, (size_t)len) == len;
    int err = errno;
    (void)close(fd);
    errno = err;
    return is_told;
}

/* Who has no priority (any more) knows only what is normal. */
static int wanted_nice(const struct snapd_place *place)
{
    struct snapd_place_session *session = place->session;
    if (atomic_load(&session->n_heavy) == 0) {
        return session->nice_normal;
    }
    return place->priority > 0 ? heavier(session->nice_normal, place->priority)
                               : atomic_load(&session->nice);
}

bool snapd_place_weigh_session(struct snapd_place *place)
{
    struct snapd_place_session *session = place->session;
    bool is_refused = false;
    /* Who finds the flag taken leaves it to who has it, and that one looks again after. */
    while (atomic_load(&session->is_ours) && wanted_nice(place) != atomic_load(&session->nice)) {
        if (is_refused || atomic_flag_test_and_set(&session->is_being_told)) {
            return false;
        }
        int nice = wanted_nice(place);
        if (tell_session(nice)) {
            atomic_store(&session->nice, nice);
        } else if (errno == EAGAIN) {
            is_refused = true;
        } else {
            atomic_store(&session->is_ours, false);
        }
        atomic_flag_clear(&session->is_being_told);
    }
    return true;
}

void snapd_place_fini(struct snapd_place *place)
{
    snapd_place_set_heavy(place, false);
    (void)snapd_place_weigh_session(place);
    base_fd_close(&place->waits_fd);
}

bool snapd_place_waits(struct snapd_place *place, struct snapd_waits *waits)
{
    *waits = (struct snapd_waits){0};
    if (place->priority == 0) {
        return false;
    }
    char text[SCHEDSTAT_BYTES] = {0};
    (void)!pread(place->waits_fd, text, sizeof(text) - 1, 0);
    char *at = text;
    (void)strtoull(at, &at, 10); /* ran so long */
    waits->ns = strtoull(at, &at, 10);
    waits->n = strtoull(at, &at, 10);
    if (waits->n > 0) {
        return true; /* it runs, so it began to */
    }
    snapd_place_set_heavy(place, false);
    place->priority = 0;
    return false;
}
