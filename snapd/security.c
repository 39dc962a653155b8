/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/security.h"

#include "base/assert.h"
#include "base/rng.h"
#include "snapd/keys.h"

#include <string.h>
#include <time.h>

enum {
    PEM_BYTES = 16384,
    CA_BYTES = 262144
};

static char certificate[PEM_BYTES], private_key[PEM_BYTES], ca[CA_BYTES];
static struct pony_certs certs;

/* Engines ask during handshakes only; the kernel's generator, once seeded, does not fail. */
static void take_random(void *ctx, void *out, size_t n)
{
    (void)ctx;
    base_assert(base_random_bytes(out, n) == BASE_OK);
}

static uint64_t wall_s(void *ctx)
{
    (void)ctx;
    return (uint64_t)time(NULL);
}

static void choose_ciphers(const struct snapd_config *config, struct pony_security *s)
{
    if (config->cipher != SNAPD_CIPHER_AUTO) {
        s->cipher_preferred = config->cipher == SNAPD_CIPHER_AES128_GCM
                                  ? PONY_CIPHER_AES128_GCM
                                  : PONY_CIPHER_CHACHA20_POLY1305;
        s->ciphers = (uint8_t)(1u << s->cipher_preferred);
    }
}

static enum base_err load_keys(const struct snapd_config *config, const struct base_log *log,
                               struct pony_security *s)
{
    BASE_TRY(snapd_keys_load(config->key_file, s));
    base_logf(log, BASE_LOG_INFO, "control",
              "flows are secured with cluster key %u (of %u in %s), %s preferred", s->psks[0].id,
              s->n_psks, config->key_file, pony_cipher_name((enum pony_cipher)s->cipher_preferred));
    return BASE_OK;
}

static enum base_err load_certs(const struct snapd_config *config, const struct base_log *log,
                                struct pony_security *s)
{
    BASE_TRY(snapd_keys_read(config->certificate_file, false, certificate, sizeof(certificate)));
    BASE_TRY(snapd_keys_read(config->private_key_file, true, private_key, sizeof(private_key)));
    BASE_TRY(snapd_keys_read(config->ca_file, false, ca, sizeof(ca)));
    certs = (struct pony_certs){
        .certificate = {config->certificate_file, certificate},
        .private_key = {config->private_key_file, private_key},
        .ca = {config->ca_file, ca},
        .peers = config->peers,
    };
    s->certs = &certs;
    s->wall_s = wall_s;
    base_logf(log, BASE_LOG_INFO, "control",
              "flows are secured with the certificate in %s; peers are known by %s; %s preferred",
              config->certificate_file, config->peers,
              pony_cipher_name((enum pony_cipher)s->cipher_preferred));
    return BASE_OK;
}

enum base_err snapd_security_load(const struct snapd_config *config, const struct base_log *log,
                                  struct pony_security *s)
{
    pony_security_init(s);
    s->mode = (enum pony_security_mode)config->security_mode;
    s->key_packets = config->key_packets;
    s->key_ns = config->key_ns;
    s->random = take_random;
    choose_ciphers(config, s);
    if (s->mode == PONY_SECURITY_PLAIN) {
        return BASE_OK;
    }
    if (!pony_seal_all[s->mode]->is_built) {
        base_error_note("[security] mode %s: this snapd was built without OpenSSL; install "
                        "libssl-dev and build it again",
                        pony_security_mode_name(s->mode));
        return BASE_E_UNSUPPORTED;
    }
    enum base_err err =
        s->mode == PONY_SECURITY_PSK ? load_keys(config, log, s) : load_certs(config, log, s);
    if (err != BASE_OK) {
        snapd_security_forget(s);
    }
    return err;
}

void snapd_security_forget(struct pony_security *security)
{
    explicit_bzero(security->psks, sizeof(security->psks));
    security->n_psks = 0;
    security->certs = NULL;
    explicit_bzero(private_key, sizeof(private_key));
}
