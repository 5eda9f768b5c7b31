/* SPDX-License-Identifier: MIT */
/*
 * The two rings of a remote connection, and their bells
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include "daemon/apps.h"
#include "daemon/remote_state.h"
#include "ring/segment.h"

#define BELL_FULL_ENOUGH 32U /* rings whose bytes are worth taking: some 200 fit */

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

/* Who has taken the armed word rings: that many bytes are in the bell. */
static void arm(struct remote_bell *bell, _Atomic uint32_t *armed)
{
	if (atomic_load_explicit(armed, memory_order_relaxed))
		return;
	bell->rings++;
	atomic_store_explicit(armed, 1, memory_order_relaxed);
}

void remote_arm(struct remote *remote)
{
	arm(&remote->data, &remote->send.shared->reader.wants_data);
	if (ring_unread(&remote->receive))
		arm(&remote->space, &remote->receive.shared->writer.wants_space);
	atomic_thread_fence(memory_order_seq_cst);
}

void remote_disarm(struct remote *remote)
{
	_Atomic uint32_t *armed = &remote->send.shared->reader.wants_data;

	if (atomic_load_explicit(armed, memory_order_relaxed) && atomic_exchange(armed, 0) &&
	    remote->data.rings)
		remote->data.rings--;
}

/* A full bell has been rung often enough; one whose other end is closed needs no ringing. */
static void ring_bell(int bell)
{
	(void)send(bell, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
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

void remote_wake_reader(struct remote *remote)
{
	_Atomic uint32_t *armed = &remote->receive.shared->reader.wants_data;

	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(armed, memory_order_relaxed) && atomic_exchange(armed, 0))
		ring_bell(remote->data.fd);
}

/*
 * A writer sleeps while less than a third is free; who waits for the ring to become empty (MARK_BACK) sleeps
 * until then.
 */
static bool worth_waking(const struct remote *remote, size_t before)
{
	const size_t third = remote->send.bytes / 3, now = ring_available(&remote->send);

	return before == SIZE_MAX || now == 0 || (before >= third && now <= third * 2);
}

void remote_wake_writer(struct remote *remote, size_t before)
{
	_Atomic uint32_t *armed = &remote->send.shared->writer.wants_space;

	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(armed, memory_order_relaxed) && worth_waking(remote, before) &&
	    atomic_exchange(armed, 0))
		ring_bell(remote->space.fd);
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
	}
	remote_wake_writer(remote, before);
}

static void run_drain(struct call *call)
{
	const struct remote_bell *bell = list_owner(call, struct remote_bell, drain);
	char bytes[BELL_FULL_ENOUGH * 4];

	(void)!recv(bell->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
}

static void drained(struct call *call)
{
	struct remote_bell *bell = list_owner(call, struct remote_bell, drain);

	bell->draining = false;
	remote_activate(bell->remote);
}

/*
 * Each byte is an event of its own, so that a few may stay.  The end is closed with the last descriptor of
 * the connection, or because the application has gone back to TCP and needs no bells there.
 */
static void on_bell(void *context, uint32_t events)
{
	struct remote_bell *bell = context;
	struct remote *remote = bell->remote;

	if (events & EPOLLHUP && !remote->relay.back)
		remote->app_gone = true;
	if (!bell->draining && bell->rings >= BELL_FULL_ENOUGH) {
		bell->draining = true;
		bell->rings = 0;
		caller_submit(&remote->apps->caller, &bell->drain);
	}
	remote_activate(remote);
}

int remote_bell_open(struct remote *remote, struct remote_bell *bell)
{
	bell->remote = remote;
	bell->drain = (struct call){.run = run_drain, .done = drained, .user = remote->user};
	bell->watch = (struct loop_watch){bell->fd, on_bell, bell};
	return loop_watch_add(remote->apps->loop, &bell->watch, EPOLLIN | EPOLLRDHUP | EPOLLET);
}
