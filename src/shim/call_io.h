/* SPDX-License-Identifier: MIT */
/*
 * What the stand-ins for sending and receiving share (call_io.c, call_message.c)
 *
 * Theory of operation
 *
 * Each looks the descriptor up.  No connection, or one without rings: the real call, counted.  Otherwise
 * stream_receive() or stream_send().
 *
 * MSG_WAITALL does not reach the kernel, which would go on waiting there after a move: it is many calls
 * without it (call_io_receive_all()).  With MSG_PEEK it cannot be, and keeps this end from moving as
 * long as it waits (call_io_begin()).
 */
#ifndef SMCU_SHIM_CALL_IO_H
#define SMCU_SHIM_CALL_IO_H

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "shim/cleanup.h"
#include "shim/connection.h"
#include "shim/libc.h"
#include "shim/stream.h"

/*
 * call_io_enter - connection_get(), and a cancellation point: the ring may serve a call without any other
 *
 * In a program of one thread, TCP's call is one soon enough.
 */
struct connection *call_io_enter(int fd);

typedef ssize_t stream_call(struct connection *connection, int fd, const struct iovec *iov,
			    int count, int flags);

/**
 * call_io_with_vectors - a call on vectors of the program's, which may lie anywhere
 * @call: stream_receive() or its like, given a checked copy
 *
 * Return: what @call returns; -EMSGSIZE, -EFAULT, -EINVAL as the kernel has them.
 */
ssize_t call_io_with_vectors(stream_call *call, struct connection *connection, int fd,
			     const struct iovec *vector, size_t count, int flags);

/* call_io_pin_out_of_band - a call with flags that a connection before its move stays TCP for */
void call_io_pin_out_of_band(int fd, int flags);

/* call_io_waits_for_all - is this call one for call_io_receive_all()? */
bool call_io_waits_for_all(int fd, int flags);

/* call_io_receive_all - MSG_WAITALL; a stream_call */
ssize_t call_io_receive_all(struct connection *connection, int fd, const struct iovec *iov,
			    int count, int flags);

/* call_io_peeks_for_all - is this a call that the kernel makes whole, and that may wait in the middle? */
static inline bool call_io_peeks_for_all(int flags)
{
	return (flags & (MSG_PEEK | MSG_WAITALL)) == (MSG_PEEK | MSG_WAITALL);
}

/**
 * call_io_begin - stream_kernel_begin() of a receiving call with @flags, ended by call_io_end()
 *
 * One that peeks for all counts as one that polls, who is not to miss the move.  It is counted before the
 * connection is looked at: who attaches it meanwhile sees that.
 */
static inline bool call_io_begin(struct connection *connection, int flags)
{
	const bool polls = call_io_peeks_for_all(flags);

	if (polls)
		atomic_fetch_add(&connection->pollers, 1);
	if (stream_kernel_begin(connection, DIRECTION_RECEIVE))
		return true;
	if (polls)
		atomic_fetch_sub(&connection->pollers, 1);
	return false;
}

/* call_io_end - the real call returned @n; returns what ours does, with errno: see stream_result() */
static inline ssize_t call_io_end(struct connection *connection, int fd, int flags, ssize_t n)
{
	int due;

	stream_kernel_end(connection, fd, DIRECTION_RECEIVE,
			  flags & (MSG_PEEK | MSG_ERRQUEUE) ? 0 : n);
	if (call_io_peeks_for_all(flags))
		atomic_fetch_sub(&connection->pollers, 1);
	due = n == 0 ? stream_take_due(connection) : 0;
	return due ? to_errno(due) : n;
}

/* call_io_held - what a call holds between stream_kernel_begin() and stream_kernel_end() */
static inline struct kernel_call call_io_held(struct connection *connection, enum way way,
					      int flags)
{
	struct side_record *side = connection->side;
	struct kernel_call held = {.connection = connection,
				   .polls = way == DIRECTION_RECEIVE &&
					    call_io_peeks_for_all(flags)};

	if (side)
		held.in_kernel =
			way == DIRECTION_SEND ? &side->send.in_kernel : &side->receive.in_kernel;
	return held;
}

/*
 * The real call, between stream_kernel_begin() and stream_kernel_end(), where a thread may be cancelled, or a
 * handler may jump away.
 */
#define IN_KERNEL(RESULT, CALL, WAY, FLAGS)                                                        \
	do {                                                                                       \
		struct cleanup cleanup;                                                            \
		struct kernel_call held;                                                           \
                                                                                                   \
		held = call_io_held(connection, WAY, FLAGS);                                       \
		cleanup_push_lightly(&cleanup, stream_abandon_call, &held);                        \
		RESULT = CALL;                                                                     \
		cleanup_pop_lightly(&cleanup);                                                     \
	} while (0)

/*
 * The frame of every receiving stand-in: KERNEL is the real call, RING the one on a connection that
 * has rings; -ESTALE: it has none any more (sandbox.h).  It may have got them while we slept, and others may
 * have followed the switch: then what is in the ring comes before the end that the kernel tells of.
 */
#define RECEIVE(KERNEL, RING, FLAGS)                                                               \
	do {                                                                                       \
		struct connection *connection;                                                     \
		ssize_t result;                                                                    \
		bool begun;                                                                        \
                                                                                                   \
		libc_ready();                                                                      \
		connection = call_io_enter(fd);                                                    \
		if (!connection)                                                                   \
			return KERNEL;                                                             \
		begun = call_io_begin(connection, FLAGS);                                          \
		if (begun) {                                                                       \
			IN_KERNEL(result, KERNEL, DIRECTION_RECEIVE, FLAGS);                       \
			result = call_io_end(connection, fd, FLAGS, result);                       \
		}                                                                                  \
		if (!begun || (result == 0 && is_attached(connection))) {                          \
			result = RING;                                                             \
			result = result == -ESTALE ? KERNEL : to_errno(result);                    \
		}                                                                                  \
		connection_put(connection);                                                        \
		return result;                                                                     \
	} while (0)

#define SEND(KERNEL, RING)                                                                         \
	do {                                                                                       \
		struct connection *connection;                                                     \
		ssize_t result;                                                                    \
                                                                                                   \
		libc_ready();                                                                      \
		connection = call_io_enter(fd);                                                    \
		if (!connection)                                                                   \
			return KERNEL;                                                             \
		if (stream_kernel_begin(connection, DIRECTION_SEND)) {                             \
			result = stream_take_due(connection);                                      \
			if (result)                                                                \
				result = to_errno(result);                                         \
			else                                                                       \
				IN_KERNEL(result, KERNEL, DIRECTION_SEND, 0);                      \
			if (result > 0)                                                            \
				stream_note_size(connection, (size_t)result);                      \
			stream_kernel_end(connection, fd, DIRECTION_SEND, result);                 \
		} else {                                                                           \
			result = to_errno(RING);                                                   \
		}                                                                                  \
		connection_put(connection);                                                        \
		return result;                                                                     \
	} while (0)

#endif
