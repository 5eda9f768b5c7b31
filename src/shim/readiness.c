/* SPDX-License-Identifier: MIT */
#include "shim/readiness.h"

#include <sys/ioctl.h>

#include "shim/libc.h"
#include "shim/quiet.h"
#include "shim/stream.h"
#include "shim/urgent.h"

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

/* Are there as many bytes in the ring as SO_RCVLOWAT asks for? */
static bool receive_is_enough(const struct connection *connection)
{
	size_t there = urgent_readable(connection);

	return there &&
	       there >= atomic_load_explicit(&connection->side->low_water, memory_order_relaxed);
}

static short from_ring(struct connection *connection)
{
	/* What follows the ring through TCP comes before the end. */
	const bool ended = (peer_marks(connection) & (MARK_SHUT | MARK_BACK)) == MARK_SHUT;
	short bits = 0;

	if (receive_has_moved(connection)) {
		if (receive_is_enough(connection) || ended || has_ended(connection, ENDED_RESET))
			bits |= IN_BITS;
		if (ended)
			bits |= POLLRDHUP;
		if (is_remote(connection) && urgent_is_there(connection))
			bits |= POLLPRI;
	}
	if (send_has_moved(connection) && ring_writable(&connection->send) && !is_back(connection))
		bits |= OUT_BITS;
	return bits;
}

static short from_kernel(struct connection *connection, int fd)
{
	struct pollfd look = {.fd = connection_state_fd(connection, fd),
			      .events = IN_BITS | OUT_BITS | POLLRDHUP | POLLPRI};
	const bool stands_in = look.fd != fd;

	/* What made us look is answered by looking. */
	if (has_ended(connection, ENDED_LOOK))
		atomic_fetch_and(&connection->ended, ~ENDED_LOOK);
	if (quiet_poll(&look, 1, 0) <= 0)
		return 0;
	readiness_note(connection, look.revents);
	if (stands_in) { /* it has nothing to read but its end */
		look.revents &= (short)~(IN_BITS | POLLPRI);
		if (look.revents & (POLLRDHUP | POLLHUP | POLLERR))
			look.revents |= IN_BITS;
		return look.revents;
	}
	if ((look.revents & (POLLIN | POLLPRI)) && receive_has_moved(connection))
		atomic_fetch_or(&connection->ended, ENDED_LOOK);
	return look.revents;
}

/* Before the move: TCP's bytes are less than SO_RCVLOWAT asks for, but with the ring's they are enough. */
static bool has_enough_of_both(struct connection *connection, int fd)
{
	int in_tcp = 0;

	return ring_available(&connection->receive) && libc.ioctl(fd, FIONREAD, &in_tcp) == 0 &&
	       (size_t)in_tcp + ring_available(&connection->receive) >=
		       atomic_load(&connection->side->low_water);
}

short readiness(struct connection *connection, int fd, short wanted, bool ask)
{
	bool receives = move_receive(connection);
	bool sends = send_has_moved(connection), native;
	short bits = from_ring(connection), tcp;
	unsigned int ended;

	if ((wanted & POLLPRI) && !is_remote(connection)) /* an urgent byte on this host is TCP's */
		ask = true;
	if (!ask && receives && sends && !has_ended(connection, ~0U) &&
	    !(peer_marks(connection) & MARK_CLOSED) && !is_back(connection))
		return bits;
	fd = connection_fd(connection, fd);
	tcp = from_kernel(connection, fd);
	if (!receives && has_low_water(connection) && has_enough_of_both(connection, fd))
		bits |= IN_BITS;
	if ((tcp & POLLRDHUP) && stream_note_death(connection, fd))
		tcp = from_kernel(connection, fd);
	ended = atomic_load(&connection->ended);
	native = !sends || (!is_draining(connection) && stream_is_native(connection, fd));
	/* An end that was only found there is not in what the kernel said before. */
	if (atomic_load(&connection->ended) != ended)
		tcp = from_kernel(connection, fd);
	if (has_ended(connection, ENDED_RESET))
		bits |= POLLERR;
	/* What TCP has to read after the move is its end, or what somebody wrote past the shim. */
	bits |= tcp & (IN_BITS | POLLRDHUP | POLLHUP | POLLERR | POLLPRI);
	if (native)
		bits |= tcp & OUT_BITS;
	return bits;
}

bool readiness_glance(const struct connection *connection, short wanted)
{
	if (has_ended(connection, ENDED_TCP | ENDED_RESET | ENDED_BROKEN) ||
	    peer_marks(connection) & (MARK_SHUT | MARK_CLOSED) || is_back(connection))
		return true;
	if ((wanted & IN_BITS) && receive_is_enough(connection))
		return true;
	if ((wanted & POLLPRI) && is_remote(connection) && urgent_is_there(connection))
		return true;
	return (wanted & OUT_BITS) && send_has_moved(connection) &&
	       ring_writable(&connection->send);
}
