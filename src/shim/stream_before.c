/* SPDX-License-Identifier: MIT */
/*
 * Receiving on a connection that has rings, before that direction has moved
 */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "shim/clock.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/place.h"
#include "shim/quiet.h"
#include "shim/stream_common.h"

#define VAIN_READS 2U
#define SLEEPER_NS 100000000ULL /* how long a woken reader may take, on a busy machine too */

/* Behind the switching bytes TCP has what was sent by a peer that has gone back; the ring comes first. */
static ssize_t until_the_switch(const struct connection *connection)
{
	const uint32_t switched = atomic_load(&peer_writer(connection)->switched);
	uint64_t left = 0;

	if (switched == SWITCH_BEGUN || switched == SWITCH_DONE)
		left = atomic_load(&peer_writer(connection)->switch_at) -
		       atomic_load(&connection->side->receive.tcp_bytes);
	return left && left < SSIZE_MAX ? (ssize_t)left : SSIZE_MAX;
}

/*
 * Another reader is in the kernel, and may sleep there since before there were rings.  Nothing but the bytes
 * that switch the direction wakes it: they are left to it, unless it does not come for them (its process is
 * stopped).
 *
 * Return: how many bytes may be taken; 0 or -errno: what the kernel says to everybody.
 */
static ssize_t leave_the_switch(const struct connection *connection, int fd)
{
	const struct side_direction *direction = &connection->side->receive;
	const struct segment_writer *theirs = peer_writer(connection);
	const uint64_t before = atomic_load(&direction->tcp_bytes);
	uint64_t patience;
	int there = 1;
	char byte;
	ssize_t n;

	n = quiet_recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	(void)libc.ioctl(fd, FIONREAD, &there);
	/* Said before those bytes are sent: if it is not, they are not among these. */
	if (atomic_load(&theirs->switched) == SWITCH_NONE ||
	    atomic_load(&theirs->switched) == SWITCH_OFF)
		return there > 0 ? there : 1;
	/* No calls on the socket meanwhile, whose lock it needs. */
	patience = now_ns() + SLEEPER_NS;
	while (atomic_load(&direction->in_kernel) > 1 &&
	       atomic_load(&direction->tcp_bytes) == before && now_ns() < patience)
		sched_yield();
	return until_the_switch(connection);
}

/* Who asks again and again in vain does not wait anywhere. */
static void note_vain(struct connection *connection, ssize_t n)
{
	if (n != -EAGAIN)
		atomic_store_explicit(&connection->vain_reads, 0, memory_order_relaxed);
	else if (atomic_fetch_add(&connection->vain_reads, 1) >= VAIN_READS)
		atomic_store_explicit(&connection->waited_for, true, memory_order_relaxed);
}

static ssize_t receive_counted(struct connection *connection, int fd, const struct place *place,
			       int flags, struct call *call)
{
	struct side_direction *direction = &connection->side->receive;
	bool alone = atomic_fetch_add(&direction->in_kernel, 1) == 0;
	struct iovec some[PLACE_VECTORS];
	struct msghdr message = {.msg_iov = some};
	bool may_sleep;
	ssize_t n, most;

	move_confirm(connection, fd, 1);
	may_sleep = alone && !has_low_water(connection) && !move_at_the_switch(connection) &&
		    call->deadline == 0;
	if (may_sleep && (flags & MSG_WAITALL)) /* the kernel's time-out is for this step */
		call->deadline = stream_deadline(fd, DIRECTION_RECEIVE);
	n = most = alone || (flags & MSG_PEEK) ? until_the_switch(connection)
					       : leave_the_switch(connection, fd);
	if (most > 0) {
		message.msg_iovlen = (size_t)place_vectors(place, some, (size_t)most);
		flags &= ~MSG_WAITALL;
		n = stream_kernel_receive(connection, &direction->in_kernel, fd, &message,
					  may_sleep ? flags : flags | MSG_DONTWAIT);
	}
	note_vain(connection, n);
	if (n == -EAGAIN && !may_sleep)
		n = -ESTALE;
	if (n > 0 && !(flags & MSG_PEEK))
		move_account(connection, fd, DIRECTION_RECEIVE, (size_t)n);
	atomic_fetch_sub(&direction->in_kernel, 1);
	return n;
}

ssize_t stream_receive_tcp(struct connection *connection, int fd, const struct place *place,
			   int flags, struct call *call)
{
	ssize_t n;

	latch_begin();
	n = receive_counted(connection, fd, place, flags, call);
	latch_end();
	return n;
}
