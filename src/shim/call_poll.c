/* SPDX-License-Identifier: MIT */
/*
 * Stand-ins: poll
 *
 * Without an attached connection in the set: the real call, while the connections in it count a
 * poller (an end with one is not quiet, see move.h).  Otherwise the set is translated: rings are
 * looked at first; to sleep, each attached connection becomes its bells and its TCP socket.  Another
 * thread may send attached ones back to TCP at any moment (sandbox.h): when none is left, the rest of the
 * call is the real one.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "shim/bell.h"
#include "shim/call_poll.h"
#include "shim/cleanup.h"
#include "shim/clock.h"
#include "shim/epoll.h"
#include "shim/fd_table.h"
#include "shim/handlers.h"
#include "shim/libc.h"
#include "shim/offer.h"
#include "shim/quiet.h"
#include "shim/readiness.h"
#include "shim/remote.h"
#include "shim/sandbox.h"
#include "shim/session.h"
#include "shim/settings.h"
#include "shim/stand_in.h"
#include "shim/stream.h"
#include "shim/urgent.h"
#include "shim/user_memory.h"

#define ON_STACK 64 /* descriptors translated without asking for memory */
#define PER_FD 3 /* what one attached connection becomes */
#define DEAD_BELL_NS 5000000ULL

/**
 * struct polling - one call in progress
 * @fds, @count: the program's
 * @connections: one each, NULL where the kernel serves the descriptor
 * @sleeping: the translated set, room for PER_FD a descriptor
 * @widths: how many of it stand for one: the kernel allows no more in all than RLIMIT_NOFILE
 * @many: where there are too many for the stack, what these lie in; else NULL
 */
struct polling {
	struct pollfd *fds;
	nfds_t count;
	struct connection **connections;
	struct pollfd *sleeping;
	uint8_t *widths;
	void *many;
};

/* Find the connections and count as a poller of each. */
static void polling_enter(struct polling *polling)
{
	for (nfds_t i = 0; i < polling->count; i++) {
		struct connection *connection = connection_get(polling->fds[i].fd);

		if (connection && !connection->side) {
			connection_put(connection);
			connection = NULL;
		}
		polling->connections[i] = connection;
		if (!connection)
			continue;
		atomic_store_explicit(&connection->waited_for, true, memory_order_relaxed);
		atomic_fetch_add(&connection->pollers, 1);
		connection_sleep(connection);
		if (connection_phase(connection) == PHASE_OFFERED && session_has_mail())
			session_collect();
		offer_settle(connection, polling->fds[i].fd);
		(void)remote_look(connection, polling->fds[i].fd);
	}
}

static void polling_leave(struct polling *polling)
{
	for (nfds_t i = 0; i < polling->count; i++) {
		struct connection *connection = polling->connections[i];

		if (!connection)
			continue;
		atomic_fetch_sub(&connection->pollers, 1);
		connection_wake(connection);
		connection_put(connection);
	}
}

/* The thread is cancelled. */
static void polling_abandon(void *context)
{
	struct polling *polling = context;

	polling_leave(polling);
	free(polling->many);
}

static bool is_translated(const struct polling *polling, nfds_t i)
{
	return polling->connections[i] && is_attached(polling->connections[i]);
}

/* How many have rings?  Never more than a moment ago, once any had. */
static nfds_t count_translated(const struct polling *polling)
{
	nfds_t n = 0;

	for (nfds_t i = 0; i < polling->count; i++)
		n += is_translated(polling, i);
	return n;
}

/* Fill in revents from the rings; how many are ready? */
static int look_at_rings(struct polling *polling, bool ask)
{
	int ready = 0;

	for (nfds_t i = 0; i < polling->count; i++) {
		struct pollfd *entry = &polling->fds[i];

		entry->revents = 0;
		if (!is_translated(polling, i))
			continue;
		entry->revents = readiness(polling->connections[i], entry->fd, entry->events, ask) &
				 (short)(entry->events | POLLHUP | POLLERR);
		if (entry->revents)
			ready++;
	}
	return ready;
}

/* Add what the kernel says of the others, without waiting. */
static int look_at_kernel(struct polling *polling)
{
	struct pollfd *others = polling->sleeping;
	int n;

	if (count_translated(polling) == polling->count)
		return 0;
	for (nfds_t i = 0; i < polling->count; i++) {
		others[i] = polling->fds[i];
		if (is_translated(polling, i))
			others[i].fd = -1;
	}
	n = quiet_poll(others, polling->count, 0);
	for (nfds_t i = 0; n > 0 && i < polling->count; i++)
		if (!is_translated(polling, i))
			polling->fds[i].revents = others[i].revents;
	return n > 0 ? n : 0;
}

static bool spin(struct polling *polling, uint32_t runs)
{
	struct wait_habit *habit = NULL;
	struct wait wait;

	for (nfds_t i = 0; i < polling->count && !habit; i++)
		if (is_translated(polling, i))
			habit = &polling->connections[i]->habits[DIRECTION_RECEIVE];
	if (!habit)
		return false;
	wait_begin(&wait, habit, settings.wait_yields, WAIT_PEER_ANYWHERE);
	do {
		for (nfds_t i = 0; i < polling->count; i++)
			if (is_translated(polling, i) &&
			    readiness_glance(polling->connections[i], polling->fds[i].events)) {
				wait_found(&wait);
				return true;
			}
		wait_looked(&wait, (uint32_t)polling->count);
		stand_in_prepare(&wait);
	} while (handler_runs.all == runs && wait_step(&wait));
	return false;
}

static void arm_all(struct polling *polling)
{
	for (nfds_t i = 0; i < polling->count; i++) {
		struct connection *connection = polling->connections[i];

		if (!is_translated(polling, i))
			continue;
		if (polling->fds[i].events & (POLLIN | POLLRDNORM | POLLRDHUP))
			bell_arm(connection, BELL_DATA);
		if (polling->fds[i].events & (POLLOUT | POLLWRNORM))
			bell_arm(connection, BELL_SPACE);
		if ((polling->fds[i].events & POLLPRI) && is_remote(connection))
			urgent_arm(connection);
	}
}

/* The three entries that stand for one attached connection; false when a bell is dead. */
static bool translate(const struct pollfd *entry, struct connection *connection, struct pollfd *to)
{
	bool reads = entry->events & (POLLIN | POLLRDNORM | POLLRDHUP);
	bool writes = entry->events & (POLLOUT | POLLWRNORM);
	bool stands_in;

	to[0] = (struct pollfd){.fd = connection_fd(connection, entry->fd),
				.events = entry->events & POLLPRI};
	stands_in = connection_state_fd(connection, to[0].fd) != to[0].fd;
	to[0].fd = connection_state_fd(connection, to[0].fd);
	if (reads && stands_in) /* which has nothing to read but its end */
		to[0].events |= POLLRDHUP;
	else if (reads)
		to[0].events |= (short)(entry->events & ~(POLLOUT | POLLWRNORM)) | POLLRDHUP;
	if (writes && (!send_has_moved(connection) || is_back(connection)) &&
	    !is_draining(connection))
		to[0].events |= POLLOUT;
	to[1] = (struct pollfd){.fd = -1, .events = POLLIN};
	to[2] = to[1];
	if (is_back(connection) && receive_is_back(connection) && !is_draining(connection))
		return true; /* nobody rings any more */
	if (reads && !has_ended(connection, ENDED_DATA_BELL))
		to[1].fd = connection->data_bell;
	if (writes && !has_ended(connection, ENDED_SPACE_BELL))
		to[2].fd = connection->space_bell;
	return !has_ended(connection, ENDED_DATA_BELL | ENDED_SPACE_BELL);
}

static bool wants_trim(const struct polling *polling)
{
	for (nfds_t i = 0; i < polling->count; i++)
		if (is_translated(polling, i) && stream_wants_trim(polling->connections[i]))
			return true;
	return false;
}

/* What is left until @deadline, for ppoll(2). */
static struct timespec *time_left(uint64_t deadline, struct timespec *left)
{
	uint64_t now;

	if (deadline == NEVER)
		return NULL;
	now = now_ns();
	now = deadline > now ? deadline - now : 0;
	left->tv_sec = (time_t)(now / 1000000000);
	left->tv_nsec = (long)(now % 1000000000);
	return left;
}

/* Returns at once when no longer @translated have rings: one that went back may have left something. */
static int sleep_on_all(struct polling *polling, nfds_t translated, uint64_t deadline,
			const sigset_t *mask)
{
	struct pollfd *to = polling->sleeping;
	bool bells_live = true, trims;
	struct timespec left;
	uint64_t now;
	int n;

	for (nfds_t i = 0; i < polling->count; to += polling->widths[i++]) {
		polling->widths[i] = polling->fds[i].fd >= 0;
		if (is_translated(polling, i)) {
			bells_live &= translate(&polling->fds[i], polling->connections[i], to);
			polling->widths[i] = PER_FD;
			translated--;
		} else if (polling->widths[i]) {
			to[0] = polling->fds[i];
		}
	}
	if (translated)
		return 0;
	now = now_ns();
	if (!bells_live && deadline > now + DEAD_BELL_NS)
		deadline = now + DEAD_BELL_NS;
	trims = wants_trim(polling);
	if (trims && deadline > now + STREAM_IDLE_NS)
		deadline = now + STREAM_IDLE_NS;
	n = libc.ppoll(polling->sleeping, (nfds_t)(to - polling->sleeping),
		       time_left(deadline, &left), mask);
	for (nfds_t i = 0; n == 0 && trims && i < polling->count; i++)
		if (is_translated(polling, i))
			stream_trim(polling->connections[i]);
	return n < 0 ? -errno : n;
}

static void note_wakes(struct polling *polling)
{
	const struct pollfd *from = polling->sleeping;

	for (nfds_t i = 0; i < polling->count; from += polling->widths[i++]) {
		struct connection *connection = polling->connections[i];

		if (polling->widths[i] != PER_FD || !is_translated(polling, i))
			continue;
		readiness_note(connection, from[0].revents);
		if ((from[0].revents & (POLLIN | POLLPRI)) && receive_has_moved(connection))
			atomic_fetch_or(&connection->ended, ENDED_LOOK);
		for (int bell = BELL_DATA; bell <= BELL_SPACE; bell++) {
			if (from[1 + bell].revents)
				bell_seen(connection, (enum bell)bell);
			if (from[1 + bell].revents & (POLLHUP | POLLERR))
				atomic_fetch_or(&connection->ended, bell == BELL_DATA
									    ? ENDED_DATA_BELL
									    : ENDED_SPACE_BELL);
		}
	}
}

static void learn(struct polling *polling, uint64_t slept)
{
	for (nfds_t i = 0; i < polling->count; i++)
		if (is_translated(polling, i)) {
			wait_slept(&polling->connections[i]->habits[DIRECTION_RECEIVE], slept);
			return;
		}
}

/* All are TCP's again. */
static int poll_after_rings(struct polling *polling, uint64_t deadline, const sigset_t *mask)
{
	struct timespec left;
	int n;

	if (sandbox_has_rest(polling->fds, polling->count))
		deadline = 0;
	n = libc.ppoll(polling->fds, polling->count, time_left(deadline, &left), mask);
	return n < 0 ? -errno : sandbox_add_rest(polling->fds, polling->count, n);
}

static int poll_translated(struct polling *polling, uint64_t deadline, const sigset_t *mask)
{
	const uint32_t runs = handler_runs.all;

	for (bool vain = false;;) {
		const nfds_t translated = count_translated(polling);
		uint64_t start;
		int n, ready;

		if (translated == 0)
			return poll_after_rings(polling, deadline, mask);
		ready = look_at_rings(polling, deadline == 0);
		epoll_settle_nested(NULL);
		ready += look_at_kernel(polling);
		if (__builtin_expect(settings.sandboxed, 0))
			ready = sandbox_add_rest(polling->fds, polling->count, ready);
		if (ready || deadline == 0)
			return ready;
		/* A glance may err: not twice in a row. */
		vain = !vain && spin(polling, runs);
		if (vain)
			continue;
		arm_all(polling);
		ready = look_at_rings(polling, false);
		if (ready)
			continue;
		if (handler_runs.all != runs)
			return -EINTR;
		start = now_ns();
		n = sleep_on_all(polling, translated, deadline, mask);
		if (n < 0)
			return n;
		note_wakes(polling);
		learn(polling, now_ns() - start);
		if (n == 0 && deadline != NEVER && now_ns() >= deadline)
			deadline = 0; /* one last look */
	}
}

static int poll_entered(struct polling *polling, const struct timespec *timeout,
			const sigset_t *mask)
{
	int n;

	if (count_translated(polling))
		return poll_translated(polling, clock_deadline(timeout), mask);
	n = libc.ppoll(polling->fds, polling->count, timeout, mask);
	if (n < 0)
		return -errno;
	for (nfds_t i = 0; n > 0 && i < polling->count; i++)
		if (polling->connections[i] && polling->fds[i].revents)
			offer_settle(polling->connections[i], polling->fds[i].fd);
	return n;
}

static int poll_with(struct polling *polling, const struct timespec *timeout, const sigset_t *mask)
{
	struct cleanup cleanup;
	int n;

	polling_enter(polling);
	cleanup_push(&cleanup, polling_abandon, polling);
	pthread_testcancel();
	n = poll_entered(polling, timeout, mask);
	cleanup_pop(&cleanup);
	polling_leave(polling);
	return n;
}

/* Whether any of them is a connection that we would have to look after. */
static bool any_is_ours(const struct pollfd *fds, nfds_t count)
{
	for (nfds_t i = 0; i < count; i++) {
		struct connection *connection = connection_get(fds[i].fd);
		bool ours = connection && connection->side;

		if (connection)
			connection_put(connection);
		if (ours)
			return true;
	}
	return false;
}

/* An epoll in the set is to answer for its rings. */
static void note_nested(const struct pollfd *fds, nfds_t count)
{
	for (nfds_t i = 0; i < count; i++)
		if (fd_poller(fds[i].fd))
			epoll_note_nested(fds[i].fd);
	epoll_settle_nested(NULL);
}

/* The set is the program's, which may have given any address, and change it meanwhile. */
static int poll_copied(struct pollfd *fds, struct polling *polling, const struct timespec *timeout,
		       const sigset_t *mask, bool *ours)
{
	int n;

	*ours = true;
	if (!user_copy(polling->fds, fds, polling->count * sizeof(*fds)))
		return -EFAULT;
	note_nested(polling->fds, polling->count);
	*ours = any_is_ours(polling->fds, polling->count);
	if (!*ours)
		return 0;
	n = poll_with(polling, timeout, mask);
	for (nfds_t i = 0; n >= 0 && i < polling->count; i++)
		if (!user_copy(&fds[i].revents, &polling->fds[i].revents, sizeof(fds[i].revents)))
			return -EFAULT;
	return n;
}

int poll_all(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask,
	     bool *ours)
{
	struct connection *few[ON_STACK];
	struct pollfd few_own[ON_STACK], few_sleeping[ON_STACK * PER_FD];
	uint8_t few_widths[ON_STACK];
	struct polling polling = {.fds = few_own,
				  .count = count,
				  .connections = few,
				  .sleeping = few_sleeping,
				  .widths = few_widths};
	int n;

	*ours = false;
	if (connection_none() || count > (nfds_t)FD_TABLE_MAX ||
	    (settings.sandboxed && !remote_any()))
		return 0;
	if (count > ON_STACK) {
		polling.many = malloc(count * (sizeof(*few) + (1 + PER_FD) * sizeof(*few_own) + 1));
		if (!polling.many) {
			*ours = true;
			return -ENOMEM;
		}
		polling.connections = polling.many;
		polling.fds = (struct pollfd *)(polling.connections + count);
		polling.sleeping = polling.fds + count;
		polling.widths = (uint8_t *)(polling.sleeping + count * PER_FD);
	}
	n = poll_copied(fds, &polling, timeout, mask, ours);
	free(polling.many);
	return n;
}

EXPORT int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	const struct timespec limit = {.tv_sec = timeout / 1000,
				       .tv_nsec = timeout % 1000 * 1000000L};
	bool ours;
	int n;

	libc_ready();
	if (settings.sandboxed && !remote_any()) {
		ours = sandbox_has_rest(fds, count);
		n = libc.poll(fds, count, ours ? 0 : timeout);
		return ours && n >= 0 ? sandbox_add_rest(fds, count, n) : n;
	}
	n = poll_all(fds, count, timeout < 0 ? NULL : &limit, NULL, &ours);
	return ours ? (int)to_errno(n) : libc.poll(fds, count, timeout);
}

EXPORT int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		 const sigset_t *mask)
{
	struct timespec limit = {0};
	bool ours, odd;
	int n = 0;

	libc_ready();
	if (settings.sandboxed && !remote_any()) {
		ours = sandbox_has_rest(fds, count);
		n = libc.ppoll(fds, count, ours ? &limit : timeout, mask);
		return ours && n >= 0 ? sandbox_add_rest(fds, count, n) : n;
	}
	odd = timeout && (!user_copy(&limit, timeout, sizeof(limit)) || limit.tv_sec < 0 ||
			  (unsigned long)limit.tv_nsec > 999999999);
	ours = !odd;
	if (ours)
		n = poll_all(fds, count, timeout ? &limit : NULL, mask, &ours);
	return ours ? (int)to_errno(n) : libc.ppoll(fds, count, timeout, mask);
}

extern void __chk_fail(void) __attribute__((noreturn));

EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t room)
{
	if (room / sizeof(*fds) < count)
		__chk_fail();
	return poll(fds, count, timeout);
}

EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		       const sigset_t *mask, size_t room)
{
	if (room / sizeof(*fds) < count)
		__chk_fail();
	return ppoll(fds, count, timeout, mask);
}
