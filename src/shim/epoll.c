/* SPDX-License-Identifier: MIT */
#include "shim/epoll.h"

#include <errno.h>
#include <string.h>

#include "shim/epoll_share.h"
#include "shim/fd_table.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/memory.h"
#include "shim/move.h"
#include "shim/offer.h"
#include "shim/settings.h"

#define POLLERS_MAX 65536U
#define OFFERS_AT_ONCE 64U
#define RESERVED 64U /* as many as a sandboxed program may need */

static _Atomic uint32_t links; /* connection.watches of all, and the pools of watches and pollers */
static struct memory_pool pollers_memory = {.shared = true};
static struct poller *pollers, *pollers_free;
static uint32_t pollers_used;
uint32_t epoll_generation, epoll_forks;

static bool have_pollers(uint32_t more)
{
	if (!memory_pool_open(&pollers_memory, (pollers_used + more) * sizeof(*pollers),
			      POLLERS_MAX * sizeof(*pollers)))
		return false;
	if (!pollers)
		pollers = (struct poller *)pollers_memory.base;
	return true;
}

static struct poller *poller_new(int epoll)
{
	struct poller *poller = pollers_free;

	if (poller) {
		pollers_free = poller->next_free;
	} else if (have_pollers(1)) {
		poller = &pollers[pollers_used++];
	} else {
		return NULL;
	}
	memset(poller, 0, sizeof(*poller));
	poller->epoll = epoll;
	poller->generation = epoll_generation;
	poller->born = epoll_forks;
	poller->descriptors = 1;
	poller->inner = poller->flag = -1;
	if (!fd_table_set(epoll, (uintptr_t)poller | FD_TAG_POLLER)) {
		poller->next_free = pollers_free;
		pollers_free = poller;
		return NULL;
	}
	return poller;
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
	(void)latch_take(&poller->lock);
	error = watch_enter(watch);
	latch_drop(&poller->lock);
	if (error)
		watch_end(watch);
	return error;
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

/* Its connection went back, and the kernel has no registration: a one-shot that had fired. */
static bool is_kernels(const struct watch *watch)
{
	const enum phase phase = connection_phase(watch->connection);

	return !watch->native && phase != PHASE_ATTACHED &&
	       (settings.sandboxed || phase == PHASE_PINNED || phase == PHASE_BACK);
}

static int control_modify(int epoll, int fd, struct watch *watch, struct epoll_event *event)
{
	if (is_kernels(watch)) {
		if (libc.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event) <
		    0) /* a one-shot that had fired */
			return -errno;
		watch->native = true;
	} else if (watch->native && libc.epoll_ctl(epoll, EPOLL_CTL_MOD, fd, event) < 0) {
		return -errno;
	}
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

	if (__builtin_expect(epoll_is_shared(poller), 0) &&
	    (epoll_is_inherited(poller) || !is_attached(connection) || !is_remote(connection)))
		return epoll_share_control(epoll, operation, fd, connection, event);
	if (latch_take(&links) < 0)
		return libc.epoll_ctl(epoll, operation, fd, event) < 0 ? -errno : 0;
	watch = poller ? watch_find(connection, poller, fd) : NULL;
	if (operation == EPOLL_CTL_ADD && event) {
		result = control_add(epoll, fd, connection, event);
	} else if (operation == EPOLL_CTL_MOD && watch && !watch->parked && event) {
		result = control_modify(epoll, fd, watch, event);
	} else if (operation == EPOLL_CTL_DEL && watch && !watch->native && !watch->parked) {
		if (is_kernels(watch))
			watch_end(watch);
		else
			watch_park(watch);
		result = 0;
	} else {
		result = libc.epoll_ctl(epoll, operation, fd, event) < 0 ? -errno : 0;
		if (operation == EPOLL_CTL_DEL && watch && watch->native)
			watch_end(watch);
	}
	latch_drop(&links);
	return result;
}

void epoll_settle_offers(struct poller *poller)
{
	struct connection *some[OFFERS_AT_ONCE];
	unsigned int count = 0;

	if (!poller || epoll_is_inherited(poller) || latch_take(&links) < 0)
		return;
	for (struct watch *watch = poller->watches; watch && count < OFFERS_AT_ONCE;
	     watch = watch->next_of_poller)
		if (atomic_load(&watch->connection->offer) == OFFER_MADE) {
			some[count++] = watch->connection;
			atomic_fetch_add(&watch->connection->users, 1);
		}
	latch_drop(&links);
	for (unsigned int i = 0; i < count; i++) {
		offer_settle(some[i], atomic_load(&some[i]->fd));
		connection_put(some[i]);
	}
}

bool epoll_prepare(struct connection *connection)
{
	bool ready = true;

	if (latch_take(&links) < 0)
		return false;
	for (struct watch *watch = connection->watches; watch; watch = watch->next_of_connection)
		ready = ready && !epoll_is_shared(watch->poller) && inner_of(watch->poller) >= 0;
	latch_drop(&links);
	return ready;
}

void epoll_attach(struct connection *connection)
{
	bool locked = latch_take(&links) == 0;

	for (struct watch *watch = connection->watches; watch; watch = watch->next_of_connection) {
		struct poller *poller = watch->poller;

		if (!watch->native)
			continue;
		(void)latch_take(&poller->lock);
		/* A one-shot is stopped first, so that nobody receives it while we look. */
		watch_stop_one_shot(watch);
		watch->takeover = poller->takeovers + 1;
		if (watch_enter(watch) == 0)
			(void)libc.epoll_ctl(poller->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
		else
			settings_say("descriptor %d: its epoll cannot be taken over", watch->fd);
		/* Only now: until it was deleted, the kernel may have reported it. */
		atomic_fetch_add(&poller->takeovers, 1);
		atomic_store(&poller->returned, false); /* if a child has begun to use it just now */
		latch_drop(&poller->lock);
	}
	if (locked)
		latch_drop(&links);
}

void epoll_moved(struct connection *connection)
{
	/* What comes later is an edge by itself. */
	if (atomic_load(&connection->side->receive.moved) != MOVED_ONTO_DATA)
		return;
	if (!connection->watches || latch_take(&links) < 0)
		return;
	for (struct watch *watch = connection->watches; watch; watch = watch->next_of_connection) {
		if (watch->native || watch->parked ||
		    latch_take(&watch->poller->lock) < 0)
			continue;
		watch->fresh = true;
		watch_heat(watch);
		latch_drop(&watch->poller->lock);
		watch_kick(watch);
	}
	latch_drop(&links);
}

void epoll_forget(struct connection *connection, int fd)
{
	struct watch *watch, *next;

	if (!connection->watches || latch_take(&links) < 0)
		return;
	for (watch = connection->watches; watch; watch = next) {
		next = watch->next_of_connection;
		if (watch->fd == fd || fd < 0)
			watch_end(watch);
	}
	latch_drop(&links);
}

void epoll_orphan(struct connection *connection, int fd)
{
	bool any_native = false;
	struct watch *watch, *next;

	if (!connection->watches || latch_take(&links) < 0)
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
	latch_drop(&links);
	/* The kernel's registration could not be taken over without its number. */
	if (any_native)
		connection_pin(connection, REASON_OPTION);
}

/* The number by which we know it goes, and will soon be another file's. */
static void go_on_by_another_number(struct poller *poller)
{
	for (int fd = 0; fd < fd_table_top(); fd++)
		if (fd_poller(fd) == poller) {
			atomic_store(&poller->epoll, fd);
			return;
		}
}

void epoll_closed(struct poller *poller, int fd)
{
	fd_table_set(fd, 0);
	if (epoll_is_inherited(poller) || latch_take(&links) < 0)
		return;
	if (--poller->descriptors > 0) {
		if (poller->epoll == fd)
			go_on_by_another_number(poller);
	} else {
		while (poller->watches)
			watch_end(poller->watches);
		fd_unhide(poller->inner);
		if (poller->flag >= 0)
			atomic_fetch_sub(&epoll_nested, 1);
		fd_unhide(poller->flag);
		poller->inner = poller->flag = -1;
		/* A child may still come to use it. */
		if (poller->born == epoll_forks) {
			poller->next_free = pollers_free;
			pollers_free = poller;
		}
	}
	latch_drop(&links);
}

void epoll_go_back(struct connection *connection)
{
	struct watch *watch, *next;

	if (!connection->watches || latch_take(&links) < 0)
		return;
	for (watch = connection->watches; watch; watch = next) {
		struct poller *poller = watch->poller;

		next = watch->next_of_connection;
		/* Of a shared one it is the kernel's, or soon is (epoll_share.c). */
		if (watch->native || (epoll_is_shared(poller) && !settings.sandboxed))
			continue;
		if (watch->parked) {
			watch_end(watch);
			continue;
		}
		(void)latch_take(&poller->lock);
		watch_return(watch);
		latch_drop(&poller->lock);
	}
	latch_drop(&links);
}

bool epoll_has_remote(const struct poller *poller)
{
	const struct watch *watch = poller->watches;

	while (watch && !is_remote(watch->connection))
		watch = watch->next_of_poller;
	return watch != NULL;
}

void epoll_give_up(void)
{
	if (latch_take(&links) < 0)
		return;
	/* From here on there may be no memory to ask for. */
	(void)have_pollers(RESERVED);
	watch_reserve();
	for (uint32_t i = 0; i < pollers_used; i++) {
		struct poller *poller = &pollers[i];

		if (poller->inner < 0 || epoll_has_remote(poller))
			continue;
		(void)latch_take(&poller->lock);
		epoll_flag(poller, false);
		(void)libc.epoll_ctl(poller->epoll, EPOLL_CTL_DEL, poller->inner, NULL);
		fd_unhide(poller->inner);
		atomic_store(&poller->inner, -1);
		latch_drop(&poller->lock);
	}
	latch_drop(&links);
}

/* What is left in a ring, for a registration that the kernel does not report for it. */
static uint32_t rest_bits(const struct watch *watch)
{
	if (watch->disabled || !has_rest(watch->connection) || !move_receive(watch->connection) ||
	    ((watch->events & EPOLLET) && !watch->fresh))
		return 0;
	return watch->events & (EPOLLIN | EPOLLRDNORM);
}

bool epoll_has_rest(struct poller *poller)
{
	bool found = false;

	if (!poller || epoll_is_inherited(poller) || latch_take(&poller->lock) < 0)
		return false;
	for (struct watch *watch = poller->watches; watch && !found; watch = watch->next_of_poller)
		found = rest_bits(watch) != 0;
	latch_drop(&poller->lock);
	return found;
}

int epoll_add_rest(struct poller *poller, struct epoll_event *events, int n, int most)
{
	if (latch_take(&poller->lock) < 0)
		return n;
	for (struct watch *watch = poller->watches; watch; watch = watch->next_of_poller) {
		const uint32_t bits = rest_bits(watch);
		int at = 0;

		while (at < n && events[at].data.u64 != watch->data.u64)
			at++;
		if (!bits || at == most)
			continue;
		if (at == n)
			events[n++] = (struct epoll_event){.data = watch->data};
		events[at].events |= bits;
		watch->fresh = false;
		watch->disabled = watch->events & EPOLLONESHOT;
		if (!watch->disabled)
			continue;
		(void)libc.epoll_ctl(poller->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
		watch->native = false;
	}
	latch_drop(&poller->lock);
	return n;
}

struct poller *epoll_poller_of(int epoll)
{
	struct poller *poller;

	if (latch_take(&links) < 0)
		return NULL;
	poller = fd_poller(epoll);
	if (!poller)
		poller = poller_new(epoll);
	latch_drop(&links);
	return poller;
}

struct poller *epoll_companion(int epoll, struct poller *base)
{
	struct poller *poller;

	if (latch_take(&links) < 0)
		return NULL;
	poller = poller_new(epoll);
	if (poller) {
		poller->base = base;
		poller->shared = poller->returned = true;
	}
	latch_drop(&links);
	return poller;
}

bool epoll_lock(void)
{
	return latch_take(&links) == 0;
}

void epoll_unlock(void)
{
	latch_drop(&links);
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
	const bool locked = latch_take(&links) == 0;

	if (fd_table_set(fd, (uintptr_t)poller | FD_TAG_POLLER) && !epoll_is_inherited(poller))
		poller->descriptors++;
	if (locked)
		latch_drop(&links);
}

/* The child is to find every list whole. */
void epoll_before_fork(void)
{
	(void)latch_take(&links);
	for (uint32_t i = 0; i < pollers_used; i++)
		(void)latch_take(&pollers[i].lock);
	epoll_forks++;
}

static void has_none(struct connection *connection, void *context)
{
	(void)context;
	connection->watches = NULL;
}

void epoll_after_fork(bool in_child)
{
	if (!in_child) {
		for (uint32_t i = 0; i < pollers_used; i++)
			latch_drop(&pollers[i].lock);
		latch_drop(&links);
		return;
	}
	/* The pollers and watches there are, are the parent's, and stay as they are. */
	atomic_store(&links, 0);
	pollers_memory = (struct memory_pool){.shared = true};
	pollers = pollers_free = NULL;
	pollers_used = 0;
	epoll_generation++;
	epoll_nested = 0;
	watch_after_fork();
	epoll_share_after_fork();
	connection_each(has_none, NULL);
}
