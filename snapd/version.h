/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPD_VERSION_H
#define SNAPD_VERSION_H

/**
 * The release, from the build.
 */
#ifndef SNAPD_VERSION
#    define SNAPD_VERSION "unknown"
#endif

#endif
