/* SPDX-License-Identifier: MIT */
#include "daemon/remote_bell.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "daemon/apps.h"
#include "daemon/remote_kept.h"
#include "daemon/remote_state.h"
#include "ring/segment.h"

#define BELL_FULL_ENOUGH 32U /* rings whose bytes are worth taking: some 200 fit */

static void run_drain(struct call *call)
{
	const struct remote_bell *bell = list_owner(call, struct remote_bell, drain);
	char bytes[BELL_FULL_ENOUGH * 4];

	(void)!recv(bell->watch.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
}

static void drained(struct call *call)
{
	struct remote_bell *bell = list_owner(call, struct remote_bell, drain);

	bell->draining = false;
	remote_activate(bell->map->remote);
}

/*
 * The end is closed with the last descriptor of the connection, or because the application has gone back to
 * TCP and needs no bells there.
 */
static void on_bell(void *context, uint32_t events)
{
	struct remote_bell *bell = context;
	struct remote_map *map = bell->map;
	struct remote *remote = map->remote;

	if (events & EPOLLHUP)
		map->hung_up = true;
	if (!remote) {
		if (map->hung_up)
			remote_kept_desert(map);
		return;
	}
	if (map->hung_up && !remote->relay.back)
		remote->app_gone = true;
	if (!bell->draining && bell->rings >= BELL_FULL_ENOUGH) {
		bell->draining = true;
		bell->rings = 0;
		caller_submit(&map->apps->caller, &bell->drain);
	}
	remote_activate(remote);
}

int remote_bells_open(struct remote_map *map, struct apps *apps, const int fds[BELLS])
{
	int error = 0;

	apps->fds_held += BELLS;
	for (unsigned int i = 0; i < BELLS; i++) {
		struct remote_bell *bell = &map->bells[i];

		bell->map = map;
		bell->drain = (struct call){.run = run_drain, .done = drained, .user = map->owner};
		bell->watch = (struct loop_watch){fds[i], on_bell, bell};
		if (!error)
			error = loop_watch_add(apps->loop, &bell->watch,
					       EPOLLIN | EPOLLRDHUP | EPOLLET);
	}
	return error;
}

void remote_bells_close(struct remote_map *map, bool late)
{
	struct apps *apps = map->apps;

	if (map->bells[BELL_DATA].watch.fd < 0)
		return;
	for (unsigned int i = 0; i < BELLS; i++) {
		const int fd = map->bells[i].watch.fd;

		loop_watch_remove(apps->loop, &map->bells[i].watch);
		if (late)
			disposer_add_later(apps->disposer, DISPOSE_SOCKET, fd, NULL);
		else
			disposer_add(apps->disposer, DISPOSE_SOCKET, fd, NULL);
	}
	apps->fds_held -= BELLS;
}

bool remote_bells_busy(const struct remote_map *map)
{
	return map->bells[BELL_DATA].draining || map->bells[BELL_SPACE].draining;
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
	struct remote_bell *bells = remote->map->bells;

	arm(&bells[BELL_DATA], &remote->send.shared->armed.wants_data);
	if (ring_unread(&remote->receive))
		arm(&bells[BELL_SPACE], &remote->receive.shared->writer.wants_space);
	atomic_thread_fence(memory_order_seq_cst);
}

void remote_disarm(struct remote *remote)
{
	_Atomic uint32_t *armed = &remote->send.shared->armed.wants_data;
	struct remote_bell *data = &remote->map->bells[BELL_DATA];

	if (atomic_load_explicit(armed, memory_order_relaxed) && atomic_exchange(armed, 0) &&
	    data->rings)
		data->rings--;
}

/* A full bell has been rung often enough; one whose other end is closed needs no ringing. */
static void ring_bell(const struct remote *remote, enum remote_bell_kind kind)
{
	(void)send(remote->map->bells[kind].watch.fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void remote_wake_reader(struct remote *remote)
{
	_Atomic uint32_t *armed = &remote->receive.shared->armed.wants_data;

	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(armed, memory_order_relaxed) && atomic_exchange(armed, 0))
		ring_bell(remote, BELL_DATA);
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
		ring_bell(remote, BELL_SPACE);
}
