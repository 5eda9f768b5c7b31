/* SPDX-License-Identifier: MIT */
#include "shim/epoll_share.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>

#include "shim/back.h"
#include "shim/clock.h"
#include "shim/connection.h"
#include "shim/epoll.h"
#include "shim/fd_table.h"
#include "shim/handlers.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/move.h"
#include "shim/quiet.h"

#define IN_BITS ((uint32_t)(EPOLLIN | EPOLLRDNORM))
#define LEFT_MOST 256U
#define SLICE_NS 5000000ULL /* between looks for what another process may have made due */
#define MOMENT_NS 1000000L
#define WAKING_MOMENTS 200 /* for a parent asleep; it may have been stopped, or killed there */

static _Atomic uint32_t adopting; /* one thread at a time */

void epoll_share_after_fork(void)
{
	atomic_store(&adopting, 0);
}

/* --- what a child may want --- */

bool epoll_share_wants(const struct watch *watch)
{
	return watch->poller->born != epoll_forks && watch->side && !watch->native &&
	       !watch->parked && !is_alone(watch->connection);
}

void epoll_share_leave(struct watch *watch)
{
	struct poller *poller = watch->poller;
	struct watch *next;

	if (poller->left_count == LEFT_MOST) { /* who has not come for them so far does not */
		for (; poller->left; poller->left = next) {
			next = poller->left->next_of_poller;
			watch_free(poller->left);
		}
		poller->left_count = 0;
	}
	watch->next_of_poller = poller->left;
	poller->left = watch;
	poller->left_count++;
}

/* --- going back --- */

/* Before it goes: has what is in its ring been told of? */
static void note_told(struct connection *connection, const struct watch *watch)
{
	bool told;

	if (!connection->control) /* its parent got rings since the fork, and they stay unused */
		return;
	told = watch->disabled || ((watch->events & EPOLLET) && !watch->fresh &&
				   watch->seen_produced == epoll_produced(connection));

	if (told)
		atomic_fetch_or(&connection->side->flags, SIDE_REST_TOLD);
	else
		atomic_fetch_and(&connection->side->flags, ~SIDE_REST_TOLD);
}

static bool can_go(const struct watch *watch, const struct connection *connection)
{
	return !watch->native && !watch->parked && !is_remote(connection);
}

/* The connection of a parent's @watch, if it is ours as well; to be put again. */
static struct connection *ours(const struct watch *watch)
{
	struct connection *connection = connection_get(watch->fd);

	if (!connection || (watch->side && connection->side == watch->side))
		return connection;
	connection_put(connection);
	return NULL;
}

static void mark_ours(const struct watch *watch)
{
	for (; watch; watch = watch->next_of_poller) {
		struct connection *connection = ours(watch);

		if (connection && can_go(watch, connection)) {
			note_told(connection, watch);
			back_mark(connection);
		}
		if (connection)
			connection_put(connection);
	}
}

/* A watch of our own, for what is left in the ring. */
static void copy(struct poller *own, const struct watch *watch, struct connection *connection)
{
	const struct epoll_event event = {.events = watch->events, .data = watch->data};

	if (!epoll_lock())
		return;
	(void)watch_link(own, connection, watch->fd, &event);
	epoll_unlock();
}

static void take_ours(struct poller *own, struct watch *watch)
{
	for (; watch; watch = watch->next_of_poller) {
		struct connection *connection = ours(watch);

		if (connection && can_go(watch, connection)) {
			watch_give(watch, own->epoll, watch->fd);
			watch_cool(watch);
			watch->handed = true;
			atomic_store(&watch->poller->returned, false);
		}
		if (connection && watch->native)
			copy(own, watch, connection);
		if (connection)
			connection_put(connection);
	}
}

/* Its parent's threads that sleep there are to look: something in the epoll says so to all of them. */
static void wake_owner(int epoll, struct poller *of)
{
	const struct timespec moment = {.tv_nsec = MOMENT_NS};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = of};
	int fd;

	if (atomic_load(&of->returned) || atomic_load(&of->sleepers) == 0)
		return;
	fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return;
	if (libc.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0) {
		for (int i = 0; i < WAKING_MOMENTS && !atomic_load(&of->returned) &&
				atomic_load(&of->sleepers);
		     i++)
			quiet_sleep(&moment);
		(void)libc.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
	}
	quiet_close(fd);
}

/* The first use of a parent's epoll. */
static struct poller *adopt(int epoll, struct poller *of)
{
	struct poller *own = epoll_companion(epoll, of);

	if (!own)
		return NULL;
	atomic_store(&of->shared, true);
	(void)latch_take(&of->lock);
	mark_ours(of->watches);
	mark_ours(of->left);
	latch_drop(&of->lock);
	back_marked(REASON_BACK);
	(void)latch_take(&of->lock);
	take_ours(own, of->watches);
	take_ours(own, of->left);
	latch_drop(&of->lock);
	wake_owner(epoll, of);
	return own;
}

/* With both locks. */
static void give_back(struct poller *poller)
{
	struct watch *watch, *next;

	for (watch = poller->watches; watch; watch = next) {
		next = watch->next_of_poller;
		if (watch->parked && !watch->native) {
			watch_end(watch);
		} else if (watch->handed) {
			watch_leave(watch);
		} else if (can_go(watch, watch->connection)) {
			watch_leave(watch);
			watch_give(watch, poller->epoll,
				   watch->orphan ? watch->connection->fd : watch->fd);
		}
	}
	atomic_store(&poller->returned, true);
}

/* A child of ours has begun to use our epoll. */
static void hand_back(struct poller *poller)
{
	const int saved = errno;

	if (!epoll_lock())
		return;
	for (struct watch *watch = poller->watches; watch; watch = watch->next_of_poller)
		if (can_go(watch, watch->connection)) {
			note_told(watch->connection, watch);
			back_mark(watch->connection);
		}
	epoll_unlock();
	back_marked(REASON_BACK);
	if (epoll_lock()) {
		(void)latch_take(&poller->lock);
		give_back(poller);
		latch_drop(&poller->lock);
		epoll_unlock();
	}
	errno = saved;
}

struct poller *epoll_share(int epoll)
{
	struct poller *poller = fd_poller(epoll);

	if (poller && epoll_is_inherited(poller)) {
		if (latch_take(&adopting) < 0)
			return NULL;
		poller = fd_poller(epoll);
		if (poller && epoll_is_inherited(poller))
			poller = adopt(epoll, poller);
		latch_drop(&adopting);
	}
	if (poller && !atomic_load(&poller->returned))
		hand_back(poller);
	return poller;
}

/* --- the calls --- */

/* With its lock: the watch of that registration in @poller's parent's, which both see; NULL: none. */
static struct watch *find_in(const struct poller *of, const struct side_record *side, int fd)
{
	struct watch *watch = of->watches;

	while (watch && (watch->fd != fd || watch->side != side || !watch->native))
		watch = watch->next_of_poller;
	return watch;
}

static void change(struct watch *watch, int operation, const struct epoll_event *event)
{
	if (operation == EPOLL_CTL_DEL) {
		watch->parked = true;
		return;
	}
	watch->events = event->events;
	watch->data = event->data;
	watch->parked = false;
}

/* What the kernel was told is noted where all see it, since what is left in rings is ours to report. */
static void note_control(struct poller *poller, int operation, int fd,
			 struct connection *connection, const struct epoll_event *event)
{
	struct poller *of = poller;
	struct watch *watch = NULL;

	for (; of && connection->side; of = of->base) {
		(void)latch_take(&of->lock);
		watch = find_in(of, connection->side, fd);
		if (watch)
			change(watch, operation, event);
		latch_drop(&of->lock);
	}
	if (connection->side)
		atomic_fetch_and(&connection->side->flags, ~SIDE_REST_TOLD);
	if (operation != EPOLL_CTL_ADD || !epoll_lock())
		return;
	if (!watch_find(connection, poller, fd))
		(void)watch_link(poller, connection, fd, event);
	epoll_unlock();
}

int epoll_share_control(int epoll, int operation, int fd, struct connection *connection,
			struct epoll_event *event)
{
	struct poller *poller = epoll_share(epoll);

	if (operation == EPOLL_CTL_ADD) {
		connection_pin(connection, REASON_SHARED); /* if it has no rings */
		(void)back_one(connection, REASON_BACK);
	}
	if (libc.epoll_ctl(epoll, operation, fd, event) < 0)
		return -errno;
	if (poller)
		note_control(poller, operation, fd, connection, event);
	return 0;
}

enum rest { REST_NONE, REST_TOLD, REST_DUE };

/* The registration as the process says that had it first. */
static void look_up(struct watch *watch)
{
	const struct watch *first = NULL;

	for (struct poller *of = watch->poller->base; of && watch->side; of = of->base) {
		(void)latch_take(&of->lock);
		first = find_in(of, watch->side, watch->fd);
		if (first) {
			watch->events = first->events;
			watch->data = first->data;
			watch->parked = first->parked;
		}
		latch_drop(&of->lock);
	}
}

static bool is_told_once(const struct watch *watch)
{
	return watch->events & (EPOLLET | EPOLLONESHOT);
}

static enum rest rest_of(struct watch *watch)
{
	struct connection *connection = watch->connection;
	const enum phase phase = connection_phase(connection);

	if ((phase != PHASE_ATTACHED && phase != PHASE_BACK) || is_remote(connection) ||
	    !watch->native || !receive_is_back(connection) ||
	    !ring_available(&connection->receive) || !move_receive(connection))
		return REST_NONE;
	look_up(watch);
	if (is_told_once(watch) && (atomic_load(&connection->side->flags) & SIDE_REST_TOLD))
		return REST_TOLD;
	/* Another process may ask for it meanwhile. */
	return !watch->parked && (watch->events & IN_BITS) ? REST_DUE : REST_TOLD;
}

static enum rest find_rest(struct poller *poller)
{
	enum rest most = REST_NONE, rest;

	if (!poller || latch_take(&poller->lock) < 0)
		return REST_NONE;
	for (struct watch *watch = poller->watches; watch && most != REST_DUE;
	     watch = watch->next_of_poller) {
		rest = rest_of(watch);
		most = rest > most ? rest : most;
	}
	latch_drop(&poller->lock);
	return most;
}

/* By whom, if more than one would tell it? */
static bool claims(const struct watch *watch)
{
	_Atomic uint32_t *flags = &watch->connection->side->flags;

	return !is_told_once(watch) || !(atomic_fetch_or(flags, SIDE_REST_TOLD) & SIDE_REST_TOLD);
}

/* The kernel is not to tell of a one-shot again. */
static void disarm(const struct poller *poller, const struct watch *watch)
{
	struct epoll_event nothing = {.events = EPOLLONESHOT, .data = watch->data};

	if (watch->events & EPOLLONESHOT)
		(void)libc.epoll_ctl(poller->epoll, EPOLL_CTL_MOD, watch->fd, &nothing);
}

static int add_rest(struct poller *poller, struct epoll_event *events, int n, int most)
{
	if (latch_take(&poller->lock) < 0)
		return n;
	for (struct watch *watch = poller->watches; watch; watch = watch->next_of_poller) {
		int at = 0;

		if (rest_of(watch) != REST_DUE)
			continue;
		while (at < n && events[at].data.u64 != watch->data.u64)
			at++;
		if (at == most || !claims(watch))
			continue;
		if (at == n)
			events[n++] = (struct epoll_event){.data = watch->data};
		events[at].events |= watch->events & IN_BITS;
		disarm(poller, watch);
	}
	latch_drop(&poller->lock);
	return n;
}

/* Without what says something to a poller of ours or of a parent. */
static int strip(const struct poller *poller, struct epoll_event *events, int n, bool *any)
{
	int kept = 0;

	*any = false;
	for (int i = 0; i < n; i++) {
		const struct poller *of = poller;

		while (of && events[i].data.ptr != (const void *)of)
			of = of->base;
		if (of)
			*any = true;
		else
			events[kept++] = events[i];
	}
	return kept;
}

/* Are there registrations that could not go back? */
static bool are_mixed(const struct poller *poller)
{
	return !poller->base && epoll_has_remote(poller);
}

int epoll_share_wait(int epoll, struct epoll_event *events, int most, uint64_t deadline,
		     const sigset_t *mask, uint32_t runs)
{
	bool stripped;
	int n;

	for (;;) {
		struct poller *poller = epoll_share(epoll);
		const enum rest rest = find_rest(poller);
		const uint64_t slice = now_ns() + SLICE_NS;
		uint64_t until = deadline;

		if (poller && are_mixed(poller))
			return -ESTALE;
		if (rest == REST_DUE)
			until = 0;
		else if (rest == REST_TOLD && slice < deadline)
			until = slice;
		if (poller)
			atomic_fetch_add(&poller->sleepers, 1);
		n = epoll_kernel_wait(epoll, events, rest == REST_DUE && most > 1 ? most - 1 : most,
				      until, mask);
		n = n < 0 ? -errno : n;
		if (poller)
			atomic_fetch_sub(&poller->sleepers, 1);
		if (n < 0)
			return n;
		n = strip(poller ? poller : fd_poller(epoll), events, n, &stripped);
		if (poller && rest == REST_DUE)
			n = add_rest(poller, events, n, most);
		if (n > 0 || (!stripped && (deadline == 0 || now_ns() >= deadline)))
			return n;
		if (handler_runs.all != runs)
			return -EINTR;
	}
}
