/* SPDX-License-Identifier: MIT */
#include "shim/readiness.h"

#include "shim/libc.h"
#include "shim/stream.h"

#define IN_BITS (POLLIN | POLLRDNORM)
#define OUT_BITS (POLLOUT | POLLWRNORM)

static unsigned int peer_marks(const struct connection *connection)
{
	return atomic_load_explicit(&peer_writer(connection)->marks, memory_order_acquire);
}

void readiness_note(struct connection *connection, short revents)
{
	unsigned int ended = 0;

	if (revents & (POLLRDHUP | POLLHUP | POLLERR))
		ended |= ENDED_TCP;
	if (revents & (POLLHUP | POLLERR))
		ended |= ENDED_HANGUP;
	if (ended)
		atomic_fetch_or(&connection->ended, ended);
}

static short from_ring(struct connection *connection)
{
	unsigned int marks = peer_marks(connection);
	short bits = 0;

	if (receive_has_moved(connection)) {
		if (receive_is_enough(connection) || (marks & MARK_SHUT) ||
		    has_ended(connection, ENDED_RESET))
			bits |= IN_BITS;
		if (marks & MARK_SHUT)
			bits |= POLLRDHUP;
	}
	if (send_has_moved(connection) && ring_writable(&connection->send))
		bits |= OUT_BITS;
	return bits;
}

static short from_kernel(struct connection *connection, int fd)
{
	struct pollfd look = {.fd = fd, .events = IN_BITS | OUT_BITS | POLLRDHUP | POLLPRI};

	/* What made us look is answered by looking. */
	if (has_ended(connection, ENDED_LOOK))
		atomic_fetch_and(&connection->ended, ~ENDED_LOOK);
	if (libc.poll(&look, 1, 0) <= 0)
		return 0;
	readiness_note(connection, look.revents);
	if ((look.revents & (POLLIN | POLLPRI)) && receive_has_moved(connection))
		atomic_fetch_or(&connection->ended, ENDED_LOOK);
	return look.revents;
}

short readiness(struct connection *connection, int fd, bool ask)
{
	bool receives = move_receive(connection);
	bool sends = send_has_moved(connection);
	short bits = from_ring(connection), tcp;

	if (!ask && receives && sends && !has_ended(connection, ~0U) &&
	    !(peer_marks(connection) & MARK_CLOSED))
		return bits;
	tcp = from_kernel(connection, fd);
	/* What TCP has to read after the move is its end, or what somebody wrote past the shim. */
	bits |= tcp & (IN_BITS | POLLRDHUP | POLLHUP | POLLERR | POLLPRI);
	if (!sends || stream_is_native(connection, fd))
		bits |= tcp & OUT_BITS;
	return bits;
}

bool readiness_glance(const struct connection *connection, short wanted)
{
	if (has_ended(connection, ENDED_TCP | ENDED_RESET | ENDED_BROKEN) ||
	    peer_marks(connection) & (MARK_SHUT | MARK_CLOSED))
		return true;
	if ((wanted & IN_BITS) && receive_is_enough(connection))
		return true;
	return (wanted & OUT_BITS) && send_has_moved(connection) && ring_writable(&connection->send);
}
