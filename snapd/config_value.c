/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/config_value.h"

#include "base/compiler.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct suffix {
    const char *text;
    uint64_t factor;
};

static const struct suffix time_suffixes[] = {
    {"s", 1000000000}, {"ms", 1000000}, {"us", 1000}, {"ns", 1}, {NULL, 0}};
static const struct suffix byte_suffixes[] = {
    {"G", 1u << 30}, {"M", 1u << 20}, {"K", 1u << 10}, {"", 1}, {NULL, 0}};

/* Digits of `base`, at least one; false when they do not fit into 64 bits. */
static bool take_number(const char **text, unsigned base, uint64_t *value)
{
    const char *at = *text;
    uint64_t v = 0;
    for (; *at >= '0' && *at < (char)('0' + base); at++) {
        if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*at - '0'), &v)) {
            return false;
        }
    }
    if (at == *text) {
        return false;
    }
    *text = at;
    *value = v;
    return true;
}

static bool parse_plain(const char *text, unsigned base, uint64_t *value)
{
    return take_number(&text, base, value) && *text == '\0';
}

static bool parse_suffixed(const char *text, const struct suffix *suffixes, uint64_t *value)
{
    uint64_t v = 0;
    if (!take_number(&text, 10, &v)) {
        return false;
    }
    for (const struct suffix *s = suffixes; s->text != NULL; s++) {
        if (strcmp(text, s->text) == 0) {
            return !__builtin_mul_overflow(v, s->factor, value);
        }
    }
    /* Zero needs no unit. */
    *value = 0;
    return v == 0 && *text == '\0';
}

/* "12.5%": at most four digits behind the point; "0" needs no sign. */
static bool parse_ppm(const char *text, uint64_t *value)
{
    uint64_t whole = 0;
    if (!take_number(&text, 10, &whole) || whole > 100) {
        return false;
    }
    uint64_t ppm = whole * 10000;
    if (*text == '.') {
        text++;
        for (uint64_t unit = 1000; *text >= '0' && *text <= '9'; text++, unit /= 10) {
            if (unit == 0) {
                return false;
            }
            ppm += (uint64_t)(*text - '0') * unit;
        }
    }
    *value = ppm;
    return strcmp(text, "%") == 0 || (ppm == 0 && *text == '\0');
}

static bool parse_name(const char *text, const char *const *names, uint64_t *value)
{
    for (uint64_t i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], text) == 0) {
            *value = i;
            return true;
        }
    }
    return false;
}

static bool parse(const struct snapd_value_rule *rule, const char *text, uint64_t *value)
{
    switch (rule->type) {
    case SNAPD_VALUE_TEXT:
        *value = 0;
        return true;
    case SNAPD_VALUE_U32:
    case SNAPD_VALUE_U64:
        return parse_plain(text, 10, value);
    case SNAPD_VALUE_OCTAL:
        return parse_plain(text, 8, value);
    case SNAPD_VALUE_NS:
        return parse_suffixed(text, time_suffixes, value);
    case SNAPD_VALUE_BYTES:
        return parse_suffixed(text, byte_suffixes, value);
    case SNAPD_VALUE_PPM:
        return parse_ppm(text, value);
    case SNAPD_VALUE_NAME:
        return parse_name(text, rule->names, value);
    case SNAPD_VALUE_AUTO:
        *value = 0;
        return strcmp(text, "auto") == 0 || parse_plain(text, 10, value);
    }
    return false;
}

/* Biggest unit that leaves a whole number. */
static void format_suffixed(uint64_t value, const struct suffix *suffixes, char *text, size_t size)
{
    const struct suffix *s = suffixes;
    while (value % s->factor != 0) {
        s++;
    }
    (void)snprintf(text, size, "%" PRIu64 "%s", value / s->factor, s->text);
}

static void format_number(const struct snapd_value_rule *rule, uint64_t value, char *text,
                          size_t size)
{
    switch (rule->type) {
    case SNAPD_VALUE_OCTAL:
        (void)snprintf(text, size, "%04" PRIo64, value);
        break;
    case SNAPD_VALUE_NS:
        format_suffixed(value, time_suffixes, text, size);
        break;
    case SNAPD_VALUE_BYTES:
        format_suffixed(value, byte_suffixes, text, size);
        break;
    case SNAPD_VALUE_PPM:
        (void)snprintf(text, size, "%" PRIu64 ".%04" PRIu64 "%%", value / 10000, value % 10000);
        break;
    case SNAPD_VALUE_NAME:
        (void)snprintf(text, size, "%s", rule->names[value]);
        break;
    case SNAPD_VALUE_AUTO:
        if (value == 0) {
            (void)snprintf(text, size, "auto");
            break;
        }
        (void)snprintf(text, size, "%" PRIu64, value);
        break;
    case SNAPD_VALUE_TEXT:
    case SNAPD_VALUE_U32:
    case SNAPD_VALUE_U64:
        (void)snprintf(text, size, "%" PRIu64, value);
        break;
    }
}

/* What would be right, for the message. */
static void describe(const struct snapd_value_rule *rule, char *text, size_t size)
{
    if (rule->type == SNAPD_VALUE_NAME) {
        size_t n = 0;
        for (size_t i = 0; rule->names[i] != NULL && n < size; i++) {
            n += (size_t)snprintf(text + n, size - n, "%s%s", i == 0 ? "" : ", ", rule->names[i]);
        }
        return;
    }
    if (rule->type == SNAPD_VALUE_TEXT) {
        (void)snprintf(text, size, "%" PRIu64 " to %" PRIu64 " characters", rule->min,
                       rule->max - 1);
        return;
    }
    char min[40];
    char max[40];
    format_number(rule, rule->min, min, sizeof(min));
    format_number(rule, rule->max, max, sizeof(max));
    (void)snprintf(text, size, "%s%s to %s", rule->type == SNAPD_VALUE_AUTO ? "auto, or " : "", min,
                   max);
}

static enum base_err refuse(const struct snapd_value_rule *rule, const char *where,
                            const char *text)
{
    char right[128];
    describe(rule, right, sizeof(right));
    base_error_note("%s: \"%.40s\" is no value for %s; give %s", where, text, rule->key, right);
    return BASE_E_INVALID;
}

enum base_err snapd_value_set(const struct snapd_value_rule *rule, void *object, const char *where,
                              const char *text)
{
    char *field = (char *)object + rule->offset;
    uint64_t value = 0;
    if (!parse(rule, text, &value)) {
        return refuse(rule, where, text);
    }
    if (rule->type == SNAPD_VALUE_TEXT) {
        size_t len = strlen(text);
        if (len < rule->min || len >= rule->max) {
            return refuse(rule, where, text);
        }
        memcpy(field, text, len + 1);
        return BASE_OK;
    }
    bool is_free = rule->type == SNAPD_VALUE_NAME || (rule->type == SNAPD_VALUE_AUTO && value == 0);
    if (!is_free && (value < rule->min || value > rule->max)) {
        return refuse(rule, where, text);
    }
    if (rule->type == SNAPD_VALUE_U64 || rule->type == SNAPD_VALUE_NS ||
        rule->type == SNAPD_VALUE_BYTES) {
        memcpy(field, &value, sizeof(value));
    } else {
        uint32_t small = (uint32_t)value;
        memcpy(field, &small, sizeof(small));
    }
    return BASE_OK;
}

void snapd_value_format(const struct snapd_value_rule *rule, const void *object, char *text,
                        size_t size)
{
    const char *field = (const char *)object + rule->offset;
    if (rule->type == SNAPD_VALUE_TEXT) {
        (void)snprintf(text, size, "%s", field);
        return;
    }
    uint64_t value = 0;
    if (rule->type == SNAPD_VALUE_U64 || rule->type == SNAPD_VALUE_NS ||
        rule->type == SNAPD_VALUE_BYTES) {
        memcpy(&value, field, sizeof(value));
    } else {
        uint32_t small;
        memcpy(&small, field, sizeof(small));
        value = small;
    }
    format_number(rule, value, text, size);
}

enum {
    WORD_MAX = 31
};

uint32_t snapd_value_distance(const char *a, const char *b)
{
    size_t n = strnlen(a, WORD_MAX);
    size_t m = strnlen(b, WORD_MAX);
    uint32_t row[WORD_MAX + 1];
    for (uint32_t j = 0; j <= m; j++) {
        row[j] = j;
    }
    for (uint32_t i = 1; i <= n; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            uint32_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = base_min_u32(change, base_min_u32(row[j], row[j - 1]) + 1);
        }
    }
    return row[m];
}
