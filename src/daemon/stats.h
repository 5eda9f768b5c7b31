/* SPDX-License-Identifier: MIT */
/*
 * Statistics: snapshots of what shims wrote into their side segments
 *
 * Theory of operation
 *
 * A question (from QUERY, or our own when a session ends) is a walk over side segments, done in
 * slices of STATS_SLICE records between two waits of the loop, one question after the other.
 * Segments are read with pread(2), which waits for nobody.  What is read are numbers; strings, uids
 * and pids come from the daemon.
 *
 * What is asked of the daemon itself (link groups, links, adapters: listing.h) is answered when its turn
 * comes.
 *
 * When a session ends, its totals and the records still in use are added to those of the daemon, in
 * the same queue: a later question counts them.
 */
#ifndef SMCU_DAEMON_STATS_H
#define SMCU_DAEMON_STATS_H

#include <stdint.h>

#include "daemon/session.h"

#define STATS_SLICE 256U /* records read at a time */
#define STATS_RECORDS_MAX 262144U /* records of one snapshot at the most */
#define STATS_QUESTIONS_MAX 8U /* of one user at a time: the others wait for them */

struct apps;

/* How the rendezvous with another host ended. */

void stats_smcr(struct apps *apps);
void stats_failed(struct apps *apps);

/* stats_fell_back - @diagnosis: as in a Decline, CLC_* */
void stats_fell_back(struct apps *apps, uint32_t diagnosis);

/* stats_ask - a QUERY arrived; a second one before the answer dooms the session */
void stats_ask(struct session *session, uint32_t what);

/* stats_session_ends - forget its question, add its numbers to the totals */
void stats_session_ends(struct session *session);

/* stats_work - a task of the loop: one slice */
int stats_work(void *apps);

#endif
