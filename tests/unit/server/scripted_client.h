/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_SERVER_SCRIPTED_CLIENT_H
#define TESTS_UNIT_SERVER_SCRIPTED_CLIENT_H

#include "rpc/frame.h"
#include "rpc/loop.h"
#include "test_messages.pb-c.h"
#include "tests/support/fake_transport.h"

#include <snaprpc/server.h>

/**
 * A client that says exactly what the test wants, and a server with a few methods, both on one loop
 * that the test drives. Everything in it asserts by itself.
 */
enum {
    HEARD_MAX = 1100,
    HELD_MAX = 300
};

/** A frame that came, with copies of its parts. */
struct heard {
    struct snapi_frame frame;
    char text[SNAPI_FRAME_TEXT_MAX + 1];
    uint8_t *body; /**< body_len bytes; freed by scripted_close() */
};

struct scripted {
    struct snapi_conn *conn; /**< NULL: ended */
    bool is_open;
    bool is_closed;
    enum base_err why;
    struct heard *heard; /**< [n_heard] in order */
    uint32_t n_heard;
};

struct host {
    struct snap_loop *loop;
    struct snap_server *server;
    struct snap_server_call *held[HELD_MAX]; /**< calls of Hold that wait */
    uint32_t n_held;
    uint32_t n_run; /**< handlers started */
    char address[64];
};

/** A loop and a server with snaptest.Test/{Echo,Hold,Fail,WrongType,Big,Missing}, listening. */
void host_open(struct host *host, const struct snap_loop_options *loop_options,
               const struct snap_server_options *options);
/** Destroys the loop, and the server with it if it was not stopped. */
void host_close(struct host *host);

/** Polls until `*what` is at least n; fails the test after a while. */
void host_poll_until(struct host *host, const uint32_t *what, uint32_t n);
/** Polls until a poll does nothing. */
void host_settle(struct host *host);

/** Connects over TCP; says HELLO unless told otherwise. */
void scripted_open(struct scripted *client, struct host *host, bool says_hello);
void scripted_connect(struct scripted *client, struct host *host, enum snap_transport kind,
                      const char *address);
void scripted_close(struct scripted *client, struct host *host);

void scripted_send(struct scripted *client, const struct snapi_frame *frame);
void scripted_send_bytes(struct scripted *client, const void *data, size_t len);
void scripted_hello(struct scripted *client);
/** A call of snaptest.Test/<method>, as long as it may be. */
void scripted_ask(struct scripted *client, const char *method, uint64_t id,
                  const Snaptest__Ping *ping);

/** A call of snaptest.Test/<method> with `payload` as Ping.text. */
void scripted_call(struct scripted *client, const char *method, uint64_t id, const char *payload);

/** The one frame of that type and id, NULL if there is none; fails when there are two. */
const struct heard *scripted_find(const struct scripted *client, uint8_t type, uint64_t id);
/** The RESPONSE of a call; fails when there is not exactly one. */
const struct heard *scripted_response(const struct scripted *client, uint64_t id);

#endif
