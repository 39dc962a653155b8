/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"
#include "base/endian.h"
#include "tests/unit/server/scripted_client.h"

/**
 * One connection that says anything: pairs of a 16-bit length and as many bytes, each sent as one
 * message. Whatever it says, its calls can be answered, it can be closed, and nothing of it stays.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer_held(struct host *host)
{
    for (uint32_t i = 0; i < host->n_held; i++) {
        snap_server_fail(host->held[i], SNAP_ABORTED, "over");
    }
    host->n_held = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct host host;
    if (host.loop == NULL) {
        host_open(&host, NULL, NULL);
    }
    struct scripted client;
    scripted_open(&client, &host, false);
    struct base_cursor c = base_cursor_make(data, size);
    for (int i = 0; i < 32 && base_cursor_left(&c) >= 2 && client.conn != NULL; i++) {
        size_t len = base_cursor_get_u16(&c);
        len = len < base_cursor_left(&c) ? len : base_cursor_left(&c);
        scripted_send_bytes(&client, base_cursor_get_bytes(&c, len), len);
        host_settle(&host);
    }
    if (size % 2 == 0) {
        answer_held(&host);
    }
    scripted_close(&client, &host);
    host_settle(&host);
    answer_held(&host);
    base_assert(fake_n_conns(SNAP_TRANSPORT_TCP) == 0);
    return 0;
}
