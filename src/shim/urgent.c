/* SPDX-License-Identifier: MIT */
#include "shim/urgent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "shim/bell.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/quiet.h"

#define LOOKS_FOR_THE_BYTE 20 /* of a millisecond: the daemon has just announced it */

static uint64_t position_of(const struct connection *connection)
{
	return atomic_load_explicit(&connection->receive.own->position, memory_order_relaxed);
}

static struct segment_urgent *urgent_of(const struct connection *connection)
{
	return &connection->receive.shared->urgent;
}

/* Position behind the last urgent byte that was announced; 0: none was. */
static uint64_t last_urgent(const struct connection *connection)
{
	return atomic_load(&peer_writer(connection)->urgent);
}

static bool is_taken(const struct connection *connection, uint64_t urgent)
{
	return atomic_load(&urgent_of(connection)->taken) == urgent;
}

static bool is_in_line(const struct connection *connection)
{
	int in_line = 0;
	socklen_t length = sizeof(in_line);

	return libc.getsockopt(connection->fd, SOL_SOCKET, SO_OOBINLINE, &in_line, &length) == 0 &&
	       in_line;
}

/* How much of the hole is in front of a reader at @position. */
static uint64_t hole_at(const struct connection *connection, uint64_t position)
{
	const struct segment_urgent *urgent = urgent_of(connection);
	const uint64_t to = atomic_load(&urgent->hole_to);

	return position >= atomic_load(&urgent->hole_from) && position < to ? to - position : 0;
}

/* What the next read passes, at @position with @there bytes in the ring. */
static size_t skip_at(const struct connection *connection, uint64_t position, uint64_t urgent,
		      size_t there)
{
	uint64_t skip = hole_at(connection, position);

	if (position + skip == urgent - 1)
		skip++;
	if (!skip || is_in_line(connection))
		return 0;
	return skip < there ? (size_t)skip : there;
}

struct urgent_view urgent_look(const struct connection *connection)
{
	/* What is seen to be there was announced before. */
	const size_t there = ring_available(&connection->receive);
	const uint64_t urgent = last_urgent(connection), position = position_of(connection);
	struct urgent_view view = {.most = there};
	uint64_t next;

	if (__builtin_expect(urgent == 0, 1))
		return view;
	view.skip = skip_at(connection, position, urgent, there);
	view.most -= view.skip;
	next = position + view.skip;
	if (urgent - 1 > next && urgent - 1 - next < view.most)
		view.most = (size_t)(urgent - 1 - next);
	return view;
}

void urgent_pass(struct connection *connection, size_t n)
{
	struct ring *ring = &connection->receive;
	uint8_t *span;

	while (n) {
		ssize_t some = ring_front(ring, &span);

		if (some <= 0)
			return;
		some = (size_t)some < n ? some : (ssize_t)n;
		ring_release(ring, (size_t)some);
		n -= (size_t)some;
	}
}

/* (the stand-in's error is left where it is) */
void urgent_quiet(const struct connection *connection)
{
	const int saved = errno;
	char bytes[64];
	int queued = 0;

	if (last_urgent(connection) == 0)
		return;
	while (libc.ioctl(connection->stand_in, SIOCINQ, &queued) == 0 && queued > 0) {
		const size_t some = (size_t)queued < sizeof(bytes) ? (size_t)queued : sizeof(bytes);

		if (quiet_recv(connection->stand_in, bytes, some, MSG_DONTWAIT) <= 0)
			break;
	}
	errno = saved;
}

/* Is there one, here or announced, that is neither taken nor passed? */
static bool is_ahead(const struct connection *connection, uint64_t urgent)
{
	return urgent && position_of(connection) < urgent && !is_taken(connection, urgent);
}

void urgent_arm(const struct connection *connection)
{
	if (!is_ahead(connection, last_urgent(connection)))
		urgent_quiet(connection);
}

/* The peer may send nothing before it knows. */
static void tell_daemon(struct connection *connection)
{
	_Atomic uint32_t *armed = &peer_writer(connection)->wants_space;

	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load(armed))
		(void)bell_answer(connection, armed, BELL_SPACE);
}

void urgent_after_read(struct connection *connection, uint64_t before)
{
	const uint64_t urgent = last_urgent(connection);

	if (__builtin_expect(urgent == 0 || urgent <= before, 1))
		return;
	if (position_of(connection) == urgent - 1 && is_taken(connection, urgent) &&
	    !is_in_line(connection))
		urgent_pass(connection, 1);
	urgent_arm(connection);
	if (position_of(connection) >= urgent)
		tell_daemon(connection);
}

bool urgent_is_there(const struct connection *connection)
{
	const uint64_t urgent = last_urgent(connection);

	return is_ahead(connection, urgent) &&
	       atomic_load(&peer_writer(connection)->produced) >= urgent;
}

bool urgent_at_mark(const struct connection *connection)
{
	const uint64_t urgent = last_urgent(connection);
	uint64_t position = position_of(connection);
	const uint64_t hole = hole_at(connection, position);

	if (hole && !is_in_line(connection))
		position += hole;
	/* One that was taken is passed at once. */
	return urgent &&
	       (position == urgent - 1 || (position == urgent && is_taken(connection, urgent)));
}

size_t urgent_queued(const struct connection *connection)
{
	if (last_urgent(connection) == 0 || is_in_line(connection))
		return ring_available(&connection->receive);
	return urgent_at_mark(connection) ? 0 : urgent_look(connection).most;
}

/* Does the byte that was announced come at once? */
static bool has_arrived(const struct connection *connection, uint64_t urgent)
{
	for (int looks = 0; atomic_load(&peer_writer(connection)->produced) < urgent; looks++)
		if (looks == LOOKS_FOR_THE_BYTE || quiet_poll(NULL, 0, 1) < 0)
			return false;
	return true;
}

/* The byte, if nobody has taken or passed it; from then on it is taken, unless @peeks.  0 or -errno. */
static int take_byte(struct connection *connection, uint64_t urgent, bool peeks, uint8_t *byte)
{
	_Atomic uint64_t *taken = &urgent_of(connection)->taken;
	const uint8_t *at = ring_arrived_at(&connection->receive, urgent - 1);
	uint64_t before = atomic_load(taken);

	if (!at)
		return -EAGAIN;
	*byte = *at;
	atomic_thread_fence(memory_order_seq_cst);
	if (before == urgent || position_of(connection) >= urgent)
		return -EINVAL;
	return peeks || atomic_compare_exchange_strong(taken, &before, urgent) ? 0 : -EINVAL;
}

ssize_t urgent_take(struct connection *connection, struct place place, size_t want, int flags)
{
	const uint64_t urgent = last_urgent(connection);
	_Atomic uint32_t *lock = &connection->receive.own->lock;
	const bool peeks = flags & MSG_PEEK;
	uint8_t byte = 0;
	bool locked;
	int error;

	if (!is_ahead(connection, urgent) || is_in_line(connection))
		return -EINVAL;
	if (!has_arrived(connection, urgent))
		return -EAGAIN;
	/* Not where a handler of SIGURG has interrupted who holds it: the rest is done by that one. */
	locked = latch_take(lock) == 0;
	error = take_byte(connection, urgent, peeks, &byte);
	if (locked && !error && !peeks)
		urgent_after_read(connection, position_of(connection));
	if (locked)
		latch_drop(lock);
	if (error)
		return error;
	place_advance(&place, 0);
	if (want && !(flags & MSG_TRUNC) && !place_put(&place, &byte, 1))
		return -EFAULT;
	return want ? 1 : 0;
}

void urgent_follow_owner(const struct connection *connection, int fd)
{
	struct f_owner_ex owner;
	const int saved = errno;

	if (libc.fcntl(fd, F_GETOWN_EX, &owner) == 0 && owner.pid)
		(void)libc.fcntl(connection->stand_in, F_SETOWN_EX, &owner);
	errno = saved;
}
