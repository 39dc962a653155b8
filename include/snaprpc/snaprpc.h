/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SNAPRPC_SNAPRPC_H
#define SNAPRPC_SNAPRPC_H

/** Everything an application needs; generated headers include what they use. */

#include <snaprpc/channel.h>
#include <snaprpc/loop.h>
#include <snaprpc/method.h>
#include <snaprpc/server.h>
#include <snaprpc/status.h>

#endif
