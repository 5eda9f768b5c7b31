/* SPDX-License-Identifier: MIT */
#include "shim/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/bell.h"
#include "shim/epoll.h"
#include "shim/fd_table.h"
#include "shim/latch.h"
#include "shim/libc.h"
#include "shim/memory.h"
#include "shim/move.h"
#include "shim/offer.h"
#include "shim/quiet.h"
#include "shim/remote.h"
#include "shim/session.h"
#include "shim/settings.h"
#include "shim/side.h"
#include "shim/signals.h"

#define POOL_MAX FD_TABLE_MAX
#define NUMBERS_LOOKED_AT 65536 /* for other descriptors of a connection */

/* The pool: one reserved stretch of address space, opened as it is needed, never given back. */
static struct memory_pool pool_memory;
static struct connection *_Atomic pool;
static _Atomic uint32_t pool_used;
static struct connection *pool_free;
static _Atomic uint32_t pool_lock;

static struct connection *pool_take(void)
{
	struct connection *connection = NULL;

	if (latch_take(&pool_lock) < 0)
		return NULL; /* a signal handler interrupted the pool: do without */
	if (pool_free) {
		connection = pool_free;
		pool_free = connection->next_free;
	} else if (memory_pool_open(&pool_memory, (pool_used + 1) * sizeof(*pool),
				    POOL_MAX * sizeof(*pool))) {
		if (!pool)
			pool = (struct connection *)pool_memory.base;
		connection = &pool[pool_used++];
		connection->descriptors = -1;
	}
	latch_drop(&pool_lock);
	return connection;
}

static void pool_give(struct connection *connection)
{
	if (latch_take(&pool_lock) < 0)
		return;
	connection->next_free = pool_free;
	pool_free = connection;
	latch_drop(&pool_lock);
}

struct connection *connection_new(int fd)
{
	struct connection *connection = pool_take();

	if (!connection)
		return NULL;
	signals_guard();
	connection->ended = 0;
	connection->due = ECONNRESET;
	connection->opened_by_connect = false;
	connection->mismatches = connection->turns = 0;
	connection->last_call = DIRECTION_NONE;
	connection->waited_for = false;
	connection->vain_reads = 0;
	connection->pollers = 0;
	connection->id = 0;
	connection->checked_at = connection->looked_at = connection->offered_at = 0;
	connection->side = NULL;
	connection->control = NULL;
	memset(&connection->send, 0, sizeof(connection->send));
	memset(&connection->receive, 0, sizeof(connection->receive));
	connection->segment = connection->data_bell = connection->space_bell = -1;
	connection->stand_in = -1;
	connection->spare = (struct spare){.descriptor = -1};
	connection->offer = OFFER_NOT;
	connection->handed_over = connection->declined = false;
	connection->left = false;
	connection->stays_tcp = false;
	connection->defer_accept = 0;
	connection->bell_armed[0] = connection->bell_armed[1] = false;
	connection->bell_rung[0] = connection->bell_rung[1] = false;
	connection->habits[0].hopeless = connection->habits[1].hopeless = false;
	connection->times_full = 0;
	connection->not_trimmed_at = UINT64_MAX;
	connection->watches = NULL;
	connection->goes_back = false;
	connection->name = (struct smc_name){0};
	connection->fd = fd;
	connection->kept = -1;
	connection->sleepers = 0;
	connection_forget(fd);
	atomic_fetch_add(&connection->users, 1); /* the table's */
	atomic_store(&connection->descriptors, 1);
	atomic_store(&connection->phase, PHASE_IDLE);
	if (!fd_table_set(fd, (uintptr_t)connection)) {
		atomic_store(&connection->descriptors, 0);
		connection_put(connection);
		return NULL;
	}
	return connection;
}

struct connection *connection_get(int fd)
{
	struct connection *connection = fd_connection(fd);

	return connection ? connection_get_looked_up(connection, fd) : NULL;
}

bool connection_none(void)
{
	return pool_used == 0;
}

static _Atomic int rings;

bool connection_any_attached(void)
{
	return atomic_load(&rings) > 0;
}

void connection_each(void (*visit)(struct connection *connection, void *context), void *context)
{
	for (uint32_t i = 0; i < pool_used; i++)
		if (atomic_load(&pool[i].descriptors) > 0)
			visit(&pool[i], context);
}

bool connection_hold(struct connection *connection)
{
	atomic_fetch_add(&connection->users, 1);
	if (atomic_load(&connection->descriptors) > 0)
		return true;
	connection_put(connection);
	return false;
}

static bool has_cookie(const struct connection *connection, uint64_t cookie)
{
	const struct side_record *side = connection->side;

	return atomic_load(&connection->descriptors) > 0 && side && side->cookie == cookie;
}

struct connection *connection_by_cookie(uint64_t cookie)
{
	for (uint32_t i = 0; i < pool_used; i++) {
		if (!has_cookie(&pool[i], cookie))
			continue;
		atomic_fetch_add(&pool[i].users, 1);
		if (has_cookie(&pool[i], cookie))
			return &pool[i];
		connection_put(&pool[i]);
	}
	return NULL;
}

void connection_count_rings(int more)
{
	ring_share((uint32_t)(atomic_fetch_add(&rings, more) + more));
}

static void say_good_bye(struct connection *connection, int fd)
{
	struct segment_writer *ours = our_writer(connection);

	if (!is_alone(connection))
		return;
	if (fd >= 0 && receive_has_moved(connection) && ring_available(&connection->receive)) {
		/* As TCP: closing with data unread resets. */
		const struct linger reset = {.l_onoff = 1, .l_linger = 0};

		libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	}
	if (is_remote(connection)) {
		atomic_fetch_or(&ours->marks, MARK_SHUT | MARK_CLOSED);
		bell_tell_reader(connection);
		if (fd >= 0)
			remote_linger(connection, fd);
		return;
	}
	atomic_fetch_or(&ours->marks, MARK_CLOSED);
}

/* The daemon may still hold the socket that was offered: what closing does to the peer is not to wait for it. */
static void end_at_once(const struct connection *connection, int fd)
{
	const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
	struct linger linger = {0};
	socklen_t length = sizeof(linger);
	int unread = 0;

	/* Threads inside the kernel go on, and the kernel sends it when they are out. */
	if (atomic_load(&connection->side->send.in_kernel) ||
	    atomic_load(&connection->side->receive.in_kernel))
		return;
	if (!is_alone(connection) || libc.ioctl(fd, FIONREAD, &unread) < 0 ||
	    libc.getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length) < 0)
		return;
	if (unread || (linger.l_onoff && linger.l_linger == 0))
		(void)quiet_connect(fd, &nowhere, sizeof(nowhere)); /* a reset */
	else
		(void)libc.shutdown(fd, SHUT_WR);
}

/* The last descriptor goes, or (@fd is -1) went where we could not see it. */
static void part(struct connection *connection, int fd)
{
	if (is_attached(connection))
		say_good_bye(connection, fd);
	else if (fd >= 0 && connection->id)
		end_at_once(connection, fd);
}

/* Does another thread sleep in a call?  A signal handler may have jumped out of the only one. */
static bool is_slept_on(const struct connection *connection)
{
	const uint32_t sleeper = atomic_load(&connection->sleeper);

	switch (atomic_load(&connection->sleepers)) {
	case 0:
		return false;
	case 1:
		return sleeper != thread_id() &&
		       libc.syscall(SYS_tgkill, getpid(), (pid_t)sleeper, 0) == 0;
	default:
		return true;
	}
}

/* The socket is the sleepers' until they leave. */
static bool keep(struct connection *connection, int fd)
{
	if (settings.sandboxed || !is_slept_on(connection))
		return false;
	fd = libc.fcntl(fd, F_DUPFD_CLOEXEC, 0);
	connection->kept = fd < 0 ? -1 : fd_hide(fd);
	if (connection->kept < 0) {
		connection->kept = -1;
		return false;
	}
	return true;
}

/* Once: at its end a process may leave all, and then close some, or leave all again. */
static void leave(struct connection *connection, struct side_record *side, bool ends)
{
	if (side && !atomic_exchange(&connection->left, true))
		side_leave(side, ends);
}

/* To the daemon, which need not wait for the end of the stand-in then. */
static void say_gone(struct connection *connection)
{
	if (is_remote(connection) && is_alone(connection) &&
	    atomic_load(&our_writer(connection)->marks) & MARK_CLOSED)
		atomic_fetch_or(&our_writer(connection)->marks, MARK_GONE);
}

/* The last call has left a closed connection. */
static void tear_down(struct connection *connection)
{
	struct side_record *side = connection->side;

	if (connection->kept >= 0) {
		part(connection, connection->kept);
		fd_unhide_at(&connection->kept);
	}
	say_gone(connection);
	offer_drop(connection);
	atomic_store(&connection->phase, PHASE_FREE);
	epoll_forget(connection, -1);
	connection_give_up_rings(connection);
	if (connection->id)
		session_withdraw(connection->id);
	connection->id = 0;
	connection->side = NULL;
	leave(connection, side, false);
	if (side)
		side_drop(side);
	pool_give(connection);
}

void connection_put_last(struct connection *connection)
{
	int32_t none = 0;

	/* Who looked at a slot that was just emptied comes here too: only one may tear it down. */
	if (atomic_compare_exchange_strong(&connection->descriptors, &none, -1))
		tear_down(connection);
}

void connection_address(struct side_address *to, const struct sockaddr_storage *from)
{
	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)from;

		memset(to->bytes, 0, 10);
		memset(to->bytes + 10, 0xff, 2);
		memcpy(to->bytes + 12, &in->sin_addr, 4);
		to->port = ntohs(in->sin_port);
	} else if (from->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;

		memcpy(to->bytes, &in6->sin6_addr, 16);
		to->port = ntohs(in6->sin6_port);
	}
}

static void describe(struct side_record *side, int fd)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	socklen_t cookie_length = sizeof(side->cookie);

	side->fd = fd;
	if (getsockname(fd, (struct sockaddr *)&address, &length) == 0)
		connection_address(&side->local, &address);
	length = sizeof(address);
	if (getpeername(fd, (struct sockaddr *)&address, &length) == 0)
		connection_address(&side->peer, &address);
	libc.getsockopt(fd, SOL_SOCKET, SO_COOKIE, &side->cookie, &cookie_length);
}

void connection_establish(struct connection *connection, int fd, bool by_connect)
{
	struct side_record *side = side_new();

	if (!side)
		return; /* stays IDLE: plain TCP, not even counted */
	describe(side, fd);
	side->reason = REASON_YOUNG;
	connection->opened_by_connect = by_connect;
	connection->side = side;
	atomic_store_explicit(&side->state, SIDE_TCP, memory_order_release);
	atomic_store_explicit(&connection->phase, PHASE_TCP, memory_order_release);
}

void connection_take_up(struct connection *connection, struct side_record *side)
{
	connection->side = side;
	atomic_store(&connection->phase, PHASE_TCP);
}

void connection_pin(struct connection *connection, enum reason reason)
{
	uint32_t phase = connection_phase(connection);

	atomic_store(&connection->stays_tcp, true);
	/* Another thread may attach it at this moment: one of the two is first. */
	while (phase != PHASE_ATTACHED && phase != PHASE_BACK) {
		if (!atomic_compare_exchange_weak(&connection->phase, &phase, PHASE_PINNED))
			continue;
		if (connection->side)
			atomic_store(&connection->side->reason, reason);
		return;
	}
	/* What has not moved yet never will. */
	move_forbid(connection);
}

void connection_dup(struct connection *connection, int fd)
{
	atomic_fetch_add(&connection->descriptors, 1);
	if (!fd_table_set(fd, (uintptr_t)connection))
		atomic_fetch_sub(&connection->descriptors, 1);
}

void connection_renew(struct connection *connection)
{
	struct connection *fresh = NULL;

	epoll_forget(connection, -1);
	for (int i = 0; i < fd_table_size && i < NUMBERS_LOOKED_AT; i++) {
		uintptr_t slot = (uintptr_t)connection;

		if (!atomic_compare_exchange_strong(&fd_table[i], &slot, 0))
			continue;
		if (fresh)
			connection_dup(fresh, i);
		else if ((fresh = connection_new(i)))
			fresh->name = connection->name;
		if (atomic_fetch_sub(&connection->descriptors, 1) > 1)
			continue;
		atomic_store(&connection->fd, -1);
		connection_put(connection); /* the table's */
		return;
	}
}

/* One of several descriptors goes: another serves for calls that need the socket itself. */
static void close_one_of_several(struct connection *connection, int fd)
{
	int other = -1;

	for (int i = 0; other < 0 && i < fd_table_size && i < NUMBERS_LOOKED_AT; i++)
		if (fd_connection(i) == connection)
			other = i;
	if (atomic_load(&connection->fd) == fd)
		atomic_store(&connection->fd, other);
	epoll_orphan(connection, fd);
}

void connection_close(struct connection *connection, int number, int fd)
{
	uintptr_t slot = (uintptr_t)connection;

	if (!atomic_compare_exchange_strong(&fd_table[number], &slot, 0))
		return;
	if (atomic_fetch_sub(&connection->descriptors, 1) > 1) {
		close_one_of_several(connection, number);
		return;
	}
	epoll_forget(connection, -1);
	if (fd < 0 || !keep(connection, fd))
		part(connection, fd);
	atomic_store(&connection->fd, connection->kept);
	connection_put(connection); /* the table's; the caller still has its own */
}

void connection_forget(int fd)
{
	struct connection *stale = connection_get(fd);

	if (fd_poller(fd))
		epoll_closed(fd_poller(fd), fd);
	if (stale) {
		connection_close(stale, fd, -1);
		connection_put(stale);
	}
}

int connection_fd(const struct connection *connection, int fd)
{
	return fd_connection(fd) == connection ? fd : atomic_load(&connection->fd);
}

void connection_offers_are_void(void)
{
	for (uint32_t i = 0; i < pool_used; i++) {
		uint32_t offered = PHASE_OFFERED;

		if (atomic_compare_exchange_strong(&pool[i].phase, &offered, PHASE_TCP))
			pool[i].id = 0;
	}
}

/* The record that this process holds, as would a child made now. */
static struct side_record *record_of(const struct connection *connection)
{
	return atomic_load(&connection->descriptors) > 0 ? connection->side : NULL;
}

void connection_leave_all(void)
{
	for (uint32_t i = 0; i < pool_used; i++)
		leave(&pool[i], record_of(&pool[i]), true);
}

void connection_describe(struct connection *connection, int fd)
{
	if (connection->side && connection->side->peer.port == 0)
		describe(connection->side, fd);
}

void connection_keep_no_segment(void)
{
	for (uint32_t i = 0; i < pool_used; i++)
		pool[i].spare.number = 0;
}

static _Atomic uint32_t forks;
static uint32_t forker; /* the thread that forks, or has */

uint32_t connection_before_fork(void)
{
	uint32_t number = atomic_fetch_add(&forks, 1) + 1;

	forker = thread_id();
	for (uint32_t i = 0; i < pool_used; i++) {
		struct side_record *side = record_of(&pool[i]);

		if (side)
			atomic_fetch_add(&side->holders, 1);
		pool[i].counted_in = number;
		atomic_store(&pool[i].counted, side);
	}
	return number;
}

void connection_uncount(uint32_t fork)
{
	for (uint32_t i = 0; fork && i < pool_used; i++) {
		struct side_record *side =
			pool[i].counted_in == fork ? atomic_exchange(&pool[i].counted, NULL) : NULL;

		if (side)
			side_leave(side, false);
	}
}

/* In the child: other threads may have closed and opened others between the count and the fork. */
static void settle_count(struct connection *connection)
{
	struct side_record *held = record_of(connection);
	struct side_record *counted = atomic_exchange(&connection->counted, NULL);

	if (held == counted)
		return;
	if (held)
		atomic_fetch_add(&held->holders, 1);
	if (counted)
		side_leave(counted, false);
}

/* In the child: it was kept for threads that are not here, or one was tearing it down. */
static void give_up_kept(struct connection *connection)
{
	fd_unhide_at(&connection->kept);
	if (connection->sleepers && connection->sleeper == forker)
		return; /* its memory stays: a handler forked that interrupted the call */
	connection_give_up_rings(connection);
	connection->id = 0;
	connection->side = NULL;
	connection->watches = NULL;
	connection->users = 0;
	connection->descriptors = -1;
	connection->phase = PHASE_FREE;
	connection->next_free = pool_free;
	pool_free = connection;
}

void connection_after_fork(void)
{
	pool_lock = 0;
	for (uint32_t i = 0; i < pool_used; i++) {
		struct connection *connection = &pool[i];

		settle_count(connection);
		connection->left = false;
		if (connection->descriptors <= 0) {
			if (connection->phase != PHASE_FREE)
				give_up_kept(connection);
			continue;
		}
		connection->users = 1;
		connection->pollers = connection->sleepers = 0;
		connection->id = 0; /* the offer is the parent's */
		if (connection->phase == PHASE_OFFERED)
			connection->phase = PHASE_TCP;
	}
}

struct connection *connection_by_id(uint64_t id)
{
	uint32_t index = (uint32_t)(id % POOL_MAX);

	struct connection *connection;

	if (!id || index >= pool_used)
		return NULL;
	connection = &pool[index];
	atomic_fetch_add(&connection->users, 1);
	if (connection->id == id && atomic_load(&connection->descriptors) > 0)
		return connection;
	connection_put(connection);
	return NULL;
}

uint64_t connection_make_id(struct connection *connection)
{
	static _Atomic uint64_t serial;

	connection->id =
		(atomic_fetch_add(&serial, 1) + 1) * POOL_MAX + (uint64_t)(connection - pool);
	return connection->id;
}
