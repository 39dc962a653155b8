/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/**
 * snapd.conf: anything is taken or refused with a note; what is taken prints to something that
 * reads back the same.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* From malloc, NUL-terminated. */
static char *print(const struct snapd_config *config)
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    if (file == NULL) {
        abort();
    }
    snapd_config_print(config, file);
    (void)fclose(file);
    return text;
}

static void check_round_trip(const struct snapd_config *config)
{
    struct snapd_config again;
    snapd_config_init(&again);
    char *text = print(config);
    if (snapd_config_parse(&again, "printed", text, strlen(text)) != BASE_OK) {
        (void)fprintf(stderr, "%s\n%s\n", base_error_last_note(), text);
        abort();
    }
    char *second = print(&again);
    if (strcmp(text, second) != 0) {
        abort();
    }
    free(second);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct snapd_config config;
    snapd_config_init(&config);
    base_error_clear_note();
    if (snapd_config_parse(&config, "fuzz", (const char *)data, size) == BASE_OK) {
        check_round_trip(&config);
    } else if (base_error_last_note()[0] == '\0') {
        abort();
    }
    return 0;
}
