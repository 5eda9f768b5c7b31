/* SPDX-License-Identifier: MIT */
/*
 * What the protocol knows of a connection, for `smcu ss`
 */
#ifndef SMCU_DAEMON_LISTING_REMOTE_H
#define SMCU_DAEMON_LISTING_REMOTE_H

#include <stdint.h>
#include <sys/types.h>

#include "control/snapshot.h"
#include "daemon/engine.h"

#define LISTING_BATCH 256U

/**
 * listing_remotes - fill @remote of those records whose state is SIDE_SMCR
 * @engine: NULL: nothing is known of any
 * @count: at most LISTING_BATCH: all connections are looked at for each batch
 * @owner: user whose records these are: a cookie that a shim names is looked for among his connections
 *	only
 */
void listing_remotes(const struct engine *engine, struct snapshot_connection *records,
		     uint32_t count, uid_t owner);

#endif
