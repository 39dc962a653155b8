/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_CONFIG_H
#define SNAPD_CONFIG_H

#include "base/error.h"
#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/**
 * snapd.conf: what the administrator decides, read once at start.
 *
 * Shape    plain values, every one inside its range; one table in config.c names section, key,
 *          type and bounds, and parsing, printing and the manual follow it
 * Units    as in the field names; the file takes suffixes (us, ms, s; K, M, G; %)
 * Errors   the first bad line is refused as "file:line: what; remedy" in the error note
 * Threads  written before any thread starts, read-only afterwards
 */

enum {
    SNAPD_ENGINES_MAX = 16,
    SNAPD_PATH_MAX = 108, /**< of a Unix socket, with its NUL */
    SNAPD_NAME_MAX = 64,
    SNAPD_FILE_MAX = 512 /**< of a path, with its NUL */
};

enum snapd_idle_policy {
    SNAPD_IDLE_ADAPTIVE, /**< spin while work comes often, sleep otherwise */
    SNAPD_IDLE_SPIN,     /**< never sleep */
    SNAPD_IDLE_SLEEP     /**< sleep as soon as there is nothing to do */
};

enum snapd_checksum {
    SNAPD_CHECKSUM_HEADER, /**< packet header and frames; payloads rely on UDP's */
    SNAPD_CHECKSUM_FULL
};

/** Which cipher secures packets. */
enum snapd_cipher {
    SNAPD_CIPHER_AUTO, /**< what is fast at both ends */
    SNAPD_CIPHER_AES128_GCM,
    SNAPD_CIPHER_CHACHA20_POLY1305
};

/** What the test device does to packets; probabilities in parts per million. */
struct snapd_fault_config {
    uint32_t drop_ppm, duplicate_ppm, reorder_ppm, corrupt_ppm, delay_ppm;
    uint64_t delay_ns; /**< the longest; each delayed packet draws its own */
    uint64_t seed;
};

struct snapd_config {
    /* [snapd] */
    char socket[SNAPD_PATH_MAX]; /**< "": the default place */
    uint32_t socket_mode;        /**< permissions of the socket */
    char listen[SNAPD_NAME_MAX]; /**< ADDR:PORT, [ADDR]:PORT or *:PORT; port 0: any free */
    uint32_t n_engines;
    uint32_t log_level; /**< enum base_log_level */

    /* [engine] */
    uint32_t idle_policy;      /**< enum snapd_idle_policy */
    uint64_t spin_ns;          /**< longest time without work before sleep */
    char cpus[SNAPD_NAME_MAX]; /**< "": anywhere; else a processor for each engine, "2,3" */
    uint32_t priority;         /**< steps of nice(2) above normal, while that pays; 0: none */
    uint32_t mtu_bytes;        /**< UDP payload; 0: from the interfaces */
    uint32_t window_pkts;
    uint32_t flows_per_peer, conns_per_flow; /**< docs/protocol.md, PX-93 */
    uint64_t rto_min_ns, rto_max_ns, keepalive_ns, dead_ns, hello_timeout_ns, idle_ns;
    char congestion_control[SNAPD_NAME_MAX]; /**< "": the default */
    uint32_t packet_checksum;                /**< enum snapd_checksum */
    uint32_t has_segmentation;               /**< bool; false: one datagram per packet */
    uint32_t has_connected_socket;           /**< bool: the busiest peer gets a socket of its own */
    uint32_t n_source_ports;                 /**< UDP ports that packets leave from, PX-34 */
    uint64_t socket_buffer_bytes;            /**< of the UDP socket, each direction */

    /* [security] */
    uint32_t security_mode;        /**< enum pony_security_mode */
    char key_file[SNAPD_FILE_MAX]; /**< of cluster keys; "": none */
    /** Mode certificates, PEM; "": none. */
    char certificate_file[SNAPD_FILE_MAX], private_key_file[SNAPD_FILE_MAX],
        ca_file[SNAPD_FILE_MAX];
    char peers[SNAPD_FILE_MAX];   /**< "address", or DNS names: who may be one */
    uint32_t cipher;              /**< enum snapd_cipher */
    uint64_t key_packets, key_ns; /**< how long a key is used */

    /* [limits] */
    uint32_t max_sessions, max_ports, max_ports_per_user;
    uint64_t port_tx_bytes, port_rx_bytes; /**< largest regions one port may have */
    uint64_t user_bytes;                   /**< of all regions of one user */
    uint64_t message_bytes;
    uint32_t connections; /**< per port */
    uint32_t flows;       /**< per engine */
    uint32_t packets;     /**< in flight, per engine */
    uint32_t remembered;  /**< addresses in the lookup cache, per user */
    uint64_t remember_ns; /**< for how long */

    /* [fault] */
    struct snapd_fault_config fault;
};

/** Defaults; always valid. */
void snapd_config_init(struct snapd_config *config);

/**
 * Reads settings over what `config` holds. `name` stands in the messages.
 * Errors  BASE_E_INVALID: refused, the note says where and what to do; config is unusable then
 */
BASE_MUST_USE enum base_err snapd_config_read(struct snapd_config *config, const char *name,
                                              FILE *file);

/** As read, from text: for tests and fuzzing. */
BASE_MUST_USE enum base_err snapd_config_parse(struct snapd_config *config, const char *name,
                                               const char *text, size_t len);

/** As read, from a path. Errors  BASE_E_NOT_FOUND and other causes of open, in the note. */
BASE_MUST_USE enum base_err snapd_config_load(struct snapd_config *config, const char *path);

/** Sets one value as the file would, for command-line options. `where` stands in the message. */
BASE_MUST_USE enum base_err snapd_config_set(struct snapd_config *config, const char *where,
                                             const char *section, const char *key,
                                             const char *value);

/** Checks what no single value can show. The note tells the keys. Errors  BASE_E_INVALID */
BASE_MUST_USE enum base_err snapd_config_check(const struct snapd_config *config);

/** The processor of engine `idx`. False: anywhere. */
bool snapd_config_cpu(const struct snapd_config *config, uint32_t idx, uint32_t *cpu);

/** Writes all settings in the file's own form; reading that gives the same configuration. */
void snapd_config_print(const struct snapd_config *config, FILE *out);

#endif
