/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/message.h"

#include "tests/support/cmocka_all.h"
#include "transport/pony/protocol/conn.h"

/* A connection as far as messages know it. */
struct some_conn {
    struct pony_conn hot;
    struct pony_conn_cold cold;
};

static struct pony_conn *conn_of(struct some_conn *conn, uint32_t number)
{
    conn->hot.number = number;
    conn->hot.cold = &conn->cold;
    base_list_init(&conn->cold.rx_msgs);
    return &conn->hot;
}

static void messages_are_found_by_connection_and_number(void **state)
{
    (void)state;
    struct pony_rx_table table;
    static struct some_conn conns[2];
    assert_int_equal(pony_rx_table_init(&table, 100), BASE_OK);
    for (uint32_t i = 0; i < 100; i++) {
        struct pony_rx_msg *msg = pony_rx_take(&table, conn_of(&conns[i % 2], i % 2));
        assert_non_null(msg);
        base_list_init(&msg->link); /* conn_of() emptied the list */
        msg->msg_no = i / 2 + UINT32_MAX - 20;
        pony_rx_put_partial(&table, msg);
    }
    assert_null(pony_rx_take(&table, &conns[0].hot));
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t msg_no = i / 2 + UINT32_MAX - 20;
        struct pony_rx_msg *msg = pony_rx_find_partial(&table, &conns[i % 2].hot, msg_no);
        assert_non_null(msg);
        assert_ptr_equal(msg->conn, &conns[i % 2].hot);
        assert_int_equal(msg->msg_no, msg_no);
        pony_rx_give(&table, msg);
        assert_null(pony_rx_find_partial(&table, &conns[i % 2].hot, msg_no));
    }
    assert_int_equal(table.n_taken, 0);
    assert_non_null(pony_rx_take(&table, &conns[0].hot));
    pony_rx_table_fini(&table);
}

static void a_held_message_is_found_by_lane_and_turn(void **state)
{
    (void)state;
    struct pony_rx_table table;
    static struct some_conn owner;
    struct pony_conn *conn = conn_of(&owner, 3);
    assert_int_equal(pony_rx_table_init(&table, 4), BASE_OK);
    struct pony_rx_msg *msg = pony_rx_take(&table, conn);
    msg->msg_no = 9;
    msg->stream = PONY_LANES + 5;
    msg->seq = 7;
    pony_rx_put_partial(&table, msg);
    pony_rx_hide(&table, msg);
    pony_rx_put_held(&table, msg);
    assert_null(pony_rx_find_partial(&table, conn, 9));
    assert_null(pony_rx_find_held(&table, conn, 5, 8));
    assert_null(pony_rx_find_held(&table, conn, 6, 7));
    assert_ptr_equal(pony_rx_find_held(&table, conn, 5, 7), msg);
    pony_rx_give(&table, msg);
    assert_null(pony_rx_find_held(&table, conn, 5, 7));
    assert_true(base_list_is_empty(&conn->cold->rx_msgs));
    pony_rx_table_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_found_by_connection_and_number),
        cmocka_unit_test(a_held_message_is_found_by_lane_and_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
