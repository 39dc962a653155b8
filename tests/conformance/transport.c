/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/conformance/transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct transport_fixture *const fixtures[] = {
    &tcp_inet_fixture,   &tcp_inet6_fixture, &tcp_unix_fixture,
    &pony_local_fixture, &pony_udp_fixture,
};

static const struct transport_case *const groups[] = {
    transport_opening_cases,
    transport_message_cases,
    transport_closing_cases,
    transport_pressure_cases,
};

enum {
    N_FIXTURES = sizeof(fixtures) / sizeof(fixtures[0]),
    N_GROUPS = sizeof(groups) / sizeof(groups[0]),
    TESTS_MAX = 256
};

/* One case over one fixture. */
struct row {
    const struct transport_fixture *fixture;
    const struct transport_case *test_case;
    char name[128];
};

static void run_row(void **state)
{
    const struct row *row = *state;
    struct rig *rig = malloc(sizeof(*rig));
    assert_non_null(rig);
    rig_open(rig, row->fixture);
    row->test_case->run(rig);
    rig_close(rig);
    free(rig);
}

/* All rows of one fixture. An argument chooses the cases whose name it is a part of. */
static size_t list_rows(const struct transport_fixture *fixture, const char *filter,
                        struct row *rows, struct CMUnitTest *tests)
{
    size_t n = 0;
    for (int g = 0; g < N_GROUPS; g++) {
        for (const struct transport_case *c = groups[g]; c->name != NULL; c++) {
            struct row *row = &rows[n];
            *row = (struct row){.fixture = fixture, .test_case = c};
            (void)snprintf(row->name, sizeof(row->name), "%s: %s", fixture->name, c->name);
            if (strstr(row->name, filter) != NULL && n < TESTS_MAX) {
                tests[n] = (struct CMUnitTest){
                    .name = row->name, .test_func = run_row, .initial_state = row};
                n++;
            }
        }
    }
    return n;
}

int main(int argc, char **argv)
{
    static struct row rows[TESTS_MAX];
    static struct CMUnitTest tests[TESTS_MAX];
    const char *filter = argc > 1 ? argv[1] : "";
    int failed = 0;
    size_t n_run = 0;
    for (int f = 0; f < N_FIXTURES; f++) {
        size_t n = list_rows(fixtures[f], filter, rows, tests);
        if (n == 0) {
            continue;
        }
        if (fixtures[f]->setup(fixtures[f]) != 0) {
            (void)fprintf(stderr, "%s: skipped, not available here\n", fixtures[f]->name);
            continue;
        }
        failed += _cmocka_run_group_tests(fixtures[f]->name, tests, n, NULL, NULL);
        fixtures[f]->teardown(fixtures[f]);
        n_run += n;
    }
    return n_run == 0 ? 77 : failed;
}
