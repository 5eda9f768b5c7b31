/* SPDX-License-Identifier: MIT */
/*
 * Back to TCP: a connection with rings becomes the kernel's again
 *
 * Theory of operation
 *
 * A process sends all that it holds back before it sandboxes itself (sandbox.h), and one alone before
 * something that only the kernel can serve.  Going back is said in the segment (MARK_BACK), and concerns
 * both directions:
 *
 *   ours      what is in the ring is read first, then TCP.  The mark is set under the lock of our
 *             writers, so that the ring gets nothing after it.
 *   theirs    a writer looks for the mark between writer_enter() and writer_leave(), and sends by TCP
 *             when it is there.  After the mark we make our store seen by all (membarrier) and wait
 *             until nobody is inside: from then on nothing more comes, and what is left in the ring is
 *             the *rest*.  A peer that sleeps for data or for room is rung once more and looks.
 *
 * Without a rest the connection is in PHASE_BACK, which is TCP: registrations in epolls return to the
 * kernel, the bells and the segment are closed, and every call is the kernel's.  With one,
 *
 *   back_all()   it is in PHASE_BACK, too, where a read takes from the ring first: no call of ours is
 *                allowed any more, and the rest is in memory that is mapped before
 *   back_one()   it stays in PHASE_ATTACHED with the mark, as its peer does: what is in the ring comes
 *                first, and TCP is asked for all the rest.  back_one() again, once that was read, makes
 *                it TCP
 *
 * There is no way forward again.  With several holders of an end (fork), one that goes back takes the
 * others along: they find the mark, and are what the peer is.  The peer sets the mark as well before it
 * first sends by TCP, for holders that have not been told otherwise.
 *
 * A connection with another host (remote.h) cannot go back, since nothing of it is in TCP.
 */
#ifndef SMCU_SHIM_BACK_H
#define SMCU_SHIM_BACK_H

#include <stdbool.h>

#include "control/reason.h"

struct connection;
struct heirloom;

/* back_all - every connection of this process that can; epoll_give_up() may follow */
void back_all(void);

/**
 * back_mark, back_marked - the same as back_one() for several at once
 *
 * It takes some milliseconds until a mark is seen by all: for many not much longer than for one.
 */
void back_mark(struct connection *connection);
void back_marked(enum reason reason);

/**
 * back_one - this one, which the caller keeps alive once
 * @reason: why, for people
 *
 * Return: whether it is TCP and nothing else now.  False: it is on its way, with a rest; or it cannot go.
 */
bool back_one(struct connection *connection, enum reason reason);

/**
 * back_unless_rest - the same, but only if nothing is unread in its ring
 *
 * What comes into the ring meanwhile is the exception: then it is on its way.
 */
bool back_unless_rest(struct connection *connection, enum reason reason);

/**
 * back_by_segment - one that another process has passed to us, and whose record is none for us
 *
 * The same by what is in the segment alone.  The other holders learn it when the peer has followed.
 */
bool back_by_segment(const struct heirloom *heirloom);

#endif
