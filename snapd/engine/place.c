/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/engine/place.h"

#include "base/compiler.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    NICE_MIN = -20
};

void snapd_place_init(struct snapd_place *place, uint32_t priority, bool leads)
{
    *place = (struct snapd_place){.priority = priority,
                                  .nice_normal = getpriority(PRIO_PROCESS, 0),
                                  .leads_session = leads && getsid(0) == getpid()};
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

/* Where the kernel gives each session a group of its own, weight counts among groups. A session that
 * is not ours alone is left as it is. */
static void set_group(int nice)
{
    int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    char text[8];
    int len = snprintf(text, sizeof(text), "%d", nice);
    (void)!write(fd, text, (size_t)len);
    (void)close(fd);
}

void snapd_place_set_heavy(struct snapd_place *place, bool is_heavy)
{
    if (place->priority == 0 || is_heavy == place->is_heavy) {
        return;
    }
    int nice = is_heavy ? place->nice_normal - (int)place->priority : place->nice_normal;
    nice = nice < NICE_MIN ? NICE_MIN : nice;
    if (setpriority(PRIO_PROCESS, 0, nice) != 0) {
        place->priority = 0;
        return;
    }
    place->is_heavy = is_heavy;
    if (place->leads_session) {
        set_group(nice);
    }
}

uint64_t snapd_place_switches(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) == 0
               ? (uint64_t)usage.ru_nivcsw + (uint64_t)usage.ru_nvcsw
               : 0;
}
