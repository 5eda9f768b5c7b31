/* SPDX-License-Identifier: MIT */
/*
 * Urgent data that comes from another host
 *
 * Theory of operation
 *
 * Between hosts the urgent byte is one of the stream: the sender's shim puts it into the ring and says in
 * segment_writer.urgent where it stands; at the receiver the daemon says so of the other direction before it
 * publishes that byte (control/message.h).  What TCP then shows is computed from positions:
 *
 *   0 ... read ... hole ... bytes before the mark ... urgent byte ... bytes behind it ...
 *
 * A read stops at the mark.  The next one passes the urgent byte, unseen; with SO_OOBINLINE it gets it.  What
 * is passed can no longer be taken (MSG_OOB), and one that was taken is passed as soon as all before it has been
 * read: the peer may wait for that.  The *hole* are urgent bytes right in front of which the reader stood when a
 * newer one came: nobody gets them, as with TCP.
 *
 * The stand-in carries a MSG_OOB byte for each urgent one, in line there, for POLLPRI in the kernel and for
 * SIGURG; it says nothing itself, and is thrown away when the mark has been passed or the byte taken.  So
 * POLLIN of a stand-in means nothing without POLLRDHUP.
 *
 * All of it is for connections that are remote and whose receiving is not TCP's again.
 */
#ifndef SMCU_SHIM_URGENT_H
#define SMCU_SHIM_URGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shim/connection.h"
#include "shim/place.h"

/**
 * struct urgent_view - what the next read may take
 * @skip: bytes that it passes first
 * @most: bytes behind those, up to the mark or to the end of what is there
 */
struct urgent_view {
	size_t skip;
	size_t most;
};

/* urgent_look - see struct urgent_view; with nothing urgent, all that is in the ring */
struct urgent_view urgent_look(const struct connection *connection);

/* urgent_pass - with the lock: pass @n bytes (urgent_view.skip) */
void urgent_pass(struct connection *connection, size_t n);

/* urgent_after_read - with the lock, after a read that began at position @before */
void urgent_after_read(struct connection *connection, uint64_t before);

/* urgent_is_there - POLLPRI: a byte that can be taken.  Memory only */
bool urgent_is_there(const struct connection *connection);

/* urgent_at_mark - SIOCATMARK */
bool urgent_at_mark(const struct connection *connection);

/* urgent_queued - FIONREAD */
size_t urgent_queued(const struct connection *connection);

/* urgent_take - recv(2) with MSG_OOB: 1 (0 for no room), or -EINVAL, -EAGAIN, -EFAULT */
ssize_t urgent_take(struct connection *connection, struct place place, size_t want, int flags);

/* urgent_quiet - take off the stand-in what it has for urgent bytes, so that it shows an end behind them */
void urgent_quiet(const struct connection *connection);

/* urgent_arm - before a sleep for POLLPRI on the stand-in; look once more afterwards */
void urgent_arm(const struct connection *connection);

/* urgent_follow_owner - who gets the signals of @fd gets SIGURG of the stand-in */
void urgent_follow_owner(const struct connection *connection, int fd);

/* urgent_readable - how many bytes of the ring a read would get at the most */
static inline size_t urgent_readable(const struct connection *connection)
{
	return __builtin_expect(is_remote(connection), 0) ? urgent_look(connection).most
							  : ring_available(&connection->receive);
}

#endif
