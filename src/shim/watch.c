/* SPDX-License-Identifier: MIT */
#include "shim/watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shim/epoll.h"
#include "shim/epoll_share.h"
#include "shim/fd_table.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/memory.h"

#define WATCHES_MAX FD_TABLE_MAX
#define RESERVED 4096U /* as many as a sandboxed program may need */
#define TCP_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET)
#define CONTROL_BITS (EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP)

/* The pool, guarded by the epoll lock. */
static struct memory_pool watches_memory = {.shared = true};
static struct watch *watches_free;
static uint32_t watches_used;

static bool have(uint32_t more)
{
	return memory_pool_open(&watches_memory, (watches_used + more) * sizeof(struct watch),
				WATCHES_MAX * sizeof(struct watch));
}

void watch_reserve(void)
{
	(void)have(RESERVED);
}

static struct watch *watch_new(void)
{
	struct watch *watch = watches_free;

	if (watch)
		watches_free = watch->next_of_poller;
	else if (have(1))
		watch = (struct watch *)watches_memory.base + watches_used++;
	else
		return NULL;
	memset(watch, 0, sizeof(*watch));
	return watch;
}

void watch_after_fork(void)
{
	watches_memory = (struct memory_pool){.shared = true};
	watches_free = NULL;
	watches_used = 0;
}

void watch_heat(struct watch *watch)
{
	struct poller *poller = watch->poller;
	struct watch *first = atomic_load_explicit(&poller->hot, memory_order_relaxed);

	watch->idle = 0;
	if (watch->hot)
		return;
	watch->hot = true;
	watch->previous = NULL;
	watch->next = first;
	if (first)
		first->previous = watch;
	atomic_store_explicit(&poller->hot, watch, memory_order_relaxed);
	poller->hot_count++;
}

void watch_cool(struct watch *watch)
{
	struct poller *poller = watch->poller;

	if (!watch->hot)
		return;
	watch->hot = false;
	if (watch->previous)
		watch->previous->next = watch->next;
	else
		atomic_store_explicit(&poller->hot, watch->next, memory_order_relaxed);
	if (watch->next)
		watch->next->previous = watch->previous;
	poller->hot_count--;
}

static int inner_add(struct watch *watch, int fd, enum watch_source source, uint32_t events)
{
	struct epoll_event event = {.events = events | EPOLLET};

	event.data.u64 = (uintptr_t)watch | source;
	return libc.epoll_ctl(watch->poller->inner, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static struct watch *leader_of(const struct watch *watch)
{
	struct watch *other = watch->connection->watches;

	while (other && (other->poller != watch->poller || !other->leads))
		other = other->next_of_connection;
	return other;
}

static int bells_add(struct watch *watch)
{
	struct watch *leader = leader_of(watch);
	int error;

	if (leader) {
		watch->sibling = leader->sibling;
		leader->sibling = watch;
		return 0;
	}
	watch->leads = true;
	error = inner_add(watch, watch->connection->data_bell, SOURCE_DATA, EPOLLIN);
	if (!error)
		error = inner_add(watch, watch->connection->space_bell, SOURCE_SPACE, EPOLLIN);
	if (!error && is_remote(watch->connection))
		error = inner_add(watch, watch->connection->stand_in, SOURCE_STAND_IN, TCP_EVENTS);
	return error;
}

/* Let the inner epoll watch a connection; the watch is hot from now on. */
int watch_enter(struct watch *watch)
{
	int error = inner_add(watch, watch->fd, SOURCE_TCP, TCP_EVENTS);

	if (!error)
		error = bells_add(watch);
	watch->side = watch->connection->side;
	watch->native = false;
	watch->fresh = true;
	watch_heat(watch);
	return error;
}

static void bell_pass_on(const struct watch *to, int fd, enum watch_source source)
{
	struct epoll_event event = {.events = EPOLLET |
					      (source == SOURCE_STAND_IN ? TCP_EVENTS : EPOLLIN)};

	event.data.u64 = (uintptr_t)to | source;
	(void)libc.epoll_ctl(to->poller->inner, EPOLL_CTL_MOD, fd, &event);
}

/* Out of the family: who led leaves the bells to the next. */
static void bells_remove(struct watch *watch)
{
	struct connection *connection = watch->connection;
	struct watch *leader = leader_of(watch), *next = watch->sibling;

	watch->sibling = NULL;
	if (!watch->leads) {
		while (leader && leader->sibling != watch)
			leader = leader->sibling;
		if (leader)
			leader->sibling = next;
		return;
	}
	watch->leads = false;
	if (next) {
		next->leads = true;
		bell_pass_on(next, connection->data_bell, SOURCE_DATA);
		bell_pass_on(next, connection->space_bell, SOURCE_SPACE);
		if (is_remote(connection))
			bell_pass_on(next, connection->stand_in, SOURCE_STAND_IN);
		return;
	}
	(void)libc.epoll_ctl(watch->poller->inner, EPOLL_CTL_DEL, connection->data_bell, NULL);
	(void)libc.epoll_ctl(watch->poller->inner, EPOLL_CTL_DEL, connection->space_bell, NULL);
	if (is_remote(connection))
		(void)libc.epoll_ctl(watch->poller->inner, EPOLL_CTL_DEL, connection->stand_in,
				     NULL);
}

void watch_leave(struct watch *watch)
{
	int inner = watch->poller->inner;

	watch_cool(watch);
	if ((watch->native && !watch->handed) || inner < 0)
		return;
	watch->handed = false;
	/* An orphan's number may be another's by now; its registration ends with the socket. */
	if (!watch->orphan)
		(void)libc.epoll_ctl(inner, EPOLL_CTL_DEL, watch->fd, NULL);
	bells_remove(watch);
}

void watch_return(struct watch *watch)
{
	struct epoll_event event = {.events = watch->events, .data = watch->data};
	const int fd = watch->orphan ? watch->connection->fd : watch->fd;

	watch_leave(watch);
	watch->fresh = true;
	watch->native = !watch->disabled &&
			libc.epoll_ctl(watch->poller->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

void watch_give(struct watch *watch, int epoll, int fd)
{
	struct epoll_event event = {.events = watch->disabled ? EPOLLONESHOT : watch->events,
				    .data = watch->data};

	(void)libc.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	watch->native = true;
}

struct watch *watch_find(struct connection *connection, const struct poller *poller, int fd)
{
	struct watch *watch = connection->watches;

	while (watch && (watch->poller != poller || watch->fd != fd))
		watch = watch->next_of_connection;
	return watch;
}

struct watch *watch_link(struct poller *poller, struct connection *connection, int fd,
			 const struct epoll_event *event)
{
	struct watch *watch = watch_new();

	if (!watch)
		return NULL;
	atomic_store(&connection->waited_for, true);
	watch->connection = connection;
	watch->side = connection->side;
	watch->fd = fd;
	watch->poller = poller;
	watch->events = event->events;
	watch->data = event->data;
	watch->native = true;
	watch->next_of_connection = connection->watches;
	connection->watches = watch;
	(void)latch_take(&poller->lock);
	watch->next_of_poller = poller->watches;
	poller->watches = watch;
	latch_drop(&poller->lock);
	return watch;
}

void watch_free(struct watch *watch)
{
	watch->next_of_poller = watches_free;
	watches_free = watch;
}

static void watch_unlink(struct watch *watch)
{
	const bool wanted = epoll_share_wants(watch);
	struct watch **link;

	for (link = &watch->connection->watches; *link && *link != watch;)
		link = &(*link)->next_of_connection;
	if (*link)
		*link = watch->next_of_connection;
	for (link = &watch->poller->watches; *link && *link != watch;)
		link = &(*link)->next_of_poller;
	if (*link)
		*link = watch->next_of_poller;
	watch->connection = NULL;
	if (wanted)
		epoll_share_leave(watch);
	else
		watch_free(watch);
}

/*
 * While the daemon holds the socket, closing it would not end the kernel's registration.  Nor does it
 * where another process has it, which is as it should be.
 */
static void end_in_kernel(const struct watch *watch)
{
	const struct connection *connection = watch->connection;

	if ((connection->id || connection->handed_over) &&
	    (!connection->side || is_alone(connection)))
		(void)libc.epoll_ctl(watch->poller->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
}

/* Unlink a watch, with its registrations in the inner epoll. */
void watch_end(struct watch *watch)
{
	struct poller *poller = watch->poller;
	bool locked = latch_take(&poller->lock) == 0;

	if (watch->native)
		end_in_kernel(watch);
	watch_leave(watch);
	watch_unlink(watch);
	if (locked)
		latch_drop(&poller->lock);
}

/* A thread asleep in the kernel is to look at a changed interest. */
void watch_kick(struct watch *watch)
{
	struct epoll_event event = {.events = TCP_EVENTS};

	if (atomic_load(&watch->poller->sleepers) == 0 || watch->orphan)
		return;
	event.data.u64 = (uintptr_t)watch | SOURCE_TCP;
	(void)libc.epoll_ctl(watch->poller->inner, EPOLL_CTL_MOD, watch->fd, &event);
}

void watch_set(struct watch *watch, const struct epoll_event *event)
{
	struct poller *poller = watch->poller;

	(void)latch_take(&poller->lock);
	watch->events = event->events;
	watch->data = event->data;
	watch->disabled = watch->parked = false;
	watch->fresh = true;
	if (!watch->native)
		watch_heat(watch);
	latch_drop(&poller->lock);
	if (!watch->native)
		watch_kick(watch);
}

void watch_park(struct watch *watch)
{
	struct poller *poller = watch->poller;

	(void)latch_take(&poller->lock);
	watch->disabled = watch->parked = true;
	watch_cool(watch);
	latch_drop(&poller->lock);
}

/* Has a one-shot registration in the kernel fired?  Only /proc can tell. */
static bool has_fired(const struct watch *watch)
{
	char path[64], line[256];
	bool fired = false;
	FILE *file;

	if (!(watch->events & EPOLLONESHOT))
		return false;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", watch->poller->epoll);
	file = fopen(path, "rec");
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		unsigned int fd, events;

		if (sscanf(line, "tfd: %u events: %x", &fd, &events) == 2 &&
		    fd == (unsigned int)watch->fd)
			fired = (events & ~(unsigned int)CONTROL_BITS) == 0;
	}
	fclose(file);
	return fired;
}

void watch_stop_one_shot(struct watch *watch)
{
	struct epoll_event nothing = {.events = EPOLLONESHOT, .data = watch->data};

	if (!(watch->events & EPOLLONESHOT))
		return;
	watch->disabled = has_fired(watch);
	if (!watch->disabled)
		(void)libc.epoll_ctl(watch->poller->epoll, EPOLL_CTL_MOD, watch->fd, &nothing);
}
