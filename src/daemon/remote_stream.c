/* SPDX-License-Identifier: MIT */
/*
 * The two rings of a remote connection
 */
#include <sys/socket.h>

#include "daemon/apps.h"
#include "daemon/remote_state.h"
#include "ring/segment.h"

void remote_stream_open(struct remote *remote)
{
	struct remote_map *map = remote->map;

	remote->send.shared = &map->control->direction[0];
	remote->send.own = &remote->own[0];
	remote->send.near = map->send;
	remote->send.bytes = (uint32_t)map->send_bytes;
	remote->receive.shared = &map->control->direction[1];
	remote->receive.own = &remote->own[1];
	remote->receive.near = map->receive;
	remote->receive.bytes = (uint32_t)map->receive_bytes;
	if (map->send_bytes > SEGMENT_NEAR)
		remote->send.far = map->send + SEGMENT_NEAR;
	remote->send.segment = remote->receive.segment = -1; /* all of it is mapped */
}

static uint64_t own_position(const struct ring *ring)
{
	return atomic_load_explicit(&ring->own->position, memory_order_relaxed);
}

static uint64_t produced(const struct remote *remote)
{
	return atomic_load_explicit(&remote->send.shared->writer.produced, memory_order_acquire);
}

static uint64_t consumed(const struct remote *remote)
{
	return atomic_load_explicit(&remote->receive.shared->reader.consumed, memory_order_acquire);
}

uint64_t remote_app_urgent(const struct remote *remote)
{
	return atomic_load_explicit(&remote->send.shared->writer.urgent, memory_order_acquire);
}

/* What the application has written. */
static bool look_at_writer(struct remote *remote)
{
	uint64_t before, urgent;
	uint8_t *span;

	if (ring_front(&remote->send, &span) < 0) {
		remote->broken = true;
		return true;
	}
	if (remote->own[0].seen == remote->written)
		return false;
	before = remote->written;
	remote->written = remote->own[0].seen;
	urgent = remote_app_urgent(remote);
	if (urgent > before && urgent <= remote->written)
		(void)connection_written(remote->connection, urgent, true);
	if (urgent == remote->written || !remote->connection)
		return true;
	/* After a shutdown it is refused, as send(2) does: the application was told by its shim. */
	(void)connection_written(remote->connection, remote->written, false);
	return true;
}

/* What it has read. */
static bool look_at_reader(struct remote *remote)
{
	uint64_t position = consumed(remote);

	if (position == remote->read)
		return false;
	if (position < remote->read || position > own_position(&remote->receive)) {
		remote->broken = true;
		return true;
	}
	remote->read = position;
	if (connection_read(remote->connection, position))
		remote->broken = true;
	return true;
}

bool remote_look(struct remote *remote)
{
	bool news = look_at_writer(remote);

	/* (each call may have been the connection's last) */
	if (remote->connection && !remote->broken && remote->phase == REMOTE_SMC)
		news |= look_at_reader(remote);
	return news;
}

bool remote_has_news(const struct remote *remote)
{
	switch (remote->phase) {
	case REMOTE_RENDEZVOUS:
		return produced(remote) != remote->written;
	case REMOTE_SMC:
		return produced(remote) != remote->written || consumed(remote) != remote->read;
	case REMOTE_RELAY:
		return remote_tcp_ready(remote) && ring_available(&remote->send);
	default:
		return false;
	}
}

/*
 * Who stands in front of an older one does not get that, as with TCP.  The signal, and who polls for it, comes
 * before the byte does, so that nobody has read past it.
 */
void remote_urgent(struct remote *remote, uint64_t position)
{
	struct segment_direction *shared = remote->receive.shared;
	const uint64_t at = consumed(remote);
	const uint64_t before = remote->urgent;

	if (before && (at + 1 == before || (at < before && remote->passed + 1 == before))) {
		if (at + 1 == before)
			atomic_store(&shared->urgent.hole_from, at);
		atomic_store(&shared->urgent.hole_to, before);
		remote->passed = before;
	}
	remote->urgent = position;
	atomic_store(&shared->writer.urgent, position);
	if (remote->stand_in_fd >= 0)
		(void)send(remote->stand_in_fd, "", 1, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL);
}

void remote_release(struct remote *remote, uint64_t position)
{
	size_t before = ring_available(&remote->send);
	uint64_t at;
	uint8_t *span;
	ssize_t n;

	/* Lap by lap: ring_front() goes over to the next one. */
	while ((at = own_position(&remote->send)) < position) {
		n = ring_front(&remote->send, &span);
		if (n <= 0) {
			remote->broken = true;
			return;
		}
		if ((uint64_t)n > position - at)
			n = (ssize_t)(position - at);
		ring_release(&remote->send, (size_t)n);
		ring_sign(&remote->send);
	}
	remote_wake_writer(remote, before);
}
