/* SPDX-License-Identifier: MIT */
/*
 * Receiving on a connection that has rings: the ring first, TCP last
 */
#include <errno.h>

#include "ring/lock.h"
#include "shim/bell.h"
#include "shim/cleanup.h"
#include "shim/clock.h"
#include "shim/epoll.h"
#include "shim/hold.h"
#include "shim/libc.h"
#include "shim/place.h"
#include "shim/quiet.h"
#include "shim/remote.h"
#include "shim/stream_common.h"
#include "shim/urgent.h"

#define LOOKS_FOR_MORE 256U

static ssize_t kernel_receive(struct connection *connection, int fd, const struct place *place,
			      int flags)
{
	struct iovec some[PLACE_VECTORS];
	struct msghdr message = {.msg_iov = some};

	message.msg_iovlen = (size_t)place_vectors(place, some, SIZE_MAX);
	return stream_kernel_receive(connection, NULL, fd, &message, flags & ~MSG_WAITALL);
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
static ssize_t take_piece(struct ring *ring, struct place *place, size_t skip, size_t most,
			  int flags)
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

/* How many of @want bytes to read at once; @skip: how many to pass before.  With the lock. */
static size_t stop_at_mark(const struct connection *connection, size_t want, size_t *skip)
{
	struct urgent_view view;
	size_t mark;

	if (__builtin_expect(is_remote(connection), 0)) {
		view = urgent_look(connection);
		*skip = view.skip;
		return want < view.most ? want : view.most;
	}
	mark = stream_before_mark(connection);
	return __builtin_expect(mark < want, 0) && mark > 0 ? mark : want;
}

void stream_abandon_take(void *context)
{
	struct connection *connection = context;
	_Atomic uint32_t *lock = &connection->receive.own->lock;

	if (stream_is_holder(lock))
		lock_drop(lock);
	bell_tell_writer(connection, SIZE_MAX);
	connection_put(connection);
}

static ssize_t ring_take(struct connection *connection, struct place place, size_t want, int flags)
{
	struct ring *ring = &connection->receive;
	const size_t before = ring_available(ring);
	const bool peeks = flags & MSG_PEEK;
	size_t done = 0, skip = 0;
	uint64_t from;
	ssize_t n = 0;

	if (before == 0)
		return 0;
	hold_begin(connection, stream_abandon_take);
	if (lock_take(&ring->own->lock, thread_id()) < 0) {
		hold_end();
		return -EAGAIN;
	}
	from = atomic_load_explicit(&ring->own->position, memory_order_relaxed);
	want = stop_at_mark(connection, want, &skip);
	if (skip && !peeks) {
		urgent_pass(connection, skip);
		skip = 0;
	}
	while (done < want && (done == 0 || peeks || more_follows(connection))) {
		n = take_piece(ring, &place, peeks ? skip + done : 0, want - done, flags);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done && !peeks) {
		ring_sign(ring);
		side_count_call(ring->own);
	}
	if (__builtin_expect(is_remote(connection), 0) && !peeks)
		urgent_after_read(connection, from);
	lock_drop(&ring->own->lock);
	if (done && !peeks) {
		bell_tell_writer(connection, before > done ? before : done);
		ring_end_run(&connection->send);
	}
	hold_end();
	return done ? (ssize_t)done : n;
}

static ssize_t due_or(struct connection *connection, ssize_t n)
{
	const int due = stream_take_due(connection);

	return due ? due : n;
}

/* One of the ends went back to TCP, and the ring is empty for good. */
static ssize_t receive_after_ring(struct connection *connection, int fd, const struct place *place,
				  int flags)
{
	ssize_t n = kernel_receive(connection, fd, place, flags);

	move_note_back(connection, REASON_BACK);
	if (n > 0 && !(flags & MSG_PEEK))
		atomic_fetch_add(&connection->side->receive.tcp_bytes, (uint64_t)n);
	if (n == 0)
		(void)stream_note_death(connection, fd);
	return due_or(connection, n);
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
	const int socket = fd;
	char byte;
	ssize_t n;

	fd = connection_state_fd(connection, fd);
	if (fd != socket)
		urgent_quiet(connection); /* so that it tells of nothing but its end */
	n = quiet_recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0)
		n = -errno;
	if (n > 0 && fd != socket)
		return -EAGAIN;
	if (n == -EAGAIN || n == -EINTR)
		return n;
	if (n < 0 && fd != socket)
		remote_broke(connection, socket);
	if (n <= 0)
		atomic_fetch_or(&connection->ended, ENDED_TCP);
	if (ring_available(&connection->receive)) {
		stream_owe(connection, n);
		return -ESTALE;
	}
	if (n > 0 && receive_is_back(connection)) /* which is counted, since it may move again */
		return receive_after_ring(connection, fd, place, flags | MSG_DONTWAIT);
	if (n > 0)
		return kernel_receive(connection, fd, place, flags | MSG_DONTWAIT);
	if (n == 0)
		(void)stream_note_death(connection, fd);
	return due_or(connection, n);
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

	if (__builtin_expect(is_remote(connection) || stream_before_mark(connection) != 0, 1))
		return 0;
	if (libc.getsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &in_line, &length) < 0 || !in_line)
		return 0;
	return kernel_receive(connection, fd, place, flags | MSG_DONTWAIT);
}

/* Does nothing more come in the ring, after what is there?  @marks: seen after the ring was. */
static bool ring_is_over(const struct connection *connection, unsigned int marks)
{
	return receive_is_back(connection) || (marks & (MARK_SHUT | MARK_CLOSED));
}

/* What follows a ring that is over.  -ESTALE: it is not empty. */
static ssize_t receive_the_end(struct connection *connection, int fd, const struct place *place,
			       int flags, unsigned int marks)
{
	if (ring_available(&connection->receive))
		return -ESTALE; /* it came before the mark */
	if (receive_is_back(connection))
		return receive_after_ring(connection, fd, place, flags);
	if (!(marks & MARK_CLOSED) || (is_remote(connection) && (marks & MARK_SHUT)))
		return 0;
	if (stream_is_nonblocking(connection, flags))
		flags |= MSG_DONTWAIT; /* a stand-in does not know */
	fd = connection_state_fd(connection, fd);
	return kernel_receive(connection, fd, place, flags); /* its FIN or RST is on its way */
}

/* ring_take(); an urgent byte of TCP's that is passed can no longer be taken, unless a newer one has come. */
static ssize_t take_from_ring(struct connection *connection, int fd, const struct place *place,
			      size_t want, int flags)
{
	const _Atomic uint64_t *urgent = &peer_writer(connection)->urgent;
	const bool passes = !is_remote(connection) && !(flags & MSG_PEEK) &&
			    stream_before_mark(connection) == 0;
	const uint64_t passed = passes ? atomic_load(urgent) : 0;
	const ssize_t n = ring_take(connection, *place, want, flags);
	const int saved = errno;
	char byte;

	if (__builtin_expect(passes, 0) && n > 0 && atomic_load(urgent) == passed)
		(void)quiet_recv(fd, &byte, 1, MSG_OOB | MSG_DONTWAIT);
	errno = saved;
	return n;
}

static ssize_t receive_ring(struct connection *connection, int fd, const struct place *place,
			    size_t want, int flags, struct call *call)
{
	unsigned int marks;

	for (;; fd = connection_fd(connection, fd)) {
		ssize_t n = urgent_in_line(connection, fd, place, flags);

		if (n > 0)
			return n;
		n = take_from_ring(connection, fd, place, want, flags);
		marks = atomic_load(&peer_writer(connection)->marks);

		if (n == -EPROTO || has_ended(connection, ENDED_BROKEN)) {
			stream_break(connection, fd);
			return -ECONNRESET;
		}
		if (n > 0 && peeks_for_all(connection, flags) && (size_t)n < want &&
		    !ring_is_over(connection, marks) && !has_ended(connection, ENDED_TCP)) {
			call->beyond = (size_t)n;
			if (stream_wait(connection, fd, DIRECTION_RECEIVE, call) == 0)
				continue;
		}
		if (n != 0)
			return n;
		if (__builtin_expect(ring_is_over(connection, marks), 0)) {
			n = receive_the_end(connection, fd, place, flags, marks);
			if (n != -ESTALE)
				return n;
			continue;
		}
		if (stream_is_nonblocking(connection, flags)) {
			if (!has_ended(connection, ~0U) && !stream_time_to_look(&connection->checked_at))
				return -EAGAIN;
			n = ask_tcp(connection, fd, place, flags);
			if (n != -ESTALE)
				return n;
			continue;
		}
		n = stream_wait(connection, fd, DIRECTION_RECEIVE, call);
		if (n < 0)
			return n;
		fd = connection_fd(connection, fd);
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

/* What lies behind @n bytes that were peeked at in TCP, if they reach up to the switch. */
static ssize_t peek_behind(struct connection *connection, struct place place, size_t want,
			   int flags, ssize_t n)
{
	const struct segment_writer *theirs = peer_writer(connection);
	ssize_t more;

	if (atomic_load(&theirs->switched) != SWITCH_DONE ||
	    atomic_load(&connection->side->receive.tcp_bytes) + (uint64_t)n !=
		    atomic_load(&theirs->switch_at))
		return n;
	place_advance(&place, (size_t)n);
	more = ring_take(connection, place, want - (size_t)n, flags);
	return more > 0 ? n + more : n;
}

/* A millisecond's sleep; is there anything else than more bytes? */
static bool sleep_and_look(struct connection *connection, int fd)
{
	struct pollfd look = {.fd = fd, .events = POLLRDHUP};
	struct cleanup cleanup;
	int n;

	cleanup_push(&cleanup, stream_abandon, connection);
	n = libc.poll(&look, 1, 1);
	cleanup_pop(&cleanup);
	return n < 0 || look.revents;
}

/*
 * A peek that found some of what it wants in TCP, before the direction has moved: the rest may be in the
 * ring, or may yet come to either; a peek for all looks every millisecond.  The bell is left to those that
 * read: a byte on it would end each of these sleeps at once.
 */
static ssize_t peek_on(struct connection *connection, int fd, const struct place *place,
		       size_t want, int flags, ssize_t n, struct call *call)
{
	ssize_t more;

	if (call->deadline == 0 && peeks_for_all(connection, flags))
		call->deadline = stream_deadline(fd, DIRECTION_RECEIVE);
	for (;;) {
		n = peek_behind(connection, *place, want, flags, n);
		if ((size_t)n >= want || !peeks_for_all(connection, flags) ||
		    (atomic_load(&peer_writer(connection)->marks) & (MARK_SHUT | MARK_CLOSED)) ||
		    sleep_and_look(connection, fd) || now_ns() >= call->deadline)
			return n;
		more = kernel_receive(connection, fd, place, flags | MSG_DONTWAIT);
		n = more > 0 ? more : n;
	}
}

static ssize_t receive_some(struct connection *connection, int fd, const struct place *place,
			    size_t want, int flags, struct call *call)
{
	ssize_t n;

	while (!follow_the_switch(connection)) {
		n = stream_receive_tcp(connection, fd, place, flags, call);
		if (__builtin_expect(n > 0 && (flags & MSG_PEEK), 0))
			return peek_on(connection, fd, place, want, flags, n, call);
		/* The others may have followed it while we slept: an end comes after what is in the ring. */
		if (n == 0 && !follow_the_switch(connection)) {
			atomic_fetch_or(&connection->ended, ENDED_TCP);
			(void)stream_note_death(connection, fd);
			return 0;
		}
		if (n != 0 && n != -EAGAIN && n != -ESTALE)
			return n;
		if (follow_the_switch(connection))
			break;
		if (n == -EAGAIN || stream_is_nonblocking(connection, flags))
			return -EAGAIN;
		n = stream_wait(connection, fd, DIRECTION_RECEIVE, call);
		if (n < 0)
			return n;
		fd = connection_fd(connection, fd);
	}
	return receive_ring(connection, fd, place, want, flags, call);
}

/* Was that the rest of a ring, which TCP follows? */
static bool is_read_out(const struct connection *connection)
{
	return __builtin_expect(receive_is_back(connection), 0) && !is_remote(connection) &&
	       ring_available(&connection->receive) == 0;
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

/* What read(2) or recv(2) would do. */
static ssize_t kernel_read(struct connection *connection, int fd, void *to, size_t room, int flags)
{
	struct cleanup cleanup;
	ssize_t n;

	cleanup_push(&cleanup, stream_abandon, connection);
	n = flags ? libc.recv(fd, to, room, flags) : libc.read(fd, to, room);
	cleanup_pop(&cleanup);
	return n < 0 ? -errno : n;
}

/*
 * In PHASE_BACK: what is left in the ring, and before it what TCP had when the peer switched.  The only
 * system call is what read(2) or recv(2) would have made.
 */
static ssize_t receive_rest(struct connection *connection, int fd, struct place place, size_t total,
			    int flags)
{
	struct side_direction *direction = &connection->side->receive;
	uint64_t before;
	size_t room;
	ssize_t n;

	if ((flags & (MSG_OOB | MSG_ERRQUEUE)) || total == 0 ||
	    connection_phase(connection) != PHASE_BACK)
		return -ESTALE;
	if (has_ended(connection, ENDED_BROKEN))
		return -ECONNRESET;
	place_advance(&place, 0);
	if (!move_receive(connection)) {
		uint8_t *to = place_at(&place, &room);

		before = atomic_load(&peer_writer(connection)->switch_at) -
			 atomic_load(&direction->tcp_bytes);
		room = room < before ? room : (size_t)before;
		flags &= ~MSG_WAITALL;
		n = kernel_read(connection, fd, to, room, flags);
		if (n > 0 && !(flags & MSG_PEEK))
			atomic_fetch_add(&direction->tcp_bytes, (uint64_t)n);
		return n;
	}
	n = ring_take(connection, place, total, flags);
	if (n == -EPROTO) {
		atomic_fetch_or(&connection->ended, ENDED_BROKEN);
		return -ECONNRESET;
	}
	return n == 0 ? -ESTALE : n;
}

/* What is there, or at its end?  -EAGAIN: nothing yet. */
static ssize_t glance(struct connection *connection, int fd, const struct place *byte,
		      struct call *call)
{
	ssize_t n = receive_some(connection, fd, byte, 1, MSG_PEEK | MSG_DONTWAIT, call);

	/* A call that does not wait asks TCP from time to time only. */
	if (n == -EAGAIN && receive_has_moved(connection))
		n = ask_tcp(connection, fd, byte, MSG_PEEK);
	if (n == -ESTALE && receive_has_moved(connection) && ring_available(&connection->receive))
		return 1; /* it has just come */
	return n == 0 ? due_or(connection, n) : n;
}

/*
 * 0 bytes: with nothing there Linux waits once, and returns 0 whatever has ended the wait.  An error, or the
 * time that is over, is for the next call.
 */
static ssize_t receive_nothing(struct connection *connection, int fd, int flags, struct call *call)
{
	uint8_t byte;
	const struct iovec one = {.iov_base = &byte, .iov_len = sizeof(byte)};
	const struct place place = {.iov = &one, .count = 1};
	ssize_t n = glance(connection, fd, &place, call);

	if (n == -EAGAIN && !stream_is_nonblocking(connection, flags)) {
		if (call->deadline == 0)
			call->deadline = stream_deadline(fd, DIRECTION_RECEIVE);
		call->partial = true; /* any signal ends it */
		n = receive_some(connection, fd, &place, 1, MSG_PEEK, call);
		if (n != -ESTALE && !stream_is_nonblocking(connection, flags))
			n = stream_result(connection, 1, n);
	}
	stream_leave(connection, call);
	return n > 0 ? 0 : n;
}

ssize_t stream_receive_until(struct connection *connection, int fd, const struct iovec *iov,
			     int count, int flags, uint64_t *deadline)
{
	struct place place = {.iov = iov, .count = count};
	size_t total = place_total(iov, count), done = 0;
	const size_t least = least_wanted(connection, total, flags);
	struct call call = {.before = handler_runs, .deadline = *deadline};
	ssize_t n = 0;

	if (__builtin_expect(!is_attached(connection), 0))
		return receive_rest(connection, fd, place, total, flags);
	if (__builtin_expect(is_remote(connection), 0) && (flags & MSG_OOB) &&
	    !receive_is_back(connection))
		return urgent_take(connection, place, total, flags);
	if (flags & (MSG_OOB | MSG_ERRQUEUE))
		return kernel_receive(connection, fd, &place, flags);
	if (total == 0)
		return stream_result(connection, 0, receive_nothing(connection, fd, flags, &call));
	place_advance(&place, 0);
	do {
		bool in_ring = receive_has_moved(connection);

		n = receive_some(connection, fd, &place, total - done,
				 done >= least && done ? flags | MSG_DONTWAIT : flags, &call);
		if (n <= 0)
			break;
		done += (size_t)n;
		call.partial = true;
		place_advance(&place, (size_t)n);
		fd = connection_fd(connection, fd);
		/* The switching bytes alone, often one, are a poor read: go on into the ring, or out of it. */
		if (done >= least && (in_ring ? !is_read_out(connection)
					      : !follow_the_switch(connection) ||
							stream_before_mark(connection) == 0))
			break;
	} while (done < total && !(flags & MSG_PEEK));
	stream_leave(connection, &call);
	*deadline = call.deadline;
	/* An earlier call may have taken the socket's error. */
	if (n == 0 && !done)
		n = due_or(connection, n);
	return stream_result(connection, done, n);
}

ssize_t stream_receive(struct connection *connection, int fd, const struct iovec *iov, int count,
		       int flags)
{
	uint64_t deadline = 0;

	return stream_receive_until(connection, fd, iov, count, flags, &deadline);
}
