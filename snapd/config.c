/* SPDX-License-Identifier: Apache-2.0 */
#include "snapd/config.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "snapd/config_value.h"
#include "transport/pony/abi/shm.h"
#include "transport/pony/protocol/packet.h"
#include "transport/pony/protocol/seal.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

enum {
    CPUS_MAX = 1024 /* that the kernel's interface for all of them takes */
};

#define FIELD(name) offsetof(struct snapd_config, name)
#define KIB(n)      ((uint64_t)(n) << 10)
#define MIB(n)      ((uint64_t)(n) << 20)
#define GIB(n)      ((uint64_t)(n) << 30)
#define US(n)       ((uint64_t)(n)*BASE_NS_PER_US)
#define MS(n)       ((uint64_t)(n)*BASE_NS_PER_MS)
#define SEC(n)      ((uint64_t)(n)*BASE_NS_PER_S)

static const char *const log_levels[] = {"error", "warn", "info", "debug", NULL};
static const char *const idle_policies[] = {"adaptive", "spin", "sleep", NULL};
static const char *const checksums[] = {"header", "full", NULL};
static const char *const modes[] = {"plain", "psk", "certificates", NULL};
static const char *const ciphers[] = {"auto", "aes-128-gcm", "chacha20-poly1305", NULL};
static const char *const switches[] = {"no", "yes", NULL};

/* clang-format off */
static const struct snapd_value_rule rules[] = {
    {"snapd", "socket", SNAPD_VALUE_TEXT, FIELD(socket), 0, SNAPD_PATH_MAX, NULL},
    {"snapd", "socket_mode", SNAPD_VALUE_OCTAL, FIELD(socket_mode), 0600, 0777, NULL},
    {"snapd", "listen", SNAPD_VALUE_TEXT, FIELD(listen), 1, SNAPD_NAME_MAX, NULL},
    {"snapd", "engines", SNAPD_VALUE_U32, FIELD(n_engines), 1, SNAPD_ENGINES_MAX, NULL},
    {"snapd", "log_level", SNAPD_VALUE_NAME, FIELD(log_level), 0, 0, log_levels},

    {"engine", "idle", SNAPD_VALUE_NAME, FIELD(idle_policy), 0, 0, idle_policies},
    {"engine", "spin", SNAPD_VALUE_NS, FIELD(spin_ns), 0, SEC(1), NULL},
    {"engine", "cpus", SNAPD_VALUE_TEXT, FIELD(cpus), 0, SNAPD_NAME_MAX, NULL},
    {"engine", "priority", SNAPD_VALUE_U32, FIELD(priority), 0, 20, NULL},
    {"engine", "mtu", SNAPD_VALUE_AUTO, FIELD(mtu_bytes), PONY_MTU_MIN, PONY_MTU_MAX, NULL},
    {"engine", "window", SNAPD_VALUE_U32, FIELD(window_pkts), 2, 1024, NULL},
    {"engine", "flows_per_peer", SNAPD_VALUE_U32, FIELD(flows_per_peer), 1, 12, NULL},
    {"engine", "conns_per_flow", SNAPD_VALUE_U32, FIELD(conns_per_flow), 1, 1000000, NULL},
    {"engine", "rto_min", SNAPD_VALUE_NS, FIELD(rto_min_ns), US(100), SEC(10), NULL},
    {"engine", "rto_max", SNAPD_VALUE_NS, FIELD(rto_max_ns), MS(1), SEC(60), NULL},
    {"engine", "keepalive", SNAPD_VALUE_NS, FIELD(keepalive_ns), MS(10), SEC(3600), NULL},
    {"engine", "dead", SNAPD_VALUE_NS, FIELD(dead_ns), MS(10), SEC(3600), NULL},
    {"engine", "hello_timeout", SNAPD_VALUE_NS, FIELD(hello_timeout_ns), MS(10), SEC(600), NULL},
    {"engine", "flow_idle", SNAPD_VALUE_NS, FIELD(idle_ns), MS(10), SEC(86400), NULL},
    {"engine", "congestion_control", SNAPD_VALUE_TEXT, FIELD(congestion_control), 0,
     SNAPD_NAME_MAX, NULL},
    {"engine", "packet_checksum", SNAPD_VALUE_NAME, FIELD(packet_checksum), 0, 0, checksums},
    {"engine", "segmentation", SNAPD_VALUE_NAME, FIELD(has_segmentation), 0, 0, switches},
    {"engine", "connected_socket", SNAPD_VALUE_NAME, FIELD(has_connected_socket), 0, 0, switches},
    {"engine", "source_ports", SNAPD_VALUE_U32, FIELD(n_source_ports), 1, 16, NULL},
    {"engine", "socket_buffer", SNAPD_VALUE_BYTES, FIELD(socket_buffer_bytes), KIB(64), GIB(1),
     NULL},

    {"security", "mode", SNAPD_VALUE_NAME, FIELD(security_mode), 0, 0, modes},
    {"security", "key_file", SNAPD_VALUE_TEXT, FIELD(key_file), 0, SNAPD_FILE_MAX, NULL},
    {"security", "certificate_file", SNAPD_VALUE_TEXT, FIELD(certificate_file), 0, SNAPD_FILE_MAX,
     NULL},
    {"security", "private_key_file", SNAPD_VALUE_TEXT, FIELD(private_key_file), 0, SNAPD_FILE_MAX,
     NULL},
    {"security", "ca_file", SNAPD_VALUE_TEXT, FIELD(ca_file), 0, SNAPD_FILE_MAX, NULL},
    {"security", "peers", SNAPD_VALUE_TEXT, FIELD(peers), 1, SNAPD_FILE_MAX, NULL},
    {"security", "cipher", SNAPD_VALUE_NAME, FIELD(cipher), 0, 0, ciphers},
    {"security", "key_packets", SNAPD_VALUE_U64, FIELD(key_packets), 1000, 1 << 23, NULL},
    {"security", "key_time", SNAPD_VALUE_NS, FIELD(key_ns), SEC(1), SEC(86400), NULL},

    {"limits", "sessions", SNAPD_VALUE_U32, FIELD(max_sessions), 1, 1000000, NULL},
    {"limits", "ports", SNAPD_VALUE_U32, FIELD(max_ports), 1, 100000, NULL},
    {"limits", "ports_per_user", SNAPD_VALUE_U32, FIELD(max_ports_per_user), 1, 100000, NULL},
    {"limits", "port_tx", SNAPD_VALUE_BYTES, FIELD(port_tx_bytes), KIB(128), GIB(64), NULL},
    {"limits", "port_rx", SNAPD_VALUE_BYTES, FIELD(port_rx_bytes), KIB(128), GIB(64), NULL},
    {"limits", "user_memory", SNAPD_VALUE_BYTES, FIELD(user_bytes), MIB(1), GIB(4096), NULL},
    {"limits", "message", SNAPD_VALUE_BYTES, FIELD(message_bytes), KIB(128), GIB(1), NULL},
    {"limits", "connections", SNAPD_VALUE_U32, FIELD(connections), 1, 1000000, NULL},
    {"limits", "flows", SNAPD_VALUE_U32, FIELD(flows), 1, 1000000, NULL},
    {"limits", "packets", SNAPD_VALUE_U32, FIELD(packets), 64, 1 << 20, NULL},
    {"limits", "remembered", SNAPD_VALUE_U32, FIELD(remembered), 1, 1000000, NULL},
    {"limits", "remember_time", SNAPD_VALUE_NS, FIELD(remember_ns), MS(1), SEC(86400), NULL},

    {"fault", "drop", SNAPD_VALUE_PPM, FIELD(fault.drop_ppm), 0, 1000000, NULL},
    {"fault", "duplicate", SNAPD_VALUE_PPM, FIELD(fault.duplicate_ppm), 0, 1000000, NULL},
    {"fault", "reorder", SNAPD_VALUE_PPM, FIELD(fault.reorder_ppm), 0, 1000000, NULL},
    {"fault", "corrupt", SNAPD_VALUE_PPM, FIELD(fault.corrupt_ppm), 0, 1000000, NULL},
    {"fault", "delay", SNAPD_VALUE_PPM, FIELD(fault.delay_ppm), 0, 1000000, NULL},
    {"fault", "delay_time", SNAPD_VALUE_NS, FIELD(fault.delay_ns), 0, SEC(1), NULL},
    {"fault", "seed", SNAPD_VALUE_U64, FIELD(fault.seed), 0, UINT64_MAX, NULL},
};

/* clang-format on */

void snapd_config_init(struct snapd_config *config)
{
    *config = (struct snapd_config){
        .socket_mode = 0666,
        .listen = "*:4741",
        .n_engines = 1,
        .log_level = BASE_LOG_INFO,
        .idle_policy = SNAPD_IDLE_ADAPTIVE,
        .spin_ns = US(100),
        .window_pkts = 512,
        .flows_per_peer = 4,
        .conns_per_flow = 16384,
        .rto_min_ns = MS(5),
        .rto_max_ns = SEC(1),
        .keepalive_ns = SEC(1),
        .dead_ns = SEC(5),
        .hello_timeout_ns = SEC(3),
        .idle_ns = SEC(60),
        .packet_checksum = SNAPD_CHECKSUM_HEADER,
        .has_segmentation = 1,
        .has_connected_socket = 1,
        .n_source_ports = 4,
        .socket_buffer_bytes = MIB(8),
        .security_mode = PONY_SECURITY_PLAIN,
        .peers = "address",
        .key_packets = 1 << 23,
        .key_ns = SEC(3600),
        .max_sessions = 4096,
        .max_ports = 1024,
        .max_ports_per_user = 512,
        .port_tx_bytes = MIB(256),
        .port_rx_bytes = MIB(256),
        .user_bytes = GIB(16),
        .message_bytes = MIB(65), /* 64 MiB and the frame around it */
        .connections = 4096,
        .flows = 1024,
        .packets = 8192,
        .remembered = 1024,
        .remember_ns = SEC(600),
        .fault = {.delay_ns = MS(1), .seed = 1},
    };
}

/* Where a refused value stood: in a file it is a line. */
struct reader {
    struct snapd_config *config;
    const char *name;
    FILE *file; /* or text */
    const char *text;
    size_t left;
    uint32_t line;
    bool is_cut; /* the present line is longer than a line may be */
    bool has_failed;
};

static const struct snapd_value_rule *find_rule(const char *section, const char *key)
{
    for (size_t i = 0; i < BASE_ARRAY_LEN(rules); i++) {
        if (strcmp(rules[i].section, section) == 0 && strcmp(rules[i].key, key) == 0) {
            return &rules[i];
        }
    }
    return NULL;
}

/* The rule whose name is nearest; a key in the wrong section is the nearest of all. */
static const struct snapd_value_rule *nearest_rule(const char *section, const char *key)
{
    const struct snapd_value_rule *best = &rules[0];
    uint32_t least = UINT32_MAX;
    for (size_t i = 0; i < BASE_ARRAY_LEN(rules); i++) {
        uint32_t distance =
            2 * snapd_value_distance(rules[i].key, key) + (strcmp(rules[i].section, section) != 0);
        if (distance < least) {
            least = distance;
            best = &rules[i];
        }
    }
    return best;
}

static bool is_section(const char *section)
{
    for (size_t i = 0; i < BASE_ARRAY_LEN(rules); i++) {
        if (strcmp(rules[i].section, section) == 0) {
            return true;
        }
    }
    return false;
}

enum base_err snapd_config_set(struct snapd_config *config, const char *where, const char *section,
                               const char *key, const char *value)
{
    const struct snapd_value_rule *rule = find_rule(section, key);
    if (rule == NULL) {
        const struct snapd_value_rule *near = nearest_rule(section, key);
        const char *what = section[0] == '\0'     ? "key before any section"
                           : !is_section(section) ? "unknown section"
                                                  : "unknown key";
        base_error_note("%s: %s \"%.40s\" in [%.20s]; did you mean \"%s\" in [%s]?", where, what,
                        key, section, near->key, near->section);
        return BASE_E_INVALID;
    }
    return snapd_value_set(rule, config, where, value);
}

/* ini_reader: like fgets, counting lines. */
static char *next_line(char *buffer, int size, void *stream)
{
    struct reader *reader = stream;
    char *got = NULL;
    if (reader->file != NULL) {
        got = fgets(buffer, size, reader->file);
    } else if (reader->left > 0) {
        size_t n = base_min_size(reader->left, (size_t)size - 1);
        const char *end = memchr(reader->text, '\n', n);
        n = end != NULL ? (size_t)(end - reader->text) + 1 : n;
        memcpy(buffer, reader->text, n);
        buffer[n] = '\0';
        reader->text += n;
        reader->left -= n;
        got = buffer;
    }
    if (got == NULL || reader->has_failed) {
        return NULL;
    }
    if (!reader->is_cut) {
        reader->line++;
    }
    reader->is_cut = strlen(buffer) == (size_t)size - 1 && buffer[size - 2] != '\n';
    if (reader->is_cut) {
        base_error_note("%s:%u: the line is longer than %d characters; shorten it", reader->name,
                        reader->line, size - 2);
        reader->has_failed = true;
        return NULL;
    }
    return got;
}

/* ini_handler: 0 refuses the line. */
static int on_value(void *user, const char *section, const char *key, const char *value)
{
    struct reader *reader = user;
    if (reader->has_failed) {
        return 0;
    }
    char where[256];
    (void)snprintf(where, sizeof(where), "%.200s:%u", reader->name, reader->line);
    reader->has_failed = snapd_config_set(reader->config, where, section, key, value) != BASE_OK;
    return !reader->has_failed;
}

static enum base_err read_all(struct reader *reader)
{
    int line = ini_parse_stream(next_line, reader, on_value, reader);
    if (reader->has_failed) {
        return BASE_E_INVALID;
    }
    if (line != 0) {
        base_error_note("%s:%d: neither \"[section]\" nor \"key = value\"; "
                        "comments begin with # or ;",
                        reader->name, line);
        return BASE_E_INVALID;
    }
    return snapd_config_check(reader->config);
}

enum base_err snapd_config_read(struct snapd_config *config, const char *name, FILE *file)
{
    struct reader reader = {.config = config, .name = name, .file = file};
    BASE_TRY(read_all(&reader));
    if (ferror(file)) {
        base_error_note("%s: cannot be read: %m", name);
        return BASE_E_IO;
    }
    return BASE_OK;
}

enum base_err snapd_config_parse(struct snapd_config *config, const char *name, const char *text,
                                 size_t len)
{
    struct reader reader = {.config = config, .name = name, .text = text, .left = len};
    return read_all(&reader);
}

enum base_err snapd_config_load(struct snapd_config *config, const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        enum base_err err = base_err_from_errno(errno);
        base_error_note("%s: cannot be opened: %m; give another file with --config", path);
        return err;
    }
    enum base_err err = snapd_config_read(config, path, file);
    (void)fclose(file);
    return err;
}

/* Files that the mode does not use are a misunderstanding that must not stay unnoticed. */
static enum base_err check_security(const struct snapd_config *config)
{
    const struct {
        const char *key, *value;
        enum pony_security_mode mode;
    } files[] = {
        {"key_file", config->key_file, PONY_SECURITY_PSK},
        {"certificate_file", config->certificate_file, PONY_SECURITY_CERTS},
        {"private_key_file", config->private_key_file, PONY_SECURITY_CERTS},
        {"ca_file", config->ca_file, PONY_SECURITY_CERTS},
    };

    for (size_t i = 0; i < BASE_ARRAY_LEN(files); i++) {
        bool is_used = config->security_mode == files[i].mode;
        if (is_used && files[i].value[0] == '\0') {
            base_error_note("[security] mode is %s, but there is no %s; name the file",
                            modes[config->security_mode], files[i].key);
            return BASE_E_INVALID;
        }
        if (!is_used && files[i].value[0] != '\0') {
            base_error_note("[security] %s is given, but mode is %s, which does not use it; say "
                            "mode = %s, or remove %s",
                            files[i].key, modes[config->security_mode], modes[files[i].mode],
                            files[i].key);
            return BASE_E_INVALID;
        }
    }
    return BASE_OK;
}

/* Numbers with commas between them: how many; 0 if it is anything else. */
static uint32_t read_cpus(const char *text, uint32_t cpus[static SNAPD_ENGINES_MAX])
{
    uint32_t n = 0;
    for (const char *at = text; n < SNAPD_ENGINES_MAX && *at >= '0' && *at <= '9';) {
        char *end;
        unsigned long cpu = strtoul(at, &end, 10);
        if (cpu >= CPUS_MAX) {
            return 0;
        }
        cpus[n++] = (uint32_t)cpu;
        if (*end == '\0') {
            return n;
        }
        if (*end != ',') {
            return 0;
        }
        at = end + 1;
    }
    return 0;
}

static enum base_err check_cpus(const struct snapd_config *config)
{
    uint32_t cpus[SNAPD_ENGINES_MAX];
    if (config->cpus[0] != '\0' && read_cpus(config->cpus, cpus) != config->n_engines) {
        base_error_note("[engine] cpus = %s is not a list of %u processors; give one for each "
                        "engine, as in \"2,3\", or none",
                        config->cpus, config->n_engines);
        return BASE_E_INVALID;
    }
    return BASE_OK;
}

bool snapd_config_cpu(const struct snapd_config *config, uint32_t idx, uint32_t *cpu)
{
    uint32_t cpus[SNAPD_ENGINES_MAX];
    if (idx >= read_cpus(config->cpus, cpus)) {
        return false;
    }
    *cpu = cpus[idx];
    return true;
}

enum base_err snapd_config_check(const struct snapd_config *config)
{
    if (config->rto_min_ns > config->rto_max_ns) {
        base_error_note("[engine] rto_min is larger than rto_max; raise rto_max");
        return BASE_E_INVALID;
    }
    if (config->dead_ns < config->keepalive_ns) {
        base_error_note("[engine] dead is shorter than keepalive; a quiet peer would be taken for "
                        "dead before it is asked: raise dead");
        return BASE_E_INVALID;
    }
    if (config->message_bytes > config->port_rx_bytes ||
        config->message_bytes > config->port_tx_bytes) {
        base_error_note("[limits] message is larger than port_tx or port_rx; raise those");
        return BASE_E_INVALID;
    }
    BASE_TRY(check_cpus(config));
    return check_security(config);
}

void snapd_config_print(const struct snapd_config *config, FILE *out)
{
    const char *section = "";
    for (size_t i = 0; i < BASE_ARRAY_LEN(rules); i++) {
        if (strcmp(section, rules[i].section) != 0) {
            section = rules[i].section;
            (void)fprintf(out, "%s[%s]\n", i == 0 ? "" : "\n", section);
        }
        char text[SNAPD_VALUE_TEXT_MAX];
        snapd_value_format(&rules[i], config, text, sizeof(text));
        (void)fprintf(out, "%s = %s\n", rules[i].key, text);
    }
}
