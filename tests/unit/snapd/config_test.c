/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/config.h"

#include "snapd/config_value.h"
#include "tests/support/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct snapd_config config;

static int fresh(void **state)
{
    (void)state;
    snapd_config_init(&config);
    base_error_clear_note();
    return 0;
}

static enum base_err parse(const char *text)
{
    return snapd_config_parse(&config, "snapd.conf", text, strlen(text));
}

static void assert_note_has(const char *part)
{
    if (strstr(base_error_last_note(), part) == NULL) {
        fail_msg("note \"%s\" lacks \"%s\"", base_error_last_note(), part);
    }
}

static void defaults_are_valid(void **state)
{
    (void)state;
    assert_int_equal(snapd_config_check(&config), BASE_OK);
    assert_int_equal(parse(""), BASE_OK);
    assert_int_equal(config.n_engines, 1);
    assert_string_equal(config.listen, "*:4741");
}

static void values_of_every_type_are_read(void **state)
{
    (void)state;
    assert_int_equal(parse("# comment\n"
                           "[snapd]\n"
                           "socket = /tmp/x.sock\n"
                           "socket_mode = 0660\n"
                           "engines = 3\n"
                           "log_level = debug\n"
                           "[engine]\n"
                           "spin = 20us\n"
                           "cpus = 0,1023,5\n"
                           "priority = 3\n"
                           "mtu = 1452\n"
                           "idle = sleep\n"
                           "segmentation = no\n"
                           "connected_socket = no\n"
                           "[limits]\n"
                           "port_rx = 1G\n"
                           "[fault]\n"
                           "drop = 1.25%\n"
                           "seed = 18446744073709551615\n"),
                     BASE_OK);
    assert_string_equal(config.socket, "/tmp/x.sock");
    assert_int_equal(config.socket_mode, 0660);
    assert_int_equal(config.n_engines, 3);
    assert_int_equal(config.log_level, BASE_LOG_DEBUG);
    assert_int_equal(config.spin_ns, 20000);
    assert_int_equal(config.priority, 3);
    assert_int_equal(config.mtu_bytes, 1452);
    assert_int_equal(config.idle_policy, SNAPD_IDLE_SLEEP);
    assert_int_equal(config.has_segmentation, 0);
    assert_int_equal(config.has_connected_socket, 0);
    assert_int_equal(config.port_rx_bytes, 1ull << 30);
    assert_int_equal(config.fault.drop_ppm, 12500);
    assert_true(config.fault.seed == UINT64_MAX);
}

static void an_unknown_key_names_line_and_the_nearest_key(void **state)
{
    (void)state;
    assert_int_equal(parse("[snapd]\n\nengins = 2\n"), BASE_E_INVALID);
    assert_note_has("snapd.conf:3: ");
    assert_note_has("unknown key \"engins\"");
    assert_note_has("\"engines\" in [snapd]");
}

static void a_key_in_the_wrong_section_is_told_where_it_belongs(void **state)
{
    (void)state;
    assert_int_equal(parse("[snapd]\nmtu = 1500\n"), BASE_E_INVALID);
    assert_note_has("\"mtu\" in [engine]");
}

static void an_unknown_section_is_refused(void **state)
{
    (void)state;
    assert_int_equal(parse("[snaps]\nengines = 2\n"), BASE_E_INVALID);
    assert_note_has("unknown section");
}

static void a_key_before_any_section_is_refused(void **state)
{
    (void)state;
    assert_int_equal(parse("engines = 2\n"), BASE_E_INVALID);
    assert_note_has("snapd.conf:1: key before any section");
}

static void a_line_that_is_neither_is_refused(void **state)
{
    (void)state;
    assert_int_equal(parse("[snapd]\nengines\n"), BASE_E_INVALID);
    assert_note_has("snapd.conf:2:");
}

static void the_first_bad_line_is_the_one_told(void **state)
{
    (void)state;
    assert_int_equal(parse("[snapd]\nengines = 0\nengines = 99\n"), BASE_E_INVALID);
    assert_note_has("snapd.conf:2:");
    assert_note_has("1 to 16");
}

static void a_line_that_is_too_long_is_refused(void **state)
{
    (void)state;
    char text[512];
    memset(text, 'a', sizeof(text));
    memcpy(text, "[snapd]\nsocket = ", 17);
    text[400] = '\0';
    assert_int_equal(parse(text), BASE_E_INVALID);
    assert_note_has("snapd.conf:2: the line is longer");
}

static void each_engine_has_its_processor(void **state)
{
    (void)state;
    uint32_t cpu = 99;
    assert_int_equal(parse("[snapd]\nengines = 2\n"), BASE_OK);
    assert_false(snapd_config_cpu(&config, 0, &cpu));
    assert_int_equal(parse("[snapd]\nengines = 2\n[engine]\ncpus = 7,1023\n"), BASE_OK);
    assert_true(snapd_config_cpu(&config, 0, &cpu));
    assert_int_equal(cpu, 7);
    assert_true(snapd_config_cpu(&config, 1, &cpu));
    assert_int_equal(cpu, 1023);
    assert_false(snapd_config_cpu(&config, 2, &cpu));
}

static void a_list_that_does_not_fit_the_engines_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "1",    "1,2,3", "1,1024", "1,-2", "1 ,2", "1,", ",1", "a,b", "1,18446744073709551617",
        "1,,2", "1-2"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "[snapd]\nengines = 2\n[engine]\ncpus = %s\n", bad[i]);
        assert_int_equal(parse(text), BASE_E_INVALID);
        assert_note_has("cpus");
    }
}

/* One value in, whether it must be taken. */
struct bound {
    const char *section, *key, *value;
    bool is_good;
};

static void bounds_hold_at_and_past_the_bound(void **state)
{
    (void)state;
    static const struct bound bounds[] = {
        {"snapd", "engines", "1", true},
        {"snapd", "engines", "0", false},
        {"snapd", "engines", "16", true},
        {"snapd", "engines", "17", false},
        {"snapd", "engines", "4294967297", false},
        {"snapd", "engines", "18446744073709551617", false},
        {"snapd", "engines", "-1", false},
        {"snapd", "engines", "+1", false},
        {"snapd", "engines", "1x", false},
        {"snapd", "engines", "", false},
        {"engine", "priority", "0", true},
        {"engine", "priority", "20", true},
        {"engine", "priority", "21", false},
        {"snapd", "socket_mode", "777", true},
        {"snapd", "socket_mode", "0600", true},
        {"snapd", "socket_mode", "0577", false},
        {"snapd", "socket_mode", "1000", false},
        {"snapd", "socket_mode", "0668", false},
        {"engine", "mtu", "auto", true},
        {"engine", "mtu", "0", true},
        {"engine", "mtu", "1200", true},
        {"engine", "mtu", "1199", false},
        {"engine", "mtu", "9216", true},
        {"engine", "mtu", "9217", false},
        {"engine", "spin", "0", true},
        {"engine", "spin", "5", false},
        {"engine", "spin", "1s", true},
        {"engine", "spin", "1000000001ns", false},
        {"engine", "spin", "99999999999999999999s", false},
        {"engine", "spin", "18446744074s", false},
        {"limits", "port_tx", "128K", true},
        {"limits", "port_tx", "131071", false},
        {"limits", "port_tx", "64G", true},
        {"limits", "port_tx", "65G", false},
        {"limits", "port_tx", "1 M", false},
        {"fault", "drop", "100%", true},
        {"fault", "drop", "100.0001%", false},
        {"fault", "drop", "0.0001%", true},
        {"fault", "drop", "0.00001%", false},
        {"fault", "drop", "1", false},
        {"fault", "drop", "0", true},
        {"fault", "drop", "101%", false},
        {"engine", "packet_checksum", "full", true},
        {"engine", "packet_checksum", "ful", false},
    };
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        const struct bound *b = &bounds[i];
        enum base_err err = snapd_config_set(&config, "here", b->section, b->key, b->value);
        if ((err == BASE_OK) != b->is_good) {
            fail_msg("%s = \"%s\" was %s", b->key, b->value, base_err_text(err));
        }
    }
}

static void text_fits_up_to_its_field(void **state)
{
    (void)state;
    char path[SNAPD_PATH_MAX + 1];
    memset(path, 'p', sizeof(path));
    path[SNAPD_PATH_MAX - 1] = '\0';
    assert_int_equal(snapd_config_set(&config, "here", "snapd", "socket", path), BASE_OK);
    path[SNAPD_PATH_MAX - 1] = 'p';
    path[SNAPD_PATH_MAX] = '\0';
    assert_int_equal(snapd_config_set(&config, "here", "snapd", "socket", path), BASE_E_INVALID);
}

/* PR-26: what every application takes before limits are known has to fit. */
static void the_longest_message_has_a_least_value(void **state)
{
    (void)state;
    assert_int_equal(parse("[limits]\nmessage = 128K\n"), BASE_OK);
    assert_int_equal(config.message_bytes, 128 << 10);
    assert_int_equal(parse("[limits]\nmessage = 131071\n"), BASE_E_INVALID);
    assert_note_has("message");
}

static void values_that_contradict_each_other_are_refused(void **state)
{
    (void)state;
    assert_int_equal(parse("[engine]\nrto_min = 2s\nrto_max = 1s\n"), BASE_E_INVALID);
    assert_note_has("rto_min");
    snapd_config_init(&config);
    assert_int_equal(parse("[limits]\nmessage = 1G\n"), BASE_E_INVALID);
    assert_note_has("port_tx");
    snapd_config_init(&config);
    assert_int_equal(parse("[security]\nmode = psk\n"), BASE_E_INVALID);
    assert_note_has("there is no key_file");
    snapd_config_init(&config);
    assert_int_equal(parse("[security]\nkey_file = /etc/keys\n"), BASE_E_INVALID);
    assert_note_has("mode is plain");
    snapd_config_init(&config);
    assert_int_equal(parse("[security]\nmode = psk\nkey_file = /etc/keys\n"), BASE_OK);
}

static void each_security_mode_has_its_files(void **state)
{
    (void)state;
    assert_int_equal(parse("[security]\nmode = certificates\n"), BASE_E_INVALID);
    assert_note_has("there is no certificate_file");
    snapd_config_init(&config);
    assert_int_equal(parse("[security]\nmode = certificates\ncertificate_file = a\n"
                           "private_key_file = b\n"),
                     BASE_E_INVALID);
    assert_note_has("there is no ca_file");
    snapd_config_init(&config);
    assert_int_equal(parse("[security]\nmode = psk\nkey_file = k\nca_file = c\n"), BASE_E_INVALID);
    assert_note_has("say mode = certificates, or remove ca_file");
    snapd_config_init(&config);
    assert_int_equal(parse("[security]\nmode = certificates\ncertificate_file = a\n"
                           "private_key_file = b\nca_file = c\n"),
                     BASE_OK);
    assert_string_equal(config.peers, "address");
}

static char *print(const struct snapd_config *c)
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    assert_non_null(file);
    snapd_config_print(c, file);
    assert_int_equal(fclose(file), 0);
    return text;
}

static void what_is_printed_reads_back_the_same(void **state)
{
    (void)state;
    assert_int_equal(parse("[snapd]\nengines = 7\nlisten = [::1]:0\n"
                           "[engine]\nmtu = 9000\nspin = 1500ns\n"
                           "[fault]\nreorder = 0.0301%\n"),
                     BASE_OK);
    char *text = print(&config);
    struct snapd_config again;
    snapd_config_init(&again);
    if (snapd_config_parse(&again, "printed", text, strlen(text)) != BASE_OK) {
        fail_msg("%s", base_error_last_note());
    }
    char *second = print(&again);
    assert_string_equal(second, text);
    assert_non_null(strstr(text, "reorder = 0.0301%"));
    free(second);
    free(text);
}

static void distance_counts_edits(void **state)
{
    (void)state;
    assert_int_equal(snapd_value_distance("", ""), 0);
    assert_int_equal(snapd_value_distance("mtu", "mtu"), 0);
    assert_int_equal(snapd_value_distance("engins", "engines"), 1);
    assert_int_equal(snapd_value_distance("", "abc"), 3);
    assert_int_equal(snapd_value_distance("kitten", "sitting"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_security_mode_has_its_files, fresh),
        cmocka_unit_test_setup(defaults_are_valid, fresh),
        cmocka_unit_test_setup(values_of_every_type_are_read, fresh),
        cmocka_unit_test_setup(an_unknown_key_names_line_and_the_nearest_key, fresh),
        cmocka_unit_test_setup(a_key_in_the_wrong_section_is_told_where_it_belongs, fresh),
        cmocka_unit_test_setup(an_unknown_section_is_refused, fresh),
        cmocka_unit_test_setup(a_key_before_any_section_is_refused, fresh),
        cmocka_unit_test_setup(a_line_that_is_neither_is_refused, fresh),
        cmocka_unit_test_setup(the_first_bad_line_is_the_one_told, fresh),
        cmocka_unit_test_setup(a_line_that_is_too_long_is_refused, fresh),
        cmocka_unit_test_setup(each_engine_has_its_processor, fresh),
        cmocka_unit_test_setup(a_list_that_does_not_fit_the_engines_is_refused, fresh),
        cmocka_unit_test_setup(bounds_hold_at_and_past_the_bound, fresh),
        cmocka_unit_test_setup(text_fits_up_to_its_field, fresh),
        cmocka_unit_test_setup(the_longest_message_has_a_least_value, fresh),
        cmocka_unit_test_setup(values_that_contradict_each_other_are_refused, fresh),
        cmocka_unit_test_setup(what_is_printed_reads_back_the_same, fresh),
        cmocka_unit_test_setup(distance_counts_edits, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
