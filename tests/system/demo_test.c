/* SPDX-License-Identifier: Apache-2.0 */

/**
 * The demo: it ends by itself, and leaves nothing behind, also when it is interrupted at any point: no
 * process, no namespace, no file.
 */

#include "tests/support/cmocka_all.h"
#include "tests/system/world.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    INTERRUPTED = 130,
    DEMO_TIMEOUT_MS = 240000
};

static struct world world;
static char tmp[128];
static struct child demo;

static int set_up(void **state)
{
    (void)state;
    world_init(&world, false);
    (void)snprintf(tmp, sizeof(tmp), "%s/tmp", world.dir);
    return mkdir(tmp, 0755);
}

static int tear_down(void **state)
{
    (void)state;
    (void)child_end(&demo, SIGTERM);
    world_fini(&world);
    return 0;
}

static void start_demo(const char *tree)
{
    char env[256];
    (void)snprintf(env, sizeof(env), "TMPDIR=%s", tmp);
    const struct child_how how = {.ns_fd = -1,
                                  .log = world_path(&world, "demo.log"),
                                  .env = env,
                                  .death_signal = SIGTERM}; /* so that it can clean up */
    static const char script[] = SYSTEM_SOURCE "/scripts/demo.sh";
    const char *argv[] = {"bash", script, SYSTEM_BUILD, tree, NULL};
    assert_true(child_start(&demo, &how, argv));
}

static bool is_empty(const char *path)
{
    DIR *dir = opendir(path);
    int n = 0;
    while (dir != NULL && readdir(dir) != NULL) {
        n++;
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return n <= 2; /* "." and ".." */
}

/** Whether a process has our folder in its environment: it is the demo's, or was. */
static bool is_of_demo(const char *pid)
{
    char path[300];
    char env[8192];
    (void)snprintf(path, sizeof(path), "/proc/%s/environ", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, env, sizeof(env));
    if (fd >= 0) {
        close(fd);
    }
    return len > 0 && memmem(env, (size_t)len, tmp, strlen(tmp)) != NULL;
}

static bool has_no_process(void *arg)
{
    (void)arg;
    DIR *proc = opendir("/proc");
    bool has_any = false;
    const struct dirent *entry = NULL;
    assert_non_null(proc);
    while (!has_any && (entry = readdir(proc)) != NULL) {
        has_any = isdigit((unsigned char)entry->d_name[0]) && is_of_demo(entry->d_name);
    }
    (void)closedir(proc);
    return !has_any;
}

static void expect_nothing_left(pid_t pid)
{
    char path[64];
    for (const char *host = "ab"; *host != '\0'; host++) {
        (void)snprintf(path, sizeof(path), "/run/netns/snaprpc-%d-%c", (int)pid, *host);
        assert_int_not_equal(access(path, F_OK), 0);
    }
    assert_true(is_empty(tmp));
    /* What was killed and not waited for is gone in a moment. */
    assert_true(world_until(has_no_process, NULL, WORLD_TIMEOUT_MS));
}

static void the_demo_ends_well_and_leaves_nothing(void **state)
{
    (void)state;
    start_demo(SYSTEM_SOURCE "/include");
    pid_t pid = demo.pid;
    bool has_said = false;
    const char *line = NULL;
    while ((line = child_read_line(&demo, DEMO_TIMEOUT_MS)) != NULL) {
        has_said |= strstr(line, "No call was lost; none ran twice.") != NULL;
    }
    assert_int_equal(child_wait(&demo, WORLD_TIMEOUT_MS), 0);
    assert_true(has_said);
    expect_nothing_left(pid);
    world.is_good = true;
}

static void interrupted_at_any_point_it_leaves_nothing(void **state)
{
    /* Lines that it says, and "" for its very start; in the larger tree snapd is killed half way. */
    static const struct {
        const char *line, *tree;
    } points[] = {
        {"", SYSTEM_SOURCE "/include"},
        {"Host A 10.213.0.1", SYSTEM_SOURCE "/include"},
        {"Three passes:", SYSTEM_SOURCE "/include"},
        {"attached to snapd", SYSTEM_SOURCE "/include"},
        {"files right", "/usr/include/linux"},
        {"killing snapd", "/usr/include"},
    };

    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    (void)state;
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        const char *line = "";
        start_demo(points[i].tree);
        pid_t pid = demo.pid;
        while (strstr(line, points[i].line) == NULL) {
            line = child_read_line(&demo, DEMO_TIMEOUT_MS);
            assert_non_null(line);
        }
        /* At its very start it may not have become bash yet: then there is nothing to clean up. */
        int sent = signals[i % 3];
        child_signal(&demo, sent);
        int code = child_wait(&demo, DEMO_TIMEOUT_MS);
        assert_true(code == INTERRUPTED || (i == 0 && code == 128 + sent));
        expect_nothing_left(pid);
    }
    world.is_good = true;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_demo_ends_well_and_leaves_nothing),
        CASE(interrupted_at_any_point_it_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
