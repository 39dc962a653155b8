/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PONY_PROTOCOL_SEAL_NONE_H
#define PONY_PROTOCOL_SEAL_NONE_H

#include "transport/pony/protocol/seal.h"

/**
 * Operations of struct pony_seal_ops that do nothing: for mode plain, where there is nothing to do,
 * and for modes that this build does not have, where none is ever called.
 */
#define PONY_SEAL_NONE_OPS \
    .destroy = pony_seal_none_destroy, .begin = pony_seal_none_begin, .end = pony_seal_none_slot, \
    .up = pony_seal_none_slot, .put_hello = pony_seal_none_put_hello, .seal = pony_seal_none_seal, \
    .open = pony_seal_none_open, .on_note = pony_seal_none_on_note, \
    .make_keys = pony_seal_none_make_keys, .free_keys = pony_seal_none_free_keys, \
    .set_keys = pony_seal_none_set_keys, .check_flow = pony_seal_none_check_flow, \
    .info = pony_seal_none_info, .make_cookie = pony_seal_none_make_cookie, \
    .on_cookie = pony_seal_none_on_cookie

void pony_seal_none_destroy(struct pony_seal *seal);
bool pony_seal_none_begin(struct pony_seal *seal, uint32_t idx, const struct pony_seal_self *self);
void pony_seal_none_make_cookie(const struct pony_seal *seal, const struct pony_seal_hello *in,
                                uint8_t *cookie);
bool pony_seal_none_on_cookie(struct pony_seal *seal, uint32_t idx, const uint8_t *cookie);
void pony_seal_none_slot(struct pony_seal *seal, uint32_t idx);
void pony_seal_none_put_hello(struct pony_seal *seal, uint32_t idx, bool is_ok, uint8_t *packet);
uint32_t pony_seal_none_seal(struct pony_seal *seal, uint32_t idx, const struct pony_seal_out *out,
                             uint8_t *at);
enum pony_seal_verdict pony_seal_none_open(struct pony_seal *seal, uint32_t idx,
                                           const struct pony_seal_in *in, uint8_t *plain);
void pony_seal_none_on_note(struct pony_seal *seal, uint32_t idx,
                            const struct pony_sealed_note *note);
enum base_err pony_seal_none_make_keys(const struct pony_security *security,
                                       struct pony_seal_keys **keys);
void pony_seal_none_free_keys(struct pony_seal_keys *keys);
void pony_seal_none_set_keys(struct pony_seal *seal, struct pony_seal_keys *keys);
enum pony_seal_verdict pony_seal_none_check_flow(const struct pony_seal *seal, uint32_t idx);
void pony_seal_none_info(const struct pony_seal *seal, uint32_t idx, struct pony_seal_info *info);

#endif
