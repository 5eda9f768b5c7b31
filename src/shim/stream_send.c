/* SPDX-License-Identifier: MIT */
/*
 * Sending on a connection that has rings, from memory (stream_send()) and from files and pipes
 * (stream_fill())
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "ring/lock.h"
#include "shim/bell.h"
#include "shim/deferred.h"
#include "shim/hold.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/place.h"
#include "shim/quiet.h"
#include "shim/remote.h"
#include "shim/stream_common.h"

#define FILL_TCP 4096U /* bytes that TCP has room for where poll(2) says that it has any */

/* @in_kernel: as stream_kernel_send() has it. */
static ssize_t kernel_send(struct connection *connection, _Atomic uint32_t *in_kernel, int fd,
			   const struct place *place, size_t most, int flags)
{
	struct iovec some[PLACE_VECTORS];
	struct msghdr message = {.msg_iov = some};

	message.msg_iovlen = (size_t)place_vectors(place, some, most);
	return stream_kernel_send(connection, in_kernel, fd, &message, flags);
}

/* Now and then: has the peer gone?  TCP tells, or, after a half close, the end of its bells. */
static void look_for_the_end(struct connection *connection, int fd)
{
	struct pollfd look[2] = {{.fd = connection_state_fd(connection, fd), .events = POLLRDHUP},
				 {.fd = connection->data_bell}};
	unsigned int ended = 0;

	if (quiet_poll(look, 2, 0) <= 0)
		return;
	if (look[0].revents)
		ended |= ENDED_TCP;
	if (look[0].revents & (POLLHUP | POLLERR))
		ended |= ENDED_HANGUP;
	if (look[1].revents & POLLHUP)
		ended |= ENDED_DATA_BELL;
	atomic_fetch_or(&connection->ended, ended);
}

bool stream_is_native(struct connection *connection, int fd)
{
	unsigned int theirs =
		atomic_load_explicit(&peer_writer(connection)->marks, memory_order_relaxed);

	if (atomic_load_explicit(&our_writer(connection)->marks, memory_order_relaxed) &
	    (MARK_SHUT | MARK_BACK))
		return true;
	if (theirs & (MARK_CLOSED | MARK_BACK))
		return true;
	if (stream_time_to_look(&connection->looked_at))
		look_for_the_end(connection, fd);
	if (!has_ended(connection, ENDED_TCP | ENDED_BROKEN | ENDED_DATA_BELL | ENDED_SPACE_BELL))
		return false;
	if (has_ended(connection, ENDED_HANGUP | ENDED_BROKEN))
		return true;
	if (!has_ended(connection, ENDED_TCP))
		return false;
	/*
	 * A FIN with the mark is a half close: the peer reads on, until its bells are gone.  The
	 * mark comes before the FIN, so it is looked at after it.
	 */
	theirs = atomic_load(&peer_writer(connection)->marks);
	(void)stream_note_death(connection, fd);
	return !(theirs & MARK_SHUT) || has_ended(connection, ENDED_DATA_BELL | ENDED_SPACE_BELL);
}

static ssize_t send_counted(struct connection *connection, int fd, const struct place *place,
			    size_t most, int flags)
{
	struct side_direction *direction = &connection->side->send;
	ssize_t n;

	for (;;) {
		atomic_fetch_add(&direction->in_kernel, 1);
		if (atomic_load(&direction->lock) == 0 || direction->moved)
			break;
		/* Another thread is moving the direction: let it. */
		atomic_fetch_sub(&direction->in_kernel, 1);
		if (latch_take(&direction->lock) == 0)
			latch_drop(&direction->lock);
		else
			return -EAGAIN;
	}
	if (direction->moved) {
		atomic_fetch_sub(&direction->in_kernel, 1);
		return -ESTALE;
	}
	n = kernel_send(connection, &direction->in_kernel, fd, place, most, flags);
	if (n > 0)
		move_account(connection, fd, DIRECTION_SEND, (size_t)n);
	atomic_fetch_sub(&direction->in_kernel, 1);
	return n;
}

static ssize_t send_tcp(struct connection *connection, int fd, const struct place *place,
			size_t most, int flags)
{
	ssize_t n;

	latch_begin();
	n = send_counted(connection, fd, place, most, flags);
	latch_end();
	return n;
}

/* Before the direction has moved.  -ESTALE: it has now. */
static ssize_t send_before(struct connection *connection, int fd, const struct place *place,
			   size_t want, int flags)
{
	ssize_t moved;

	move_confirm(connection, fd, 0);
	if (!move_may_send(connection) || (flags & MSG_OOB))
		return send_tcp(connection, fd, place, SIZE_MAX, flags);
	moved = move_send(connection, fd, place, want);
	if (moved > 0)
		return moved;
	if (send_has_moved(connection))
		return -ESTALE;
	/* No room for the switching bytes: wait for it with one ordinary byte, then try again. */
	if (moved == -EAGAIN && !stream_is_nonblocking(connection, flags))
		return send_tcp(connection, fd, place, 1, flags);
	return send_tcp(connection, fd, place, SIZE_MAX, flags);
}

/* One stretch of at most @most bytes into the ring; 0: it is full. */
static ssize_t put_piece(struct ring *ring, struct place *place, size_t most)
{
	uint8_t *to;
	ssize_t n = ring_reserve(ring, &to);

	if (n <= 0)
		return n;
	n = (size_t)n < most ? n : (ssize_t)most;
	return place_take(place, to, (size_t)n) ? n : -EFAULT;
}

/* With the lock held: what a handler that interrupted us has sent, as far as there is room. */
static void put_deferred(struct ring *ring)
{
	struct deferred *deferred;
	size_t room;
	ssize_t n;

	while ((deferred = deferred_first())) {
		(void)place_at(&deferred->rest, &room);
		n = put_piece(ring, &deferred->rest, room);
		if (n <= 0)
			break;
		ring_publish(ring, (size_t)n);
		if ((size_t)n == room)
			deferred_drop();
	}
}

/* A handler has jumped out of the copy; what it has sent itself goes as far as there is room. */
static void abandon_put(void *context)
{
	struct connection *connection = context;
	struct ring *ring = &connection->send;

	if (stream_is_holder(&ring->own->lock)) {
		put_deferred(ring);
		while (deferred_first())
			deferred_drop();
		atomic_store(&our_writer(connection)->writing, 0);
		writer_leave(connection);
		lock_drop(&ring->own->lock);
	}
	bell_tell_reader(connection);
	connection_put(connection);
}

/* A reader on this processor is to read while the caches still have what it reads. */
static void give_way(const struct connection *connection)
{
	const struct ring *ring = &connection->send;

	if (ring_reader_at(ring) == WAIT_PEER_HERE && !is_remote(connection) &&
	    ring_unread(ring) >= RING_UNREAD_HERE)
		sched_yield();
}

/* The lock, for who is about to put bytes into the ring.  -EDEADLK; -ESTALE: it is TCP's now. */
static inline __attribute__((always_inline)) int begin_put(struct connection *connection)
{
	_Atomic uint32_t *lock = &connection->send.own->lock;

	hold_begin(connection, abandon_put);
	if (lock_take(lock, thread_id()) < 0) {
		hold_end();
		return -EDEADLK;
	}
	if (writer_enter(connection))
		return 0;
	lock_drop(lock);
	hold_end();
	return -ESTALE;
}

static void end_put(struct connection *connection)
{
	writer_leave(connection);
	lock_drop(&connection->send.own->lock);
	hold_end();
}

/*
 * With the lock: a write of one thread is not to be cut by another's.  @urgent: the last byte is.
 * -ESTALE: it is TCP's now.
 */
static ssize_t ring_put(struct connection *connection, struct place place, size_t want, bool urgent)
{
	struct ring *ring = &connection->send;
	_Atomic uint32_t *writing = &our_writer(connection)->writing;
	/*
	 * Each publication to the daemon may become a message of its own, and the next waits for its answer;
	 * a reader on this processor reads nothing before we are done.
	 */
	const size_t piece = is_remote(connection) || ring_reader_at(ring) == WAIT_PEER_HERE
				     ? RING_PIECE
				     : ring_piece(want);
	size_t done = 0;
	ssize_t n = 0;

	n = begin_put(connection);
	if (n < 0)
		return n;
	if (want > piece)
		atomic_store_explicit(writing, 1, memory_order_relaxed);
	while (done < want && !deferred_first()) {
		n = put_piece(ring, &place, want - done < piece ? want - done : piece);
		if (n <= 0)
			break;
		done += (size_t)n;
		if (done == want && urgent)
			atomic_store(&our_writer(connection)->urgent,
				     atomic_load(&ring->own->position) + (size_t)n);
		if (done == want)
			atomic_store_explicit(writing, 0, memory_order_relaxed);
		ring_publish(ring, (size_t)n);
		bell_tell_reader(connection);
		give_way(connection);
	}
	if (done != want)
		atomic_store_explicit(writing, 0, memory_order_relaxed);
	if (done)
		side_count_call(ring->own);
	if (__builtin_expect(deferred_first() != NULL, 0)) {
		put_deferred(ring);
		bell_tell_reader(connection);
	}
	end_put(connection);
	return done ? (ssize_t)done : n;
}

/*
 * The rest of what a handler has sent: its call has returned, so it must go, however long it takes, and
 * whether or not this one is cancelled.
 */
static void send_deferred(struct connection *connection, int fd)
{
	static const struct place nothing;
	struct call call = {.before = handler_runs, .partial = true};
	struct deferred *deferred;
	int state;

	if (__builtin_expect(deferred_first() == NULL, 1))
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	while ((deferred = deferred_first())) {
		if (stream_is_native(connection, fd)) {
			(void)kernel_send(connection, NULL, fd, &deferred->rest, SIZE_MAX,
					  MSG_NOSIGNAL);
			deferred_drop();
		} else if (ring_put(connection, nothing, 0, false) == 0 && deferred_first()) {
			(void)stream_wait(connection, fd, DIRECTION_SEND, &call);
		}
	}
	stream_leave(connection, &call);
	pthread_setcancelstate(state, NULL);
}

/* A full ring: wait, or say so.  0: try again. */
static ssize_t wait_for_room(struct connection *connection, int fd, int flags, struct call *call)
{
	if (stream_is_nonblocking(connection, flags)) {
		/* Whoever watches for room is to be rung: an edge-triggered watch may be cold. */
		atomic_fetch_add(&connection->times_full, 1);
		bell_arm(connection, BELL_SPACE);
		return send_has_room(connection) ? 0 : -EAGAIN;
	}
	return stream_wait(connection, fd, DIRECTION_SEND, call);
}

/*
 * The last byte of a call with MSG_OOB: TCP carries it, beside the stream, and the reader stops once
 * where it would stand.
 */
static ssize_t send_urgent(struct connection *connection, int fd, const struct place *place,
			   int flags)
{
	struct ring *ring = &connection->send;

	if (latch_take(&ring->own->lock) < 0)
		return -EAGAIN;
	atomic_store(&our_writer(connection)->urgent, atomic_load(&ring->own->position) + 1);
	latch_drop(&ring->own->lock);
	return kernel_send(connection, NULL, fd, place, 1, flags);
}

/* A remote one that has gone back and was not shut down meanwhile. */
static bool is_sent_by_tcp(const struct connection *connection)
{
	return is_back(connection) && !(atomic_load(&our_writer(connection)->marks) & MARK_SHUT);
}

static ssize_t send_to_stand_in(struct connection *connection, int fd, const struct place *place,
				int flags)
{
	struct iovec some[PLACE_VECTORS];
	struct msghdr message = {.msg_iov = some};

	message.msg_iovlen = (size_t)place_vectors(place, some, SIZE_MAX);
	return remote_send(connection, fd, &message, flags);
}

/* The peer went back: our ring gets nothing any more, and whoever reads it there may know. */
static void follow_back(struct connection *connection)
{
	_Atomic uint32_t *marks = &our_writer(connection)->marks;
	_Atomic uint32_t *lock = &connection->side->send.lock;

	if ((atomic_load_explicit(marks, memory_order_relaxed) & MARK_BACK) ||
	    latch_take(lock) < 0)
		return;
	atomic_fetch_or(marks, MARK_BACK);
	latch_drop(lock);
}

/* The kernel's, although the direction has moved. */
static ssize_t send_native(struct connection *connection, int fd, const struct place *place,
			   int flags)
{
	ssize_t n;

	if (__builtin_expect(is_remote(connection), 0) && !is_sent_by_tcp(connection))
		return send_to_stand_in(connection, fd, place, flags);
	if (is_back(connection) && !is_remote(connection))
		follow_back(connection);
	n = kernel_send(connection, NULL, fd, place, SIZE_MAX, flags);
	if (receive_is_back(connection))
		move_note_back(connection, REASON_BACK);
	if (n > 0 && is_back(connection))
		atomic_fetch_add(&connection->side->send.tcp_bytes, (uint64_t)n);
	return n;
}

static ssize_t send_some(struct connection *connection, int fd, const struct place *place,
			 size_t want, int flags, struct call *call)
{
	const bool by_tcp = (flags & MSG_OOB) && !is_remote(connection); /* its last byte */
	ssize_t n;

	if (!send_has_moved(connection)) {
		n = send_before(connection, fd, place, want, flags);
		if (n != -ESTALE)
			return n;
	}
	for (;; fd = connection_fd(connection, fd)) {
		if (__builtin_expect(is_remote(connection), 0) && is_sent_by_tcp(connection) &&
		    is_draining(connection)) {
			if (remote_is_lost(connection, fd))
				return -ECONNRESET;
			n = wait_for_room(connection, fd, flags, call);
			if (n < 0)
				return n;
			continue;
		}
		if (stream_is_native(connection, fd)) {
			n = stream_take_due(connection);
			return n ? n : send_native(connection, fd, place, flags);
		}
		if (by_tcp && want == 1)
			return send_urgent(connection, fd, place, flags);
		n = ring_put(connection, *place, by_tcp ? want - 1 : want, flags & MSG_OOB);
		if (n == -EPROTO) {
			stream_break(connection, fd);
			return -ECONNRESET;
		}
		if (n == -EDEADLK)
			return stream_is_nonblocking(connection, flags)
				       ? -EAGAIN
				       : deferred_add(*place, want);
		if (n == -ESTALE)
			continue;
		if (__builtin_expect(deferred_first() != NULL, 0))
			call->interrupted = true;
		if (n != 0)
			return n;
		n = wait_for_room(connection, fd, flags, call);
		if (n < 0)
			return n;
	}
}

/* It has none any more; what may get some again is counted. */
static ssize_t send_without_rings(struct connection *connection, int fd, const struct place *place,
				  int flags)
{
	ssize_t n;

	if (connection_phase(connection) == PHASE_BACK)
		return kernel_send(connection, NULL, fd, place, SIZE_MAX, flags);
	latch_begin();
	atomic_fetch_add(&connection->side->send.in_kernel, 1);
	n = kernel_send(connection, &connection->side->send.in_kernel, fd, place, SIZE_MAX, flags);
	stream_kernel_end(connection, fd, DIRECTION_SEND, n);
	return n;
}

ssize_t stream_send(struct connection *connection, int fd, const struct iovec *iov, int count,
		    int flags)
{
	struct place place = {.iov = iov, .count = count};
	size_t total = place_total(iov, count), done = 0;
	struct call call = {.before = handler_runs};
	ssize_t n = 0;

	if (__builtin_expect(!is_attached(connection), 0))
		return send_without_rings(connection, fd, &place, flags);
	if (__builtin_expect(is_remote(connection), 0) && total == 0)
		return send_native(connection, fd, &place, flags);
	if (total == 0)
		return kernel_send(connection, NULL, fd, &place, 0, flags);
	n = stream_take_due(connection);
	if (n)
		return n;
	stream_note_size(connection, total);
	place_advance(&place, 0);
	while (done < total && !call.interrupted) {
		n = send_some(connection, fd, &place, total - done,
			      done ? flags | MSG_NOSIGNAL : flags, &call);
		if (n <= 0)
			break;
		done += (size_t)n;
		call.partial = true;
		place_advance(&place, (size_t)n);
		fd = connection_fd(connection, fd);
	}
	if (call.interrupted)
		send_deferred(connection, fd);
	stream_leave(connection, &call);
	return stream_result(connection, done, n);
}

/*
 * One stretch of the ring filled; 0: full or at the end, see @end; -ESTALE: it is TCP's now; -EINPROGRESS:
 * there is room for @room bytes, and the source is to be read without the lock.
 */
static ssize_t fill_once(struct connection *connection, size_t most, struct stream_source *source,
			 size_t *room, bool *end)
{
	struct ring *ring = &connection->send;
	uint8_t *to;
	ssize_t n;

	n = begin_put(connection);
	if (n < 0)
		return n == -EDEADLK ? -EAGAIN : n;
	n = ring_reserve(ring, &to);
	if (n > 0) {
		*room = (size_t)n < most ? (size_t)n : most;
		*room = *room < RING_PIECE ? *room : RING_PIECE;
		n = source->read(source, to, *room, false);
		*end = n == 0 || (source->is_consumed && n < (ssize_t)*room);
		if (n > 0)
			ring_publish(ring, (size_t)n);
	}
	put_deferred(ring);
	if (n > 0)
		bell_tell_reader(connection);
	end_put(connection);
	return n;
}

/* What was read must be sent, although somebody took its room meanwhile. */
static void wait_a_moment(const struct connection *connection, int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLOUT};

	if (send_has_moved(connection))
		(void)quiet_poll(NULL, 0, 1);
	else
		(void)quiet_poll(&wait, 1, 10);
}

/* Of what is consumed all, however long it takes: its source has it no more. */
static ssize_t send_piece(struct connection *connection, int fd, char *piece, size_t n, int flags,
			  bool is_consumed)
{
	size_t sent = 0;
	ssize_t part = 0;

	while (sent < n) {
		struct iovec rest = {.iov_base = piece + sent, .iov_len = n - sent};

		part = stream_send(connection, fd, &rest, 1, flags);
		if (part > 0)
			sent += (size_t)part;
		else if (is_consumed && (part == -EAGAIN || part == -EINTR))
			wait_a_moment(connection, fd);
		else
			break;
	}
	return sent ? (ssize_t)sent : part;
}

/* By way of memory: the direction is TCP's, or the source may have to be waited for. */
static ssize_t fill_by_copy(struct connection *connection, int fd, size_t most, int flags,
			    struct stream_source *source, bool *end)
{
	char piece[16384];
	size_t want = most < sizeof(piece) ? most : sizeof(piece);
	ssize_t n = source->read(source, piece, want, true), sent;
	int state;

	*end = n < (ssize_t)want;
	if (n <= 0)
		return n;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	sent = send_piece(connection, fd, piece, (size_t)n, flags, source->is_consumed);
	pthread_setcancelstate(state, NULL);
	*end |= sent < n;
	return sent;
}

/* With room for all of it, where the call is not to wait. */
static ssize_t fill_tcp(struct connection *connection, int fd, size_t most, int flags,
			struct stream_source *source, bool *end)
{
	struct pollfd look = {.fd = fd, .events = POLLOUT};

	if (stream_is_nonblocking(connection, flags) &&
	    (is_draining(connection) || quiet_poll(&look, 1, 0) <= 0))
		return -EAGAIN;
	return fill_by_copy(connection, fd, most < FILL_TCP ? most : FILL_TCP, flags, source, end);
}

ssize_t stream_fill(struct connection *connection, int fd, size_t total, int flags,
		    struct stream_source *source)
{
	struct call call = {.before = handler_runs};
	size_t done = 0, room = 0;
	bool end = false;
	ssize_t n = 0;

	while (done < total && !end) {
		bool in_ring = !remote_look(connection, fd) && is_attached(connection) &&
			       send_has_moved(connection) && !stream_is_native(connection, fd);

		if (!in_ring)
			n = fill_tcp(connection, fd, total - done, flags, source, &end);
		else
			n = fill_once(connection, total - done, source, &room, &end);
		if (n == -EINPROGRESS)
			n = fill_by_copy(connection, fd, room, flags, source, &end);
		if (n == -ESTALE)
			continue;
		if (n == 0 && in_ring && !end) {
			n = wait_for_room(connection, fd, flags, &call);
			fd = connection_fd(connection, fd);
			if (n == 0)
				continue;
		}
		if (n <= 0)
			break;
		done += (size_t)n;
		send_deferred(connection, fd);
	}
	stream_leave(connection, &call);
	if (n == -EPROTO)
		stream_break(connection, fd);
	if (done) {
		stream_note_size(connection, done);
		side_count_call(&connection->side->send);
	}
	return stream_result(connection, done, n == -EPROTO ? -ECONNRESET : n);
}
