/* SPDX-License-Identifier: MIT */
#include "shim/bell.h"

#include <errno.h>

#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/quiet.h"
#include "shim/urgent.h"

static const unsigned int ended[] = {
	[BELL_DATA] = ENDED_DATA_BELL, [BELL_SPACE] = ENDED_SPACE_BELL};

static void ring(struct connection *connection, enum bell bell)
{
	const int saved = errno;

	if (bell_fd(connection, bell) < 0)
		return; /* we went back to TCP, and gave the bells up */
	/*
	 * A full bell (EAGAIN) has been rung often enough.  EPIPE says only that the peer does not
	 * listen to this bell any more (it shut that direction down, or it is gone).
	 */
	(void)quiet_send(bell_fd(connection, bell), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	errno = saved;
}

bool bell_answer(struct connection *connection, _Atomic uint32_t *armed, enum bell bell)
{
	bool ours;

	latch_begin();
	ours = atomic_exchange(armed, 0);
	if (ours)
		ring(connection, bell);
	latch_end();
	return ours;
}

static void drain(struct connection *connection, enum bell bell)
{
	const int saved = errno;
	char bytes[64];
	ssize_t n = quiet_recv(bell_fd(connection, bell), bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n > 0)
		atomic_store_explicit(&connection->bell_rung[bell], false, memory_order_relaxed);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		atomic_fetch_or(&connection->ended, ended[bell]);
	errno = saved;
}

void bell_arm(struct connection *connection, enum bell bell)
{
	_Atomic uint32_t *armed = bell == BELL_DATA ? &our_armed(connection)->wants_data
						    : &our_writer(connection)->wants_space;
	struct side_direction *way =
		bell == BELL_DATA ? &connection->side->receive : &connection->side->send;
	bool locked = latch_take(&way->lock) == 0;

	/* Under the lock, and only with nothing to do, a byte is nobody's any more. */
	if (atomic_load_explicit(&connection->bell_rung[bell], memory_order_relaxed) &&
	    (bell == BELL_DATA ? urgent_readable(connection) == 0 : !send_has_room(connection)))
		drain(connection, bell);
	atomic_store_explicit(&connection->bell_armed[bell], true, memory_order_relaxed);
	atomic_store(armed, 1);
	atomic_thread_fence(memory_order_seq_cst);
	if (locked)
		latch_drop(&way->lock);
}
