/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/keys.h"

#include "tests/support/cmocka_all.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEX32 "00112233445566778899aabbccddeeff"

static struct pony_security security;
static char path[] = "/tmp/snaprpc-keys-XXXXXX";

static int setup(void **state)
{
    (void)state;
    base_error_clear_note();
    memset(&security, 0, sizeof(security));
    memset(path + sizeof(path) - 7, 'X', 6);
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, "1 " HEX32 HEX32 "\n", 67) != 67) {
        return -1;
    }
    return close(fd);
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

static enum base_err parse(const char *text)
{
    return snapd_keys_parse("keys", text, strlen(text), &security);
}

static void assert_note_has(const char *part)
{
    if (strstr(base_error_last_note(), part) == NULL) {
        fail_msg("note \"%s\" lacks \"%s\"", base_error_last_note(), part);
    }
    assert_null(strstr(base_error_last_note(), "aabbcc"));
}

static void keys_are_read_in_order(void **state)
{
    (void)state;
    assert_int_equal(parse("# new\n\n 4294967295\t" HEX32 HEX32 "  \r\n"
                           "2 FFeeddccbbaa99887766554433221100" HEX32),
                     BASE_OK);
    assert_int_equal(security.n_psks, 2);
    assert_int_equal(security.psks[0].id, UINT32_MAX);
    assert_int_equal(security.psks[0].key[1], 0x11);
    assert_int_equal(security.psks[0].key[31], 0xff);
    assert_int_equal(security.psks[1].id, 2);
    assert_int_equal(security.psks[1].key[0], 0xff);
}

static void a_bad_line_is_named_but_not_shown(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "0 " HEX32 HEX32,
        "4294967296 " HEX32 HEX32,
        "99999999999999999999 " HEX32 HEX32,
        HEX32 HEX32,
        "1" HEX32 HEX32,
        "1 " HEX32,
        "1 " HEX32 HEX32 "0",
        "1 " HEX32 HEX32 " more",
        "1",
        "1 " HEX32 "aabbccddeeffgg0011223344556677aa",
        "-1 " HEX32 HEX32,
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[256];
        (void)snprintf(text, sizeof(text), "# comment\n%s\n", bad[i]);
        assert_int_equal(parse(text), BASE_E_INVALID);
        assert_note_has("keys:2: no key");
    }
}

static void a_number_names_one_key(void **state)
{
    (void)state;
    assert_int_equal(parse("5 " HEX32 HEX32 "\n5 " HEX32 HEX32 "\n"), BASE_E_INVALID);
    assert_note_has("keys:2: there is a key 5 already");
    assert_int_equal(parse("5 " HEX32 HEX32 "\n65541 " HEX32 HEX32 "\n"), BASE_E_INVALID);
    assert_note_has("keys:2: there is a key 65541 already");
    assert_int_equal(parse("5 " HEX32 HEX32 "\n65540 " HEX32 HEX32 "\n"), BASE_OK);
}

static void there_is_at_least_one_key_and_at_most_eight(void **state)
{
    (void)state;
    char text[1024] = "";
    assert_int_equal(parse("# nothing\n"), BASE_E_INVALID);
    assert_note_has("no key in it");
    for (unsigned i = 1; i <= PONY_PSKS_MAX; i++) {
        char line[128];
        (void)snprintf(line, sizeof(line), "%u " HEX32 HEX32 "\n", i);
        (void)strcat(text, line);
    }
    assert_int_equal(parse(text), BASE_OK);
    assert_int_equal(security.n_psks, PONY_PSKS_MAX);
    (void)strcat(text, "99 " HEX32 HEX32 "\n");
    assert_int_equal(parse(text), BASE_E_INVALID);
    assert_note_has("more than 8 keys");
}

static void a_private_file_is_taken(void **state)
{
    (void)state;
    for (mode_t mode = 0400; mode <= 0600; mode += 0200) {
        assert_int_equal(chmod(path, mode), 0);
        assert_int_equal(snapd_keys_load(path, &security), BASE_OK);
        assert_int_equal(security.n_psks, 1);
    }
}

static void a_file_that_others_may_use_is_refused(void **state)
{
    (void)state;
    for (mode_t bit = 01; bit <= 040; bit <<= 1) {
        assert_int_equal(chmod(path, 0600 | bit), 0);
        assert_int_equal(snapd_keys_load(path, &security), BASE_E_PERMISSION);
        assert_note_has("chmod 600");
        assert_int_equal(security.n_psks, 0);
    }
}

static void a_stranger_s_file_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(chown(path, 12345, 0), 0);
    assert_int_equal(snapd_keys_load(path, &security), BASE_E_PERMISSION);
    assert_note_has("belongs to user 12345");
}

static void what_is_no_file_of_keys_is_refused(void **state)
{
    (void)state;
    assert_int_equal(snapd_keys_load("/nonexistent", &security), BASE_E_NOT_FOUND);
    assert_note_has("/nonexistent: cannot be opened");
    assert_int_equal(snapd_keys_load("/tmp", &security), BASE_E_INVALID);
    assert_note_has("not a file");
    assert_int_equal(truncate(path, 20000), 0);
    assert_int_equal(snapd_keys_load(path, &security), BASE_E_INVALID);
    assert_note_has("longer than");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_are_read_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_line_is_named_but_not_shown, setup, teardown),
        cmocka_unit_test_setup_teardown(a_number_names_one_key, setup, teardown),
        cmocka_unit_test_setup_teardown(there_is_at_least_one_key_and_at_most_eight, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_private_file_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_others_may_use_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stranger_s_file_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_file_of_keys_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
