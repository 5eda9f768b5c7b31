/* SPDX-License-Identifier: MIT */
/*
 * The session with the daemon
 *
 * One a process, opened when the first connection is offered.  The daemon's answers are collected when the side
 * segment's inbox word has changed, and not waited for, but for the first one, WELCOME, a moment.  When the daemon is
 * gone, or none answers, the next offer looks again, at most once a second.
 *
 * A daemon may also hang: stopped, or swapped out.  What lies in its queue holds the sockets in there open: their
 * peers would not learn that this process was killed.  So nothing is offered before the daemon has said WELCOME, nor while
 * there is something that it has not read, and it has read nothing for HANGS_NS.
 *
 * Before a process that has connections forks, it opens one too: the child's records lie in its side
 * segment, and nobody else would show it to the daemon.  Before it changes its root directory it does,
 * since afterwards there may be no way to the daemon any more.
 */
#ifndef SMCU_SHIM_SESSION_H
#define SMCU_SHIM_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/settings.h"
#include "shim/side.h"

struct connection;
union message;

/* session_note_paths - in the constructor: remember where a daemon may listen */
void session_note_paths(void);

/**
 * session_offer - hand @connection's socket @fd to the daemon
 *
 * Return: 0; -ENOENT when no daemon answers, or it hangs (try again later); -EAGAIN when it is busy.
 */
int session_offer(struct connection *connection, int fd);

/* session_have - open one if there is none */
void session_have(void);

#define SESSION_PATIENCE_MS 200 /* how long a new session's daemon may take to say what it wants */

/* session_learn_policy - open a session if there is none, and let a new one say what its daemon wants */
void session_learn_policy(void);

/* session_hangs - does the daemon not read what it is told? */
bool session_hangs(void);

/* session_check - if the daemon is gone, say so to who relies on what it has (spare.h) */
void session_check(void);

/**
 * session_rendezvous - send a RENDEZVOUS
 * @fds, @count: what it brings; they stay the caller's
 *
 * Return: as session_offer().
 */
int session_rendezvous(union message *message, const int *fds, unsigned int count);

/* session_withdraw - the offer or pair @id is over; best effort */
void session_withdraw(uint64_t id);

/* session_is_away - no daemon answered a moment ago: no use in asking now */
bool session_is_away(void);

/* session_has_mail - has session_collect() something to do?  Memory only */
static inline bool session_has_mail(void)
{
	const struct side_header *header = side_header();

	return header && !settings.sandboxed &&
	       atomic_load_explicit(&header->inbox, memory_order_relaxed) !=
		       atomic_load_explicit(&side_own.collected, memory_order_relaxed);
}

/* session_collect - take the daemon's answers: attaches connections, notes refusals */
void session_collect(void);

/* session_let_finish - after settings.sandboxed was set: whoever takes mail has taken it */
void session_let_finish(void);

/* Around fork: the child has no session until it needs one; the parent's records are shown before. */
void session_before_fork(void);
void session_after_fork(bool in_child);

#endif
