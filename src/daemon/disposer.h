/* SPDX-License-Identifier: MIT */
/*
 * The disposer: closes descriptors that users passed
 *
 * Theory of operation
 *
 * close(2) may block for as long as somebody else chose: on a TCP socket with SO_LINGER whose peer
 * does not read, on a unix socket in whose queue such a one was left, on a file of a FUSE file
 * system that does not answer.  So the loop closes nothing that came from outside; it puts it in
 * one of three queues, each with a thread of its own:
 *
 *   DISPOSE_QUICK    sockets that do not linger, and what the daemon made itself
 *   DISPOSE_SOCKET   sockets that linger or may hold others
 *   DISPOSE_FOREIGN  what is no socket: no valid message brings one; its close may never return
 *
 * An application's FIN waits for our copy of its socket, so the three do not wait for one another.
 * A thread sleeps when its queue is empty and is woken once a batch (disposer_wake()).  What nobody waits
 * for (disposer_add_later()) is collected for a while before that.
 *
 * Sockets block only until a signal is pending.  While a thread has something in hand the loop
 * looks every DISPOSER_PATIENCE_MS; if nothing was closed since, it sends SIGUSR1, whose handler
 * does nothing, and close() returns (the descriptor is gone all the same).  Having been stuck, the
 * thread is given only a millisecond for each until its queue is empty, and twice as long after
 * each signal that did not help.
 *
 * For DISPOSE_FOREIGN there is no remedy.  Each is counted against the user who passed it (@blame),
 * and a user with more than a few in that queue gets no new session.
 */
#ifndef SMCU_DAEMON_DISPOSER_H
#define SMCU_DAEMON_DISPOSER_H

#include <stdbool.h>
#include <stdint.h>

#define DISPOSER_LATER_MS 10
#define DISPOSER_LATER_MOST 32U
#define DISPOSER_PATIENCE_MS 20
#define DISPOSER_PATIENCE_MOST_MS 1024

enum dispose_class { DISPOSE_QUICK = 0, DISPOSE_SOCKET, DISPOSE_FOREIGN, DISPOSE_CLASSES };

struct disposer;

/* disposer_open - make a disposer; its threads start when first needed.  NULL: no memory */
struct disposer *disposer_open(void);

/* disposer_close - let go of it: threads end when idle, one stuck in close() is left behind */
void disposer_close(struct disposer *disposer);

/**
 * disposer_add - close @fd soon
 * @class: see above; disposer_class() tells for a descriptor that a user passed
 * @blame: a counter to decrement (atomically) once it is closed, or NULL
 *
 * When there is no memory to queue it, it is closed on the spot.
 */
void disposer_add(struct disposer *disposer, enum dispose_class class, int fd,
		  _Atomic uint32_t *blame);

/* disposer_add_later - disposer_add() of what may wait for DISPOSER_LATER_MOST of them or DISPOSER_LATER_MS */
void disposer_add_later(struct disposer *disposer, enum dispose_class class, int fd,
			_Atomic uint32_t *blame);

/**
 * disposer_class - where a descriptor belongs; makes only system calls that cannot block
 * @internet: it is known to be a TCP socket
 */
enum dispose_class disposer_class(int fd, bool internet);

/* disposer_wake - what was added since the last time is to be closed now */
void disposer_wake(struct disposer *disposer);

/* disposer_backlog - descriptors that wait to be closed */
uint32_t disposer_backlog(const struct disposer *disposer);

/**
 * disposer_watch - wake, and poke who is stuck
 * @now: monotonic milliseconds
 *
 * Return: milliseconds until it wants to be called again, -1 for "not before something is added".
 */
int disposer_watch(struct disposer *disposer, int64_t now);

#endif
