/* SPDX-License-Identifier: MIT */
/*
 * Segments that a program keeps for its next connections
 *
 * Theory of operation
 *
 * To map a segment, to register it, to have the peer learn its key, and to undo all that, is most of what a
 * short connection costs.  So the shim uses a segment again (struct message_rendezvous), and here the
 * session keeps its map: with it the RMB that rests there (proto/rkey.h).
 *
 *   first use ──remote_kept_add()──> in use ──remote_kept_leave()──> kept ──next use──> in use
 *                                      └──a peer may still write there──> SPENT: never again
 *
 * The end of a use is told in segment_control.over.  A session keeps KEPT_MOST at most, and none that takes
 * its user beyond half of his memory: those are SPENT after their first use.  What the shim gives up, since it
 * keeps fewer, shows by the end of its bells.
 */
#ifndef SMCU_DAEMON_REMOTE_KEPT_H
#define SMCU_DAEMON_REMOTE_KEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/remote.h"

struct session;

#define KEPT_MOST 32U

/* remote_kept_add - keep @map, which is in use, if there is room; @number: the shim's name for it; 0: it has none */
void remote_kept_add(struct session *session, struct remote_map *map, uint32_t number);

/**
 * remote_kept_take - the next use of what is kept with that number
 *
 * Return: the map, of which the caller is a user.  NULL: there is none, or it is in use, or @message speaks of
 * another one.
 */
struct remote_map *remote_kept_take(const struct session *session,
				    const struct message_rendezvous *message);

/**
 * remote_kept_leave - the use of @map is over: it is kept, or its bells are closed
 * @late: nobody waits for that
 */
void remote_kept_leave(struct remote_map *map, bool late);

/* remote_kept_desert - the shim has given up @map, which nobody uses; sweep follows */
void remote_kept_desert(struct remote_map *map);

/* remote_kept_sweep - in a task: drop what shims have given up */
void remote_kept_sweep(struct remotes *remotes);

/* remote_kept_close - the session ends */
void remote_kept_close(struct session *session);

#endif
