/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/protocol/seal.h"

#include "base/clock.h"

#if defined(__aarch64__)
#    include <asm/hwcap.h>
#    include <sys/auxv.h>
#endif

const struct pony_seal_ops *const pony_seal_all[] = {
    [PONY_SECURITY_PLAIN] = &pony_seal_plain,
    [PONY_SECURITY_PSK] = &pony_seal_psk,
    [PONY_SECURITY_CERTS] = &pony_seal_certs,
    [PONY_SECURITY_MODE_MAX] = NULL,
};

#if defined(__x86_64__) || defined(__i386__)
bool pony_cpu_has_aes(void)
{
    return __builtin_cpu_supports("aes") != 0 && __builtin_cpu_supports("pclmul") != 0;
}
#elif defined(__aarch64__)
bool pony_cpu_has_aes(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_AES) != 0;
}
#else
bool pony_cpu_has_aes(void)
{
    return false;
}
#endif

void pony_security_init(struct pony_security *security)
{
    *security = (struct pony_security){
        .mode = PONY_SECURITY_PLAIN,
        .ciphers = 1 << PONY_CIPHER_AES128_GCM | 1 << PONY_CIPHER_CHACHA20_POLY1305,
        .cipher_preferred =
            pony_cpu_has_aes() ? PONY_CIPHER_AES128_GCM : PONY_CIPHER_CHACHA20_POLY1305,
        .key_packets = UINT64_C(1) << 23, /* RFC 9001, 6.6 */
        .key_ns = UINT64_C(3600) * BASE_NS_PER_S,
    };
}

const char *pony_cipher_name(enum pony_cipher cipher)
{
    static const char *const names[PONY_CIPHER_MAX] = {
        [PONY_CIPHER_NONE] = "",
        [PONY_CIPHER_AES128_GCM] = "aes-128-gcm",
        [PONY_CIPHER_CHACHA20_POLY1305] = "chacha20-poly1305",
    };
    return names[cipher < PONY_CIPHER_MAX ? cipher : PONY_CIPHER_NONE];
}

const char *pony_security_mode_name(enum pony_security_mode mode)
{
    return mode < PONY_SECURITY_MODE_MAX ? pony_seal_all[mode]->name : "?";
}

const char *pony_seal_verdict_text(enum pony_seal_verdict verdict)
{
    static const char *const texts[] = {
        [PONY_SEAL_OK] = "ok",
        [PONY_SEAL_MODE] = "it wants another security mode",
        [PONY_SEAL_KEY] = "it has another cluster key",
        [PONY_SEAL_CIPHER] = "no cipher in common",
        [PONY_SEAL_MALFORMED] = "its HELLO contradicts itself",
        [PONY_SEAL_FORGED] = "a wrong tag",
        [PONY_SEAL_OLD_KEY] = "a key that is over or not begun",
        [PONY_SEAL_REPLAYED] = "a packet seen before",
        [PONY_SEAL_BUSY] = "too many handshakes at once",
        [PONY_SEAL_GONE] = "its cluster key was taken away",
        [PONY_SEAL_COOKIE] = "it has not shown that it is where it says",
        [PONY_SEAL_UNTRUSTED] = "its certificate is not from the CA",
        [PONY_SEAL_EXPIRED] = "its certificate has expired, or is not valid yet",
        [PONY_SEAL_USAGE] = "its certificate is not for this: kind of key, key usage or strength",
        [PONY_SEAL_IDENTITY] = "its certificate names nobody who may be a peer",
        [PONY_SEAL_SIGNATURE] = "it does not have the private key of its certificate",
    };
    return verdict < sizeof(texts) / sizeof(texts[0]) ? texts[verdict] : "?";
}
