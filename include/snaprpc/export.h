/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPRPC_EXPORT_H
#define SNAPRPC_EXPORT_H

/**
 * What every public header needs: symbol visibility and attributes.
 *
 * Only symbols marked SNAP_API leave the shared library.
 */

#if defined(__GNUC__)
#    define SNAP_API              __attribute__((visibility("default")))
#    define SNAP_PRINTF(fmt, arg) __attribute__((format(printf, fmt, arg)))
#    define SNAP_MUST_USE         __attribute__((warn_unused_result))
#else
#    define SNAP_API
#    define SNAP_PRINTF(fmt, arg)
#    define SNAP_MUST_USE
#endif

#endif
