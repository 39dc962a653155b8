/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Two hosts that know each other by certificates: calls go over Pony; a host whose certificate names
 * another address gets no flow, and both logs say why; certificates are exchanged while calls run.
 */

#include "tests/support/cmocka_all.h"
#include "tests/support/test_certs.h"
#include "tests/system/status.h"
#include "tests/system/world.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct world world;
static struct test_cert ca;

static void write_file(const char *name, int host, const char *text)
{
    char full[64];
    (void)snprintf(full, sizeof(full), "%s-%d", name, host);
    int fd = open(world_path(&world, full), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static void make(struct test_cert *cert, const struct test_cert *issuer, const char *kind,
                 const char *san)
{
    int64_t now_s = (int64_t)time(NULL) - (int64_t)TEST_CERTS_NOW_S;
    const struct test_cert_spec spec = {.kind = kind,
                                        .san = san,
                                        .is_ca = issuer == NULL,
                                        .from_s = now_s - 3600,
                                        .to_s = now_s + 86400};
    test_cert_make(cert, issuer, &spec);
}

static void give_certificate(int host, const char *kind, const char *san)
{
    struct test_cert cert;
    make(&cert, &ca, kind, san);
    write_file("host.crt", host, cert.cert_pem);
    write_file("host.key", host, cert.key_pem);
    write_file("ca.crt", host, ca.cert_pem);
    test_cert_free(&cert);
}

static void start_snapd(int host)
{
    (void)snprintf(world.settings[host], sizeof(world.settings[host]),
                   "[security]\nmode = certificates\ncertificate_file = %s/host.crt-%d\n"
                   "private_key_file = %s/host.key-%d\nca_file = %s/ca.crt-%d\n",
                   world.dir, host, world.dir, host, world.dir, host);
    world_start_snapd(&world, host);
}

static int set_up(void **state)
{
    (void)state;
    world_init(&world, true);
    make(&ca, NULL, "P-256", NULL);
    give_certificate(0, "ED25519", "IP:10.213.0.1");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_cert_free(&ca);
    world_fini(&world);
    return 0;
}

/* PX-240 */
static void hosts_with_certificates_talk_over_pony(void **state)
{
    (void)state;
    static struct status status;
    give_certificate(1, "P-256", "IP:10.213.0.2");
    start_snapd(0);
    start_snapd(1);
    world_start_server(&world);
    struct world_client *client =
        world_start_client(&world, 0, "--want pony --first 100000 --blocking 1");
    world_await_calls(client, 300);
    for (int host = 0; host < 2; host++) {
        assert_true(status_read(world.socket[host], &status));
        assert_int_equal(status.n_secured_flows, 1);
        assert_int_equal(status.n_open_flows, 0);
    }
    assert_int_equal(world_finish_client(client), 0);
    world.is_good = true;
}

/* PX-244, PX-247 */
static void a_certificate_for_another_address_is_refused_at_both_ends(void **state)
{
    (void)state;
    give_certificate(1, "P-256", "IP:10.213.0.3");
    start_snapd(0);
    start_snapd(1);
    world_start_server(&world);
    struct world_client *client = world_start_client(&world, 0, "--want tcp --blocking 1");
    assert_true(world_until_log(&world, "snapd-0.log", "its certificate names nobody"));
    assert_true(world_until_log(&world, "snapd-1.log", "our certificate names nobody"));
    world_await_calls(client, 100);
    assert_int_equal(world_finish_client(client), 0);
    assert_int_equal(client->stats->by_pony, 0);
    world.is_good = true;
}

static void hang_up(int host, const char *answer)
{
    char log[32];
    (void)snprintf(log, sizeof(log), "snapd-%d.log", host);
    assert_int_equal(kill(world.snapd[host].pid, SIGHUP), 0);
    assert_true(world_until_log(&world, log, answer));
}

/* PX-248 */
static void certificates_are_exchanged_while_calls_run(void **state)
{
    (void)state;
    give_certificate(1, "P-256", "IP:10.213.0.2");
    start_snapd(0);
    start_snapd(1);
    world_start_server(&world);
    struct world_client *client =
        world_start_client(&world, 0, "--want pony --first 100000 --blocking 1");
    world_await_calls(client, 100);
    write_file("host.crt", 0, "-----BEGIN CERTIFICATE-----\nnonsense\n");
    hang_up(0, "the old keys stay in use");
    assert_true(world_log_has(&world, "snapd-0.log", "host.crt-0: no certificate can be read"));
    give_certificate(0, "P-256", "IP:10.213.0.1");
    hang_up(0, "keys read again; 0 flows ended");
    world_await_calls(client, 100);
    assert_int_equal(world_finish_client(client), 0);
    world.is_good = true;
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(hosts_with_certificates_talk_over_pony),
        CASE(a_certificate_for_another_address_is_refused_at_both_ends),
        CASE(certificates_are_exchanged_while_calls_run),
    };
    int skip = world_skip();
    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
