/* SPDX-License-Identifier: Apache-2.0 */
#include "base/list.h"

#include "tests/support/cmocka_all.h"

struct job {
    int n;
    struct base_list link;
};

static struct base_list head;
static struct job jobs[5];

static int setup(void **state)
{
    (void)state;
    base_list_init(&head);
    for (int i = 0; i < 5; i++) {
        jobs[i].n = i;
        base_list_init(&jobs[i].link);
    }
    return 0;
}

/* The list as a decimal number, first job first. */
static int digits(const struct base_list *list)
{
    int sum = 0;
    base_list_foreach (it, list) {
        sum = sum * 10 + base_list_entry(it, struct job, link)->n;
    }
    return sum;
}

static void nodes_go_to_either_end(void **state)
{
    (void)state;
    assert_true(base_list_is_empty(&head));
    assert_null(base_list_first(&head));
    assert_null(base_list_last(&head));
    base_list_add_tail(&head, &jobs[2].link);
    base_list_add_tail(&head, &jobs[3].link);
    base_list_add_head(&head, &jobs[1].link);
    assert_int_equal(digits(&head), 123);
    assert_ptr_equal(base_list_first(&head), &jobs[1].link);
    assert_ptr_equal(base_list_last(&head), &jobs[3].link);
    base_list_insert_before(&jobs[3].link, &jobs[4].link);
    assert_int_equal(digits(&head), 1243);
}

static void a_deleted_node_can_be_deleted_again(void **state)
{
    (void)state;
    base_list_add_tail(&head, &jobs[1].link);
    base_list_add_tail(&head, &jobs[2].link);
    assert_true(base_list_is_linked(&jobs[1].link));
    base_list_del(&jobs[1].link);
    base_list_del(&jobs[1].link);
    assert_false(base_list_is_linked(&jobs[1].link));
    assert_int_equal(digits(&head), 2);
}

static void take_first_empties_in_order(void **state)
{
    (void)state;
    base_list_add_tail(&head, &jobs[1].link);
    base_list_add_tail(&head, &jobs[2].link);
    assert_ptr_equal(base_list_take_first(&head), &jobs[1].link);
    assert_ptr_equal(base_list_take_first(&head), &jobs[2].link);
    assert_null(base_list_take_first(&head));
    assert_false(base_list_is_linked(&jobs[1].link));
}

static void the_safe_walk_survives_deletion(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        base_list_add_tail(&head, &jobs[i].link);
    }
    base_list_foreach_safe (it, &head) {
        if (base_list_entry(it, struct job, link)->n % 2 == 0) {
            base_list_del(it);
        }
    }
    assert_int_equal(digits(&head), 13);
}

static void splice_moves_everything(void **state)
{
    (void)state;
    struct base_list other;
    base_list_init(&other);
    base_list_add_tail(&head, &jobs[1].link);
    base_list_splice_tail(&head, &other);
    assert_int_equal(digits(&head), 1);
    base_list_add_tail(&other, &jobs[2].link);
    base_list_add_tail(&other, &jobs[3].link);
    base_list_splice_tail(&head, &other);
    assert_int_equal(digits(&head), 123);
    assert_true(base_list_is_empty(&other));
    base_list_splice_tail(&other, &head);
    assert_int_equal(digits(&other), 123);
    base_list_del(&jobs[2].link);
    assert_int_equal(digits(&other), 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nodes_go_to_either_end, setup),
        cmocka_unit_test_setup(a_deleted_node_can_be_deleted_again, setup),
        cmocka_unit_test_setup(take_first_empties_in_order, setup),
        cmocka_unit_test_setup(the_safe_walk_survives_deletion, setup),
        cmocka_unit_test_setup(splice_moves_everything, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
