/* SPDX-License-Identifier: MIT */
#include "shim/epoll.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring/lock.h"
#include "shim/fd_table.h"
#include "shim/libc.h"
#include "shim/settings.h"

#define POLLERS_MAX 65536U
#define WATCHES_MAX FD_TABLE_MAX
#define TCP_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET)
#define CONTROL_BITS (EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP)

static _Atomic uint32_t links; /* connection.watches of all, and the two pools */
static struct poller *pollers, *pollers_free;
static struct watch *watches, *watches_free;
static uint32_t pollers_used, watches_used;

static void *reserve(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static struct watch *watch_new(void)
{
	struct watch *watch = watches_free;

	if (!watches)
		watches = reserve(WATCHES_MAX * sizeof(*watches));
	if (watch)
		watches_free = watch->next_of_poller;
	else if (watches && watches_used < WATCHES_MAX)
		watch = &watches[watches_used++];
	if (watch)
		memset(watch, 0, sizeof(*watch));
	return watch;
}

static struct poller *poller_new(int epoll)
{
	struct poller *poller = pollers_free;

	if (!pollers)
		pollers = reserve(POLLERS_MAX * sizeof(*pollers));
	if (poller)
		pollers_free = poller->next_free;
	else if (pollers && pollers_used < POLLERS_MAX)
		poller = &pollers[pollers_used++];
	if (!poller)
		return NULL;
	memset(poller, 0, sizeof(*poller));
	poller->epoll = epoll;
	poller->descriptors = 1;
	poller->inner = poller->flag = -1;
	if (!fd_table_set(epoll, (uintptr_t)poller | FD_TAG_POLLER)) {
		poller->next_free = pollers_free;
		pollers_free = poller;
		return NULL;
	}
	return poller;
}

void watch_heat(struct watch *watch)
{
	struct poller *poller = watch->poller;

	watch->idle = 0;
	if (watch->hot)
		return;
	watch->hot = true;
	watch->previous = NULL;
	watch->next = poller->hot;
	if (poller->hot)
		poller->hot->previous = watch;
	poller->hot = watch;
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
		poller->hot = watch->next;
	if (watch->next)
		watch->next->previous = watch->previous;
	poller->hot_count--;
}

/* The inner epoll, made and registered in the program's when it is first needed. */
static int inner_of(struct poller *poller)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = poller};
	int fd;

	if (poller->inner >= 0)
		return poller->inner;
	fd = libc.epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0)
		return -errno;
	fd = fd_hide(fd);
	if (fd < 0)
		return fd;
	if (libc.epoll_ctl(poller->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		int error = -errno;

		fd_unhide(fd);
		return error;
	}
	atomic_store(&poller->inner, fd);
	return fd;
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
	return error ? error
		     : inner_add(watch, watch->connection->space_bell, SOURCE_SPACE, EPOLLIN);
}

/* Let the inner epoll watch a connection; the watch is hot from now on. */
static int watch_enter(struct watch *watch)
{
	int error = inner_add(watch, watch->fd, SOURCE_TCP, TCP_EVENTS);

	if (!error)
		error = bells_add(watch);
	watch->native = false;
	watch->fresh = true;
	watch_heat(watch);
	return error;
}

static void bell_pass_on(const struct watch *to, int fd, enum watch_source source)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};

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
		return;
	}
	(void)libc.epoll_ctl(watch->poller->inner, EPOLL_CTL_DEL, connection->data_bell, NULL);
	(void)libc.epoll_ctl(watch->poller->inner, EPOLL_CTL_DEL, connection->space_bell, NULL);
}

static void watch_leave(struct watch *watch)
{
	int inner = watch->poller->inner;

	watch_cool(watch);
	if (watch->poller->inherited)
		return;
	/* While the daemon holds the socket, closing it would not end the kernel's registration. */
	if (watch->native && watch->connection->id)
		(void)libc.epoll_ctl(watch->poller->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
	if (watch->native || inner < 0)
		return;
	/* An orphan's number may be another's by now; its registration ends with the socket. */
	if (!watch->orphan)
		(void)libc.epoll_ctl(inner, EPOLL_CTL_DEL, watch->fd, NULL);
	bells_remove(watch);
}

static struct watch *watch_find(struct connection *connection, const struct poller *poller, int fd)
{
	struct watch *watch = connection->watches;

	while (watch && (watch->poller != poller || watch->fd != fd))
		watch = watch->next_of_connection;
	return watch;
}

static struct watch *watch_link(struct poller *poller, struct connection *connection, int fd,
				const struct epoll_event *event)
{
	struct watch *watch = watch_new();

	if (!watch)
		return NULL;
	watch->connection = connection;
	watch->fd = fd;
	watch->poller = poller;
	watch->events = event->events;
	watch->data = event->data;
	watch->native = true;
	watch->next_of_connection = connection->watches;
	connection->watches = watch;
	watch->next_of_poller = poller->watches;
	poller->watches = watch;
	return watch;
}

static void watch_unlink(struct watch *watch)
{
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
	if (watch->poller->inherited)
		return; /* its address may still come out of the shared inner epoll */
	watch->next_of_poller = watches_free;
	watches_free = watch;
}

/* Unlink a watch, with its registrations in the inner epoll. */
static void watch_end(struct watch *watch)
{
	struct poller *poller = watch->poller;
	bool locked = lock_take(&poller->lock, thread_id()) == 0;

	watch_leave(watch);
	watch_unlink(watch);
	if (locked)
		lock_drop(&poller->lock);
}

static int add_attached(struct poller *poller, struct connection *connection, int fd,
			const struct epoll_event *event)
{
	struct watch *watch;
	int error = inner_of(poller);

	if (error < 0)
		return error;
	watch = watch_link(poller, connection, fd, event);
	if (!watch)
		return -ENOMEM;
	(void)lock_take(&poller->lock, thread_id());
	error = watch_enter(watch);
	lock_drop(&poller->lock);
	if (error)
		watch_end(watch);
	return error;
}

/* A thread asleep in the kernel is to look at a changed interest. */
static void kick(struct watch *watch)
{
	struct epoll_event event = {.events = TCP_EVENTS};

	if (atomic_load(&watch->poller->sleepers) == 0 || watch->orphan)
		return;
	event.data.u64 = (uintptr_t)watch | SOURCE_TCP;
	(void)libc.epoll_ctl(watch->poller->inner, EPOLL_CTL_MOD, watch->fd, &event);
}

static void watch_set(struct watch *watch, const struct epoll_event *event)
{
	struct poller *poller = watch->poller;

	(void)lock_take(&poller->lock, thread_id());
	watch->events = event->events;
	watch->data = event->data;
	watch->disabled = watch->parked = false;
	watch->fresh = true;
	if (!watch->native)
		watch_heat(watch);
	lock_drop(&poller->lock);
	if (!watch->native)
		kick(watch);
}

static void watch_park(struct watch *watch)
{
	struct poller *poller = watch->poller;

	(void)lock_take(&poller->lock, thread_id());
	watch->disabled = watch->parked = true;
	watch_cool(watch);
	lock_drop(&poller->lock);
}

static int control_add(int epoll, int fd, struct connection *connection, struct epoll_event *event)
{
	struct poller *poller = fd_poller(epoll);
	struct watch *watch = poller ? watch_find(connection, poller, fd) : NULL;

	if (watch && watch->parked) {
		watch_set(watch, event);
		return 0;
	}
	if (watch && !watch->native)
		return -EEXIST;
	if (poller && poller->inherited) {
		/* The parent would read our addresses there. */
		if (!is_attached(connection))
			connection_pin(connection, REASON_SHARED);
		return libc.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event) < 0 ? -errno : 0;
	}
	if (!is_attached(connection) && libc.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event) < 0)
		return -errno;
	if (!poller)
		poller = poller_new(epoll);
	if (poller && is_attached(connection))
		return add_attached(poller, connection, fd, event);
	/* Without a watch the registration could not follow: the connection stays where it is. */
	if (!poller || !watch_link(poller, connection, fd, event))
		connection_pin(connection, REASON_MEMORY);
	return 0;
}

static int control_modify(int epoll, int fd, struct watch *watch, struct epoll_event *event)
{
	if (watch->native && libc.epoll_ctl(epoll, EPOLL_CTL_MOD, fd, event) < 0)
		return -errno;
	/* What the kernel refuses. */
	if (!watch->native && ((event->events | watch->events) & EPOLLEXCLUSIVE))
		return -EINVAL;
	watch_set(watch, event);
	return 0;
}

int epoll_control(int epoll, int operation, int fd, struct connection *connection,
		  struct epoll_event *event)
{
	struct poller *poller = fd_poller(epoll);
	struct watch *watch;
	int result;

	if (lock_take(&links, thread_id()) < 0)
		return libc.epoll_ctl(epoll, operation, fd, event) < 0 ? -errno : 0;
	watch = poller ? watch_find(connection, poller, fd) : NULL;
	if (operation == EPOLL_CTL_ADD && event) {
		result = control_add(epoll, fd, connection, event);
	} else if (operation == EPOLL_CTL_MOD && watch && !watch->parked && event) {
		result = control_modify(epoll, fd, watch, event);
	} else if (operation == EPOLL_CTL_DEL && watch && !watch->native && !watch->parked) {
		watch_park(watch);
		result = 0;
	} else {
		result = libc.epoll_ctl(epoll, operation, fd, event) < 0 ? -errno : 0;
		if (operation == EPOLL_CTL_DEL && watch && watch->native)
			watch_end(watch);
	}
	lock_drop(&links);
	return result;
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
	file = fopen(path, "re");
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

static void stop_one_shot(struct watch *watch)
{
	struct epoll_event nothing = {.events = EPOLLONESHOT, .data = watch->data};

	if (!(watch->events & EPOLLONESHOT))
		return;
	watch->disabled = has_fired(watch);
	if (!watch->disabled)
		(void)libc.epoll_ctl(watch->poller->epoll, EPOLL_CTL_MOD, watch->fd, &nothing);
}

bool epoll_prepare(struct connection *connection)
{
	bool ready = true;

	if (lock_take(&links, thread_id()) < 0)
		return false;
	for (struct watch *watch = connection->watches; watch; watch = watch->next_of_connection)
		ready = ready && inner_of(watch->poller) >= 0;
	lock_drop(&links);
	return ready;
}

void epoll_attach(struct connection *connection)
{
	bool locked = lock_take(&links, thread_id()) == 0;

	for (struct watch *watch = connection->watches; watch; watch = watch->next_of_connection) {
		struct poller *poller = watch->poller;

		if (!watch->native)
			continue;
		(void)lock_take(&poller->lock, thread_id());
		/* A one-shot is stopped first, so that nobody receives it while we look. */
		stop_one_shot(watch);
		watch->takeover = poller->takeovers + 1;
		if (watch_enter(watch) == 0)
			(void)libc.epoll_ctl(poller->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
		else
			settings_say("descriptor %d: its epoll cannot be taken over", watch->fd);
		/* Only now: until it was deleted, the kernel may have reported it. */
		atomic_fetch_add(&poller->takeovers, 1);
		lock_drop(&poller->lock);
	}
	if (locked)
		lock_drop(&links);
}

void epoll_moved(struct connection *connection)
{
	if (!connection->watches || lock_take(&links, thread_id()) < 0)
		return;
	for (struct watch *watch = connection->watches; watch; watch = watch->next_of_connection) {
		if (watch->native || watch->parked || lock_take(&watch->poller->lock, thread_id()) < 0)
			continue;
		watch->fresh = true;
		watch_heat(watch);
		lock_drop(&watch->poller->lock);
		kick(watch);
	}
	lock_drop(&links);
}

void epoll_forget(struct connection *connection, int fd)
{
	struct watch *watch, *next;

	if (!connection->watches || lock_take(&links, thread_id()) < 0)
		return;
	for (watch = connection->watches; watch; watch = next) {
		next = watch->next_of_connection;
		if (watch->fd == fd || fd < 0)
			watch_end(watch);
	}
	lock_drop(&links);
}

void epoll_orphan(struct connection *connection, int fd)
{
	bool any_native = false;
	struct watch *watch, *next;

	if (!connection->watches || lock_take(&links, thread_id()) < 0)
		return;
	for (watch = connection->watches; watch; watch = next) {
		next = watch->next_of_connection;
		if (watch->fd != fd)
			continue;
		if (watch->parked) {
			watch_end(watch);
			continue;
		}
		watch->orphan = true;
		any_native |= watch->native;
	}
	lock_drop(&links);
	/* The kernel's registration could not be taken over without its number. */
	if (any_native)
		connection_pin(connection, REASON_OPTION);
}

void epoll_closed(struct poller *poller, int fd)
{
	fd_table_set(fd, 0);
	if (lock_take(&links, thread_id()) < 0)
		return;
	if (--poller->descriptors == 0) {
		while (poller->watches)
			watch_end(poller->watches);
		fd_unhide(poller->inner);
		if (poller->flag >= 0)
			atomic_fetch_sub(&epoll_nested, 1);
		fd_unhide(poller->flag);
		poller->inner = poller->flag = -1;
		poller->next_free = pollers_free;
		pollers_free = poller;
	}
	lock_drop(&links);
}

struct poller *epoll_poller_of(int epoll)
{
	struct poller *poller;

	if (lock_take(&links, thread_id()) < 0)
		return NULL;
	poller = fd_poller(epoll);
	if (!poller)
		poller = poller_new(epoll);
	lock_drop(&links);
	return poller;
}

void epoll_settle_nested(const struct poller *self)
{
	if (atomic_load_explicit(&epoll_nested, memory_order_relaxed) == 0)
		return;
	for (uint32_t i = 0; i < pollers_used; i++)
		if (&pollers[i] != self)
			epoll_settle(&pollers[i]);
}

void epoll_dup(struct poller *poller, int fd)
{
	if (fd_table_set(fd, (uintptr_t)poller | FD_TAG_POLLER))
		poller->descriptors++;
}

/* The child is to find every list whole. */
void epoll_before_fork(void)
{
	(void)lock_take(&links, thread_id());
	for (uint32_t i = 0; i < pollers_used; i++)
		(void)lock_take(&pollers[i].lock, thread_id());
}

void epoll_after_fork(bool in_child)
{
	if (!in_child) {
		for (uint32_t i = 0; i < pollers_used; i++)
			lock_drop(&pollers[i].lock);
		lock_drop(&links);
		return;
	}
	atomic_store(&links, 0);
	for (uint32_t i = 0; i < pollers_used; i++) {
		atomic_store(&pollers[i].lock, 0);
		pollers[i].inherited = true;
	}
}
