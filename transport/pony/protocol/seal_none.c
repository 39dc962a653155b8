/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/seal_none.h"

#include <string.h>

void pony_seal_none_destroy(struct pony_seal *seal)
{
    (void)seal;
}

bool pony_seal_none_begin(struct pony_seal *seal, uint32_t idx, const struct pony_seal_self *self)
{
    (void)seal;
    (void)idx;
    (void)self;
    return true;
}

/* check_hello() never wants one. */
void pony_seal_none_make_cookie(const struct pony_seal *seal, const struct pony_seal_hello *in,
                                uint8_t *cookie)
{
    (void)seal;
    (void)in;
    memset(cookie, 0, PONY_WIRE_COOKIE_BYTES);
}

bool pony_seal_none_on_cookie(struct pony_seal *seal, uint32_t idx, const uint8_t *cookie)
{
    (void)seal;
    (void)idx;
    (void)cookie;
    return false;
}

void pony_seal_none_slot(struct pony_seal *seal, uint32_t idx)
{
    (void)seal;
    (void)idx;
}

/* NOLINTBEGIN(readability-non-const-parameter): the operation table gives the types */
void pony_seal_none_put_hello(struct pony_seal *seal, uint32_t idx, bool is_ok, uint8_t *packet)
{
    (void)seal;
    (void)idx;
    (void)is_ok;
    (void)packet;
}

/* Never called: is_sealing is false, or there is no seal. */
uint32_t pony_seal_none_seal(struct pony_seal *seal, uint32_t idx, const struct pony_seal_out *out,
                             uint8_t *at)
{
    (void)seal;
    (void)idx;
    (void)out;
    (void)at;
    return 0;
}

/* Nobody has a key here. */
enum pony_seal_verdict pony_seal_none_open(struct pony_seal *seal, uint32_t idx,
                                           const struct pony_seal_in *in, uint8_t *plain)
{
    (void)seal;
    (void)idx;
    (void)in;
    (void)plain;
    return PONY_SEAL_MODE;
}

void pony_seal_none_on_note(struct pony_seal *seal, uint32_t idx,
                            const struct pony_sealed_note *note)
{
    (void)seal;
    (void)idx;
    (void)note;
}

enum base_err pony_seal_none_make_keys(const struct pony_security *security,
                                       struct pony_seal_keys **keys)
{
    (void)security;
    *keys = NULL;
    return BASE_E_UNSUPPORTED;
}

void pony_seal_none_free_keys(struct pony_seal_keys *keys)
{
    (void)keys;
}

void pony_seal_none_set_keys(struct pony_seal *seal, struct pony_seal_keys *keys)
{
    (void)seal;
    (void)keys;
}

enum pony_seal_verdict pony_seal_none_check_flow(const struct pony_seal *seal, uint32_t idx)
{
    (void)seal;
    (void)idx;
    return PONY_SEAL_OK;
}

void pony_seal_none_info(const struct pony_seal *seal, uint32_t idx, struct pony_seal_info *info)
{
    (void)seal;
    (void)idx;
    *info = (struct pony_seal_info){.cipher = ""};
}

/* NOLINTEND(readability-non-const-parameter) */
