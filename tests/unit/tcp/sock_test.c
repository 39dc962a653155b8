/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/sock.h"

#include "tests/support/cmocka_all.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct place {
    char folder[64];
    char path[80];
    struct ktcp_addr addr;
};

static int setup(void **state)
{
    static struct place place;
    (void)snprintf(place.folder, sizeof(place.folder), "/tmp/snaprpc-sock-XXXXXX");
    if (mkdtemp(place.folder) == NULL) {
        return -1;
    }
    (void)snprintf(place.path, sizeof(place.path), "%s/s", place.folder);
    char text[KTCP_ADDR_TEXT];
    (void)snprintf(text, sizeof(text), "unix:%s", place.path);
    *state = &place;
    return ktcp_addr_parse(text, &place.addr) == BASE_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct place *place = *state;
    (void)unlink(place->path);
    return rmdir(place->folder);
}

static int must_listen(struct place *place, struct stat *st)
{
    int fd;
    assert_int_equal(ktcp_sock_listen(&place->addr, &fd, st), BASE_OK);
    return fd;
}

static void a_socket_file_left_behind_is_replaced(void **state)
{
    struct place *place = *state;
    struct stat st;
    int fd = must_listen(place, &st);
    assert_int_equal(close(fd), 0); /* as a killed process does: the file stays */
    assert_int_equal(access(place->path, F_OK), 0);
    fd = must_listen(place, &st);
    ktcp_sock_unlink(&place->addr, &st);
    assert_int_not_equal(access(place->path, F_OK), 0);
    assert_int_equal(close(fd), 0);
}

static void a_socket_that_is_listened_on_is_in_use(void **state)
{
    struct place *place = *state;
    struct stat st, st2;
    int fd = must_listen(place, &st);
    int fd2;
    assert_int_equal(ktcp_sock_listen(&place->addr, &fd2, &st2), BASE_E_IN_USE);
    assert_int_equal(fd2, -1);
    assert_non_null(strstr(base_error_last_note(), place->path));
    assert_int_equal(access(place->path, F_OK), 0);
    assert_int_equal(close(fd), 0);
}

static void another_file_is_never_removed(void **state)
{
    struct place *place = *state;
    int file = open(place->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    int fd;
    struct stat st;
    assert_int_equal(ktcp_sock_listen(&place->addr, &fd, &st), BASE_E_IN_USE);
    assert_int_equal(access(place->path, F_OK), 0);
    assert_int_equal(close(file), 0);
}

static void the_file_of_a_successor_is_not_removed(void **state)
{
    struct place *place = *state;
    struct stat st, st2;
    int fd = must_listen(place, &st);
    assert_int_equal(unlink(place->path), 0);
    int fd2 = must_listen(place, &st2);
    ktcp_sock_unlink(&place->addr, &st);
    assert_int_equal(access(place->path, F_OK), 0);
    ktcp_sock_unlink(&place->addr, &st2);
    assert_int_not_equal(access(place->path, F_OK), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(fd2), 0);
}

static void a_folder_that_is_not_there_is_told(void **state)
{
    (void)state;
    struct ktcp_addr addr;
    assert_int_equal(ktcp_addr_parse("unix:/nonexistent-folder/s", &addr), BASE_OK);
    int fd;
    struct stat st;
    assert_int_equal(ktcp_sock_listen(&addr, &fd, &st), BASE_E_NOT_FOUND);
    assert_non_null(strstr(base_error_last_note(), "/nonexistent-folder/s"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_socket_file_left_behind_is_replaced), CASE(a_socket_that_is_listened_on_is_in_use),
        CASE(another_file_is_never_removed),         CASE(the_file_of_a_successor_is_not_removed),
        CASE(a_folder_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
