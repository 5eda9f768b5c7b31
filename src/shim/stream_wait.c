/* SPDX-License-Identifier: MIT */
/*
 * How a blocking call waits: look, yield, and then sleep on a doorbell
 *
 * The sleep is ppoll() on the bell and the TCP socket, which tells of resets and of bytes written
 * past the ring too.  A signal always interrupts it: so it does TCP's wait when SO_RCVTIMEO or
 * SO_SNDTIMEO is set or some bytes were transferred.  Otherwise signals_restarted() says whether to go on.
 */
#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include "shim/bell.h"
#include "shim/cleanup.h"
#include "shim/clock.h"
#include "shim/handlers.h"
#include "shim/libc.h"
#include "shim/signals.h"
#include "shim/stand_in.h"
#include "shim/stream.h"

#define LOW_WATER_NS 1000000ULL
#define BELL_IS_DEAD_NS 5000000ULL /* how often to look when the bell can no longer wake us */

/* A sender whose peer no longer reads is the kernel's business. */
static bool sender_may_go_on(struct connection *connection)
{
	unsigned int theirs =
		atomic_load_explicit(&peer_writer(connection)->marks, memory_order_relaxed);
	unsigned int ours =
		atomic_load_explicit(&our_writer(connection)->marks, memory_order_relaxed);

	if (is_draining(connection))
		return (ours & MARK_SHUT) || has_ended(connection, ENDED_TCP | ENDED_BROKEN);
	if (ring_writable(&connection->send) || (theirs & MARK_CLOSED) || (ours & MARK_SHUT) ||
	    is_back(connection))
		return true;
	if (has_ended(connection, ENDED_HANGUP | ENDED_BROKEN))
		return true;
	/* A FIN with the mark is a half close. */
	return (theirs & MARK_SHUT) ? has_ended(connection, ENDED_DATA_BELL | ENDED_SPACE_BELL)
				    : has_ended(connection, ENDED_TCP);
}

static bool receiver_may_go_on(struct connection *connection, size_t beyond)
{
	unsigned int theirs =
		atomic_load_explicit(&peer_writer(connection)->marks, memory_order_relaxed);

	if (has_ended(connection, ENDED_TCP | ENDED_BROKEN | ENDED_RESET | ENDED_BY_US))
		return true;
	if (!receive_has_moved(connection))
		return move_receive(connection);
	return ring_available(&connection->receive) > beyond ||
	       (theirs & (MARK_SHUT | MARK_CLOSED)) || receive_is_back(connection);
}

/* Whether there is something for a caller in direction @way to do. */
static bool may_go_on(struct connection *connection, enum way way, const struct call *call)
{
	return way == DIRECTION_SEND ? sender_may_go_on(connection)
				     : receiver_may_go_on(connection, call->beyond);
}

uint64_t stream_deadline(int fd, enum way way)
{
	struct timeval limit;
	struct timespec timeout;
	socklen_t length = sizeof(limit);
	int option = way == DIRECTION_SEND ? SO_SNDTIMEO : SO_RCVTIMEO;
	uint64_t deadline;

	if (libc.getsockopt(fd, SOL_SOCKET, option, &limit, &length) < 0 ||
	    (limit.tv_sec == 0 && limit.tv_usec == 0))
		return NEVER;
	timeout.tv_sec = limit.tv_sec;
	timeout.tv_nsec = limit.tv_usec * 1000;
	deadline = clock_deadline(&timeout);
	return deadline == NEVER ? NEVER - 1 : deadline; /* however long, it is_timed() */
}

static int sleep_in_poll(struct connection *connection, int fd, enum way way, uint64_t deadline,
			 bool bell_is_dead)
{
	enum bell bell = way == DIRECTION_SEND ? BELL_SPACE : BELL_DATA;
	const bool tcp_is_read = way == DIRECTION_RECEIVE &&
				 connection_state_fd(connection, fd) == fd;
	const short events = tcp_is_read ? POLLIN | POLLRDHUP : POLLRDHUP;
	struct pollfd fds[2] = {
		{.fd = way == DIRECTION_SEND && is_remote(connection)
			       ? connection->stand_in
			       : connection_state_fd(connection, fd),
		 .events = events},
		{.fd = bell_is_dead ? -1 : bell_fd(connection, bell), .events = POLLIN}};
	const bool trims = stream_wants_trim(connection);
	uint64_t now = now_ns(), limit = deadline;
	struct timespec rest;
	int n;

	if (deadline != NEVER && now >= deadline)
		return -EAGAIN;
	/* A half close that we know of would wake us for ever. */
	if (way == DIRECTION_SEND && (atomic_load(&peer_writer(connection)->marks) & MARK_SHUT))
		fds[0].events = 0;
	if (bell_is_dead && (limit == NEVER || limit > now + BELL_IS_DEAD_NS))
		limit = now + BELL_IS_DEAD_NS;
	/* TCP's own mark counts without what was read already, and without the ring. */
	if (way == DIRECTION_RECEIVE && has_low_water(connection) &&
	    (limit == NEVER || limit > now + LOW_WATER_NS))
		limit = now + LOW_WATER_NS;
	if (trims && (limit == NEVER || limit > now + STREAM_IDLE_NS))
		limit = now + STREAM_IDLE_NS;
	rest.tv_sec = (time_t)((limit - now) / 1000000000ULL);
	rest.tv_nsec = (long)((limit - now) % 1000000000ULL);
	n = libc.ppoll(fds, 2, limit == NEVER ? NULL : &rest, NULL);
	if (n < 0)
		return -errno;
	if (n == 0 && trims)
		stream_trim(connection);
	if (fds[0].revents & (POLLRDHUP | POLLHUP | POLLERR))
		atomic_fetch_or(&connection->ended, ENDED_TCP);
	if (fds[1].revents)
		bell_seen(connection, bell);
	return 0;
}

/* Any handler interrupts such a wait, else only one without SA_RESTART. */
static bool is_timed(const struct call *call)
{
	return call->partial || call->deadline != NEVER;
}

static bool is_interrupted(const struct call *call)
{
	return is_timed(call) ? handler_runs.all != call->before.all
			      : handler_runs.interrupting != call->before.interrupting;
}

static int sleep_on_bell(struct connection *connection, int fd, enum way way,
			 const struct call *call)
{
	enum bell bell = way == DIRECTION_SEND ? BELL_SPACE : BELL_DATA;
	const unsigned int dead = bell == BELL_DATA ? ENDED_DATA_BELL : ENDED_SPACE_BELL;
	const int error =
		sleep_in_poll(connection, fd, way, call->deadline, has_ended(connection, dead));

	return error == -EINTR && !is_timed(call) && signals_restarted(&call->before) ? 0 : error;
}

/* The thread is cancelled in its sleep. */
static void abandon(void *context)
{
	struct connection *connection = context;

	connection_wake(connection);
	connection_put(connection);
}

/* Ready to sleep?  0, or what the call returns. */
static int prepare(struct connection *connection, int fd, enum way way, struct call *call)
{
	const int status_flags = libc.fcntl(fd, F_GETFL);

	if (status_flags >= 0 && (status_flags & O_NONBLOCK)) {
		atomic_fetch_or(&connection->side->flags, SIDE_NONBLOCK);
		return -EAGAIN;
	}
	if (call->deadline == 0)
		call->deadline = stream_deadline(fd, way);
	bell_arm(connection, way == DIRECTION_SEND ? BELL_SPACE : BELL_DATA);
	return 0;
}

static bool look(struct connection *connection, enum way way, const struct call *call,
		 struct wait *wait)
{
	struct ring *send = &connection->send;

	wait_begin(wait, &connection->habits[way], settings.wait_yields, ring_reader_at(send));
	do {
		if (may_go_on(connection, way, call)) {
			wait_found(wait);
			/* Not after pauses alone: the peer would want its line back at once. */
			if (wait->yielded && send_has_moved(connection))
				ring_find_reader(send);
			return true;
		}
		stand_in_prepare(wait);
	} while (handler_runs.all == call->before.all && wait_step(wait));
	return false;
}

int stream_wait(struct connection *connection, int fd, enum way way, struct call *call)
{
	struct cleanup cleanup;
	struct wait wait;
	uint64_t start;
	int error;

	if (look(connection, way, call, &wait))
		return 0;
	error = prepare(connection, fd, way, call);
	if (error || may_go_on(connection, way, call))
		return error;
	if (is_interrupted(call))
		return -EINTR;
	if (!call->sleeps)
		connection_sleep(connection);
	call->sleeps = true;
	start = now_ns();
	cleanup_push(&cleanup, abandon, connection);
	error = sleep_on_bell(connection, fd, way, call);
	cleanup_pop(&cleanup);
	if (!wait.meets)
		wait_slept(&connection->habits[way], now_ns() - start);
	return error;
}
