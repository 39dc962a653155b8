/* SPDX-License-Identifier: Apache-2.0 */
#include "base/lines.h"
#include "base/span.h"
#include "transport/pony/protocol/state.h"

/* Commands of an application. Each is a private copy whose opcode exists. A handler returns NULL,
 * or what is wrong: then the application is at fault and ends. */

static void tell_closed(struct pony_app *app, uint32_t shm_number, uint8_t flags,
                        enum shm_reason reason)
{
    struct shm_completion completion = {
        .kind = SHM_CPL_CLOSED, .flags = flags, .reason = (uint8_t)reason, .conn = shm_number};
    pony_app_complete(app, &completion);
}

/* The class that a command names; DEFAULT is for the caller. */
static uint8_t class_of(uint8_t traffic)
{
    static const uint8_t classes[SHM_TRAFFIC_MAX] = {
        [SHM_TRAFFIC_NORMAL] = PONY_CLASS_NORMAL,
        [SHM_TRAFFIC_LATENCY] = PONY_CLASS_LATENCY,
        [SHM_TRAFFIC_BULK] = PONY_CLASS_BULK,
    };
    return classes[traffic];
}

static const char *run_open(struct pony_app *app, const struct shm_command *command,
                            uint64_t now_ns)
{
    if ((command->conn & SHM_CONN_ACCEPTED) != 0) {
        return "OPEN with a number that is the engine's to choose";
    }
    if (pony_app_find_conn(app, command->conn) != NULL) {
        return "OPEN with a connection number in use";
    }
    if (pony_app_has_many_alike(app, command->conn)) {
        return "OPEN with a number that ends like those of 32 others: take them one after the other";
    }
    if (command->u.open.traffic >= SHM_TRAFFIC_MAX) {
        return "OPEN with a traffic class that does not exist";
    }
    struct pony_conn *conn = pony_conn_create(app->engine, app);
    if (conn == NULL) {
        pony_count(app->engine, PONY_OPS_NO_MEMORY, 1);
        tell_closed(app, command->conn, SHM_CPL_NEVER_OPENED, SHM_REASON_NO_MEMORY);
        return NULL;
    }
    conn->shm_number = command->conn;
    conn->cold->service = command->u.open.service;
    conn->class = class_of(command->u.open.traffic);
    conn->cold->expected_instance = command->u.open.instance;
    pony_app_add_conn(app, conn);
    pony_mapper_open(conn, &command->u.open.to, now_ns);
    return NULL;
}

static const char *run_listen(struct pony_app *app, const struct shm_command *command,
                              uint64_t now_ns)
{
    (void)now_ns;
    if ((command->conn & SHM_CONN_ACCEPTED) != 0) {
        return "LISTEN with a number that is the engine's to choose";
    }
    if (pony_service_by_number(app, command->conn) != NULL) {
        return "LISTEN with a listener number in use";
    }
    if (command->u.listen.traffic >= SHM_TRAFFIC_MAX) {
        return "LISTEN with a traffic class that does not exist";
    }
    struct pony_listener *listener = NULL;
    enum base_err err = pony_service_add(app, command->conn, command->u.listen.service, &listener);
    if (err != BASE_OK) {
        tell_closed(app, command->conn, SHM_CPL_LISTENER,
                    err == BASE_E_IN_USE ? SHM_REASON_REFUSED : SHM_REASON_NO_MEMORY);
        return NULL;
    }
    listener->is_local = (command->flags & SHM_LISTEN_LOCAL) != 0;
    listener->has_class = command->u.listen.traffic != SHM_TRAFFIC_DEFAULT;
    listener->class = class_of(command->u.listen.traffic);
    struct shm_completion completion = {.kind = SHM_CPL_LISTENING, .conn = command->conn};
    completion.u.listening.service = listener->service;
    completion.u.listening.instance = app->engine->config.instance;
    completion.u.listening.udp_port = app->engine->config.udp_port;
    pony_app_complete(app, &completion);
    return NULL;
}

static const char *run_unlisten(struct pony_app *app, const struct shm_command *command,
                                uint64_t now_ns)
{
    (void)now_ns;
    struct pony_listener *listener = pony_service_by_number(app, command->conn);
    if (listener == NULL) {
        /* It crossed the CLOSED of a listener that was refused. */
        pony_count(app->engine, PONY_OPS_STALE_COMMANDS, 1);
        return NULL;
    }
    pony_service_del(listener);
    tell_closed(app, command->conn, SHM_CPL_LISTENER, SHM_REASON_CLOSED);
    return NULL;
}

static const char *run_send(struct pony_app *app, const struct shm_command *command,
                            uint64_t now_ns)
{
    (void)now_ns;
    uint64_t off = command->u.send.off;
    uint32_t len = command->u.send.len;
    if (!base_span_fits(off, len, app->tx_bytes)) {
        return "SEND from outside the tx region";
    }
    if (len > app->max_message_bytes) {
        return "SEND of more than the largest message";
    }
    struct pony_conn *conn = pony_app_find_conn(app, command->conn);
    bool may_send = conn != NULL && !conn->is_flushing && conn->state <= PONY_CONN_OPEN;
    const uint8_t *bytes = app->tx_base + off;
    if (may_send && conn->peer != NULL && pony_conn_send_at_once(conn, command, bytes)) {
        return NULL;
    }
    struct pony_tx_msg *msg = may_send ? base_pool_take_unset(&app->tx_msgs, NULL) : NULL;
    if (msg == NULL) {
        /* Its CLOSED is, or was, on the way to the application: no lie, but nothing to send on. */
        struct shm_completion completion = {.kind = SHM_CPL_SENT,
                                            .flags = SHM_CPL_UNSENT,
                                            .conn = command->conn,
                                            .tag = command->tag};
        pony_count(app->engine, PONY_OPS_STALE_COMMANDS, 1);
        pony_app_complete(app, &completion);
        return NULL;
    }
    msg->bytes = bytes;
    msg->tag = command->tag;
    msg->len = len;
    msg->sent_bytes = 0;
    msg->n_packets = 0;
    msg->stream = command->u.send.stream;
    msg->is_ordered = (command->flags & SHM_SEND_ORDERED) != 0;
    pony_conn_send(conn, msg); /* which sets the rest */
    return NULL;
}

static const char *run_close(struct pony_app *app, const struct shm_command *command,
                             uint64_t now_ns)
{
    (void)now_ns;
    struct pony_conn *conn = pony_app_find_conn(app, command->conn);
    if (conn == NULL) {
        pony_count(app->engine, PONY_OPS_STALE_COMMANDS, 1);
    } else if ((command->flags & SHM_CLOSE_ABORT) != 0) {
        pony_conn_end(conn, SHM_REASON_ABORTED, PONY_TELL_RESET);
    } else {
        pony_conn_close(conn);
    }
    return NULL;
}

typedef const char *run_fn(struct pony_app *app, const struct shm_command *command,
                           uint64_t now_ns);

/* What each command's flags may be. */
static const struct {
    run_fn *run;
    uint8_t flags;
} table[SHM_OP_MAX] = {
    [SHM_OP_OPEN] = {run_open, 0},
    [SHM_OP_LISTEN] = {run_listen, SHM_LISTEN_LOCAL},
    [SHM_OP_UNLISTEN] = {run_unlisten, 0},
    [SHM_OP_SEND] = {run_send, SHM_SEND_ORDERED},
    [SHM_OP_CLOSE] = {run_close, SHM_CLOSE_ABORT},
};

static const char *run_command(struct pony_app *app, const struct shm_command *command,
                               uint64_t now_ns)
{
    if (command->opcode >= SHM_OP_MAX || table[command->opcode].run == NULL) {
        return "a command that does not exist";
    }
    if ((command->flags & ~table[command->opcode].flags) != 0) {
        return "a command with flags that do not exist";
    }
    return table[command->opcode].run(app, command, now_ns);
}

/* The other end of a local connection, whose messages may go there at once. */
static void prefetch_peer(const struct pony_app *app, uint32_t shm_number)
{
    const struct pony_conn *conn = pony_app_find_conn(app, shm_number);
    if (conn != NULL && conn->peer != NULL) {
        base_prefetch_lines(conn->peer, PONY_CONN_HOT_LINES);
    }
}

uint32_t pony_app_run_commands(struct pony_app *app, uint64_t now_ns, uint32_t budget)
{
    struct shm_command commands[PONY_APP_BATCH];
    uint32_t tx_free = PONY_APP_TX_MAX - app->tx_msgs.n_taken;
    uint32_t n = base_min_u32(base_min_u32(budget, PONY_APP_BATCH), tx_free);
    uint32_t taken = 0;
    /* With a backlog nothing more is taken: the command queue fills, the application waits. */
    if (n == 0 || pony_app_has_backlog(app)) {
        return 0;
    }
    if (shm_engine_take(&app->end, commands, n, &taken) != BASE_OK) {
        pony_app_fault(app, SHM_REASON_BAD_COMMAND, "bad cursor or opcode in the command queue");
        return 0;
    }
    /* All of them are on their way from memory together, not one after the other. */
    for (uint32_t i = 0; i < taken; i++) {
        if (i == 0 || commands[i].conn != commands[i - 1].conn) {
            pony_app_prefetch_conn(app, commands[i].conn);
        }
    }
    for (uint32_t i = 0; i < taken; i++) {
        if (i > 0 && commands[i].conn != commands[i - 1].conn) {
            prefetch_peer(app, commands[i].conn);
        }
    }
    for (uint32_t i = 0; i < taken; i++) {
        const char *what = run_command(app, &commands[i], now_ns);
        if (what != NULL) {
            pony_app_fault(app, SHM_REASON_BAD_COMMAND, what);
            break;
        }
    }
    app->info.commands += taken;
    pony_count(app->engine, PONY_OPS_COMMANDS, taken);
    return taken;
}
