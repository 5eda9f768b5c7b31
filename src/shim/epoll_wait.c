/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "shim/bell.h"
#include "shim/cleanup.h"
#include "shim/clock.h"
#include "shim/epoll.h"
#include "shim/epoll_share.h"
#include "shim/fd_table.h"
#include "shim/handlers.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/offer.h"
#include "shim/quiet.h"
#include "shim/readiness.h"
#include "shim/settings.h"
#include "shim/stand_in.h"
#include "shim/stream.h"

#define KERNEL_EVERY_NS 20000ULL /* with rings always ready, the kernel is asked that often */
#define SPINS_PER_LOOK_MOST 16U /* yields before the kernel is asked while we wait */
#define IDLE_COOL 32U /* times found idle before a watch is armed and left alone */
#define INNER_BATCH 64

#define READ_BITS ((uint32_t)(EPOLLIN | EPOLLRDNORM | EPOLLRDHUP))
#define ALWAYS_BITS ((uint32_t)(EPOLLHUP | EPOLLERR))
#define END_BITS (EPOLLRDHUP | ALWAYS_BITS)

/*
 * The bits of an edge-triggered registration that are an edge now; 0 for none.  As in the kernel,
 * one edge reports all that is ready.
 */
static uint32_t edge_bits(const struct watch *watch, uint32_t all, uint64_t produced)
{
	const struct connection *connection = watch->connection;
	const uint32_t bits = all & (watch->events | ALWAYS_BITS);
	const bool ends = (short)(all & END_BITS) & ~watch->seen_ends;
	const bool data = (watch->events & (EPOLLIN | EPOLLPRI)) && produced != watch->seen_produced;
	const bool back = !watch->seen_back && is_remote(connection) && is_back(connection);
	const bool room = (bits & EPOLLOUT) && connection->times_full != watch->seen_full;

	return watch->fresh || ends || data || room || back ? bits : 0;
}

/* What watch_evaluate() would report. */
static uint32_t watch_bits(const struct watch *watch, uint32_t *all, uint64_t *produced)
{
	/* Before readiness is computed: what comes in between is a new edge. */
	*produced = epoll_produced(watch->connection);
	*all = 0;
	if (watch->disabled)
		return 0;
	*all = (uint32_t)(uint16_t)readiness(
		watch->connection, watch->orphan ? watch->connection->fd : watch->fd,
		(short)watch->events, false);
	if (watch->events & EPOLLET)
		return edge_bits(watch, *all, *produced);
	return *all & (watch->events | ALWAYS_BITS);
}

/* The events to report for a watch now; 0 for none.  They count as seen from here on. */
static uint32_t watch_evaluate(struct watch *watch)
{
	uint64_t produced;
	uint32_t all, bits = watch_bits(watch, &all, &produced);

	if (watch->disabled)
		return 0;
	if (bits || watch->fresh) {
		watch->seen_produced = produced;
		watch->seen_back = is_remote(watch->connection) && is_back(watch->connection);
		watch->seen_ends = (short)(all & END_BITS);
		/* Where there is no room yet, room will be an edge. */
		watch->seen_full = watch->connection->times_full - !(all & EPOLLOUT);
	}
	watch->fresh = false;
	if (bits && (watch->events & EPOLLONESHOT))
		watch->disabled = true;
	return bits;
}

/* Might watch_evaluate() report something?  Memory only; errs on the side of yes. */
static bool watch_glance(const struct watch *watch)
{
	const struct connection *connection = watch->connection;

	if (watch->disabled)
		return false;
	if (watch->fresh)
		return true;
	if (!(watch->events & EPOLLET))
		return readiness_glance(connection, (short)watch->events);
	return epoll_produced(connection) != watch->seen_produced ||
	       (!watch->seen_back && is_remote(connection) && is_back(connection)) ||
	       (connection->times_full != watch->seen_full && send_has_room(connection)) ||
	       ((atomic_load_explicit(&peer_writer(connection)->marks, memory_order_relaxed) &
		 (MARK_SHUT | MARK_CLOSED)) &&
		!(watch->seen_ends & EPOLLRDHUP));
}

/* Ask to be rung for what the program waits for, and leave the hot list unless it is there. */
static void watch_arm(struct watch *watch)
{
	struct connection *connection = watch->connection;
	uint64_t produced;
	uint32_t all;

	if (!watch->disabled) {
		if (watch->events & (READ_BITS | EPOLLPRI)) /* an urgent byte is in the ring as well */
			bell_arm(connection, BELL_DATA);
		if ((watch->events & EPOLLOUT) && !send_has_room(connection))
			bell_arm(connection, BELL_SPACE);
	}
	if (!watch_bits(watch, &all, &produced))
		watch_cool(watch);
}

/*
 * Report what is ready.  Ready level-triggered watches stay hot; so do idle ones, for a while.
 * @until: later takeovers wait for the next call
 */
static int harvest(struct poller *poller, struct epoll_event *events, int most, uint32_t until)
{
	struct watch *watch, *next;
	int n = 0;

	poller->turn++;
	for (watch = poller->hot; watch && n < most; watch = next) {
		uint32_t bits;

		next = watch->next;
		if (watch->takeover > until)
			continue;
		bits = watch_evaluate(watch);
		if (bits) {
			events[n].events = bits;
			events[n].data = watch->data;
			n++;
			watch->idle = 0;
			watch->told = poller->turn;
		} else if (++watch->idle >= IDLE_COOL) {
			watch->idle = 0;
			watch_arm(watch);
		}
	}
	if (watch && n == most && poller->hot != watch) {
		/* Who was not asked this time comes first the next: rotate the list. */
		struct watch *last = watch;

		while (last->next)
			last = last->next;
		last->next = poller->hot;
		last->next->previous = last;
		watch->previous->next = NULL;
		watch->previous = NULL;
		atomic_store_explicit(&poller->hot, watch, memory_order_relaxed);
	}
	return n;
}

static void note_inner(const struct epoll_event *event)
{
	struct watch *watch = (struct watch *)(uintptr_t)(event->data.u64 & ~(uint64_t)SOURCE_MASK);
	struct connection *connection = watch->connection;
	const bool over = event->events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP);

	if (!connection)
		return; /* it has just gone */
	switch (event->data.u64 & SOURCE_MASK) {
	case SOURCE_DATA:
		bell_seen(connection, BELL_DATA);
		if (over)
			atomic_fetch_or(&connection->ended, ENDED_DATA_BELL);
		break;
	case SOURCE_SPACE:
		bell_seen(connection, BELL_SPACE);
		if (over)
			atomic_fetch_or(&connection->ended, ENDED_SPACE_BELL);
		break;
	case SOURCE_TCP:
		if (is_remote(connection) && !receive_is_back(connection))
			break; /* the daemon's */
		/* fall through */
	default:
		readiness_note(connection, (short)event->events);
		if (!receive_has_moved(connection) || !send_has_moved(connection) ||
		    is_back(connection))
			watch->fresh = true; /* an edge of the kernel's */
		else if (event->events & (EPOLLIN | EPOLLPRI))
			atomic_fetch_or(&connection->ended, ENDED_LOOK);
		break;
	}
	for (; watch; watch = watch->sibling)
		if (watch->connection && !watch->parked && !watch->native)
			watch_heat(watch);
}

/* The inner epoll has something: heat those watches. */
static void look_inside(struct poller *poller)
{
	struct epoll_event events[INNER_BATCH];
	int n;

	do {
		n = quiet_epoll_look(poller->inner, events, INNER_BATCH);
		for (int i = 0; i < n; i++)
			note_inner(&events[i]);
	} while (n == INNER_BATCH);
}

/* Remove the inner epoll's own event from what the kernel returned. */
static int strip(const struct poller *poller, struct epoll_event *events, int n, bool *inner)
{
	int kept = 0;

	*inner = false;
	for (int i = 0; i < n; i++) {
		if (poller && events[i].data.ptr == (const void *)poller)
			*inner = true;
		else
			events[kept++] = events[i];
	}
	return kept;
}

/* Ask the kernel without waiting, and take what the inner epoll brings. */
static int ask_kernel(struct poller *poller, struct epoll_event *events, int most)
{
	bool inner;
	int n = quiet_epoll_look(poller->epoll, events, most);

	n = strip(poller, events, n > 0 ? n : 0, &inner);
	if (inner && latch_take(&poller->lock) == 0) {
		look_inside(poller);
		latch_drop(&poller->lock);
	}
	return n;
}

/*
 * Is it the kernel's turn to say what the rest of the program's descriptors have?  At each wait of a leisurely
 * program, and now and then of a busy one; but not twice in a row where it has enough for all the room there is.
 */
static bool is_kernels_turn(struct poller *poller)
{
	const uint64_t now = now_ns();

	if (atomic_load_explicit(&poller->rings_first, memory_order_relaxed)) {
		atomic_store_explicit(&poller->rings_first, false, memory_order_relaxed);
		return false;
	}
	if (now - atomic_load_explicit(&poller->asked_at, memory_order_relaxed) < KERNEL_EVERY_NS)
		return false;
	atomic_store_explicit(&poller->asked_at, now, memory_order_relaxed);
	return true;
}

/* What the rings have, and the kernel if it is its turn. */
static int harvest_rings(struct poller *poller, struct epoll_event *events, int most)
{
	const uint32_t takeovers = atomic_load(&poller->takeovers);
	int n = 0, first = 0;

	if (is_kernels_turn(poller))
		first = ask_kernel(poller, events, most);
	if (first == most)
		atomic_store_explicit(&poller->rings_first, true, memory_order_relaxed);
	else if (latch_take(&poller->lock) == 0) {
		n = harvest(poller, events + first, most - first, first ? takeovers : UINT32_MAX);
		atomic_store_explicit(&poller->active, true, memory_order_relaxed);
		latch_drop(&poller->lock);
	}
	return first + n;
}

/* Where is that of which there is news?  Not after pauses alone: it would want its line back at once. */
static void find_peer(struct poller *poller, struct connection *connection)
{
	if (!send_has_moved(connection))
		return;
	ring_find_reader(&connection->send);
	atomic_store_explicit(&poller->peer, (uint8_t)ring_reader_at(&connection->send),
			      memory_order_relaxed);
}

/* @looks: set to how many were looked at */
static bool glance(struct poller *poller, const struct wait *wait, uint32_t *looks)
{
	bool found = false;

	*looks = 0;
	if (latch_take(&poller->lock) < 0)
		return false;
	for (struct watch *watch = poller->hot; watch && !found; watch = watch->next, ++*looks) {
		found = watch_glance(watch);
		if (found && wait->yielded)
			find_peer(poller, watch->connection);
	}
	latch_drop(&poller->lock);
	return found;
}

/*
 * Look at the hot ones while that is cheap, and no handler runs (@runs did).
 *
 * Return: >= 0: events from the kernel; -1: go to sleep.
 */
static int spin(struct poller *poller, struct epoll_event *events, int most, uint32_t runs)
{
	const uint32_t every = atomic_load_explicit(&poller->vain_asks, memory_order_relaxed) + 1;
	struct wait wait;
	unsigned int steps = 0;
	uint32_t looks;

	wait_begin(&wait, &poller->habit, settings.wait_yields,
		   (enum wait_peer)atomic_load_explicit(&poller->peer, memory_order_relaxed));
	do {
		if (glance(poller, &wait, &looks)) {
			if (every < SPINS_PER_LOOK_MOST)
				atomic_store_explicit(&poller->vain_asks, every,
						      memory_order_relaxed);
			wait_found(&wait);
			return 0;
		}
		if (wait.pauses == 0 && ++steps % every == 0) {
			int n = ask_kernel(poller, events, most);

			if (n > 0) {
				atomic_store_explicit(&poller->vain_asks, 0, memory_order_relaxed);
				return n;
			}
		}
		wait_looked(&wait, looks);
		stand_in_prepare(&wait);
	} while (handler_runs.all == runs && wait_step(&wait));
	atomic_store_explicit(&poller->meets, wait.meets, memory_order_relaxed);
	return -1;
}

static void arm_each(struct poller *poller)
{
	struct watch *watch, *next;

	for (watch = poller->hot; watch; watch = next) {
		next = watch->next;
		watch_arm(watch);
	}
}

/* Arm every hot watch; false when one of them has something after all. */
static bool arm_all(struct poller *poller)
{
	bool idle;

	if (latch_take(&poller->lock) < 0)
		return true;
	arm_each(poller);
	idle = poller->hot == NULL;
	latch_drop(&poller->lock);
	return idle;
}

bool epoll_arm_hot(struct poller *poller)
{
	look_inside(poller);
	arm_each(poller);
	return poller->hot != NULL;
}

static bool no_pwait2;

int epoll_kernel_wait(int epoll, struct epoll_event *events, int most, uint64_t deadline,
		      const sigset_t *mask)
{
	struct timespec rest;
	uint64_t now, left;

	if (deadline == NEVER)
		return libc.epoll_pwait(epoll, events, most, -1, mask);
	now = deadline ? now_ns() : 0;
	left = deadline > now ? deadline - now : 0;
	rest.tv_sec = (time_t)(left / 1000000000);
	rest.tv_nsec = (long)(left % 1000000000);
	if (left % 1000000 && libc.epoll_pwait2 && !no_pwait2) {
		int n = libc.epoll_pwait2(epoll, events, most, &rest, mask);

		if (n >= 0 || (errno != ENOSYS && errno != EPERM))
			return n;
		no_pwait2 = true; /* an old kernel, or a filter of system calls */
	}
	left = (left + 999999) / 1000000;
	return libc.epoll_pwait(epoll, events, most, left > INT_MAX ? INT_MAX : (int)left, mask);
}

/* A second without an event: the rings' pages can go. */
static void trim_all(struct poller *poller)
{
	poller->active = false;
	if (latch_take(&poller->lock) < 0)
		return;
	for (struct watch *watch = poller->watches; watch; watch = watch->next_of_poller)
		if (!watch->native)
			stream_trim(watch->connection);
	latch_drop(&poller->lock);
}

static int kernel_wait_or_idle(struct poller *poller, int epoll, struct epoll_event *events,
			       int most, uint64_t deadline, const sigset_t *mask)
{
	uint64_t idle;
	int n;

	if (!poller || !poller->active || deadline == 0)
		return epoll_kernel_wait(epoll, events, most, deadline, mask);
	idle = now_ns() + STREAM_IDLE_NS;
	if (deadline > idle) {
		n = epoll_kernel_wait(epoll, events, most, idle, mask);
		if (n != 0)
			return n;
		trim_all(poller);
	}
	return epoll_kernel_wait(epoll, events, most, deadline, mask);
}

static bool got_hot(struct poller *poller)
{
	bool hot;

	if (poller->inner < 0 || latch_take(&poller->lock) < 0)
		return false;
	hot = poller->hot != NULL;
	latch_drop(&poller->lock);
	return hot;
}

/* Has a child begun to use it? */
static bool wants_back(const struct poller *poller)
{
	return __builtin_expect(atomic_load(&poller->shared), 0) &&
	       !atomic_load(&poller->returned);
}

static void settle_offers(struct poller *poller)
{
	if (__builtin_expect(atomic_load_explicit(&offers_pending, memory_order_relaxed) != 0, 0))
		epoll_settle_offers(poller);
}

/* The thread is cancelled in its sleep. */
static void abandon(void *context)
{
	struct poller *poller = context;

	atomic_fetch_sub(&poller->sleepers, 1);
}

static int sleep_as_one_of(struct poller *poller, int epoll, struct epoll_event *events, int most,
			   uint64_t deadline, const sigset_t *mask)
{
	struct cleanup cleanup;
	int n;

	cleanup_push(&cleanup, abandon, poller);
	n = kernel_wait_or_idle(poller, epoll, events, most, deadline, mask);
	cleanup_pop(&cleanup);
	return n;
}

static int sleep_in_kernel(struct poller *poller, int epoll, struct epoll_event *events, int most,
			   uint64_t deadline, const sigset_t *mask)
{
	uint64_t start = poller && poller->inner >= 0 ? now_ns() : 0;
	int n;

	if (poller)
		atomic_fetch_add(&poller->sleepers, 1);
	if (poller && deadline && (got_hot(poller) || wants_back(poller))) {
		/* Another thread changed a registration after we had armed all: look again. */
		atomic_fetch_sub(&poller->sleepers, 1);
		return -ESTALE;
	}
	if (poller && deadline)
		n = sleep_as_one_of(poller, epoll, events, most, deadline, mask);
	else
		n = kernel_wait_or_idle(poller, epoll, events, most, deadline, mask);
	settle_offers(poller);
	if (poller)
		atomic_fetch_sub(&poller->sleepers, 1);
	if (start && !atomic_load_explicit(&poller->meets, memory_order_relaxed))
		wait_slept(&poller->habit, now_ns() - start);
	return n < 0 ? -errno : n;
}

/* We look ourselves. */
static void lower_flag(struct poller *poller)
{
	if (!poller || !poller->flagged || latch_take(&poller->lock) < 0)
		return;
	epoll_flag(poller, false);
	latch_drop(&poller->lock);
}

/*
 * A thread leaves with what it got, or with nothing, and others sleep: what is hot stands on nobody's list now.
 * All are armed, and one that is ready and was not told of wakes another thread.
 */
static void hand_on(struct poller *poller)
{
	struct watch *ready = NULL, *watch, *next;

	if (latch_take(&poller->lock) < 0)
		return;
	for (watch = poller->hot; watch; watch = next) {
		next = watch->next;
		watch_arm(watch);
		if (watch->hot && watch->told != poller->turn)
			ready = watch;
	}
	if (ready)
		watch_kick(ready);
	latch_drop(&poller->lock);
}

/* The kernel gave @n events: of them the program's, and what the inner epoll has if it was among them. */
static int take_events(struct poller *poller, struct epoll_event *events, int n, int most,
		       uint32_t takeovers)
{
	bool inner;

	n = strip(poller, events, n, &inner);
	if (inner && latch_take(&poller->lock) == 0) {
		look_inside(poller);
		n += harvest(poller, events + n, most - n, n ? takeovers : UINT32_MAX);
		latch_drop(&poller->lock);
	}
	return n;
}

static int wait_for_events(struct poller *poller, int epoll, struct epoll_event *events, int most,
			   const struct timespec *timeout, const sigset_t *mask)
{
	const uint32_t runs = handler_runs.all;
	const uint64_t deadline = clock_deadline(timeout);
	uint32_t takeovers;
	bool last = false, vain = false;
	int n;

	while (!last) {
		if (__builtin_expect(epoll_is_shared(poller), 0)) {
			n = epoll_share_wait(epoll, events, most, deadline, mask, runs);
			if (n != -ESTALE)
				return n;
		}
		epoll_settle_nested(poller);
		settle_offers(poller);
		lower_flag(poller);
		if (poller && poller->inner >= 0 && poller->hot && most > 0) {
			pthread_testcancel(); /* what is there may be taken without another */
			n = harvest_rings(poller, events, most);
			if (n > 0)
				return n;
			if (deadline) {
				/* A glance may err: not twice in a row. */
				n = vain ? -1 : spin(poller, events, most, runs);
				if (n > 0)
					return n;
				vain = n == 0;
				if (vain || !arm_all(poller))
					continue;
				if (handler_runs.all != runs)
					return -EINTR;
			}
		}
		takeovers = poller ? atomic_load(&poller->takeovers) : 0;
		n = sleep_in_kernel(poller, epoll, events, most, deadline, mask);
		if (n == -ESTALE)
			continue;
		if (n < 0)
			return n;
		last = n == 0 || deadline == 0;
		if (!poller)
			poller = fd_poller(epoll);
		n = take_events(poller, events, n, most, takeovers);
		if (n > 0)
			return n;
	}
	return 0;
}

int epoll_wait_for(struct poller *poller, int epoll, struct epoll_event *events, int most,
		   const struct timespec *timeout, const sigset_t *mask)
{
	const int n = wait_for_events(poller, epoll, events, most, timeout, mask);

	if (!poller)
		poller = fd_poller(epoll);
	if (poller && atomic_load_explicit(&poller->hot, memory_order_relaxed) &&
	    __builtin_expect(atomic_load(&poller->sleepers) != 0, 0) && !epoll_is_inherited(poller))
		hand_on(poller);
	return n;
}
