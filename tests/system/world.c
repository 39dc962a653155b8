/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/system/world.h"

#include "base/clock.h"
#include "tests/support/cmocka_all.h"
#include "tests/system/status.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
enum {
    SLOWNESS = 8
};
#elif defined(__SANITIZE_ADDRESS__)
enum {
    SLOWNESS = 4
};
#else
enum {
    SLOWNESS = 1
};
#endif

uint32_t world_slowness(void)
{
    return SLOWNESS;
}

uint64_t world_calls(uint64_t n)
{
    return n / SLOWNESS;
}

int world_skip(void)
{
    return hosts_are_possible() ? 0 : 77;
}

/* ---- the folder ---- */

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *at)
{
    (void)stat;
    (void)type;
    (void)at;
    (void)remove(path);
    return 0;
}

static void remove_dir(const char *dir)
{
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/** A process that removes the folder once the test is gone. */
static int start_janitor(const char *dir)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char byte = 0;
        (void)setsid();
        (void)signal(SIGINT, SIG_IGN);
        (void)signal(SIGTERM, SIG_IGN);
        (void)signal(SIGHUP, SIG_IGN);
        close(fds[1]);
        /* Whoever reads the test's output waits for its end, not for ours. */
        for (int fd = 0; fd < 3; fd++) {
            close(fd);
        }
        while (read(fds[0], &byte, 1) < 0 && errno == EINTR) {
        }
        remove_dir(dir);
        _exit(0);
    }
    close(fds[0]);
    return fds[1];
}

void world_init(struct world *world, bool has_hosts)
{
    memset(world, 0, sizeof(*world));
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(world->dir, sizeof(world->dir), "%s/snaprpc-test.XXXXXX",
                   tmp != NULL && strlen(tmp) < 32 ? tmp : "/tmp");
    assert_non_null(mkdtemp(world->dir));
    /* Tests that run a part as another user need to get in. */
    assert_int_equal(chmod(world->dir, 0755), 0);
    world->janitor_fd = start_janitor(world->dir);
    world->hosts = (struct hosts){{-1, -1}, -1};
    world->has_hosts = has_hosts;
    for (int i = 0; i < 2; i++) {
        (void)snprintf(world->socket[i], sizeof(world->socket[i]), "%s/snapd-%d.sock", world->dir,
                       i);
    }
    if (has_hosts) {
        assert_true(hosts_make(&world->hosts));
    }
}

const char *world_path(const struct world *world, const char *name)
{
    static char paths[8][192];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", world->dir, name);
    return path;
}

static int show_log(const char *path, const struct stat *stat, int type, struct FTW *at)
{
    (void)stat;
    size_t len = strlen(path);
    if (type != FTW_F || len < 4 || strcmp(path + len - 4, ".log") != 0) {
        return 0;
    }
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    static char tail[6001];
    (void)fseek(file, 0, SEEK_END);
    long size = ftell(file);
    (void)fseek(file, size > 6000 ? size - 6000 : 0, SEEK_SET);
    tail[fread(tail, 1, 6000, file)] = '\0';
    (void)fclose(file);
    fprintf(stderr, "--- %s\n%s\n", path + at->base, tail);
    return 0;
}

static bool is_bad_log;

static int look_for_reports(const char *path, const struct stat *stat, int type, struct FTW *at)
{
    static const char *const reports[] = {"Sanitizer", "runtime error:", "ssertion"};
    char line[1024];
    (void)stat;
    (void)at;
    FILE *file = type == FTW_F ? fopen(path, "re") : NULL;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++) {
            is_bad_log |= strstr(line, reports[i]) != NULL;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return 0;
}

/** Whoever still runs has to end well when told to, and nobody may have been found wanting. */
static void end_in_order(struct world *world)
{
    bool ok = child_end(&world->server, SIGTERM) == 0;
    ok = child_end(&world->snapd[0], SIGTERM) == 0 && ok;
    ok = child_end(&world->snapd[1], SIGTERM) == 0 && ok;
    is_bad_log = false;
    (void)nftw(world->dir, look_for_reports, 16, FTW_PHYS);
    world->is_good = ok && !is_bad_log;
}

/* What a test that failed leaves to look at: how its clients stood, what its snapds counted. */
static void show_state(const struct world *world)
{
    static struct status status;
    for (int i = 0; i < WORLD_CLIENTS_MAX; i++) {
        if (world->clients[i].stats != NULL) {
            printf("--- client %d: %" PRIu64 " calls ended, %" PRIu64 " of them OK\n", i,
                   (uint64_t)world->clients[i].stats->ended, (uint64_t)world->clients[i].stats->ok);
        }
    }
    for (int host = 0; host < 2; host++) {
        if (!status_read(world->socket[host], &status)) {
            continue;
        }
        printf("--- snapd %d:", host);
        for (uint32_t i = 0; i < status.n_counters; i++) {
            if (status.counters[i].value > 0) {
                printf(" %s %" PRIu64, status.counters[i].name, status.counters[i].value);
            }
        }
        printf("\n");
    }
}

void world_fini(struct world *world)
{
    bool has_passed = world->is_good;
    if (!has_passed) {
        show_state(world);
    }
    for (int i = 0; i < WORLD_CLIENTS_MAX; i++) {
        struct world_client *client = &world->clients[i];
        (void)child_end(&client->child, SIGKILL);
        if (client->stats != NULL) {
            (void)munmap(client->stats, sizeof(*client->stats));
        }
    }
    if (has_passed) {
        end_in_order(world);
    }
    (void)child_end(&world->server, SIGKILL);
    (void)child_end(&world->snapd[0], SIGKILL);
    (void)child_end(&world->snapd[1], SIGKILL);
    if (!world->is_good) {
        (void)nftw(world->dir, show_log, 16, FTW_PHYS);
    }
    if (world->has_hosts) {
        hosts_drop(&world->hosts);
    }
    remove_dir(world->dir);
    close(world->janitor_fd);
    (void)waitpid(-1, NULL, 0); /* the janitor is the last child */
    if (has_passed && !world->is_good) {
        fail_msg("a process did not end well when told to, or reported an error: see its log");
    }
}

int world_set_up(void **state)
{
    static struct world world;
    world_init(&world, true);
    *state = &world;
    return 0;
}

int world_tear_down(void **state)
{
    world_fini(*state);
    return 0;
}

/* ---- waiting ---- */

bool world_until(bool (*is_true)(void *arg), void *arg, uint64_t timeout_ms)
{
    const struct timespec nap = {.tv_nsec = 2000000};
    uint64_t until_ns = base_clock_now_ns() + timeout_ms * 1000000;
    while (!is_true(arg)) {
        if (base_clock_now_ns() > until_ns) {
            return false;
        }
        (void)nanosleep(&nap, NULL);
    }
    return true;
}

bool world_log_has(const struct world *world, const char *log, const char *text)
{
    char line[1024];
    FILE *file = fopen(world_path(world, log), "re");
    bool has = false;
    while (file != NULL && !has && fgets(line, sizeof(line), file) != NULL) {
        has = strstr(line, text) != NULL;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return has;
}

struct log_wait {
    const struct world *world;
    const char *log, *text;
};

static bool has_logged(void *arg)
{
    const struct log_wait *wait = arg;
    return world_log_has(wait->world, wait->log, wait->text);
}

bool world_until_log(const struct world *world, const char *log, const char *text)
{
    struct log_wait wait = {world, log, text};
    return world_until(has_logged, &wait, WORLD_TIMEOUT_MS);
}

/* ---- processes ---- */

struct child_how world_how(const struct world *world, int host, const char *log, char *env,
                           size_t env_size)
{
    (void)snprintf(env, env_size, "SNAPD_SOCKET=%s SNAP_TRANSPORT=%s", world->socket[host],
                   world->transport == NULL ? "auto" : world->transport);
    return (struct child_how){
        .ns_fd = world->has_hosts ? world->hosts.ns_fd[host] : -1,
        .log = log == NULL ? NULL : world_path(world, log),
        .env = env,
    };
}

struct snapd_wait {
    struct world *world;
    int host;
};

static bool snapd_answers(void *arg)
{
    static struct status status;
    const struct snapd_wait *wait = arg;
    const struct child *snapd = &wait->world->snapd[wait->host];
    if (!child_is_alive(snapd)) {
        return true; /* no use waiting */
    }
    return status_read(wait->world->socket[wait->host], &status) && status.pid == snapd->pid;
}

/* SYSTEM_SECURITY=psk: the whole test with flows that are secured with a cluster key. */
bool world_is_secured(void)
{
    const char *mode = getenv("SYSTEM_SECURITY");
    return mode != NULL && strcmp(mode, "psk") == 0;
}

static void write_security(const struct world *world, FILE *settings)
{
    if (!world_is_secured()) {
        return;
    }
    const char *path = world_path(world, "cluster.keys");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "1 %064d\n", 1234567) > 0);
    assert_int_equal(close(fd), 0);
    /* Keys change a few times in each test, too. */
    (void)fprintf(settings, "\n[security]\nmode = psk\nkey_file = %s\nkey_packets = 1000\n", path);
}

void world_start_snapd(struct world *world, int host)
{
    char name[32];
    char env[256];
    (void)snprintf(name, sizeof(name), "snapd-%d.conf", host);
    const char *path = world_path(world, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(world->settings[host], file);
    write_security(world, file);
    assert_int_equal(fclose(file), 0);

    (void)snprintf(name, sizeof(name), "snapd-%d.log", host);
    const struct child_how how = world_how(world, host, name, env, sizeof(env));
    const char *usual = world->has_hosts ? "0.0.0.0:4741" : "127.0.0.1:0";
    const char *listen = world->listen[host] != NULL ? world->listen[host] : usual;
    const char *argv[] = {SYSTEM_SNAPD,        "--config", path,   "--socket",
                          world->socket[host], "--listen", listen, NULL};
    assert_true(child_start(&world->snapd[host], &how, argv));
    struct snapd_wait wait = {world, host};
    assert_true(world_until(snapd_answers, &wait, WORLD_TIMEOUT_MS));
    assert_true(child_is_alive(&world->snapd[host]));
}

void world_end_snapd(struct world *world, int host, int signal)
{
    int code = child_end(&world->snapd[host], signal);
    assert_int_equal(code, signal == SIGTERM ? 0 : 128 + signal);
}

void world_start_server(struct world *world)
{
    char env[256];
    char address[64] = "0.0.0.0:0";
    int host = world->has_hosts ? 1 : 0;
    const char *ip = world->server_ip != NULL ? world->server_ip : "10.213.0.2";
    if (world->has_hosts) {
        (void)snprintf(address, sizeof(address), "%s:%d", ip, WORLD_PORT);
    }
    const char *log = world->server_log == NULL ? "server.log" : world->server_log;
    struct child_how how = world_how(world, host, log, env, sizeof(env));
    how.nofile = world->server_nofile;
    const char *argv[] = {SYSTEM_SERVER, address, NULL};
    assert_true(child_start(&world->server, &how, argv));
    const char *line = child_read_line(&world->server, WORLD_TIMEOUT_MS);
    unsigned port = 0;
    assert_non_null(line);
    /* NOLINTNEXTLINE(cert-err34-c): our own program wrote the number */
    assert_int_equal(sscanf(line, "port %u", &port), 1);
    (void)snprintf(world->target, sizeof(world->target), "%s:%u",
                   world->has_hosts ? ip : "127.0.0.1", port);
}

struct world_client *world_start_client(struct world *world, int i, const char *options)
{
    struct world_client *client = &world->clients[i];
    char env[256];
    char name[32];
    char words[512];
    const char *argv[CHILD_ARGS_MAX + 1] = {SYSTEM_CLIENT, "--stats", client->stats_path};
    int n = 3;
    if (client->stats != NULL) {
        (void)munmap(client->stats, sizeof(*client->stats));
        (void)unlink(client->stats_path);
    }
    (void)snprintf(name, sizeof(name), "client-%d.stats", i);
    (void)snprintf(client->stats_path, sizeof(client->stats_path), "%s", world_path(world, name));
    client->stats = ledger_stats_map(client->stats_path);
    assert_non_null(client->stats);
    (void)snprintf(words, sizeof(words), "%s", options);
    for (char *at = strtok(words, " "); at != NULL; at = strtok(NULL, " ")) {
        argv[n++] = at;
    }
    argv[n++] = world->target;
    (void)snprintf(name, sizeof(name), "client-%d.log", i);
    const struct child_how how = world_how(world, 0, name, env, sizeof(env));
    assert_true(child_start(&client->child, &how, argv));
    const char *line = child_read_line(&client->child, WORLD_TIMEOUT_MS * 2);
    assert_non_null(line);
    assert_string_equal(line, "ready");
    return client;
}

struct calls_wait {
    const struct world_client *client;
    uint64_t n;
};

static bool has_ended_calls(void *arg)
{
    const struct calls_wait *wait = arg;
    return wait->client->stats->ended >= wait->n || !child_is_alive(&wait->client->child);
}

void world_await_calls(struct world_client *client, uint64_t n)
{
    struct calls_wait wait = {client, client->stats->ended + n};
    assert_true(world_until(has_ended_calls, &wait, WORLD_TIMEOUT_MS * 2));
    assert_true(client->stats->ended >= wait.n);
}

int world_finish_client(struct world_client *client)
{
    child_close_input(&client->child);
    const char *line = NULL;
    while ((line = child_read_line(&client->child, (uint64_t)WORLD_TIMEOUT_MS * 10)) != NULL) {
        printf("    %s\n", line);
    }
    return child_wait(&client->child, WORLD_TIMEOUT_MS);
}

/* ---- counters ---- */

uint64_t world_counter(const struct world *world, int host, const char *name)
{
    static struct status status;
    assert_true(status_read(world->socket[host], &status));
    return status_counter(&status, name);
}

struct growth {
    const struct world *world;
    int host;
    const char *counter;
    uint64_t more_than;
};

static bool has_grown(void *arg)
{
    static struct status status;
    const struct growth *want = arg;
    return status_read(want->world->socket[want->host], &status) &&
           status_counter(&status, want->counter) > want->more_than;
}

void world_await_growth(const struct world *world, int host, const char *name)
{
    struct growth want = {world, host, name, world_counter(world, host, name)};
    assert_true(world_until(has_grown, &want, WORLD_TIMEOUT_MS));
}
