/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/frame.h"

size_t ktcp_header_put(uint8_t *out, const struct ktcp_header *header)
{
    base_store_u32(out, header->length);
    out[4] = header->flags;
    out[5] = header->stream;
    base_store_u16(out + 6, 0);
    if (!ktcp_header_is_long(header->flags)) {
        return KTCP_HEADER_BYTES;
    }
    base_store_u64(out + 8, header->total);
    return KTCP_FIRST_HEADER_BYTES;
}
