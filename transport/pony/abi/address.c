/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/pony/abi/address.h"

#include "base/in6.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    HEX_DIGITS = 16,
    HOST_MAX = BASE_IN6_TEXT + 2 /* brackets */
};

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool parse_hex16(const char *text, uint64_t *value)
{
    uint64_t v = 0;
    for (int i = 0; i < HEX_DIGITS; i++) {
        char c = text[i];
        uint64_t digit;
        if (c >= '0' && c <= '9') {
            digit = (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (uint64_t)(c - 'a') + 10;
        } else if (c >= 'A' && c <= 'F') {
            digit = (uint64_t)(c - 'A') + 10;
        } else {
            return false; /* the NUL too: nothing is read past the end */
        }
        v = v << 4 | digit;
    }
    *value = v;
    return true;
}

/* Decimal 1..65535 without sign or leading zero, up to `end`. */
static bool parse_port(const char *text, const char *end, uint16_t *port)
{
    uint32_t v = 0;
    if (text == end || end - text > 5 || *text == '0') {
        return false;
    }
    for (; text < end; text++) {
        if (*text < '0' || *text > '9') {
            return false;
        }
        v = v * 10 + (uint32_t)(*text - '0');
    }
    *port = (uint16_t)v;
    return v <= UINT16_MAX;
}

static const char *parse_host(const char *text, const char *end, struct pony_address *address)
{
    static const char none[] = "the host is not a numeric address, [v6] or '*'";
    char host[HOST_MAX];
    bool is_v6 = text < end && *text == '[';
    if (is_v6) {
        if (end[-1] != ']') {
            return none;
        }
        text++;
        end--;
    }
    size_t len = (size_t)(end - text);
    if (end <= text || len >= sizeof(host)) {
        return none;
    }
    memcpy(host, text, len);
    host[len] = '\0';
    if (is_v6) {
        struct base_in6 in6;
        const char *wrong = base_in6_parse(host, &in6);
        memcpy(address->to.ip, in6.ip, sizeof(in6.ip));
        address->to.scope = in6.scope;
        return wrong;
    }
    if (strcmp(host, "*") == 0) {
        address->is_any_host = true;
        return NULL;
    }
    memcpy(address->to.ip, v4_prefix, sizeof(v4_prefix));
    return inet_pton(AF_INET, host, address->to.ip + sizeof(v4_prefix)) == 1 ? NULL : none;
}

static const char *parse(const char *text, struct pony_address *address)
{
    if (strncmp(text, "pony:", 5) != 0) {
        return "it does not begin with \"pony:\"";
    }
    const char *host = text + 5;
    const char *slash = strchr(host, '/');
    if (slash == NULL) {
        return "there is no '/' before the service";
    }
    const char *colon = memrchr(host, ':', (size_t)(slash - host));
    if (colon == NULL || !parse_port(colon + 1, slash, &address->to.udp_port)) {
        return "the UDP port is not a number from 1 to 65535";
    }
    const char *wrong_host = parse_host(host, colon, address);
    if (wrong_host != NULL) {
        return wrong_host;
    }
    if (!parse_hex16(slash + 1, &address->service) || address->service == 0) {
        return "the service is not 16 hexadecimal digits, not all 0";
    }
    const char *rest = slash + 1 + HEX_DIGITS;
    if (*rest != '/' || !parse_hex16(rest + 1, &address->instance) ||
        rest[1 + HEX_DIGITS] != '\0') {
        return "the instance is not '/' and 16 hexadecimal digits";
    }
    return NULL;
}

enum base_err pony_address_parse(const char *text, struct pony_address *address)
{
    *address = (struct pony_address){0};
    const char *wrong = parse(text, address);
    if (wrong != NULL) {
        *address = (struct pony_address){0};
        base_error_note("bad Pony address \"%.100s\": %s", text, wrong);
        return BASE_E_INVALID;
    }
    return BASE_OK;
}

static void format_host(const struct shm_addr *addr, char out[HOST_MAX])
{
    if (memcmp(addr->ip, v4_prefix, sizeof(v4_prefix)) == 0) {
        (void)inet_ntop(AF_INET, addr->ip + sizeof(v4_prefix), out, HOST_MAX);
        return;
    }
    struct base_in6 in6 = {.scope = addr->scope};
    char v6[BASE_IN6_TEXT];
    memcpy(in6.ip, addr->ip, sizeof(in6.ip));
    base_in6_format(&in6, v6);
    (void)snprintf(out, HOST_MAX, "[%s]", v6);
}

void pony_address_format(const struct pony_address *address, char *out)
{
    char host[HOST_MAX] = "*";
    if (!address->is_any_host) {
        format_host(&address->to, host);
    }
    (void)snprintf(out, PONY_ADDRESS_MAX, "pony:%s:%u/%016" PRIx64 "/%016" PRIx64, host,
                   address->to.udp_port, address->service, address->instance);
}

void pony_address_format_peer(const struct shm_addr *addr, char *out)
{
    static const struct shm_addr none;
    char host[HOST_MAX];
    if (memcmp(addr->ip, none.ip, sizeof(none.ip)) == 0) {
        (void)snprintf(out, PONY_ADDRESS_MAX, "pony:local");
        return;
    }
    format_host(addr, host);
    (void)snprintf(out, PONY_ADDRESS_MAX, "pony:%s:%u", host, addr->udp_port);
}
