/* SPDX-License-Identifier: MIT */
#include "shim/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <time.h>

#include "shim/bell.h"
#include "shim/cleanup.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/quiet.h"
#include "shim/stream_common.h"

void stream_abandon_call(void *context)
{
	const struct kernel_call *call = context;

	if (call->in_kernel)
		atomic_fetch_sub(call->in_kernel, 1);
	if (call->polls)
		atomic_fetch_sub(&call->connection->pollers, 1);
	connection_put(call->connection);
}

void stream_abandon(void *connection)
{
	connection_put(connection);
}

ssize_t stream_kernel_send(struct connection *connection, _Atomic uint32_t *in_kernel, int fd,
			   const struct msghdr *message, int flags)
{
	struct kernel_call call = {.connection = connection, .in_kernel = in_kernel};
	struct cleanup cleanup;
	ssize_t n;

	if (flags & MSG_DONTWAIT) {
		n = quiet_sendmsg(fd, message, flags);
	} else {
		cleanup_push(&cleanup, stream_abandon_call, &call);
		n = libc.sendmsg(fd, message, flags);
		cleanup_pop(&cleanup);
	}
	return n < 0 ? -errno : n;
}

ssize_t stream_kernel_receive(struct connection *connection, _Atomic uint32_t *in_kernel, int fd,
			      struct msghdr *message, int flags)
{
	struct kernel_call call = {.connection = connection, .in_kernel = in_kernel};
	struct cleanup cleanup;
	ssize_t n;

	if (flags & MSG_DONTWAIT) {
		n = quiet_recvmsg(fd, message, flags);
	} else {
		cleanup_push(&cleanup, stream_abandon_call, &call);
		n = libc.recvmsg(fd, message, flags);
		cleanup_pop(&cleanup);
	}
	return n < 0 ? -errno : n;
}

void stream_break(struct connection *connection, int fd)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};

	if (atomic_fetch_or(&connection->ended, ENDED_BROKEN) & ENDED_BROKEN)
		return;
	settings_say("descriptor %d: the peer broke the rules of the ring: reset", fd);
	if (is_remote(connection))
		(void)libc.shutdown(connection->stand_in, SHUT_RDWR); /* not as a program does */
	libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	libc.shutdown(fd, SHUT_RDWR);
}

/* Is it the end of the connection, and told only once? */
static bool is_the_end(ssize_t n)
{
	return n == -ECONNRESET || n == -ECONNABORTED || n == -ETIMEDOUT || n == -EHOSTUNREACH ||
	       n == -ENETUNREACH;
}

bool stream_note_death(struct connection *connection, int fd)
{
	const unsigned int marks = atomic_load(&peer_writer(connection)->marks);
	int error = 0;
	socklen_t length = sizeof(error);

	if (is_remote(connection))
		return false; /* the daemon resets, and so does its death */
	if ((marks & (MARK_SHUT | MARK_CLOSED)) || !send_has_moved(connection) ||
	    has_ended(connection, ENDED_BY_US | ENDED_KILLED) ||
	    ring_unread(&connection->send) == 0)
		return false;
	if (atomic_fetch_or(&connection->ended,
			    ENDED_KILLED | ENDED_RESET | ENDED_HANGUP | ENDED_TCP) &
	    ENDED_KILLED)
		return false;
	libc.shutdown(fd, SHUT_RDWR);
	/* With data unread in TCP as well, its kernel has reset: one error for both. */
	if (libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && is_the_end(-error))
		atomic_store(&connection->due, error);
	return true;
}

void stream_owe(struct connection *connection, ssize_t error)
{
	if (!is_the_end(error))
		return;
	atomic_store(&connection->due, (int)-error);
	atomic_fetch_or(&connection->ended, ENDED_RESET);
}

int stream_take_due_slowly(struct connection *connection)
{
	if (!(atomic_fetch_and(&connection->ended, ~ENDED_RESET) & ENDED_RESET))
		return 0;
	return -atomic_exchange(&connection->due, ECONNRESET);
}

ssize_t stream_result(struct connection *connection, size_t done, ssize_t n)
{
	if (done)
		stream_owe(connection, n);
	/* Told: what the kernel says of one end, and we of another, is the same. */
	if (!done && is_the_end(n) &&
	    (atomic_fetch_or(&connection->ended, ENDED_KILLED) & ENDED_RESET))
		atomic_fetch_and(&connection->ended, ~ENDED_RESET);
	return done ? (ssize_t)done : n;
}

bool stream_time_to_look(_Atomic uint64_t *last)
{
	struct timespec now;
	uint64_t tick;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	tick = (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
	if (atomic_load_explicit(last, memory_order_relaxed) == tick)
		return false;
	atomic_store_explicit(last, tick, memory_order_relaxed);
	return true;
}

void stream_trim(struct connection *connection)
{
	struct ring *ring = &connection->send;

	if (!stream_wants_trim(connection) || latch_take(&ring->own->lock) < 0)
		return;
	ring_trim(ring, STREAM_KEEP);
	connection->not_trimmed_at = ring->own->position;
	latch_drop(&ring->own->lock);
}

void stream_shut(struct connection *connection)
{
	latch_begin();
	atomic_fetch_or(&our_writer(connection)->marks, MARK_SHUT);
	bell_tell_reader(connection);
	latch_end();
}
