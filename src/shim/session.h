/* SPDX-License-Identifier: MIT */
/*
 * The session with the daemon
 *
 * One a process, opened when the first connection is offered, never waited for.  The daemon's
 * answers are collected when the side segment's inbox word has changed.  When the daemon is gone,
 * or none answers, the next offer looks again, at most once a second.
 */
#ifndef SMCU_SHIM_SESSION_H
#define SMCU_SHIM_SESSION_H

#include <stdbool.h>
#include <stdint.h>

struct connection;

/* session_note_paths - in the constructor: remember where a daemon may listen */
void session_note_paths(void);

/**
 * session_offer - hand @connection's socket @fd to the daemon
 *
 * Return: 0; -ENOENT when no daemon answers (try again later); -EAGAIN when it is busy.
 */
int session_offer(struct connection *connection, int fd);

/* session_withdraw - the offer or pair @id is over; best effort */
void session_withdraw(uint64_t id);

/* session_is_away - no daemon answered a moment ago: no use in asking now */
bool session_is_away(void);

/* session_has_mail - one load; true when session_collect() has something to do */
bool session_has_mail(void);

/* session_collect - take the daemon's answers: attaches connections, notes refusals */
void session_collect(void);

/* Around fork: the child has no session until it needs one. */
void session_before_fork(void);
void session_after_fork(bool in_child);

#endif
