/* SPDX-License-Identifier: Apache-2.0 */
#include "client/target.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char forms[] = "use host:port, [ipv6]:port, unix:/path or pony:host:udpport/service";

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/** Splits "host:port" or "[host]:port" into two NUL-ended buffers. */
static enum base_err split_host_port(const char *text, char host[SNAPI_TARGET_MAX], char port[8])
{
    const char *begin = text;
    const char *end = NULL;
    const char *colon = NULL;
    if (text[0] == '[') {
        begin = text + 1;
        end = strchr(begin, ']');
        colon = end != NULL && end[1] == ':' ? end + 1 : NULL;
    } else {
        end = colon = strrchr(text, ':');
    }
    if (colon == NULL || end == begin || strlen(colon + 1) >= 8) {
        base_error_note("target \"%s\" has no host and port: %s", text, forms);
        return BASE_E_INVALID;
    }
    if (text[0] != '[' && memchr(text, ':', (size_t)(colon - text)) != NULL) {
        base_error_note("target \"%s\": write an IPv6 address in brackets", text);
        return BASE_E_INVALID;
    }
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    char *rest = NULL;
    long number = strtol(port, &rest, 10);
    if (port[0] < '0' || port[0] > '9' || *rest != '\0' || number < 1 || number > 65535) {
        base_error_note("target \"%s\": port must be 1 to 65535", text);
        return BASE_E_INVALID;
    }
    return BASE_OK;
}

static void add_address(struct snapi_target *target, const struct addrinfo *found)
{
    char host[64];
    char port[8];
    if (target->n_addrs == SNAPI_TARGET_ADDRS_MAX ||
        getnameinfo(found->ai_addr, found->ai_addrlen, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return;
    }
    bool is_v6 = found->ai_family == AF_INET6;
    char *out = target->addrs[target->n_addrs];
    int n = snprintf(out, sizeof(target->addrs[0]), "%s%s%s:%s", is_v6 ? "[" : "", host,
                     is_v6 ? "]" : "", port);
    if (n < (int)sizeof(target->addrs[0])) {
        target->n_addrs++;
    }
}

static enum base_err look_up(struct snapi_target *target)
{
    char host[SNAPI_TARGET_MAX];
    char port[8];
    BASE_TRY(split_host_port(target->text, host, port));
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(host, port, &hints, &found);
    if (error != 0) {
        base_error_note("host \"%s\" of target \"%s\": %s", host, target->text,
                        gai_strerror(error));
        return BASE_E_NOT_FOUND;
    }
    for (const struct addrinfo *it = found; it != NULL; it = it->ai_next) {
        add_address(target, it);
    }
    freeaddrinfo(found);
    return target->n_addrs > 0 ? BASE_OK : BASE_E_NOT_FOUND;
}

enum base_err snapi_target_resolve(const char *text, struct snapi_target *target)
{
    memset(target, 0, sizeof(*target));
    if (text == NULL || text[0] == '\0' || strlen(text) >= sizeof(target->text)) {
        base_error_note("target is empty or longer than %zu bytes: %s", sizeof(target->text) - 1,
                        forms);
        return BASE_E_INVALID;
    }
    memcpy(target->text, text, strlen(text) + 1);
    if (starts_with(text, "pony:")) {
        memcpy(target->pony, target->text, sizeof(target->pony));
        return BASE_OK;
    }
    if (starts_with(text, "unix:")) {
        if (strlen(text) >= sizeof(target->addrs[0]) || text[5] == '\0') {
            base_error_note("target \"%s\": the path is empty or too long", text);
            return BASE_E_INVALID;
        }
        memcpy(target->addrs[0], text, strlen(text) + 1);
        target->n_addrs = 1;
        return BASE_OK;
    }
    return look_up(target);
}

enum base_err snapi_target_fill_host(const char *address, const char *peer, char *out)
{
    BASE_ENSURE(starts_with(address, "pony:"), BASE_E_INVALID);
    int n = 0;
    if (!starts_with(address, "pony:*:")) {
        n = snprintf(out, SNAPI_TARGET_MAX, "%s", address);
    } else {
        const char *colon = strrchr(peer, ':');
        bool has_host = colon != NULL && colon != peer && !starts_with(peer, "unix:");
        n = snprintf(out, SNAPI_TARGET_MAX, "pony:%.*s%s",
                     has_host ? (int)(colon - peer) : (int)strlen("127.0.0.1"),
                     has_host ? peer : "127.0.0.1", address + strlen("pony:*"));
    }
    return n > 0 && n < SNAPI_TARGET_MAX ? BASE_OK : BASE_E_INVALID;
}
