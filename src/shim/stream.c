/* SPDX-License-Identifier: MIT */
#include "shim/stream.h"

#include <netinet/in.h>
#include <time.h>

#include "ring/lock.h"
#include "shim/bell.h"
#include "shim/libc.h"
#include "shim/stream_common.h"

void stream_break(struct connection *connection, int fd)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};

	if (atomic_fetch_or(&connection->ended, ENDED_BROKEN) & ENDED_BROKEN)
		return;
	settings_say("descriptor %d: the peer broke the rules of the ring: reset", fd);
	libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	libc.shutdown(fd, SHUT_RDWR);
}

bool stream_time_to_look(struct connection *connection)
{
	struct timespec now;
	uint64_t tick;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	tick = (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
	if (atomic_load_explicit(&connection->checked_at, memory_order_relaxed) == tick)
		return false;
	atomic_store_explicit(&connection->checked_at, tick, memory_order_relaxed);
	return true;
}

void stream_trim(struct connection *connection)
{
	struct ring *ring = &connection->send;

	if (!stream_wants_trim(connection) || lock_take(&ring->own->lock, thread_id()) < 0)
		return;
	ring_trim(ring, STREAM_KEEP);
	connection->not_trimmed_at = ring->own->position;
	lock_drop(&ring->own->lock);
}

void stream_shut(struct connection *connection)
{
	atomic_fetch_or(&our_writer(connection)->marks, MARK_SHUT);
	bell_tell_reader(connection);
}
