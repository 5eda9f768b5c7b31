/* SPDX-License-Identifier: MIT */
/*
 * Receiving on a connection that has rings: the ring first, TCP last
 */
#include <errno.h>

#include "ring/lock.h"
#include "shim/bell.h"
#include "shim/epoll.h"
#include "shim/libc.h"
#include "shim/place.h"
#include "shim/stream_common.h"

#define LOOKS_FOR_MORE 256U

static ssize_t kernel_receive(int fd, const struct place *place, int flags)
{
	struct iovec some[PLACE_VECTORS];
	struct msghdr message = {.msg_iov = some};
	ssize_t n;

	message.msg_iovlen = (size_t)place_vectors(place, some, SIZE_MAX);
	n = libc.recvmsg(fd, &message, flags & ~MSG_WAITALL);
	return n < 0 ? -errno : n;
}

/*
 * While the direction has not moved: TCP, and nobody sleeps there beside another, who would not be
 * woken by what comes in the ring.  -ESTALE: nothing there, wait for TCP and the bell together.
 */
static ssize_t receive_tcp(struct connection *connection, int fd, const struct place *place,
			   int flags)
{
	struct side_direction *direction = &connection->side->receive;
	bool alone = atomic_fetch_add(&direction->in_kernel, 1) == 0;
	bool may_sleep;
	ssize_t n;

	move_confirm(connection, fd, 1);
	may_sleep = alone && !move_at_the_switch(connection);
	n = kernel_receive(fd, place, may_sleep ? flags : flags | MSG_DONTWAIT);
	if (n == -EAGAIN && !may_sleep)
		n = -ESTALE;
	if (n > 0 && !(flags & MSG_PEEK))
		move_account(connection, fd, DIRECTION_RECEIVE, (size_t)n);
	atomic_fetch_sub(&direction->in_kernel, 1);
	return n;
}

/* In the middle of a write: what is missing comes within a copy's time. */
static bool more_follows(struct connection *connection)
{
	const struct segment_writer *theirs = peer_writer(connection);

	for (unsigned int looks = 0; looks < LOOKS_FOR_MORE; looks++) {
		if (ring_available(&connection->receive))
			return true;
		if (!atomic_load_explicit(&theirs->writing, memory_order_relaxed))
			return ring_available(&connection->receive) > 0;
	}
	return false;
}

/* The next stretch of at most @most bytes, @skip bytes on; 0: there is none. */
static ssize_t take_piece(struct ring *ring, struct place *place, size_t skip, size_t most, int flags)
{
	uint8_t *from;
	ssize_t n = ring_front_at(ring, skip, &from);

	if (n <= 0)
		return n;
	n = (size_t)n < most ? n : (ssize_t)most;
	n = n < (ssize_t)RING_PIECE ? n : (ssize_t)RING_PIECE;
	if (!(flags & MSG_TRUNC) && !place_put(place, from, (size_t)n))
		return -EFAULT;
	if (!(flags & MSG_PEEK))
		ring_release(ring, (size_t)n);
	return n;
}

static ssize_t ring_take(struct connection *connection, struct place place, size_t want, int flags)
{
	struct ring *ring = &connection->receive;
	const size_t before = ring_available(ring), mark = stream_before_mark(connection);
	const bool peeks = flags & MSG_PEEK;
	size_t done = 0;
	ssize_t n = 0;

	if (before == 0)
		return 0;
	if (lock_take(&ring->own->lock, thread_id()) < 0)
		return -EAGAIN;
	if (__builtin_expect(mark < want, 0) && mark > 0)
		want = mark;
	while (done < want && (done == 0 || peeks || more_follows(connection))) {
		n = take_piece(ring, &place, peeks ? done : 0, want - done, flags);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done && !peeks)
		stream_count_call(ring->own);
	lock_drop(&ring->own->lock);
	if (done && !peeks) {
		bell_tell_writer(connection, before > done ? before : done);
		ring_end_run(&connection->send);
	}
	return done ? (ssize_t)done : n;
}

/*
 * The ring is empty: what does TCP say?  -EAGAIN: nothing; -ESTALE: look at the ring again.
 *
 * Who writes past the ring after writing into it (a writer that took us for gone, another program)
 * is read in that order: bytes are taken from TCP only if, after they were seen there, the ring is
 * still empty.
 */
static ssize_t ask_tcp(struct connection *connection, int fd, const struct place *place, int flags)
{
	char byte;
	ssize_t n = libc.recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	unsigned int marks = atomic_load(&peer_writer(connection)->marks);

	if (n < 0)
		n = -errno;
	if (n == -EAGAIN || n == -EINTR)
		return n;
	if (n <= 0)
		atomic_fetch_or(&connection->ended, ENDED_TCP);
	if (ring_available(&connection->receive)) {
		if (n < 0)
			atomic_fetch_or(&connection->ended, ENDED_RESET);
		return -ESTALE;
	}
	if (n > 0)
		return kernel_receive(fd, place, flags | MSG_DONTWAIT);
	if (atomic_fetch_and(&connection->ended, ~ENDED_RESET) & ENDED_RESET)
		return -ECONNRESET;
	if (n == 0 && !(marks & (MARK_SHUT | MARK_CLOSED)) && send_has_moved(connection) &&
	    !has_ended(connection, ENDED_BY_US) && ring_unread(&connection->send) &&
	    !(atomic_fetch_or(&connection->ended, ENDED_KILLED) & ENDED_KILLED))
		return -ECONNRESET; /* killed with our data unread */
	return n;
}

static bool peeks_for_all(const struct connection *connection, int flags)
{
	return (flags & (MSG_PEEK | MSG_WAITALL)) == (MSG_PEEK | MSG_WAITALL) &&
	       !stream_is_nonblocking(connection, flags);
}

/* At the mark, and SO_OOBINLINE: the urgent byte is TCP's to give. */
static ssize_t urgent_in_line(struct connection *connection, int fd, const struct place *place,
			      int flags)
{
	int in_line = 0;
	socklen_t length = sizeof(in_line);

	if (__builtin_expect(stream_before_mark(connection) != 0, 1))
		return 0;
	if (libc.getsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &in_line, &length) < 0 || !in_line)
		return 0;
	return kernel_receive(fd, place, flags | MSG_DONTWAIT);
}

static ssize_t receive_ring(struct connection *connection, int fd, const struct place *place,
			    size_t want, int flags, struct call *call)
{
	unsigned int marks;

	for (;;) {
		ssize_t n = urgent_in_line(connection, fd, place, flags);

		if (n > 0)
			return n;
		n = ring_take(connection, *place, want, flags);
		marks = atomic_load(&peer_writer(connection)->marks);

		if (n == -EPROTO || has_ended(connection, ENDED_BROKEN)) {
			stream_break(connection, fd);
			return -ECONNRESET;
		}
		if (n > 0 && peeks_for_all(connection, flags) && (size_t)n < want &&
		    !(marks & (MARK_SHUT | MARK_CLOSED)) && !has_ended(connection, ENDED_TCP)) {
			call->beyond = (size_t)n;
			if (stream_wait(connection, fd, DIRECTION_RECEIVE, call) == 0)
				continue;
		}
		if (n != 0)
			return n;
		if (marks & (MARK_SHUT | MARK_CLOSED)) {
			if (ring_available(&connection->receive))
				continue; /* it came before the mark */
			if (!(marks & MARK_CLOSED))
				return 0;
			n = kernel_receive(fd, place, flags); /* its FIN or RST is on its way */
			return n;
		}
		if (stream_is_nonblocking(connection, flags)) {
			if (!has_ended(connection, ~0U) && !stream_time_to_look(connection))
				return -EAGAIN;
			n = ask_tcp(connection, fd, place, flags);
			if (n != -ESTALE)
				return n;
			continue;
		}
		n = stream_wait(connection, fd, DIRECTION_RECEIVE, call);
		if (n < 0)
			return n;
		if (ring_available(&connection->receive) == 0) {
			n = ask_tcp(connection, fd, place, flags);
			if (n != -EAGAIN && n != -ESTALE)
				return n;
		}
	}
}

/* move_receive(), and whoever watches is told when it has just happened. */
static bool follow_the_switch(struct connection *connection)
{
	if (receive_has_moved(connection))
		return true;
	if (!move_receive(connection))
		return false;
	epoll_moved(connection);
	return true;
}

static ssize_t receive_some(struct connection *connection, int fd, const struct place *place,
			    size_t want, int flags, struct call *call)
{
	ssize_t n;

	while (!follow_the_switch(connection)) {
		n = receive_tcp(connection, fd, place, flags);
		if (n != -EAGAIN && n != -ESTALE)
			return n;
		if (follow_the_switch(connection))
			break;
		if (n == -EAGAIN || stream_is_nonblocking(connection, flags))
			return -EAGAIN;
		n = stream_wait(connection, fd, DIRECTION_RECEIVE, call);
		if (n < 0)
			return n;
	}
	return receive_ring(connection, fd, place, want, flags, call);
}

/* How many bytes a call that waits is to return at the least. */
static size_t least_wanted(const struct connection *connection, size_t total, int flags)
{
	size_t mark = atomic_load_explicit(&connection->side->low_water, memory_order_relaxed);

	if (flags & MSG_WAITALL)
		return total;
	if (mark <= 1 || (flags & MSG_PEEK) || stream_is_nonblocking(connection, flags))
		return 1;
	return mark < total ? mark : total;
}

ssize_t stream_receive(struct connection *connection, int fd, const struct iovec *iov, int count,
		       int flags)
{
	struct place place = {.iov = iov, .count = count};
	size_t total = place_total(iov, count), done = 0;
	const size_t least = least_wanted(connection, total, flags);
	struct call call = {0};
	ssize_t n = 0;

	if (flags & (MSG_OOB | MSG_ERRQUEUE))
		return kernel_receive(fd, &place, flags);
	if (total == 0)
		return kernel_receive(fd, &place, flags | MSG_DONTWAIT);
	place_advance(&place, 0);
	do {
		bool in_ring = receive_has_moved(connection);

		n = receive_some(connection, fd, &place, total - done,
				 done >= least && done ? flags | MSG_DONTWAIT : flags,
				 &call);
		if (n <= 0)
			break;
		done += (size_t)n;
		call.partial = true;
		place_advance(&place, (size_t)n);
		/* The switching byte alone is a poor read: go on into the ring. */
		if (done >= least && (in_ring || !follow_the_switch(connection)))
			break;
	} while (done < total && !(flags & MSG_PEEK));
	return done ? (ssize_t)done : n;
}
