/* SPDX-License-Identifier: MIT */
/*
 * Falling back: what the application has put into its ring goes by TCP, and TCP is the application's again
 *
 * Theory of operation
 *
 *   LATE ─a byte that is the peer's application's, or the end──> BACK ─nobody inside, ring empty─> over
 *
 * Bytes go from the ring to TCP in both states, as TCP takes them; the loop never waits.  An urgent byte
 * is sent alone, and as that.  When the ring is empty TCP learns that the application has shut its writing
 * down.
 *
 * LATE, only after PROTO_FELL_BACK with @late: in front of the peer's data there may be a message of the
 * rendezvous, which is dropped.  The application reads nothing yet.  That lasts until the peer says
 * something, which may be long; nothing is lost but speed.
 *
 * BACK: MARK_BACK stands.  A writer that was inside (segment_writer) when it was set may still write, and
 * its @inside may be on its way to us, out of its processor's buffer of stores; so the first look at it
 * counts only RELAY_SETTLE_MS later.  (membarrier(2) would be exact, and hold the loop up for longer.)
 * Nobody waits for that: an application that has seen the mark sends by itself as soon as the ring is
 * empty.
 *
 * Over: the daemon's copies are given up.  If the application is gone meanwhile, ours is the last copy of
 * the socket, and its close is that of the application, with SO_LINGER as it is set.
 *
 * The connection may be lost before all is sent: then the stand-in is closed with bytes in the ring, and
 * the application gets ECONNRESET.  If the ring is empty, and no call of ours has taken the error, it is left
 * to be found on the socket.
 */
#ifndef SMCU_DAEMON_REMOTE_RELAY_H
#define SMCU_DAEMON_REMOTE_RELAY_H

#include <stdbool.h>

#include "daemon/loop.h"

#define RELAY_SETTLE_MS 10
#define RELAY_PIECES 4U /* sends for one connection in one turn */

struct remote;

/**
 * struct remote_relay - see above
 * @begun: it is one that fell back
 * @late: in state LATE
 * @back: in state BACK
 * @settled: stores of before MARK_BACK are seen; @settle: until then
 * @ended: our stream has been ended
 */
struct remote_relay {
	bool begun;
	bool late;
	bool back;
	bool settled;
	bool ended;
	struct loop_timer settle;
};

/* remote_relay_begin - PROTO_FELL_BACK was told */
void remote_relay_begin(struct remote *remote, bool late);

/**
 * remote_relay_work - one turn
 *
 * Return: whether there is more to do at once; sets @remote->phase to REMOTE_ENDED when it is over.
 */
bool remote_relay_work(struct remote *remote);

/* remote_relay_stop - forget it */
void remote_relay_stop(struct remote *remote);

#endif
